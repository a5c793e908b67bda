"""The stages of the main job, each a plain function from folders to a folder.

A result is looked up by its address (inputs, settings, code) in the store and computed only where it is not there
whole. The implementations are imported inside the functions: whoever only looks needs no encoder.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refrain.artifacts import Manifest, Store, digest_file, digest_json, seal, staged, sweep, trusted_manifest
from refrain.code import code_digest
from refrain.config import Config, content_fields, content_folders, speed_fields
from refrain.errors import StoreError
from refrain.heap import give_back, keep_freed
from refrain.key import key_id
from refrain.locks import writer_lock
from refrain.memory import PeakMeter
from refrain.progress import Progress
from refrain.settings import config_file, config_folder, plain
from refrain.slices import Slice, choose_files, moments_of, wanted_folders
from refrain.tombstones import load_tombstones

if TYPE_CHECKING:
    from refrain.detection import Formats
    from refrain.logs import LogFile

logger = logging.getLogger(__name__)

NOUNS = {
    "ingest": "requests",
    "embed": "vectors",
    "index": "neighbours",
    "cluster": "clusters",
    "mine": "templates",
    "score": "campaigns",
    "export": "exports",
}
"""Verb to noun, in the order in which the stages run."""

INPUTS = {
    "ingest": (),
    "embed": ("requests",),
    "index": ("requests", "vectors"),
    "cluster": ("requests", "neighbours"),
    "mine": ("requests", "clusters"),
    "score": ("requests", "vectors", "neighbours", "templates"),
    "export": ("requests", "clusters", "templates", "campaigns"),
}
"""Verb to the nouns of the folders that it reads, in the order of its function's arguments."""

_BESIDE_FROM = 32 << 20  # bytes of a log whose ingest takes as long as what may be done beside it


@dataclass(frozen=True)
class Result:
    """What a stage left: its folder, and whether that had to be computed."""

    verb: str
    folder: Path
    manifest: Manifest
    computed: bool
    told: Mapping[str, int]  # counts of the computation itself, empty where there was none
    note: str  # why a result that was there could not be used, else nothing
    seconds: float
    peak_bytes: int

    @property
    def noun(self) -> str:
        """The stage's noun."""
        return self.manifest.noun

    @property
    def counts(self) -> dict[str, int]:
        """What came out, and what was told of getting there."""
        return {**self.manifest.counts, **self.told}


def ingest(
    sources: Sequence[str],
    config: Config,
    *,
    store: Store,
    progress: Progress,
    part: Slice | None = None,
    tell: Callable[[str], None] = lambda line: None,
    beside: Callable[[], None] = lambda: None,
) -> Result:
    """The folder of requests, segments, accounts and owners of the log files that `sources` stand for.

    With `part`, of its requests only. `tell` hears a line for each format of files before they are read. `beside` is
    done beside a large log's computation, which leaves cores idle; it is on its own where it fails.
    """
    from refrain.door import open_door

    def compute(out: Path) -> dict[str, int]:
        from refrain.requests import ingest_logs

        with ThreadPoolExecutor(1) as pool:
            if sum(file.size for file in files) >= _BESIDE_FROM:
                pool.submit(beside)
            return ingest_logs(
                sources, out, config.ingest, store=store, progress=progress, part=part, files=files, digests=digests,
                formats=formats, stones=stones,
            )  # fmt: skip

    files, digests, formats, inputs = _source_identities(sources, config, progress, part)
    for line in formats.told(len(files)):
        tell(line)
    if part is not None:
        inputs = (*inputs, f"slice {part.digest(store.key)}")
    stones = load_tombstones(store.root, store.key)
    moments = None if part is None else moments_of(part)
    purged = stones.digest(moments[0] if moments else None)
    door = open_door(config.ingest)
    # The keys shape digests and hashes in the tables, so another key is another result.
    return complete_stage(
        "ingest",
        inputs,
        config.ingest,
        "refrain.requests",
        compute,
        store,
        passing=("reused_files",),
        key=key_id(store.key),
        purged=purged,
        door=door.name if door else "",
    )


def load_encoder_libraries() -> None:
    """Nothing; what `embed` imports before it can begin is imported then."""
    from embeddings.tiers import load_libraries

    load_libraries()


def embed(requests: Path, config: Config, *, store: Store, progress: Progress) -> Result:
    """The folder that says where in the store each segment's vector lies."""

    from embeddings.encoder import encoder_identity

    def compute(out: Path) -> dict[str, int]:
        from embeddings.vectors import embed_segments

        return embed_segments(requests, out, config.embed, store=store, progress=progress)

    def check(folder: Path) -> None:
        from embeddings.vectors import open_vectors

        open_vectors(folder, store)  # the vectors themselves lie in the store, where a purge or a torn disk finds them

    return complete_stage(
        "embed",
        _contents(requests),
        config.embed,
        "embeddings.vectors",
        compute,
        store,
        check=check,
        passing=("encoded", "damaged_shards"),
        encoder=encoder_identity(config.embed),
    )


def index(requests: Path, vectors: Path, config: Config, *, store: Store, progress: Progress) -> Result:
    """The folder of each segment's nearest neighbours."""

    def compute(out: Path) -> dict[str, int]:
        from embeddings.neighbours import find_neighbours

        return find_neighbours(requests, vectors, out, config.index, store=store, progress=progress)

    return complete_stage(
        "index",
        _contents(requests, vectors),
        config.index,
        "embeddings.neighbours",
        compute,
        store,
        passing=("reused_parts",),
    )


def cluster(requests: Path, neighbours: Path, config: Config, *, store: Store, progress: Progress) -> Result:
    """The folder of segment clusters."""

    def compute(out: Path) -> dict[str, int]:
        from refrain.clusters import cluster_segments

        return cluster_segments(requests, neighbours, out, config.cluster, store=store, progress=progress)

    return complete_stage(
        "cluster", _contents(requests, neighbours), config.cluster, "refrain.clusters", compute, store
    )


def mine(
    requests: Path,
    clusters: Path,
    config: Config,
    *,
    store: Store,
    progress: Progress,
    beside: Callable[[], None] = lambda: None,
) -> Result:
    """The folder of templates and of the requests that use them. `beside` is done beside the computation, which leaves
    cores idle; it is on its own where it fails."""

    def compute(out: Path) -> dict[str, int]:
        from refrain.templates import mine_templates

        with ThreadPoolExecutor(1) as pool:
            pool.submit(beside)
            return mine_templates(requests, clusters, out, config.mine, store=store, progress=progress)

    return complete_stage("mine", _contents(requests, clusters), config.mine, "refrain.templates", compute, store)


def read_sample(requests: Path, vectors: Path, config: Config, *, store: Store) -> None:
    """Nothing; what `score` reads of a large log, whatever is found there, is read then. Call it under the store's
    writer lock only."""
    from embeddings import reading

    reading.read_sample(requests, vectors, config.embed, store=store)


def score(
    requests: Path,
    vectors: Path,
    neighbours: Path,
    templates: Path,
    config: Config,
    *,
    store: Store,
    progress: Progress,
) -> Result:
    """The folder of campaigns, their members and the evidence."""
    from embeddings.encoder import encoder_identity
    from refrain.dismissals import read_dismissed
    from refrain.known import own_lists, read_lists

    # Read once: what is computed with is what the address says, whatever somebody dismisses meanwhile.
    dismissed = read_dismissed(store.root.parent, config.ledger)
    known = read_lists(config_folder(config.score.known), own_lists(store), dismissed=dismissed)

    def compute(out: Path) -> dict[str, int]:
        from embeddings.reading import near_probes
        from refrain.campaigns import score_campaigns

        near = near_probes(requests, vectors, config.embed, store=store, progress=progress)
        with near.ahead():
            return score_campaigns(
                requests, neighbours, templates, out, config.score, store=store, progress=progress, near=near,
                known=known,
            )  # fmt: skip

    return complete_stage(
        "score",
        _contents(requests, vectors, neighbours, templates),
        config.score,
        "refrain.campaigns",
        compute,
        store,
        known=known.digest,
        # What segments are near is read when it is asked for: by which encoder, with which probes, by which code.
        embed=digest_json(identity(config.embed)),
        encoder=encoder_identity(config.embed),
        reader=code_digest("embeddings.reading"),
    )


def export(
    requests: Path,
    clusters: Path,
    templates: Path,
    campaigns: Path,
    config: Config,
    *,
    store: Store,
    progress: Progress,
) -> Result:
    """The folder of tables for other tools."""

    def compute(out: Path) -> dict[str, int]:
        from refrain.exports import write_exports

        return write_exports(
            requests, clusters, templates, campaigns, out, config.export, store=store, progress=progress
        )

    inputs = _contents(requests, clusters, templates, campaigns)
    return complete_stage("export", inputs, config.export, "refrain.exports", compute, store)


def near_segments(
    requests: Path, vectors: Path, texts: Sequence[str], least: float, config: Config, *, store: Store
) -> tuple[tuple[str, ...], float]:
    """The digests, in hex and sorted, of the segments of two finished stages whose cosine to one of some texts is at
    least `least`, and the largest cosine that there is."""
    from embeddings.querying import near_digests

    return near_digests(requests, vectors, texts, least, config.embed, store=store)


def forget_vectors(store: Store, digests: Iterable[bytes]) -> int:
    """How many vectors of these segments were removed from the store."""
    from embeddings import forgetting

    return forgetting.forget_vectors(store, digests)


def forget_graphs(store: Store, clean: frozenset[str]) -> int:
    """How many graphs were removed from the store: those of any day whose name is not `clean`."""
    from embeddings import forgetting

    return forgetting.forget_graphs(store, clean)


def damaged_vectors(store: Store, *, remove: bool) -> Iterator[tuple[Path, bool]]:
    """Each shard of vectors and whether it is damaged, and then is removed if it is to be."""
    from embeddings import forgetting

    return forgetting.damaged_vectors(store, remove=remove)


def names_of_days(requests: Path, vectors: Path) -> dict[str, str]:
    """The names that graphs of an ingest's days have, by day folder."""
    from embeddings import forgetting

    return forgetting.names_of_days(requests, vectors)


def identity(section: object) -> dict[str, Any]:
    """A section's settings as they enter an address: one that names a file or a folder counts by what is in there,
    one that shapes speed alone not at all."""
    values = plain(section)
    for name in content_fields(section):
        values[name] = digest_file(config_file(values[name])) if values[name] else ""
    for name in content_folders(section):
        folder = config_folder(values[name])
        files = sorted(folder.glob("*.toml")) if folder else []
        values[name] = digest_json([[path.name, digest_file(path)] for path in files])
    for name in speed_fields(section):
        del values[name]
    return values


def complete_stage(
    verb: str,
    inputs: tuple[str, ...],
    section: object,
    module: str,
    compute: Callable[[Path], dict[str, int]],
    store: Store,
    *,
    check: Callable[[Path], None] | None = None,
    passing: tuple[str, ...] = (),
    **more: str,
) -> Result:
    """The stored result of a stage, computed where the store has none that can be trusted.

    `inputs` are the digests of what it reads, `module` implements it, `more` is what else shapes the result. `compute`
    fills an empty folder and returns its counts; those in `passing` tell of this computation and not of its result,
    and stay out of the manifest. `check` raises StoreError where a result rests on something that is gone.
    """
    noun, config, code = NOUNS[verb], identity(section), code_digest(module)
    address = digest_json({"stage": verb, "inputs": inputs, "config": config, "code": code, **more})
    target = store.stages / noun / address
    start = time.perf_counter()
    note = ""
    told: dict[str, int] = {}
    try:
        manifest = trusted_manifest(target)
        if manifest is not None and manifest.address != address:
            raise StoreError(f"{target} holds the result of another address")
        if manifest is not None and check is not None:
            check(target)
    except StoreError as error:
        manifest, note = None, error.message
    computed = manifest is None
    with PeakMeter() as meter:
        if manifest is None:
            with writer_lock(store.root):
                sweep(target.parent)
                keep_freed()
                with staged(target) as out:
                    counts = compute(out)
                    told = {name: counts.pop(name) for name in passing if name in counts}
                    manifest = seal(
                        out, stage=verb, noun=noun, address=address, inputs=inputs, config=config, code=code,
                        counts=counts,
                    )  # fmt: skip
            give_back()
    result = Result(verb, target, manifest, computed, told, note, time.perf_counter() - start, meter.peak)
    logger.info("%s: %s in %.1f s", verb, "computed" if computed else "unchanged", result.seconds)
    return result


def _contents(*folders: Path) -> tuple[str, ...]:
    """The content digests of finished stages' folders; StoreError where one is not finished, or not as it was written:
    what rests on damage would be stored as if it were whole."""
    digests = []
    for folder in folders:
        try:
            manifest = trusted_manifest(folder)
        except StoreError as error:
            raise StoreError(error.message, hint="refrain run LOG with the same log makes it again") from error
        if manifest is None:
            raise StoreError(f"{folder} holds no finished stage", hint="run the stage before it first")
        digests.append(manifest.content)
    return tuple(digests)


def _source_identities(
    sources: Sequence[str], config: Config, progress: Progress, part: Slice | None
) -> tuple[list["LogFile"], dict[str, str], "Formats", tuple[str, ...]]:
    """The log's files, their digests by name, their formats, and the files by content, size, name and format, wherever
    they lie; with `part`, those that may hold some of it."""
    from refrain.detection import find_formats
    from refrain.logs import digests_of, discover

    logs = discover(sources, config.places, wanted_folders(part) if part is not None else None)
    if part is not None:
        logs = choose_files(logs, part)
    with progress.task("recognising formats", len(logs)) as advance:
        formats = find_formats(logs, config.ingest, advance)
    digests = {}
    with progress.task("comparing the log", sum(log.size for log in logs)) as advance:
        for log, digest in digests_of(logs):
            digests[log.name] = digest
            advance(log.size)
    identities = (f"{digests[log.name]} {log.size} {log.name}{formats.identity(log)}" for log in logs)
    return logs, digests, formats, tuple(identities)
