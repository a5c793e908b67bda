"""Vectors and graphs of texts that were purged: they go from the store, and what is left stays whole.

A shard that holds some is written anew without them before it is removed, so that a crash loses no other vector. A
day's graph quantises and links all of its texts; it goes as a whole and is computed again when it is needed.
"""

import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from embeddings.neighbours import day_parts
from embeddings.shards import (
    DIGEST,
    PARTS,
    RECORD,
    TEMPORARY,
    Digests,
    as_digests,
    open_shards,
    sweep_shards,
    write_shard,
)
from embeddings.vectors import ENCODER
from refrain.artifacts import STAGING, Store, read_manifest, sync_folder
from refrain.errors import StoreError


def forget_vectors(store: Store, digests: Iterable[bytes]) -> int:
    """How many vectors were removed: those of these texts, for every encoder. Shards that cannot be read go too: nobody
    can say what they hold, and they count for nothing."""
    gone = np.unique(as_digests(sorted(set(digests))))
    removed = 0
    for folder in sorted(path for path in store.vectors.glob("*") if path.is_dir()):
        sweep_shards(folder)
        opened = open_shards(folder)
        whole = {shard.path.name for shard in opened.shards}
        for name in sorted({_name(path) for path in folder.iterdir()} - whole):
            _remove(folder, name)
        for shard in opened.shards:
            held: Digests = np.asarray(shard.digests, DIGEST)
            doomed = np.isin(held, gone)
            if not doomed.any():
                continue
            if not shard.is_intact():
                _remove(folder, shard.path.name)
                continue
            if not doomed.all():
                write_shard(folder, held[~doomed], shard.vectors[~doomed])
            _remove(folder, shard.path.name)
            removed += int(doomed.sum())
    return removed


def damaged_vectors(store: Store, *, remove: bool) -> Iterator[tuple[Path, bool]]:
    """The path of each shard without its endings, and whether it is damaged; with `remove` such a one is then gone."""
    for folder in sorted(path for path in store.vectors.glob("*") if path.is_dir()):
        whole = {shard.path.name for shard in open_shards(folder).shards if shard.is_intact()}
        for name in sorted({_name(path) for path in folder.iterdir()}):
            if name not in whole and remove:
                _remove(folder, name)
            yield folder / name, name not in whole


def names_of_days(requests: Path, vectors: Path) -> dict[str, str]:
    """The names that graphs of a finished ingest's days have, by the name of the day's folder."""
    description = json.loads((vectors / ENCODER).read_text(encoding="utf-8"))
    parts = day_parts(requests, vectors, str(description["fingerprint"]))
    return {day: part.name for day, part in parts.items()}


def forget_graphs(store: Store, clean: frozenset[str]) -> int:
    """How many graphs of days and pairs of days were removed: those of any day whose name is not `clean`."""
    removed = 0
    for place in sorted(path for path in store.graphs.glob("*/*") if path.is_dir()):
        try:
            manifest = read_manifest(place)
        except StoreError:
            manifest = None
        if place.name.startswith(STAGING) or manifest is None or not clean.issuperset(manifest.inputs):
            shutil.rmtree(place)
            removed += 1
    return removed


def _name(path: Path) -> str:
    name = path.name
    name = name.removesuffix(TEMPORARY)
    for part in PARTS:
        name = name.removesuffix(f".{part}.npy")
    return name.removesuffix(RECORD)


def _remove(folder: Path, name: str) -> None:
    """Nothing; the shard `name` is gone, its record first: without it, what is left counts for nothing."""
    (folder / f"{name}{RECORD}").unlink(missing_ok=True)
    sync_folder(folder)
    for part in PARTS:
        (folder / f"{name}.{part}.npy").unlink(missing_ok=True)
    for path in folder.glob(f"{name}*{TEMPORARY}"):
        path.unlink()
