"""Staged records numbered, merged and counted over the whole log, in SQL that spills to disk.

Every number follows a sort over unique keys, so that the order of files and records changes nothing but which of two
conflicting duplicates is the first.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from refrain.ahead import ahead
from refrain.columns import COUNTS, LABELS
from refrain.config import IngestConfig
from refrain.conflicts import write_quarantine
from refrain.owners import Links, Owners, find_owners
from refrain.progress import Advance, Progress
from refrain.queries import batches, quoted, write_table
from refrain.request_schemas import ACCOUNTS, OWNERS, REQUEST_SEGMENTS, REQUESTS, SEGMENTS, TEXTS
from refrain.turns import PARTS

_PORTION = 4096  # rows that a query hands over at a time: bounds memory where rows are long texts
_SHORT_PORTION = 65_536  # where rows are numbers and ids
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
# One row of the staged texts for each text that a request has.
_SAID = """
CREATE TABLE said AS
    SELECT digest, min(id) AS id FROM texts SEMI JOIN (
        SELECT prompt AS id FROM rows JOIN numbered USING (seq)
        UNION ALL SELECT system FROM rows JOIN numbered USING (seq)
    ) USING (id) GROUP BY digest;
"""
# What was written is numbered by its place; the digests lead from there back to the staged rows.
_TEXT_ROWS = """
CREATE TABLE text_rows AS SELECT id, text_row FROM texts JOIN read_parquet($path) AS written USING (digest);
DROP TABLE said;
"""
# `segment` is one of the forms that share a normalised text. A segment counts once in a conversation and role: agents
# resend the whole history with every request.
_SPOKEN = """
CREATE TABLE segments AS SELECT digest, min(id) AS segment FROM forms GROUP BY digest;
CREATE TABLE spoken AS
    WITH segments_of_forms AS (SELECT id AS form, segment FROM forms JOIN segments USING (digest))
    SELECT request_row, position, role, turn, segment, account_row, form, first, true AS alone, true AS counted
    FROM occurrences JOIN (FROM kept WHERE conversation_id IS NULL) USING (seq) JOIN segments_of_forms USING (form)
    UNION ALL
    SELECT request_row, position, role, turn, segment, account_row, form, first, false AS alone,
        request_row = min(request_row) OVER (PARTITION BY account_row, conversation_id, role, segment) AS counted
    FROM occurrences JOIN (FROM kept WHERE conversation_id IS NOT NULL) USING (seq) JOIN segments_of_forms USING (form);
"""
# Distinct counts as nested groups, which spill where sets of distinct values would not. Requests are numbered by time,
# so the first and the last of them say when. Most owners have one account and need no group of their own.
_STATISTICS = """
CREATE TABLE by_account AS
    SELECT segment, account_row, count(*) AS requests, min(request_row) AS first, max(request_row) AS last
    FROM (
        SELECT segment, account_row, request_row FROM spoken WHERE alone AND first
        UNION ALL SELECT DISTINCT segment, account_row, request_row FROM spoken WHERE counted AND NOT alone
    ) GROUP BY segment, account_row;
CREATE TABLE statistics AS
    WITH by_segment AS (
        SELECT segment, sum(requests)::BIGINT AS requests, count(*) AS accounts,
            count(*) FILTER (owner_accounts = 1) AS lone, min(first) AS first, max(last) AS last
        FROM by_account JOIN account_owners USING (account_row) GROUP BY segment
    ), shared AS (
        SELECT segment, count(*) AS owners FROM (
            SELECT DISTINCT segment, owner_row FROM by_account JOIN account_owners USING (account_row)
            WHERE owner_accounts > 1
        ) GROUP BY segment
    )
    SELECT segment, requests, accounts, lone + coalesce(owners, 0) AS owners, first, last
    FROM by_segment LEFT JOIN shared USING (segment);
DROP TABLE by_account;
CREATE TABLE first_forms AS
    SELECT segment, arg_min(form, request_row) AS form FROM spoken WHERE first GROUP BY segment;
"""
_SEGMENT_ROWS = """
CREATE TABLE segment_rows AS
    SELECT segment, segment_row FROM segments JOIN read_parquet($path) AS written USING (digest);
"""


def write_tables(
    connection: duckdb.DuckDBPyConnection, out: Path, config: IngestConfig, read: dict[str, int], progress: Progress
) -> dict[str, int]:
    """The counts of the tables that `out` then holds."""
    with (
        progress.task("numbering requests and segments", 6) as advance,
        connection.cursor() as of_requests,
        connection.cursor() as of_segments,
        ThreadPoolExecutor(2) as pool,  # the last: it waits for both before their cursors close
    ):
        connection.execute(_KEPT)
        owners = _owners(connection, config)
        _write_accounts(connection, out, owners)
        advance(1)
        # Neither looks at the other's tables. What one writes on one core, the other queries on the rest.
        requests = pool.submit(_write_requests, of_requests, out, config, advance)
        segments = pool.submit(_write_segments, of_segments, out, advance)
        texts, kept, conflicts = requests.result()
        distinct = segments.result()
    quarantined = read["quarantined"] + conflicts
    flags = "SELECT count(*) FILTER (cut), count(*) FILTER (repaired) FROM rows JOIN numbered USING (seq)"
    cut, repaired = connection.execute(flags).fetchall()[0]
    return {
        "kept": kept,
        "merged": read["read"] - kept - quarantined - read.get("purged", 0) - read.get("passed", 0),
        "quarantined": quarantined,
        "conflicts": conflicts,
        "cut": cut,
        "repaired": repaired,
        "accounts": len(owners.owner_rows),
        "owners": len(owners.accounts),
        "segments": distinct,
        "texts": texts,
    }


def _write_requests(
    connection: duckdb.DuckDBPyConnection, out: Path, config: IngestConfig, advance: Advance
) -> tuple[int, int, int]:
    """The numbers of texts and of requests written, and of conflicting duplicates."""
    connection.execute(_SAID)
    texts = _write_numbered(connection, out / "texts.parquet", TEXTS, _TEXTS_QUERY)
    _execute(connection, _TEXT_ROWS, out / "texts.parquet")
    advance(1)
    kept = _write_days(connection, out / "requests", REQUESTS, _REQUESTS_QUERY)
    conflicts = write_quarantine(connection, out / "quarantine.parquet", config)
    advance(1)
    return texts, kept, conflicts


def _write_segments(connection: duckdb.DuckDBPyConnection, out: Path, advance: Advance) -> int:
    """The number of segments written, with where requests have them."""
    connection.execute(_SPOKEN)
    advance(1)
    connection.execute(_STATISTICS)
    segments = _write_numbered(connection, out / "segments.parquet", SEGMENTS, _SEGMENTS_QUERY)
    _execute(connection, _SEGMENT_ROWS, out / "segments.parquet")
    advance(1)
    _write_days(connection, out / "request_segments", REQUEST_SEGMENTS, _REQUEST_SEGMENTS_QUERY)
    advance(1)
    return segments


_TEXTS_QUERY = "SELECT texts.digest, text FROM texts JOIN said USING (id) ORDER BY text"
_REQUESTS_QUERY = f"""
SELECT request_row, rows.request_id, account_row, time AS timestamp, {", ".join(f"rows.{name}" for name in LABELS)},
    {", ".join(COUNTS)}, prompts.text_row AS prompt_text_row, systems.text_row AS system_text_row, cut, repaired,
    time // {_MICROSECONDS_A_DAY} AS day
FROM rows JOIN numbered USING (seq) JOIN accounts USING (account_id)
LEFT JOIN text_rows AS prompts ON prompt = prompts.id LEFT JOIN text_rows AS systems ON system = systems.id
ORDER BY request_row
"""
_REQUEST_SEGMENTS_QUERY = f"""
SELECT request_row, position, {list(PARTS)}[role + 1] AS role, turn, segment_row, counted,
    time // {_MICROSECONDS_A_DAY} AS day
FROM spoken JOIN segment_rows USING (segment) JOIN kept USING (request_row) ORDER BY request_row, position
"""
_SEGMENTS_QUERY = """
SELECT digest, text, raw, words, statistics.requests, accounts, owners,
    earliest.time AS first_seen, latest.time AS last_seen
FROM statistics JOIN first_forms USING (segment) JOIN forms ON form = id
JOIN kept AS earliest ON first = earliest.request_row JOIN kept AS latest ON last = latest.request_row
ORDER BY text
"""
_ACCOUNTS_QUERY = (
    "SELECT * EXCLUDE owner_accounts FROM accounts JOIN account_owners USING (account_row) ORDER BY account_row"
)


def _write(connection: duckdb.DuckDBPyConnection, path: Path, schema: pa.Schema, query: str) -> int:
    return write_table(path, schema, batches(connection, query, schema, {}, _PORTION))


def _write_numbered(connection: duckdb.DuckDBPyConnection, path: Path, schema: pa.Schema, query: str) -> int:
    """Rows written to `path`, their first column the row's number in the order of the query."""
    rows = 0

    def numbered() -> Iterator[pa.Table]:
        nonlocal rows
        for portion in ahead(batches(connection, query, schema.remove(0), {}, _PORTION)):
            yield portion.add_column(0, schema.field(0), pa.array(np.arange(rows, rows + portion.num_rows)))
            rows += portion.num_rows

    return write_table(path, schema, numbered())


def _execute(connection: duckdb.DuckDBPyConnection, sql: str, path: Path) -> None:
    """Nothing; the statements, which read the table at `path`, are done."""
    connection.execute(sql.replace("$path", quoted(path)))


def _write_days(connection: duckdb.DuckDBPyConnection, folder: Path, schema: pa.Schema, query: str) -> int:
    """Rows written to `folder`/day=YYYY-MM-DD/; the query's column `day`, days since 1970, never falls."""
    with_day = schema.append(pa.field("day", pa.int64(), nullable=False))
    portions = ahead(batches(connection, query, with_day, {}, _SHORT_PORTION))
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
    """The owners; the table account_owners (account_row, owner_row, owner_accounts) then exists."""
    keys = {"organisation": "org_id", "payment_network": "payment_hash, exit_network"}
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
    sizes = owners.accounts[owners.owner_rows]
    pairs = pa.table({"account_row": np.arange(accounts), "owner_row": owners.owner_rows, "owner_accounts": sizes})
    connection.register("found_owners", pairs)
    connection.execute("CREATE TABLE account_owners AS SELECT * FROM found_owners")
    connection.unregister("found_owners")
    return owners


def _write_accounts(connection: duckdb.DuckDBPyConnection, out: Path, owners: Owners) -> None:
    _write(connection, out / "accounts.parquet", ACCOUNTS, _ACCOUNTS_QUERY)
    columns = [np.arange(len(owners.accounts)), owners.accounts, list(owners.kinds)]
    write_table(out / "owners.parquet", OWNERS, [pa.table(columns, schema=OWNERS)])
