"""The quarantine of a log: records that were refused, and duplicates whose content differs from the first."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa

from refrain import quarantine
from refrain.columns import COUNTS, LABELS
from refrain.config import IngestConfig
from refrain.quarantine import CONFLICT, record_json
from refrain.queries import batches, write_table

_PORTION = 4096  # records shown at a time: bounds memory where they are long texts
_QUARANTINE_QUERY = """
SELECT file, "row", field, reason, request_id, content, NULL AS seq FROM refused
UNION ALL
SELECT file, "row", 'request_id', $reason, request_id, '', rows.seq FROM rows JOIN firsts USING (request_id)
WHERE rows.seq <> firsts.seq AND rows.content <> firsts.content
ORDER BY file, "row", field, reason, request_id, content, seq
"""


def write_quarantine(connection: duckdb.DuckDBPyConnection, path: Path, config: IngestConfig) -> int:
    """How many conflicting duplicates stand in quarantine beside the records that were refused."""
    limit = config.quarantine_content_characters
    schema = quarantine.SCHEMA.append(pa.field("seq", pa.int64()))
    conflicts = 0

    def shown() -> Iterator[pa.Table]:
        nonlocal conflicts
        for portion in batches(connection, _QUARANTINE_QUERY, schema, {"reason": CONFLICT}, _PORTION):
            rows = portion.to_pylist()
            records = _records(connection, [row["seq"] for row in rows if row["seq"] is not None], limit)
            conflicts += len(records)
            for row in rows:
                if row["seq"] is not None:
                    row["content"] = record_json(records[row["seq"]], limit)
                del row["seq"]
            yield pa.Table.from_pylist(rows, quarantine.SCHEMA)

    write_table(path, quarantine.SCHEMA, shown())
    return conflicts


def _records(connection: duckdb.DuckDBPyConnection, seqs: list[int], limit: int) -> dict[int, dict[str, object]]:
    """Staged records as far as they are known, by seq; texts cut to `limit`."""
    if not seqs:
        return {}
    names = ("request_id", "account_id", "time", *LABELS, *COUNTS)
    found = connection.cursor().execute(
        f"""
        SELECT seq, {", ".join(f"any_value({name}) AS {name}" for name in names)},
            any_value(left(prompts.text, $limit)) AS prompt, any_value(left(systems.text, $limit)) AS system_prompt
        FROM rows LEFT JOIN texts AS prompts ON prompt = prompts.id LEFT JOIN texts AS systems ON system = systems.id
        WHERE seq IN (SELECT unnest($seqs)) GROUP BY seq
        """,
        {"limit": limit, "seqs": seqs},
    )
    return {row[0]: dict(zip((*names, "prompt", "system_prompt"), row[1:], strict=True)) for row in found.fetchall()}
