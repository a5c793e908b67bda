"""Staged records numbered, merged and counted over the whole log, in SQL that spills to disk.

Every number follows a sort over unique keys, so that the order of files and records changes nothing but which of two
conflicting duplicates is the first.
"""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from refrain import quarantine
from refrain.columns import COUNTS, LABELS
from refrain.config import IngestConfig
from refrain.owners import Links, Owners, find_owners
from refrain.progress import Progress
from refrain.quarantine import CONFLICT, record_json
from refrain.queries import batches, write_table
from refrain.request_schemas import ACCOUNTS, OWNERS, REQUEST_SEGMENTS, REQUESTS, SEGMENTS, TEXTS
from refrain.turns import ROLES

_PORTION = 4096  # rows that a query hands over at a time: bounds memory where rows are long texts
_MICROSECONDS_A_DAY = 86_400_000_000

# The first record of each request_id is the request; `request_row` follows (time, request_id) over the whole log.
_KEPT = """
CREATE TABLE firsts AS
    SELECT request_id, min(seq) AS seq, arg_min(content, seq) AS content FROM rows GROUP BY request_id;
CREATE TABLE numbered AS
    SELECT seq, row_number() OVER (ORDER BY time, rows.request_id) - 1 AS request_row
    FROM rows JOIN firsts USING (seq);
CREATE TABLE accounts AS
    SELECT row_number() OVER (ORDER BY account_id) - 1 AS account_row, account_id, count(*) AS requests,
        min(time) AS first_seen, max(time) AS last_seen, min(created) AS created_at, max(closed) AS closed_at
    FROM rows JOIN numbered USING (seq) GROUP BY account_id;
CREATE TABLE kept AS
    SELECT request_row, account_row, time, conversation_id, seq
    FROM rows JOIN numbered USING (seq) JOIN accounts USING (account_id);
"""
_TEXTS = """
CREATE TABLE said AS
    SELECT digest, any_value(text) AS text FROM texts SEMI JOIN (
        SELECT prompt AS digest FROM rows JOIN numbered USING (seq)
        UNION ALL SELECT system FROM rows JOIN numbered USING (seq)
    ) USING (digest) GROUP BY digest;
"""
_TEXT_ROWS = """
CREATE TABLE text_rows AS SELECT digest, row_number() OVER (ORDER BY text) - 1 AS text_row FROM said;
DROP TABLE said;
"""
# A segment counts once in a conversation and role: agents resend the whole history with every request.
_SEGMENTS = """
CREATE TABLE segment_rows AS
    SELECT digest, row_number() OVER (ORDER BY text) - 1 AS segment_row
    FROM (SELECT digest, any_value(text) AS text FROM forms GROUP BY digest)
    SEMI JOIN (SELECT digest FROM occurrences JOIN kept USING (seq)) USING (digest);
CREATE TABLE spoken AS
    SELECT request_row, position, role, turn, segment_row, account_row, time, form, true AS counted
    FROM occurrences JOIN (FROM kept WHERE conversation_id IS NULL) USING (seq) JOIN segment_rows USING (digest)
    UNION ALL
    SELECT request_row, position, role, turn, segment_row, account_row, time, form,
        request_row = min(request_row) OVER (PARTITION BY account_row, conversation_id, role, segment_row)
    FROM occurrences JOIN (FROM kept WHERE conversation_id IS NOT NULL) USING (seq) JOIN segment_rows USING (digest);
"""
# Distinct counts as nested groups, which spill where sets of distinct values would not.
_STATISTICS = """
CREATE TABLE firsts_of_segments AS
    SELECT segment_row, arg_min(form, request_row::HUGEINT * 4294967296 + position) AS form
    FROM spoken GROUP BY segment_row;
CREATE TABLE statistics AS
    WITH by_request AS (
        SELECT segment_row, account_row, request_row, any_value(time) AS time FROM spoken WHERE counted
        GROUP BY segment_row, account_row, request_row
    ), by_account AS (
        SELECT segment_row, account_row, count(*) AS requests, min(time) AS first_seen, max(time) AS last_seen
        FROM by_request GROUP BY segment_row, account_row
    ), by_owner AS (
        SELECT segment_row, owner_row, sum(requests) AS requests, count(*) AS accounts,
            min(first_seen) AS first_seen, max(last_seen) AS last_seen
        FROM by_account JOIN account_owners USING (account_row) GROUP BY segment_row, owner_row
    )
    SELECT segment_row, sum(requests) AS requests, sum(accounts) AS accounts, count(*) AS owners,
        min(first_seen) AS first_seen, max(last_seen) AS last_seen
    FROM by_owner GROUP BY segment_row;
"""


def write_tables(
    connection: duckdb.DuckDBPyConnection, out: Path, config: IngestConfig, read: dict[str, int], progress: Progress
) -> dict[str, int]:
    """The counts of the tables that `out` then holds."""
    with progress.task("numbering requests and segments", 6) as advance:
        connection.execute(_KEPT)
        owners = _owners(connection, config)
        _write_accounts(connection, out, owners)
        advance(1)
        connection.execute(_TEXTS)
        texts = _write(connection, out / "texts.parquet", TEXTS, _TEXTS_QUERY)
        connection.execute(_TEXT_ROWS)
        advance(1)
        kept = _write_days(connection, out / "requests", REQUESTS, _REQUESTS_QUERY)
        conflicts = _write_quarantine(connection, out / "quarantine.parquet", config)
        advance(1)
        connection.execute(_SEGMENTS)
        advance(1)
        _write_days(connection, out / "request_segments", REQUEST_SEGMENTS, _REQUEST_SEGMENTS_QUERY)
        advance(1)
        connection.execute(_STATISTICS)
        segments = _write(connection, out / "segments.parquet", SEGMENTS, _SEGMENTS_QUERY)
        advance(1)
    quarantined = read["quarantined"] + conflicts
    flags = "SELECT count(*) FILTER (cut), count(*) FILTER (repaired) FROM rows JOIN numbered USING (seq)"
    cut, repaired = connection.execute(flags).fetchall()[0]
    return {
        "kept": kept,
        "merged": read["read"] - kept - quarantined,
        "quarantined": quarantined,
        "conflicts": conflicts,
        "cut": cut,
        "repaired": repaired,
        "accounts": len(owners.owner_rows),
        "owners": len(owners.accounts),
        "segments": segments,
        "texts": texts,
    }


_TEXTS_QUERY = """
SELECT row_number() OVER (ORDER BY text) - 1 AS text_row, digest, text FROM said ORDER BY text_row
"""
_REQUESTS_QUERY = f"""
SELECT request_row, rows.request_id, account_row, time AS timestamp, {", ".join(f"rows.{name}" for name in LABELS)},
    {", ".join(COUNTS)}, prompts.text_row AS prompt_text_row, systems.text_row AS system_text_row, cut, repaired,
    time // {_MICROSECONDS_A_DAY} AS day
FROM rows JOIN numbered USING (seq) JOIN accounts USING (account_id)
LEFT JOIN text_rows AS prompts ON prompt = prompts.digest LEFT JOIN text_rows AS systems ON system = systems.digest
ORDER BY request_row
"""
_REQUEST_SEGMENTS_QUERY = f"""
SELECT request_row, position, {list(ROLES)}[role + 1] AS role, turn, segment_row, counted,
    time // {_MICROSECONDS_A_DAY} AS day
FROM spoken ORDER BY request_row, position
"""
_SEGMENTS_QUERY = """
SELECT segment_row, any_value(digest) AS digest, any_value(text) AS text, any_value(raw) AS raw,
    any_value(words) AS words, any_value(requests) AS requests, any_value(accounts) AS accounts,
    any_value(owners) AS owners, any_value(first_seen) AS first_seen, any_value(last_seen) AS last_seen
FROM statistics JOIN firsts_of_segments USING (segment_row) JOIN forms USING (form)
GROUP BY segment_row ORDER BY segment_row
"""
_ACCOUNTS_QUERY = "SELECT * FROM accounts JOIN account_owners USING (account_row) ORDER BY account_row"
_QUARANTINE_QUERY = """
SELECT file, "row", field, reason, request_id, content, NULL AS seq FROM refused
UNION ALL
SELECT file, "row", 'request_id', $reason, request_id, '', rows.seq FROM rows JOIN firsts USING (request_id)
WHERE rows.seq <> firsts.seq AND rows.content <> firsts.content
ORDER BY file, "row"
"""


def _write(connection: duckdb.DuckDBPyConnection, path: Path, schema: pa.Schema, query: str) -> int:
    return write_table(path, schema, batches(connection, query, schema, {}, _PORTION))


def _write_days(connection: duckdb.DuckDBPyConnection, folder: Path, schema: pa.Schema, query: str) -> int:
    """Rows written to `folder`/day=YYYY-MM-DD/; the query's column `day`, days since 1970, never falls."""
    with_day = schema.append(pa.field("day", pa.int64(), nullable=False))
    portions = batches(connection, query, with_day, {}, _PORTION)
    rows = 0
    waiting = next(portions, None)
    while waiting is not None:
        day = waiting.column("day")[0].as_py()
        place = folder / f"day={np.datetime64(day, 'D')}"
        place.mkdir(parents=True)
        rest: list[pa.Table] = []
        rows += write_table(place / "part-0.parquet", schema, _one_day(waiting, portions, day, rest))
        waiting = rest[0] if rest else None
    return rows


def _one_day(first: pa.Table, following: Iterator[pa.Table], day: int, rest: list[pa.Table]) -> Iterator[pa.Table]:
    """The rows of `day` at the head of `first` and `following`; what was taken too many goes to `rest`."""
    portion: pa.Table | None = first
    while portion is not None:
        days = portion.column("day").to_numpy()
        end = int(np.searchsorted(days, day, side="right"))
        if end:
            yield portion.slice(0, end).drop_columns(["day"])
        if end < len(days):
            rest.append(portion.slice(end))
            return
        portion = next(following, None)


def _owners(connection: duckdb.DuckDBPyConnection, config: IngestConfig) -> Owners:
    """The owners; the table account_owners (account_row, owner_row) then exists."""
    keys = {"organisation": "org_id", "payment_network": "payment_hash, network"}
    links = {}
    for rule, columns in keys.items():
        present = " AND ".join(f"{name} IS NOT NULL" for name in columns.split(", "))
        found = connection.execute(
            f"""
            SELECT DISTINCT account_row, dense_rank() OVER (ORDER BY {columns}) - 1 AS key FROM (
                SELECT DISTINCT account_row, {columns} FROM rows JOIN kept USING (seq) WHERE {present} AND $wanted
            ) ORDER BY ALL
            """,
            {"wanted": rule in config.owners},
        ).fetchnumpy()
        links[rule] = Links(*(np.asarray(found[name], np.int64) for name in ("account_row", "key")))
    (accounts,) = connection.execute("SELECT count(*) FROM accounts").fetchall()[0]
    owners = find_owners(accounts, links["organisation"], links["payment_network"])
    pairs = pa.table({"account_row": np.arange(accounts), "owner_row": owners.owner_rows})
    connection.register("found_owners", pairs)
    connection.execute("CREATE TABLE account_owners AS SELECT * FROM found_owners")
    connection.unregister("found_owners")
    return owners


def _write_accounts(connection: duckdb.DuckDBPyConnection, out: Path, owners: Owners) -> None:
    _write(connection, out / "accounts.parquet", ACCOUNTS, _ACCOUNTS_QUERY)
    columns = [np.arange(len(owners.accounts)), owners.accounts, list(owners.kinds)]
    write_table(out / "owners.parquet", OWNERS, [pa.table(columns, schema=OWNERS)])


def _write_quarantine(connection: duckdb.DuckDBPyConnection, path: Path, config: IngestConfig) -> int:
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
        FROM rows LEFT JOIN texts AS prompts ON prompt = prompts.digest
            LEFT JOIN texts AS systems ON system = systems.digest
        WHERE seq IN (SELECT unnest($seqs)) GROUP BY seq
        """,
        {"limit": limit, "seqs": seqs},
    )
    return {row[0]: dict(zip((*names, "prompt", "system_prompt"), row[1:], strict=True)) for row in found.fetchall()}
