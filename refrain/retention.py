"""What [retention] does not keep goes after a night: old runs, and requests of days before. It fails no night."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from refrain.config import Config
from refrain.errors import RefrainError, fault_place
from refrain.figures import counted
from refrain.progress import Progress

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Retained:
    """What went: runs by id; of requests before the day, what was found of them, and what was removed, by kind. `left`
    files still hold some of it. `failure` says why it was not done to its end: the next night does it."""

    runs: tuple[str, ...] = ()
    found: Mapping[str, int] = field(default_factory=dict)
    removed: Mapping[str, int] = field(default_factory=dict)
    left: int = 0
    failure: str = ""

    @property
    def words(self) -> str:
        """What to tell a person, in counts."""
        requests = counted(self.found.get("requests", 0), "request")
        parts = [f"{counted(len(self.runs), 'run')} aged out", f"{requests} purged"]
        parts += [f"{name.replace('_', ' ')} {count:,}" for name, count in self.removed.items() if count]
        return ", ".join(parts)


def apply_retention(outputs: Path, config: Config, today: date, progress: Progress) -> Retained | None:
    """What went on a day (UTC); None where [retention] keeps all. It never raises: what went wrong is `failure`."""
    if config.retention.keeps_all:
        return None
    runs: list[str] = []
    try:
        from refrain.purge import purge, retain_runs, retention_targets, survey
        from refrain.runs import store_of
        from refrain.tombstones import load_tombstones

        if config.retention.runs:
            runs = retain_runs(outputs, config.retention.runs, config.ledger)
        targets = retention_targets(config.retention, today)
        if targets is None:
            return Retained(tuple(runs))
        store = store_of(outputs)
        # A purge searches every file afterwards, so it is left out where it has nothing to do.
        nothing = not any(survey(outputs, targets).found.values())
        if nothing and load_tombstones(store.root, store.key).finished:
            return Retained(tuple(runs))
        done = purge(outputs, targets, progress, config.ledger)
        return Retained(tuple(runs), done.found, done.done, len(done.left))
    except RefrainError as error:
        failure = error.message
    except Exception as error:  # noqa: BLE001 (the night is published, whatever this is; its text may quote a log)
        failure = fault_place(error)
    logger.warning("retention was not applied: %s", failure)
    return Retained(tuple(runs), failure=failure)
