"""Kept runs without what is purged: rows that speak of it alone go, rows whose place others count on are emptied.

A run stays readable: its counts are those of then, its texts those that requests which stay have. It rests no longer on
what the store has, so another stage on it begins with `ingest`. Each changed folder's manifest counts
`purged_requests`.
"""

import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from refrain.artifacts import MANIFEST, Manifest, link_tree, read_manifest, seal, staged, write_text
from refrain.columns import COUNTS, LABELS
from refrain.packet_lines import FILE as PACKETS
from refrain.purge_cells import Cells, Rules, flags_of, folded, read_all
from refrain.purge_seen import ID_COLUMNS
from refrain.purge_traces import Ingested
from refrain.queries import write_table
from refrain.runs import LATEST, REPORT, manifest_text

_NO_DIGEST = bytes(16)


def redact_run(run: Path, found: Ingested, cells: Cells, rules: Rules) -> int:
    """How many files were written anew; the run then holds nothing of what is purged.

    Its page goes, `refrain report` writes it again. The manifest of the run says how many requests were purged.
    """
    (run / REPORT).unlink(missing_ok=True)
    changed = 0
    folders = sorted(path for path in run.iterdir() if (path / MANIFEST).is_file())
    # The requests last: should this be interrupted, they still say what the others hold.
    for folder in sorted(folders, key=lambda path: path.name == "requests"):
        manifest = read_manifest(folder)
        if manifest is not None:
            changed += _redact_folder(folder, manifest, found, cells, rules)
    path = run / MANIFEST
    data = json.loads(path.read_text(encoding="utf-8"))
    data["purged"] = data.get("purged", 0) + int(found.requests.sum())
    write_text(path, manifest_text(data))
    return changed


def _redact_folder(folder: Path, manifest: Manifest, found: Ingested, cells: Cells, rules: Rules) -> int:
    changed = 0
    with staged(folder) as out:
        link_tree(folder, out)
        (out / MANIFEST).unlink()
        context = _Context(out, manifest.noun, found, cells, rules)
        for name in sorted(manifest.files):
            changed += context.redact(name)
        counts = dict(manifest.counts)
        counts["purged_requests"] = counts.get("purged_requests", 0) + int(found.requests.sum())
        seal(
            out, stage=manifest.stage, noun=manifest.noun, address=manifest.address, inputs=manifest.inputs,
            config=manifest.config, code=manifest.code, counts=counts,
        )  # fmt: skip
    return changed


@dataclass(frozen=True)
class _Context:
    """A run's folder that is being redacted."""

    out: Path
    noun: str
    found: Ingested
    cells: Cells
    rules: Rules

    def redact(self, name: str) -> bool:
        """Whether a file had to be written anew."""
        path = self.out / name
        place = f"{self.noun}/{Path(name).parts[0] if '/' in name else name}"
        if path.suffix == ".parquet":
            table = pq.read_table(path, partitioning=None)
            change = _CHANGES.get(place)
            later = change(self, table) if change else table
            later = self._clean(later) if self.noun in ("templates", "campaigns", "exports") else later
            if later.equals(table):
                return False
            path.unlink()
            write_table(path, later.schema, [later])
            return True
        if place == f"exports/{PACKETS}":
            lines = [json.dumps(self._packet(packet), ensure_ascii=True) + "\n" for packet in read_all(path)]
            return _replace(path, "".join(lines).encode("ascii"))
        if place == "neighbours/indices.npy":
            self._unlink_neighbours()
            return True
        return False

    def _clean(self, table: pa.Table) -> pa.Table:
        """The table without a text that is bad, in columns of texts and of lists of texts."""
        for at, column in enumerate(table.schema):
            if column.name in ID_COLUMNS or not (pa.types.is_string(column.type) or _texts_list(column.type)):
                continue  # ids were compared whole: one may be a part of another
            values = table.column(at).to_pylist()
            if not self.rules.speaks(values):
                continue
            cleaned = [self.rules.clean(value) for value in values]
            if cleaned != values:
                table = table.set_column(at, column, pa.array(cleaned, column.type))
        return table

    def _packet(self, packet: dict[str, Any]) -> Any:
        rules, found = self.rules, self.found
        if packet.get("campaign_id") in self.cells.campaigns:
            for template in packet.get("templates", ()):
                template["skeleton"] = rules.skeleton(template.get("skeleton", ""))
                for piece in template.get("pieces", ()):
                    if piece[0] == "text":
                        piece[1] = rules.skeleton(piece[1])
                for slot in template.get("slots", ()):
                    slot["samples"] = [text for text in slot.get("samples", ()) if folded(text) in rules.safe]
        for name in ("messages", "accounts"):
            packet[name] = [
                row
                for row in packet.get(name, ())
                if row.get("request_id") not in found.request_ids and row.get("account_id") not in found.account_ids
            ]
        packet["shared"] = [row for row in packet.get("shared", ()) if row.get("value") not in rules.traces.values]
        return rules.clean(packet)

    def _unlink_neighbours(self) -> None:
        """Own segments neither have neighbours nor are any."""
        rows = np.load(self.out / "segment_rows.npy", allow_pickle=False)
        own = (self.found.doomed_segments & ~self.found.kept_segments)[rows]
        indices = np.load(self.out / "indices.npy", allow_pickle=False)
        similarities = np.load(self.out / "similarities.npy", allow_pickle=False)
        none = own[indices] & (indices >= 0)
        none[own] = True
        indices[none], similarities[none] = -1, -1
        for name, array in (("indices.npy", indices), ("similarities.npy", similarities)):
            (self.out / name).unlink()
            np.save(self.out / name, array, allow_pickle=False)

    def accounts(self, table: pa.Table) -> pa.Table:
        gone = self.found.gone_accounts
        ids = table["account_id"].to_pylist()
        named = [self.rules.name(name) if lost else name for name, lost in zip(ids, gone.tolist(), strict=True)]
        table = _set(table, "account_id", pa.array(named))
        for name in ("created_at", "closed_at"):
            table = _set(table, name, pc.if_else(pa.array(gone), None, table[name]))
        table = _set(table, "requests", pc.if_else(pa.array(gone), 0, table["requests"]))
        return _floored(table, gone)

    def requests(self, table: pa.Table) -> pa.Table:
        doomed = self.found.requests[table["request_row"].to_numpy()]
        if not doomed.any():
            return table
        ids = table["request_id"].to_pylist()
        named = [self.rules.name(name) if lost else name for name, lost in zip(ids, doomed.tolist(), strict=True)]
        table = _set(table, "request_id", pa.array(named))
        for name in (*LABELS, *COUNTS, "prompt_text_row", "system_text_row"):
            if name in table.column_names:
                table = _set(table, name, pc.if_else(pa.array(doomed), None, table[name]))
        for name in ("cut", "repaired"):
            table = _set(table, name, pc.if_else(pa.array(doomed), False, table[name]))
        # In order still, and no longer when it was sent.
        micros = table["timestamp"].cast(pa.int64()).to_numpy()
        at = np.maximum.accumulate(np.where(doomed, -1, np.arange(len(doomed))))
        first = int(np.argmin(doomed))
        midnight = micros - micros % _DAY
        later = np.where(at >= 0, micros[at], midnight if doomed.all() else micros[first])
        return _set(table, "timestamp", pa.array(later).cast(table.schema.field("timestamp").type))

    def segments(self, table: pa.Table) -> pa.Table:
        own = self.found.doomed_segments & ~self.found.kept_segments
        shared = pa.array(self.found.doomed_segments & self.found.kept_segments)
        # The readable form is that of the first request, which may be a purged one.
        table = _set(table, "raw", pc.if_else(shared, table["text"], table["raw"]))
        lost = pa.array(own)
        for name in ("text", "raw"):
            table = _set(table, name, pc.if_else(lost, "", table[name]))
        for name in ("words", "requests", "accounts", "owners"):
            nothing = pa.scalar(0, table.schema.field(name).type)
            table = _set(table, name, pc.if_else(lost, nothing, table[name]))
        return _floored(_without_digests(table, own), own)

    def texts(self, table: pa.Table) -> pa.Table:
        own = self.found.doomed_texts & ~self.found.kept_texts
        return _without_digests(_set(table, "text", pc.if_else(pa.array(own), "", table["text"])), own)

    def quarantine(self, table: pa.Table) -> pa.Table:
        return table.filter(pa.array(~self.found.quarantined))

    def by_request(self, table: pa.Table) -> pa.Table:
        return table.filter(pc.invert(flags_of(self.found.requests, table["request_row"])))

    def by_own_segment(self, table: pa.Table) -> pa.Table:
        own = self.found.doomed_segments & ~self.found.kept_segments
        return table.filter(pc.invert(flags_of(own, table["segment_row"])))

    def by_account(self, table: pa.Table) -> pa.Table:
        return table.filter(pc.invert(flags_of(self.found.gone_accounts, table["account_row"])))

    def by_request_id(self, table: pa.Table) -> pa.Table:
        return table.filter(pc.invert(_among(table["request_id"], self.found.request_ids)))

    def by_account_id(self, table: pa.Table) -> pa.Table:
        return table.filter(pc.invert(_among(table["account_id"], self.found.account_ids)))

    def templates(self, table: pa.Table) -> pa.Table:
        skeletons, examples = table["skeleton"].to_pylist(), table["examples"].to_pylist()
        for at, number in enumerate(table["template_id"].to_pylist()):
            if number in self.cells.templates:
                skeletons[at] = self.rules.skeleton(skeletons[at])
                examples[at] = [text for text in examples[at] or () if folded(text) in self.rules.safe]
        table = _set(table, "skeleton", pa.array(skeletons, pa.string()))
        return _set(table, "examples", pa.array(examples, table.schema.field("examples").type))

    def clusters(self, table: pa.Table) -> pa.Table:
        pairs = zip(table["cluster_id"].to_pylist(), table["exemplar"].to_pylist(), strict=True)
        texts = [self.rules.skeleton(text) if number in self.cells.clusters else text for number, text in pairs]
        return _set(table, "exemplar", pa.array(texts, pa.string()))


_DAY = 86_400_000_000  # microseconds
_CHANGES: dict[str, Callable[[_Context, pa.Table], pa.Table]] = {
    "requests/accounts.parquet": _Context.accounts,
    "requests/requests": _Context.requests,
    "requests/request_segments": _Context.by_request,
    "requests/segments.parquet": _Context.segments,
    "requests/texts.parquet": _Context.texts,
    "requests/quarantine.parquet": _Context.quarantine,
    "vectors/vectors.parquet": _Context.by_own_segment,
    "vectors/sample.parquet": _Context.by_own_segment,
    "clusters/segment_clusters.parquet": _Context.by_own_segment,
    "templates/request_templates.parquet": _Context.by_request,
    "templates/template_segments.parquet": _Context.by_own_segment,
    "templates/templates.parquet": _Context.templates,
    "campaigns/members.parquet": _Context.by_account,
    "campaigns/request_campaigns.parquet": _Context.by_request,
    "exports/labels.parquet": _Context.by_request_id,
    "exports/request_segments.parquet": _Context.by_request_id,
    "exports/accounts.parquet": _Context.by_account_id,
    "exports/templates.parquet": _Context.templates,
    "exports/clusters.parquet": _Context.clusters,
}


def remove_run(run: Path) -> None:
    """Nothing; the run is gone. Of the names that pointed to it, `latest` points to the newest that is left."""
    runs = run.parent
    shutil.rmtree(run)
    for name in sorted(path for path in runs.iterdir() if path.is_symlink() and not path.exists()):
        name.unlink()
        others = sorted((path.stat().st_mtime_ns, path.parent.name) for path in runs.glob(f"*/{MANIFEST}"))
        if others and name.name == LATEST:
            name.symlink_to(others[-1][1])


def _set(table: pa.Table, name: str, column: Any) -> pa.Table:
    field_ = table.schema.field(name)
    return table.set_column(table.schema.get_field_index(name), field_, column.cast(field_.type))


def _among(column: Any, ids: Iterable[str]) -> Any:
    return pc.is_in(column, pa.array(sorted(ids), pa.string()))


def _floored(table: pa.Table, gone: NDArray[np.bool_]) -> pa.Table:
    """The table with the first time of any row that stays as `first_seen` and `last_seen` of the others."""
    stay = table["first_seen"].filter(pa.array(~gone))
    floor = pc.min(stay) if len(stay) else pa.scalar(0, table.schema.field("first_seen").type)
    for name in ("first_seen", "last_seen"):
        table = _set(table, name, pc.if_else(pa.array(gone), floor, table[name]))
    return table


def _without_digests(table: pa.Table, own: NDArray[np.bool_]) -> pa.Table:
    digests = [
        _NO_DIGEST if lost else value for value, lost in zip(table["digest"].to_pylist(), own.tolist(), strict=True)
    ]
    return _set(table, "digest", pa.array(digests, pa.binary(16)))


def _texts_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) and pa.types.is_string(kind.value_type))


def _replace(path: Path, data: bytes) -> bool:
    """Whether a file's bytes changed; the new ones are another file, so that no link is written through."""
    if path.read_bytes() == data:
        return False
    path.unlink()
    path.write_bytes(data)
    return True
