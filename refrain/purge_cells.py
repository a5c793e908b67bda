"""What may stay of a run's texts: a line of a skeleton, an example, a sample, where a request that stays has it."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from refrain.contract import SLOT
from refrain.needles import Needles, joined
from refrain.packet_lines import FILE as PACKETS
from refrain.purge_seen import Flags
from refrain.purge_traces import Ingested, Traces
from refrain.text import normalise
from refrain.tombstones import text_digest

MARK = "(purged)"
"""What stands where a text was."""
_NAME_DIGITS = 12  # of a digest, in the place of an id


@dataclass
class Cells:
    """What of a run's exports may quote a doomed request: its templates, clusters and campaigns by number, and their
    texts, which stay only where requests that stay have them."""

    templates: set[int] = field(default_factory=set)
    clusters: set[int] = field(default_factory=set)
    campaigns: set[int] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Rules:
    """What may stay: `safe` texts (as `folded` has them) are had by requests that stay, `bad` ones and `values` are
    not."""

    traces: Traces
    safe: frozenset[str]
    bad: Needles
    key: bytes

    def line(self, text: str) -> str:
        """A line of a skeleton as others have it."""
        if not text.strip() or folded(text) in self.safe:
            return text
        plain = normalise(text)
        return plain if plain in self.safe else MARK

    def skeleton(self, text: str) -> str:
        """A skeleton, each line of its fixed parts as others have it."""
        return SLOT.join("\n".join(map(self.line, piece.split("\n"))) for piece in text.split(SLOT))

    def clean(self, value: Any) -> Any:
        """A value of JSON without a text that is bad."""
        if isinstance(value, str):
            bad = value in self.traces.values or self.bad.within(value.encode("utf-8", "surrogatepass"))
            return MARK if bad else value
        if isinstance(value, list):
            return [self.clean(item) for item in value]
        return {name: self.clean(item) for name, item in value.items()} if isinstance(value, dict) else value

    def speaks(self, values: Iterable[Any]) -> bool:
        """Whether one of many texts, or lists of texts, is bad: much faster than one by one."""
        texts = [text for value in values for text in (value if isinstance(value, list) else [value])]
        return not self.traces.values.isdisjoint(texts) or any(map(self.bad.within, joined(texts)))

    def name(self, text: str) -> str:
        """What stands for an id that is purged."""
        return f"purged-{text_digest(self.key, text)[:_NAME_DIGITS]}"


def folded(text: str) -> str:
    """A text with single spaces: excerpts differ from it in white space alone."""
    return " ".join(text.split())


def find_cells(run: Path, found: Ingested) -> Cells:
    """The cells of a run."""
    cells = Cells()
    uses = run / "templates" / "request_templates.parquet"
    if uses.exists():
        table = pq.read_table(uses, columns=["request_row", "template_id"])
        cells.templates.update(table["template_id"].filter(flags_of(found.requests, table["request_row"])).to_pylist())
    known = run / "clusters" / "clusters.parquet"
    if known.exists():
        table = pq.read_table(known, columns=["cluster_id", "exemplar_segment_row"])
        doomed = flags_of(found.doomed_segments, table["exemplar_segment_row"])
        cells.clusters.update(table["cluster_id"].filter(doomed).to_pylist())
    cells.campaigns |= _campaigns(run, found, cells.templates)
    cells.texts = set(_texts(run, cells))
    return cells


def _campaigns(run: Path, found: Ingested, templates: set[int]) -> set[int]:
    numbers: set[int] = set()
    members = run / "campaigns" / "members.parquet"
    if members.exists():
        table = pq.read_table(members, columns=["campaign_id", "account_row"])
        numbers.update(table["campaign_id"].filter(flags_of(found.gone_accounts, table["account_row"])).to_pylist())
    labels = run / "campaigns" / "request_campaigns.parquet"
    if labels.exists():
        table = pq.read_table(labels, columns=["request_row", "campaign_id"])
        numbers.update(table["campaign_id"].filter(flags_of(found.requests, table["request_row"])).to_pylist())
    campaigns = run / "campaigns" / "campaigns.parquet"
    if campaigns.exists():
        for row in pq.read_table(campaigns, columns=["campaign_id", "templates"]).to_pylist():
            if templates.intersection(row["templates"]):
                numbers.add(row["campaign_id"])
    numbers.discard(None)
    return numbers


def _texts(run: Path, cells: Cells) -> Iterator[str]:
    for noun in ("templates", "exports"):
        path = run / noun / "templates.parquet"
        if path.exists():
            for row in pq.read_table(path, columns=["template_id", "skeleton", "examples"]).to_pylist():
                if row["template_id"] in cells.templates:
                    yield from _lines(row["skeleton"])
                    yield from map(folded, row["examples"] or ())
    path = run / "exports" / "clusters.parquet"
    if path.exists():
        for row in pq.read_table(path, columns=["cluster_id", "exemplar"]).to_pylist():
            if row["cluster_id"] in cells.clusters:
                yield from _lines(row["exemplar"])
    for packet in read_all(run / "exports" / PACKETS):
        if packet.get("campaign_id") in cells.campaigns:
            for template in packet.get("templates", ()):
                yield from _lines(template.get("skeleton", ""))
                for slot in template.get("slots", ()):
                    yield from map(folded, slot.get("samples", ()))


def _lines(text: str) -> Iterator[str]:
    for piece in text.split(SLOT):
        for line in piece.split("\n"):
            yield folded(line)
            yield normalise(line)


def read_all(path: Path) -> Iterator[dict[str, Any]]:
    """The packets in a file, one after another; none where there is no file."""
    if path.exists():
        with path.open(encoding="ascii") as lines:
            yield from map(json.loads, lines)


def flags_of(flags: Flags, rows: Any) -> Any:
    """The flags of some rows, false where a row is null."""
    at = rows.fill_null(-1).to_numpy()
    return pa.array((flags[at] & (at >= 0)) if len(flags) else np.zeros(len(at), bool))
