"""A copy of a run's exports that may leave the house: findings of many accounts, under hashed ids, without their texts.

Shared are campaigns of enough accounts, their members, their templates' skeletons (masked) and the labels of their
requests. Requests, accounts and texts of nobody's campaign stay here, hashed or not. docs/sharing.md says what a
recipient can and cannot learn.
"""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from refrain.contract import TABLES
from refrain.errors import InputError
from refrain.masking import masked
from refrain.packet_lines import FILE, write_packets
from refrain.queries import ROW_GROUP_ROWS, conform, write_table
from refrain.share_key import share_key_name, shared_id
from refrain.shared_contract import KEY_NAME_KEY, MIN_ACCOUNTS_KEY, REDACTED_KEY, VERSION, shared_schema
from refrain.shared_packets import shared_packets

logger = logging.getLogger(__name__)
_NOISE = -1


@dataclass(frozen=True)
class SharingRule:
    """What may leave: nothing of fewer than `min_accounts` accounts, those of one owner counted once; findings that do
    not alert only with `all_findings`; never the campaigns in `withheld`, such as dismissed ones."""

    min_accounts: int
    all_findings: bool = False
    withheld: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        if self.min_accounts < 1:
            raise ValueError("min_accounts must be at least 1")


def redacted_exports(folder: Path, into: Path, key: bytes, rule: SharingRule) -> dict[str, int]:
    """Rows written for each table: the shared copy of the exports in `folder`, in the new folder `into` (mode 0700).

    Each table is one of the contract without the columns in `shared_contract.DROPPED`; equal input, key and rule give
    equal bytes. Packets are among them, with the fields that `shared_packets` names only. Memory grows with the shared
    requests, not with the log. InputError where `folder` lacks a table or `into` is there already.
    """
    missing = [name for name in TABLES if not (folder / f"{name}.parquet").exists()]
    if missing:
        raise InputError(f"the exports have no {missing[0]}", hint="`refrain export RUN` writes them")
    try:
        into.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        raise InputError(f"{into} is there already", hint="a shared copy goes into a new folder") from None
    copy = _Copy(folder, into, key, rule)
    counts = copy.write()
    logger.info("shared %d campaigns with %d members", counts["campaigns"], counts["accounts"])
    return counts


class _Copy:
    """One shared copy: what is shared is chosen first, then the tables are written, the long ones in portions."""

    def __init__(self, folder: Path, into: Path, key: bytes, rule: SharingRule) -> None:
        self._folder, self._into, self._key, self._rule = folder, into, key, rule
        names = {REDACTED_KEY: VERSION, KEY_NAME_KEY: share_key_name(key), MIN_ACCOUNTS_KEY: str(rule.min_accounts)}
        self._marks = {name: value.encode("ascii") for name, value in names.items()}
        self._campaigns = self._chosen_campaigns()
        self._templates = self._enough("templates", "template_id", self._campaigns["templates"].to_pylist())
        self._clusters = self._enough("clusters", "cluster_id")
        self._requests: list[pa.Array] = []
        self._seen: set[int] = set()  # clusters that a shared request is in

    def write(self) -> dict[str, int]:
        """Rows by table."""
        numbers: set[int] = set(self._campaigns["campaign_id"].to_pylist())
        counts = {"labels": self._table("labels", map(self._labels, self._portions("labels")))}
        requests = pa.chunked_array(self._requests, pa.string())
        segments = (self._segments(part, requests) for part in self._portions("request_segments"))
        counts["request_segments"] = self._table("request_segments", segments)
        clusters = _rows(self._read("clusters"), "cluster_id", self._seen)
        counts["clusters"] = self._table("clusters", [clusters])
        templates = _lists(_rows(self._read("templates"), "template_id", self._templates), "campaigns", numbers)
        skeletons = [masked(text) for text in templates["skeleton"].to_pylist()]
        templates = _with(templates, "skeleton", pa.array(skeletons, pa.string()))
        counts["templates"] = self._table("templates", [templates])
        campaigns = _lists(self._campaigns, "templates", self._templates)
        counts["campaigns"] = self._table("campaigns", [campaigns])
        members = self._hidden(_rows(self._read("accounts"), "campaign_id", numbers), "account")
        by = [("campaign_id", "ascending"), ("evidence", "descending"), ("account_id", "ascending")]
        members = members.sort_by(by)
        # The run numbers owners in the order of raw ids; here they are numbered as they come.
        owners = {owner: number for number, owner in enumerate(dict.fromkeys(members["owner"].to_pylist()))}
        renumbered = pa.array([owners[owner] for owner in members["owner"].to_pylist()], pa.int64())
        counts["accounts"] = self._table("accounts", [_with(members, "owner", renumbered)])
        if (self._folder / FILE).exists():
            named = dict(zip(templates["template_id"].to_pylist(), skeletons, strict=True))
            packets = shared_packets(self._folder, numbers, named, owners, self._key)
            counts["packets"] = write_packets(self._into, packets)
        return counts

    def _chosen_campaigns(self) -> pa.Table:
        table = self._read("campaigns")
        kept = _large(table, self._rule.min_accounts)
        if not self._rule.all_findings:
            kept = pc.and_(kept, table["alert"])
        held = pa.array(sorted(self._rule.withheld), pa.int64())
        return table.filter(pc.and_(kept, pc.invert(pc.is_in(table["campaign_id"], held))))

    def _enough(self, name: str, number: str, used: list[list[int]] | None = None) -> set[int]:
        """The numbers of the templates or clusters of enough accounts, of those in `used` where it is given."""
        table = self._read(name, [number, "accounts", "owners"])
        found: set[int] = set(table.filter(_large(table, self._rule.min_accounts))[number].to_pylist())
        return found if used is None else found & {one for few in used for one in few}

    def _labels(self, part: pa.Table) -> pa.Table:
        """The labels of shared campaigns; a cluster or template that is not shared is as if the request had none."""
        kept = _rows(part, "campaign_id", set(self._campaigns["campaign_id"].to_pylist()))
        self._requests.extend(kept["request_id"].chunks)
        clustered = pc.is_in(kept["cluster_id"], _numbers(self._clusters))
        kept = _with(kept, "strength", pc.if_else(clustered, kept["strength"], 0.0))
        return self._hidden(self._numbered(kept), "request", "account")

    def _segments(self, part: pa.Table, requests: pa.ChunkedArray) -> pa.Table:
        kept = part.filter(pc.is_in(part["request_id"], requests))
        return self._hidden(_lists(self._numbered(kept), "templates", self._templates), "request")

    def _numbered(self, table: pa.Table) -> pa.Table:
        """The table with no cluster and no template but shared ones; notes which clusters those are."""
        clusters = table["cluster_id"]
        clusters = pc.if_else(pc.is_in(clusters, _numbers(self._clusters)), clusters, _NOISE)
        self._seen.update(number for number in pc.unique(clusters).to_pylist() if number != _NOISE)
        templates = table["template_id"]
        templates = pc.if_else(pc.is_in(templates, _numbers(self._templates)), templates, pa.scalar(None, pa.int64()))
        return _with(_with(table, "cluster_id", clusters), "template_id", templates)

    def _hidden(self, table: pa.Table, *kinds: str) -> pa.Table:
        """The table with the ids of these kinds hashed."""
        for kind in kinds:
            ids = [shared_id(self._key, kind, value) for value in table[f"{kind}_id"].to_pylist()]
            table = _with(table, f"{kind}_id", pa.array(ids, pa.string()))
        return table

    def _read(self, name: str, columns: list[str] | None = None) -> pa.Table:
        return pq.ParquetFile(self._folder / f"{name}.parquet").read(columns=columns)

    def _portions(self, name: str) -> Iterator[pa.Table]:
        for batch in pq.ParquetFile(self._folder / f"{name}.parquet").iter_batches(batch_size=ROW_GROUP_ROWS):
            yield pa.Table.from_batches([batch])

    def _table(self, name: str, portions: Iterable[pa.Table]) -> int:
        """The rows written of a table, with no column but those of the shared copy."""
        path = f"{name}.parquet"
        schema = shared_schema(name, pq.read_schema(self._folder / path), self._marks)
        return write_table(self._into / path, schema, (conform(part, schema) for part in portions))


def _large(table: pa.Table, least: int) -> pa.ChunkedArray:
    """Whether each row is of enough accounts, those of one owner counted once."""
    return pc.greater_equal(pc.min_element_wise(table["accounts"], table["owners"]), least)


def _numbers(numbers: set[int]) -> pa.Array:
    return pa.array(sorted(numbers), pa.int64())


def _rows(table: pa.Table, column: str, numbers: set[int]) -> pa.Table:
    """The rows whose number is one of some."""
    return table.filter(pc.is_in(table[column], _numbers(numbers)))


def _lists(table: pa.Table, column: str, numbers: set[int]) -> pa.Table:
    """The table with no number but some in the lists of a column."""
    kept = [[number for number in row if number in numbers] for row in table[column].to_pylist()]
    return _with(table, column, pa.array(kept, pa.list_(pa.int64())))


def _with(table: pa.Table, column: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    return table.set_column(table.schema.get_field_index(column), column, values)
