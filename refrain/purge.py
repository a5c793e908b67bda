"""Forgetting: accounts, requests, or all before a day, out of store and kept runs, and a search that shows it.

What cannot lack a row without being another result goes and is computed again when it is needed: stage results, staged
tables, graphs. Runs are redacted, vectors taken out of their shards, lists and databases changed. Tombstones are
written first and the tables of ingests go last, so that a purge that was interrupted finishes when it is begun again.
"""

import logging
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path

from refrain.artifacts import MANIFEST, STAGING, Manifest, Store, read_manifest
from refrain.config import IN_OUTPUTS, LedgerConfig, RetentionConfig
from refrain.errors import StoreError
from refrain.ledger import find_ledger
from refrain.locks import writer_lock
from refrain.needles import Needles, joined
from refrain.progress import Progress
from refrain.purge_cells import Cells, Rules, find_cells, folded
from refrain.purge_lists import PREFECT, purge_dismissals, purge_slices, scrub_database, scrub_log
from refrain.purge_runs import redact_run, remove_run
from refrain.purge_search import DATABASES, Hit, Sought, search_file, search_outputs
from refrain.purge_seen import Targets
from refrain.purge_traces import (
    HELD_TEXTS,
    Traces,
    counted,
    find_traces,
    kept_by,
    stones_of,
)
from refrain.purge_units import kept_in_unit
from refrain.run_notes import settle_notes
from refrain.runs import POINTERS, list_runs, open_run, store_of
from refrain.slices import list_slices, load_slice, midnight
from refrain.tombstones import load_tombstones, save_tombstones

logger = logging.getLogger(__name__)
MIN_TEXT = 24
"""Characters of a text that is searched for: a shorter one ("Thank you.") says nothing of who sent it."""
MIN_VALUE = 8  # characters of an address, a card or a key: below, it stands in digests and numbers by chance


@dataclass(frozen=True)
class Purged:
    """What a purge found (`found`) and did (`done`), both as counts, the files that still hold some of it (`left`), how
    many files were searched, and for how many different texts and ids. `shared` of these stand in texts that others
    sent as well and were not looked for, `sampled` says that of many texts a sample was."""

    found: dict[str, int]
    done: dict[str, int] = field(default_factory=dict)
    left: tuple[Hit, ...] = ()
    files: int = 0
    sought: int = 0
    shared: int = 0
    sampled: bool = False


def survey(outputs: Path, targets: Targets) -> Purged:
    """What a purge would find; nothing is changed."""
    store = store_of(outputs)
    with writer_lock(store.root):
        traces = find_traces(outputs, store, targets)
    return Purged(_found(outputs, traces), sampled=traces.sampled)


def purge(outputs: Path, targets: Targets, progress: Progress, ledger: LedgerConfig = IN_OUTPUTS) -> Purged:
    """What was found and removed, and what a search through every file then still finds.

    StoreError where a table or the ledger cannot be read: nobody can say what it holds. Nothing is changed then.
    """
    store = store_of(outputs)
    with writer_lock(store.root):
        with find_ledger(outputs, ledger):
            pass  # it can be opened, and is brought up to date
        _sweep(outputs)
        with progress.task("looking for traces", None):
            traces = find_traces(outputs, store, targets)
        found = _found(outputs, traces)
        stones = load_tombstones(store.root, store.key).joined(stones_of(targets, traces, store.key, finished=False))
        save_tombstones(store.root, store.key, stones)
        with progress.task("comparing with what stays", None):
            cells = {run: find_cells(run, traces.ingested[content]) for run, content in _touched_runs(outputs, traces)}
            rules, sought, shared = _rules(store, traces, cells, _listed(outputs) - targets.accounts)
        done = _remove(outputs, store, traces, cells, rules, progress, targets, ledger)
        save_tombstones(store.root, store.key, replace(stones, finished=True))
        settle_notes(outputs, ledger)
        done["databases"] = sum(scrub_database(path, rules.bad) for path in _databases(outputs))
        hits, files = search_outputs(outputs, sought, progress)
        done["results"] += sum(_recompute(store, hit.path) for hit in hits)
        left = tuple(hit for hit in hits if hit.path.exists() and _still(hit, sought, rules))
    logger.info("purged %d requests, searched %d files, %d left", found["requests"], files, len(left))
    texts = len(sought.ids | set(traces.values)) + len(traces.texts) + 2 * len(traces.segments)
    return Purged(found, done, left, files, texts, shared, traces.sampled)


def retention_targets(config: RetentionConfig, today: date) -> Targets | None:
    """What retention would purge on a day; None where requests are kept for good."""
    return Targets(before=midnight(today - timedelta(days=config.days))) if config.days else None


def retain_runs(outputs: Path, keep: int, ledger: LedgerConfig = IN_OUTPUTS) -> list[str]:
    """The ids of the runs that were removed: all but the `keep` newest, the latest and the latest night's. Stage
    results that no run is made of any longer go with them, and their rows in the ledger."""
    store = store_of(outputs)
    runs = outputs / "runs"
    with writer_lock(store.root):
        ages = {name: (runs / name / MANIFEST).stat().st_mtime_ns for name in list_runs(outputs)}
        newest = sorted(ages, key=lambda name: (ages[name], name), reverse=True)
        pointed = {(runs / name).readlink().name for name in POINTERS if (runs / name).is_symlink()}
        doomed = sorted(name for name in newest[keep:] if name not in pointed)
        for name in doomed:
            remove_run(runs / name)
        if doomed:
            _drop_unused(outputs, store)
        settle_notes(outputs, ledger)
    return doomed


def _drop_unused(outputs: Path, store: Store) -> int:
    used = {address for name in list_runs(outputs) for address in open_run(outputs, name).stages.values()}
    unused = [place for place in store.stages.glob("*/*") if place.is_dir() and place.name not in used]
    for place in unused:
        shutil.rmtree(place)
    return len(unused)


def _touched_runs(outputs: Path, traces: Traces) -> list[tuple[Path, str]]:
    """The folders of the runs that hold some, with the content of their requests."""
    runs = outputs / "runs"
    return [
        (folder.parent, content)
        for content, folders in sorted(traces.folders.items())
        for folder in folders
        if folder.parent.parent == runs and traces.ingested[content].touched
    ]


def _found(outputs: Path, traces: Traces) -> dict[str, int]:
    return {**counted(traces), "runs": len(_touched_runs(outputs, traces))}


def _listed(outputs: Path) -> set[str]:
    """The accounts that people keep in slices: they stay there unless they are purged by name."""
    return {account for name in list_slices(outputs) for account in load_slice(outputs, name).accounts}


def _rules(store: Store, traces: Traces, cells: dict[Path, Cells], listed: set[str]) -> tuple[Rules, Sought, int]:
    """What may stay, what must be nowhere, and how much of what was sent others sent as well."""
    ids = _some(traces.account_ids - listed | traces.request_ids)
    texts = {text for text in traces.texts.values() if len(text) >= MIN_TEXT}
    texts |= {form for forms in traces.segments.values() for form in forms if len(form) >= MIN_TEXT}
    words = {value for value in traces.values if len(value) >= MIN_VALUE} | ids
    asked = {folded(text) for text in texts} | {text for cell in cells.values() for text in cell.texts}
    safe, said = _among_kept(traces, asked, words)
    own = texts | words
    bad = {text for text in texts if folded(text) not in safe} | (words - said)
    needles = Needles(bad)
    sought = Sought(needles, frozenset(ids))
    return Rules(traces, frozenset(safe), needles, store.key), sought, len(own) - len(bad)


def _some(ids: Iterable[str]) -> frozenset[str]:
    return frozenset(sorted(ids)[:HELD_TEXTS])


def _among_kept(traces: Traces, texts: set[str], words: set[str]) -> tuple[set[str], set[str]]:
    """Those of the texts that a request which stays has, as a part of its own and white space aside, and those of the
    words."""
    sought = (Needles(texts, whole=False), Needles(words))
    found: tuple[set[bytes], set[bytes]] = (set(), set())
    sources = [kept_by(traces.folders[content][0], ingested) for content, ingested in traces.ingested.items()]
    for source in (*sources, *map(kept_in_unit, traces.clean_units)):
        for part in joined(map(folded, source)):
            for needles, seen in zip(sought, found, strict=True):
                seen.update(needles.within(part))
    first, second = ({text.decode("utf-8", "surrogatepass") for text in seen} for seen in found)
    return first, second


def _remove(
    outputs: Path,
    store: Store,
    traces: Traces,
    cells: dict[Path, Cells],
    rules: Rules,
    progress: Progress,
    targets: Targets,
    ledger: LedgerConfig,
) -> dict[str, int]:
    from refrain.stages import forget_graphs, forget_vectors

    touched = {content for content, found in traces.ingested.items() if found.touched}
    done = {"vectors": forget_vectors(store, [digest.ljust(16, b"\0") for digest in traces.own_segments.tolist()])}
    some = bool(touched or traces.units)
    done["graphs"] = forget_graphs(store, _clean_days(outputs, store, traces)) if some else 0
    done["slices"] = purge_slices(outputs, targets.accounts, rules.bad)
    done["dismissals"] = purge_dismissals(store, ledger, targets.accounts, rules.bad)
    done["runs_removed"] = done["runs_redacted"] = 0
    runs = _touched_runs(outputs, traces)
    with progress.task("redacting runs", len(runs)) as advance:
        for run, content in runs:
            found = traces.ingested[content]
            if len(found.requests) and found.requests.all():
                remove_run(run)
                done["runs_removed"] += 1
            else:
                redact_run(run, found, cells[run], rules)
                done["runs_redacted"] += 1
            advance(1)
    for unit in traces.units:
        shutil.rmtree(unit)
    done["staged"] = len(traces.units)
    done["results"] = _drop_results(store, touched)
    return done


def _drop_results(store: Store, touched: set[str]) -> int:
    """How many stage results went: those of the touched ingests, those that rest on them or on an ingest that is not
    there, and those that cannot be read. The ingests go last: the others are found by them."""
    kept: set[str] = set()
    doomed: list[Path] = []
    last: list[Path] = []
    for place in sorted(path for path in store.stages.glob("requests/*") if path.is_dir()):
        manifest = _manifest(place)
        if manifest is None or manifest.content in touched:
            last.append(place)
        else:
            kept.add(manifest.content)
    for place in sorted(path for path in store.stages.glob("*/*") if path.is_dir() and path.parent.name != "requests"):
        manifest = _manifest(place)
        if manifest is None or manifest.inputs[0] not in kept:  # the requests are the first input of every stage
            doomed.append(place)
    for place in doomed + last:
        shutil.rmtree(place)
    return len(doomed) + len(last)


def _manifest(place: Path) -> Manifest | None:
    try:
        return read_manifest(place)
    except StoreError:
        return None


def _clean_days(outputs: Path, store: Store, traces: Traces) -> frozenset[str]:
    """The names that graphs have of days on which nothing was sent that is purged."""
    from refrain.stages import names_of_days

    by_content: dict[str, list[Path]] = {}
    for place in sorted([*store.stages.glob("vectors/*"), *(outputs / "runs").glob("*/vectors")]):
        manifest = _manifest(place)
        if manifest is not None and not place.parent.is_symlink():
            by_content.setdefault(manifest.inputs[0], []).append(place)
    clean: set[str] = set()
    for content, found in traces.ingested.items():
        for vectors in by_content.get(content, ()):
            names = names_of_days(traces.folders[content][0], vectors)
            clean.update(name for day, name in names.items() if day in found.clean_days)
    return frozenset(clean)


def _recompute(store: Store, path: Path) -> bool:
    """Whether a file that still held some was in a result that can be computed again, which then is gone."""
    for root, depth in ((store.stages, 2), (store.graphs, 2), (store.staged, 1)):
        if path.is_relative_to(root) and len(path.relative_to(root).parts) > depth:
            place = root.joinpath(*path.relative_to(root).parts[:depth])
            if place.exists():
                shutil.rmtree(place)
                return True
    return False


def _still(hit: Hit, sought: Sought, rules: Rules) -> bool:
    """Whether a file outside the store's results holds some even after Prefect's logs were overwritten."""
    if PREFECT in hit.path.parts and hit.path.suffix not in DATABASES and hit.path.is_file():
        scrub_log(hit.path, rules.bad)
    return hit.path.exists() and search_file(hit.path, sought) is not None


def _databases(outputs: Path) -> list[Path]:
    return [path for path in sorted(outputs.rglob("*")) if path.suffix in DATABASES and path.is_file()]


def _sweep(outputs: Path) -> None:
    """Nothing; what an interrupted job left aside is gone. The writers' lock says that its process is dead."""
    for path in sorted(outputs.rglob(f"{STAGING}*")):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
