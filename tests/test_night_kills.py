"""SIGKILL while a night is published: the same command completes it, and nothing is published twice, halved or lost."""

import json
import random
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aftermath import check_published
from crashing import Done
from night_arena import AGAIN, DAYS, LAST, NEXT_NIGHT, NightArena, Situation, config_of, published, rows_of
from webhooks import Hook, hook

from refrain.artifacts import STAGING
from refrain.doctor import examine
from refrain.ledger import open_ledger
from refrain.ledger.database import connect
from refrain.ledger.tables import metadata
from refrain.lineage_table import read_done
from refrain.nights import run_name
from refrain.progress import NoProgress

if TYPE_CHECKING:
    from postgres import Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

# Of the instants that matter, every so manieth, from some on.
SQLITE, POSTGRESQL = "sqlite", "postgresql"
INSTANTS = {
    (SQLITE, NEXT_NIGHT): (0, 5),
    (SQLITE, AGAIN): (2, 5),
    (POSTGRESQL, NEXT_NIGHT): (1, 10),
    (POSTGRESQL, AGAIN): (6, 10),
}
SEED = 11
_READING = ("begin", "select", "pragma", "show", "set")


@dataclass
class Stage:
    """A situation on one database: what stands there before, and how publishing ends undisturbed."""

    situation: Situation
    database: str
    arena: NightArena
    hook: Hook
    place: Path
    server: "Server | None"
    made: int = 0
    whole: Done | None = None
    before: Any = None
    after: Any = None
    follows: Any = None
    said: Any = None

    def fresh(self) -> tuple[Path, tuple[str, ...]]:
        """Outputs in which the night is not published yet, and the settings that say where their ledger is."""
        self.made += 1
        outputs = self.situation.copy(self.place / f"{self.database}-{self.made}")
        settings = [f"alerts.webhook={self.hook.url}"]
        if self.server is not None:
            settings.append(f"ledger.url={self.server.url(self.server.make_database())}")
            copy_ledger(outputs, config_of(*settings))
        return outputs, tuple(settings)

    def undisturbed(self) -> "Stage":
        """Itself, knowing how it ends when nobody kills it."""
        outputs, settings = self.fresh()
        self.before = rows_of(outputs, config_of(*settings))
        del self.hook.heard[:]
        self.whole = self.arena.night(self.situation.log, outputs, LAST, *settings)
        self.after, self.follows = rows_of(outputs, config_of(*settings)), published(outputs)
        self.said = list(self.hook.heard)
        shutil.rmtree(outputs)
        return self

    def instants(self) -> list[int]:
        """The steps before which a kill can matter: whatever writes, commits, or tells."""
        assert self.whole is not None
        steps = self.whole.steps
        first = min(steps.index(word) for word in ("insert", "delete") if word in steps)
        written = [at for at in range(first, len(steps)) if steps[at] not in (*_READING, "commit")]
        commit = steps.index("commit", steps.index("update"))
        start, every = INSTANTS[self.database, self.situation.name]
        return sorted({at + 1 for at in written[start::every]} | {commit + 1, commit + 2})


def copy_ledger(outputs: Path, config: Any) -> None:
    """Nothing; the ledger that `config` names then holds the rows of the SQLite file in the outputs, which goes."""
    with open_ledger(outputs, config.ledger):
        pass  # its tables are made
    source, target = connect(outputs, ""), connect(outputs, config.ledger.url)
    with source.reading() as reading, target.writing() as writing:
        for table in metadata.sorted_tables:
            if table.name == "marks":
                writing.execute(table.delete())
            rows = [dict(row._mapping) for row in reading.execute(table.select())]
            if rows:
                writing.execute(table.insert(), rows)
    source.close()
    target.close()
    for path in outputs.glob("ledger.sqlite*"):
        path.unlink()


@pytest.fixture(scope="module")
def webhook() -> Iterator[Hook]:
    """Who hears of the nights."""
    with hook(200) as found:
        yield found


@pytest.fixture(scope="module")
def stages() -> dict[tuple[str, str], Stage]:
    """Those that a test has asked for."""
    return {}


@pytest.fixture(params=list(INSTANTS), ids=lambda pair: f"{pair[0]}, {pair[1]}")
def stage(
    request: pytest.FixtureRequest,
    night_arena: NightArena,
    webhook: Hook,
    stages: dict[tuple[str, str], Stage],
    tmp_path_factory: pytest.TempPathFactory,
) -> Stage:
    """A situation on a database, run once without a kill."""
    database, name = request.param
    if request.param not in stages:
        server = request.getfixturevalue("server") if database == POSTGRESQL else None
        place = tmp_path_factory.mktemp("night_kills")
        stages[request.param] = Stage(
            night_arena.situations[name], database, night_arena, webhook, place, server
        ).undisturbed()
    return stages[request.param]


def attempt(stage: Stage, **kill: Any) -> Done:
    """How the kill went; after it the same command was given again, and its end compared with the undisturbed one."""
    outputs, settings = stage.fresh()
    config = config_of(*settings)
    del stage.hook.heard[:]
    log = stage.situation.log
    died: Done = stage.arena.night(log, outputs, LAST, *settings, **kill)
    rows = rows_of(outputs, config)
    assert rows in (stage.before, stage.after)  # all of the night, or nothing of it
    done = read_done(outputs / "runs" / run_name(LAST))
    if done is not None and done == read_done_of(stage):
        assert stage.hook.heard == stage.said  # who says that it is done has told
    check_published(outputs)
    finished = stage.arena.night(log, outputs, LAST, *settings)
    assert finished.killed == 0
    assert finished.computed == ()
    assert rows_of(outputs, config) == stage.after
    assert published(outputs) == stage.follows
    assert stage.said
    assert {repr(told) for told in stage.hook.heard} == {repr(told) for told in stage.said}  # at least once, the same
    assert not examine(outputs, repair=False, progress=NoProgress()).faults
    assert [path for path in outputs.rglob("*") if path.name.startswith((STAGING, ".report"))] == []
    shutil.rmtree(outputs)
    return died


def read_done_of(stage: Stage) -> tuple[str, bool]:
    """The mark that the undisturbed night left."""
    data = json.loads(stage.follows["done.json"])
    return data["night"], data["told"]


def test_a_night_that_is_killed_while_it_is_published_is_completed_by_the_same_command(stage: Stage) -> None:
    assert stage.before != stage.after
    assert stage.whole is not None
    steps = stage.whole.steps
    own = {NEXT_NIGHT: "os.symlink", AGAIN: "delete"}[stage.situation.name]  # the pointer moves; rows are taken back
    assert {"insert", "update", "post", own} <= set(steps)
    for at in stage.instants():
        died = attempt(stage, kill_at=at)
        assert died.killed == signal.SIGKILL, (at, steps[at - 1])


def test_a_night_that_is_killed_at_any_time_of_its_publishing_is_completed(stage: Stage) -> None:
    """When compiled code may be in the middle of a commit."""
    dice = random.Random(f"{SEED} {stage.database} {stage.situation.name}")
    assert stage.whole is not None
    attempt(stage, kill_after=dice.uniform(0.0, stage.whole.seconds))


@pytest.mark.parametrize("stage", [(SQLITE, AGAIN), (POSTGRESQL, NEXT_NIGHT)], indirect=True, ids=", ".join)
def test_a_night_that_dies_time_and_again_is_completed(stage: Stage) -> None:
    """Each death a few steps further on than the one before, on the same outputs."""
    outputs, settings = stage.fresh()
    instants = stage.instants()
    for at in instants[:: max(1, len(instants) // 3)]:
        assert stage.arena.night(stage.situation.log, outputs, LAST, *settings, kill_at=at).killed == signal.SIGKILL
    assert stage.arena.night(stage.situation.log, outputs, LAST, *settings).killed == 0
    assert rows_of(outputs, config_of(*settings)) == stage.after
    assert published(outputs) == stage.follows
    shutil.rmtree(outputs)


def test_nights_that_are_run_again_from_an_earlier_one_on_are_all_there_after_a_kill(
    night_arena: NightArena, tmp_path: Path
) -> None:
    """The first of them takes the others back with it: the same command must run them, too."""
    given = night_arena.situations[NEXT_NIGHT]
    outputs = given.copy(tmp_path / "outputs")
    night_arena.night(given.log, outputs, LAST)
    before = rows_of(outputs, config_of())
    whole = night_arena.night(given.log, given.copy(tmp_path / "whole"), DAYS[1], again=True)
    committed = whole.steps.index("commit", whole.steps.index("update")) + 1
    died = night_arena.night(given.log, outputs, DAYS[1], again=True, kill_at=committed + 1)
    assert died.killed == signal.SIGKILL
    with open_ledger(outputs, config_of().ledger) as ledger:
        assert [row.day for row in ledger.nights()] == [DAYS[1]]
    assert night_arena.night(given.log, outputs, DAYS[1], again=True).killed == 0
    assert rows_of(outputs, config_of()) == before
