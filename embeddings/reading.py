"""What the transformer says of a few segments: near which probe sentences they are.

A static encoder finds rewordings of one another; whether a sentence *means* what a probe means it cannot tell (its 98th
percentile of similarity to a probe holds a tenth of what the transformer calls near; docs/log.md). So the score stage
asks for the segments of templates that a person may come to see, and a fixed sample of the log is read to say what is
rarely near. The vectors are kept in the store like all others: a night reads what is new, and where nothing is, no
model is loaded.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from embeddings.encoder import Encoder, Vectors, open_transformer
from embeddings.sampling import SAMPLE
from embeddings.shards import as_digests, open_shards, sweep_shards, write_shard
from embeddings.vectors import ENCODER
from refrain.artifacts import Store
from refrain.config import EmbedConfig
from refrain.cores import core_count
from refrain.counting import Ints
from refrain.errors import StoreError
from refrain.key import keyed_digest
from refrain.probes import Levels, ProbeRule, Probes, nearness, rare_levels, read_probes, tag_segments
from refrain.progress import NoProgress, Progress
from refrain.settings import config_file
from refrain.signals import Signal
from refrain.tables import column

_AHEAD_FROM = 1 << 17  # segments of a log whose sample is read before anything is asked for


@dataclass(frozen=True)
class Reader:
    """An encoder of which every text's vector is kept: it is opened at the first text that the store does not hold, and
    stays open."""

    fingerprint: str
    open: Callable[[], Encoder]
    store: Store
    shard_rows: int
    progress: Progress
    _open: list[Encoder] = field(default_factory=list, repr=False, compare=False)

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors (n, d) of some texts, one at least. Call it under the store's writer lock only."""
        key = self.store.key
        digests = as_digests([keyed_digest(key, text.encode()) for text in texts])
        folder = self.store.vectors / self.fingerprint
        folder.mkdir(parents=True, exist_ok=True)
        sweep_shards(folder)
        _, first = np.unique(digests, return_index=True)  # in the order of digests
        new = first[open_shards(folder).find(digests[first])[0] < 0]
        if len(new):
            encoder = self._opened()
            with self.progress.task("reading what may matter", len(new)) as advance:
                for start in range(0, len(new), self.shard_rows):
                    block = new[start : start + self.shard_rows]
                    write_shard(folder, digests[block], encoder.encode([texts[at] for at in block]))
                    advance(len(block))
        shards = open_shards(folder)
        owner, offset = shards.find(digests)
        return shards.gather(owner, offset, shards.shards[owner[0]].vectors.shape[1])

    def _opened(self) -> Encoder:
        if self._open:
            return self._open[0]
        encoder = self.open()
        if encoder.fingerprint != self.fingerprint:
            raise StoreError(
                "the vectors were made with another encoder than the one that is here to read",
                hint="a log embedded on one device is scored on it; [embed] device = cpu embeds it here",
            )
        self._open.append(encoder)
        return encoder


@dataclass
class NearProbes:
    """The signals of segments of a log (`refrain.signals.NearProbes`)."""

    requests: Path
    vectors: Path
    probes: Probes
    rule: ProbeRule
    reader: Reader
    levels: Levels | None = None  # of the log's sample, once it is read
    _coming: Future[Levels] | None = None  # while it is read

    @contextmanager
    def ahead(self) -> Iterator[None]:
        """A context in which a large log's sample is read from the beginning, beside what is done before anything is
        asked for: of a large log something always is, and much of that runs on one core."""
        if not self.of_large_log:
            yield
            return
        with ThreadPoolExecutor(1) as beside:
            self._coming = beside.submit(self.read_levels, replace(self.reader, progress=NoProgress()))
            yield

    @property
    def of_large_log(self) -> bool:
        """Whether it is worth a thread of its own to read the log's sample ahead."""
        return int(pq.read_metadata(self.requests / "segments.parquet").num_rows) >= _AHEAD_FROM

    def read_levels(self, reader: Reader) -> Levels:
        """The levels of the log's sample, whose vectors the store then holds."""
        sample = texts_of(self.requests, column(self.vectors / SAMPLE, "segment_row"))
        near = nearness(sample, reader.vectors, self.probes, self.rule)
        return rare_levels(near, self.rule.rarest_share)

    def __call__(self, segment_rows: Ints) -> Mapping[int, Sequence[Signal]]:
        """The signals, by row, of those of the segments (n,), ascending, that have any."""
        if self.levels is None:
            self.levels = self._coming.result() if self._coming else self.read_levels(self.reader)
        out: dict[int, list[Signal]] = {}
        for start in range(0, len(segment_rows), self.reader.shard_rows):
            rows = segment_rows[start : start + self.reader.shard_rows]
            near = nearness(texts_of(self.requests, rows), self.reader.vectors, self.probes, self.rule)
            tags = tag_segments(near, self.levels, self.rule)
            for at, number, similarity, by_vector in zip(
                tags.positions.tolist(), tags.classes.tolist(), tags.similarities.tolist(), tags.by_vector, strict=True
            ):
                signal = Signal(self.probes.names[number], similarity, "vector" if by_vector else "ngram")
                out.setdefault(int(rows[at]), []).append(signal)
        return out


def probe_rule(config: EmbedConfig) -> ProbeRule:
    """When a segment is near a class, as the settings have it."""
    return ProbeRule(
        config.probe_min_cosine,
        config.probe_min_ngram_cosine,
        config.probe_rarest_share,
        (min(config.probe_ngrams), max(config.probe_ngrams)),
        (min(config.probe_unspaced_ngrams), max(config.probe_unspaced_ngrams)),
        config.probe_margin,
    )


def near_probes(requests: Path, vectors: Path, config: EmbedConfig, *, store: Store, progress: Progress) -> NearProbes:
    """What says of a log's segments near which probes they are; nothing is read before it is called."""
    fingerprint = str(json.loads((vectors / ENCODER).read_text(encoding="utf-8"))["reader"])
    reader = Reader(fingerprint, lambda: open_transformer(config), store, config.shard_rows, progress)
    return NearProbes(requests, vectors, read_probes(config_file(config.probes)), probe_rule(config), reader)


def read_sample(requests: Path, vectors: Path, config: EmbedConfig, *, store: Store) -> None:
    """Nothing; of a large log, the store then holds the vectors of its sample. One core reads, for it is done beside
    something else. Call it under the store's writer lock only."""
    near = near_probes(requests, vectors, config, store=store, progress=NoProgress())
    if near.of_large_log:
        near.read_levels(replace(near.reader, open=lambda: replace(open_transformer(config), workers=1)))


def texts_of(requests: Path, segment_rows: Ints) -> list[str]:
    """The texts of segments at some rows (n,), ascending; of each core one row group is held at a time."""
    path = requests / "segments.parquet"
    told = pq.read_metadata(path)
    ends = np.cumsum([0, *(told.row_group(group).num_rows for group in range(told.num_row_groups))])
    bounds = np.searchsorted(segment_rows, ends)
    wanted = np.flatnonzero(np.diff(bounds)).tolist()

    def read(group: int) -> list[str]:
        rows = segment_rows[bounds[group] : bounds[group + 1]] - ends[group]
        with pq.ParquetFile(path, metadata=told) as file:
            texts: list[str] = file.read_row_group(group, columns=["text"])["text"].take(rows).to_pylist()
        return texts

    with ThreadPoolExecutor(core_count()) as pool:  # unpacking needs no interpreter
        return [text for texts in pool.map(read, wanted) for text in texts]
