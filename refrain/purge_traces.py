"""Where what is to be purged left traces: in each ingest's tables and in staged tables of log files.

A trace is *own* where nothing that stays has it: a text, a segment or a value that the purged requests alone had. Texts
are compared by their keyed digests. Of what is own, so many texts are held in clear as a search can look for.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from refrain.artifacts import Store, read_manifest
from refrain.errors import StoreError
from refrain.needles import Needles
from refrain.purge_seen import DIGEST, Flags, Seen, Targets, digests_in, mentions, note_values
from refrain.purge_units import read_unit
from refrain.tombstones import Tombstones, is_derived, moment_digest, text_digest

HELD_TEXTS = 20_000
"""Own texts, and own segments, held in clear: a search takes about a second for 70 MB however many there are, so memory
sets the bound. An account has some hundreds; of a purge of whole days a sample by digest is searched for."""


@dataclass(frozen=True)
class Ingested:
    """The traces in the tables of one ingest. Arrays are by row of its tables: requests, texts and segments that are
    doomed, texts and segments that stay have, accounts without a request that stays."""

    requests: Flags
    doomed_texts: Flags
    kept_texts: Flags
    doomed_segments: Flags
    kept_segments: Flags
    gone_accounts: Flags
    quarantined: Flags
    request_ids: frozenset[str]
    account_ids: frozenset[str]  # of `gone_accounts`
    clean_days: frozenset[str]  # names of day folders without a doomed request

    @property
    def touched(self) -> bool:
        """Whether any of it is to be purged."""
        return bool(self.requests.any() or self.quarantined.any())


@dataclass
class Traces:
    """All traces in an outputs folder. `ingested` is by the content of a requests folder, which the store and runs may
    share; `folders` says where each lies. `units` are staged tables that hold some, `moments` tombstones of requests
    whose id may be derived."""

    ingested: dict[str, Ingested] = field(default_factory=dict)
    folders: dict[str, list[Path]] = field(default_factory=dict)
    units: list[Path] = field(default_factory=list)
    clean_units: list[Path] = field(default_factory=list)
    request_ids: set[str] = field(default_factory=set)
    account_ids: set[str] = field(default_factory=set)
    alive_ids: set[str] = field(default_factory=set)  # of accounts with a request that stays
    moments: set[str] = field(default_factory=set)
    own_texts: NDArray[np.bytes_] = field(default_factory=lambda: np.empty(0, DIGEST))
    own_segments: NDArray[np.bytes_] = field(default_factory=lambda: np.empty(0, DIGEST))
    texts: dict[bytes, str] = field(default_factory=dict)  # own, by digest
    segments: dict[bytes, tuple[str, str]] = field(default_factory=dict)  # own: normalised and readable
    values: set[str] = field(default_factory=set)  # own: addresses, cards, keys and the like
    sampled: bool = False  # whether more is own than is held


def find_traces(outputs: Path, store: Store, targets: Targets) -> Traces:
    """The traces of the targets in the store and in kept runs. StoreError, naming it, where a table cannot be read."""
    traces = Traces()
    texts, segments = Seen(), Seen()
    values: tuple[set[str], set[str]] = (set(), set())  # of the doomed, of the others
    ids = Needles(targets.accounts | targets.requests)
    for folder in requests_folders(outputs, store):
        manifest = read_manifest(folder)
        content = manifest.content if manifest else ""
        traces.folders.setdefault(content, []).append(folder)
        if content not in traces.ingested:
            try:
                traces.ingested[content] = _read_ingested(folder, targets, ids, store.key, traces, values)
            except (OSError, pa.ArrowException, KeyError) as error:
                raise unreadable(folder) from error
            found = traces.ingested[content]
            texts.add(digests_in(folder / "texts.parquet"), found.doomed_texts, found.kept_texts)
            segments.add(digests_in(folder / "segments.parquet"), found.doomed_segments, found.kept_segments)
    for unit in sorted(path for path in store.staged.glob("*") if path.is_dir()):
        touched = read_unit(unit, targets, ids, texts, segments, values)
        (traces.units if touched else traces.clean_units).append(unit)
    traces.own_texts, traces.own_segments = texts.own(), segments.own()
    traces.values = values[0] - values[1]
    traces.account_ids = (traces.account_ids | targets.accounts) - traces.alive_ids
    traces.request_ids |= targets.requests
    _hold(traces)
    return traces


def requests_folders(outputs: Path, store: Store) -> Iterator[Path]:
    """The folders with the tables of a finished ingest, the store's first. StoreError where one is damaged."""
    for pattern, root in (("requests/*", store.stages), ("*/requests", outputs / "runs")):
        for folder in sorted(root.glob(pattern)):
            if not folder.is_dir() or folder.parent.is_symlink():
                continue
            try:
                whole = read_manifest(folder) is not None
            except StoreError as error:
                raise unreadable(folder) from error
            if whole:
                yield folder


def unreadable(path: Path) -> StoreError:
    """The error for a table that cannot be searched."""
    return StoreError(
        f"{path} cannot be read, so nobody can say what it holds",
        hint="`refrain doctor --repair` removes what is damaged",
    )


def kept_by(folder: Path, found: Ingested) -> Iterator[str]:
    """The texts that requests which stay have: whole ones, and segments as they are compared."""
    yield from _chosen(folder / "texts.parquet", "text", found.kept_texts)
    yield from _chosen(folder / "segments.parquet", "text", found.kept_segments)
    # The readable form is that of a segment's first request, which may be a doomed one.
    yield from _chosen(folder / "segments.parquet", "raw", found.kept_segments & ~found.doomed_segments)


def _read_ingested(
    folder: Path, targets: Targets, ids: Needles, key: bytes, traces: Traces, values: tuple[set[str], set[str]]
) -> Ingested:
    account_ids = pq.read_table(folder / "accounts.parquet", columns=["account_id"])["account_id"].combine_chunks()
    doomed_texts, kept_texts = (np.zeros(_rows(folder / "texts.parquet"), bool) for _ in range(2))
    doomed_segments, kept_segments = (np.zeros(_rows(folder / "segments.parquet"), bool) for _ in range(2))
    alive = np.zeros(len(account_ids), bool)
    dead = np.zeros(len(account_ids), bool)
    flags: list[Flags] = [np.zeros(0, bool)]
    names: set[str] = set()
    clean: set[str] = set()
    for path in sorted((folder / "requests").glob("*/*.parquet")):
        table = pq.read_table(path, partitioning=None).combine_chunks()
        accounts = table["account_row"].to_numpy()
        micros = table["timestamp"].cast(pa.int64()).to_numpy()
        doomed = targets.doomed(account_ids.take(pa.array(accounts)), table["request_id"], micros)
        flags.append(doomed)
        alive[accounts[~doomed]] = True
        dead[accounts[doomed]] = True
        for column in ("prompt_text_row", "system_text_row"):
            rows = table[column].fill_null(-1).to_numpy()
            doomed_texts[rows[doomed & (rows >= 0)]] = True
            kept_texts[rows[~doomed & (rows >= 0)]] = True
        note_values(table, doomed, values)
        if not doomed.any():
            clean.add(path.parent.name)
            continue
        some = pa.array(np.flatnonzero(doomed))
        found = table["request_id"].take(some).to_pylist()
        names.update(found)
        senders = account_ids.take(pa.array(accounts[doomed])).to_pylist()
        for name, account, moment in zip(found, senders, micros[doomed].tolist(), strict=True):
            if name in targets.requests and is_derived(name):
                traces.moments.add(moment_digest(key, account, moment))
    requests = np.concatenate(flags)
    for path in sorted((folder / "request_segments").glob("*/*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches(columns=["request_row", "segment_row"]):
            rows, doomed = batch.column(1).to_numpy(), requests[batch.column(0).to_numpy()]
            doomed_segments[rows[doomed]] = True
            kept_segments[rows[~doomed]] = True
    gone = dead & ~alive
    gone_ids = frozenset(account_ids.filter(pa.array(gone)).to_pylist())
    traces.request_ids |= names
    traces.account_ids |= gone_ids
    traces.alive_ids.update(account_ids.filter(pa.array(alive)).to_pylist())
    quarantine = pq.read_table(folder / "quarantine.parquet", columns=["request_id", "content"])
    return Ingested(
        requests, doomed_texts, kept_texts, doomed_segments, kept_segments, gone,
        mentions(quarantine["request_id"], quarantine["content"], ids), frozenset(names), gone_ids, frozenset(clean),
    )  # fmt: skip


def _hold(traces: Traces) -> None:
    """Holds the own texts and segments in clear, those of the smallest digests where there are many."""
    traces.sampled = max(len(traces.own_texts), len(traces.own_segments)) > HELD_TEXTS
    texts, segments = (set(own[:HELD_TEXTS].tolist()) for own in (traces.own_texts, traces.own_segments))
    for content, found in traces.ingested.items():
        folder = traces.folders[content][0]
        for digest, text in _named(folder / "texts.parquet", ["text"], found.doomed_texts, texts):
            traces.texts[digest] = text[0]
        for digest, forms in _named(folder / "segments.parquet", ["text", "raw"], found.doomed_segments, segments):
            traces.segments[digest] = (forms[0], forms[1])
    for unit in traces.units:
        for path in sorted(unit.glob("texts-*.parquet")):
            for digest, text in _named(path, ["text"], None, texts - traces.texts.keys()):
                traces.texts[digest] = text[0]
        for path in sorted(unit.glob("forms-*.parquet")):
            for digest, forms in _named(path, ["text", "raw"], None, segments - traces.segments.keys()):
                traces.segments[digest] = (forms[0], forms[1])


def _named(
    path: Path, columns: list[str], rows: Flags | None, wanted: set[bytes]
) -> Iterator[tuple[bytes, tuple[str, ...]]]:
    """Digests among the wanted and some columns of their rows."""
    start = 0
    if not wanted:
        return
    try:
        for batch in pq.ParquetFile(path).iter_batches(columns=["digest", *columns]):
            flags = np.ones(len(batch), bool) if rows is None else rows[start : start + len(batch)]
            start += len(batch)
            for row in batch.filter(pa.array(flags)).to_pylist() if flags.any() else []:
                digest = row["digest"].rstrip(b"\0")  # as numpy has it
                if digest in wanted:
                    yield digest, tuple(row[name] for name in columns)
    except (OSError, pa.ArrowException):
        return


def _chosen(path: Path, column: str, rows: Flags) -> Iterator[str]:
    start = 0
    for batch in pq.ParquetFile(path).iter_batches(columns=[column]):
        flags = rows[start : start + len(batch)]
        start += len(batch)
        yield from batch.column(0).filter(pa.array(flags)).to_pylist()


def _rows(path: Path) -> int:
    return int(pq.ParquetFile(path).metadata.num_rows)


def stones_of(targets: Targets, traces: Traces, key: bytes, *, finished: bool) -> Tombstones:
    """The tombstones of the targets."""
    accounts, requests = (
        frozenset(text_digest(key, name) for name in names) for names in (targets.accounts, targets.requests)
    )
    return Tombstones(accounts, requests, frozenset(traces.moments), targets.before, finished)


def counted(traces: Traces) -> Mapping[str, int]:
    """How much was found, for people."""
    touched = [found for found in traces.ingested.values() if found.touched]
    return {
        "requests": len(traces.request_ids),
        "accounts": len(traces.account_ids),
        "own_texts": len(traces.own_texts),
        "own_segments": len(traces.own_segments),
        "own_values": len(traces.values),
        "ingests": len(touched),
        "staged": len(traces.units),
    }
