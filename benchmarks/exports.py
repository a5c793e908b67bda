"""How long a million labels take to every format that holds all tables, as JSON in benchmarks/results/.

    .venv/bin/python benchmarks/exports.py
    .venv/bin/python benchmarks/exports.py --formats postgresql sqlite --rows 100000 1000000

The tables are made up (no log is read): ids of 24 characters, 40 in 100 requests with a template, 5 in 100 with a
campaign. Every format is written by a process of its own, whose peak memory is measured; `again` is the same export a
second time. More than one number of rows shows whether memory grows with them. PostgreSQL is the tests' own server on
this machine, so its work is on the same cores; its memory is not counted. On a busy machine the processor seconds say
more than those of the clock.
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from measuring import ROOT, alone, parser, say, write_result

from refrain.contract import ACCOUNTS, CLUSTERS, LABELS, REQUEST_SEGMENTS, TEMPLATES, campaigns_schema
from refrain.exporters.exporter import Options
from refrain.exporters.registry import export_run
from refrain.queries import ROW_GROUP_ROWS, write_table

sys.path.insert(0, str(ROOT / "tests"))
FORMATS = ("parquet", "csv", "jsonl", "sqlite", "duckdb", "siem", "graphml", "postgresql")
WANTED_SECONDS = {"parquet": 10, "postgresql": 60}
CAMPAIGNS, TEMPLATES_, CLUSTERS_, MEMBERS = 40, 2000, 5000, 30
START = datetime(2026, 3, 1, tzinfo=UTC)
SEEN = {"first_seen": START, "last_seen": START + timedelta(days=14)}


def labels(rows: int, seed: int) -> Iterator[pa.Table]:
    """The labels, in the portions that a run writes."""
    random = np.random.default_rng(seed)
    accounts = max(rows // 50, CAMPAIGNS * MEMBERS)
    for start in range(0, rows, ROW_GROUP_ROWS):
        n = min(ROW_GROUP_ROWS, rows - start)
        draw = random.random(n)
        template = np.where(draw < 0.4, random.integers(0, TEMPLATES_, n), -1)
        campaign = np.where(draw < 0.05, template % CAMPAIGNS, -1)
        yield pa.table(
            [
                pa.array([f"request-{start + row:016d}" for row in range(n)]),
                pa.array([f"account-{one:016d}" for one in random.integers(0, accounts, n)]),
                pa.array(random.integers(-1, CLUSTERS_, n)),
                pa.array(random.random(n)),
                pa.array(template, mask=template < 0),
                pa.array(campaign, mask=campaign < 0),
            ],
            schema=LABELS,
        )


def segments(rows: int, seed: int) -> Iterator[pa.Table]:
    """A segment for every request."""
    random = np.random.default_rng(seed + 1)
    for start in range(0, rows, ROW_GROUP_ROWS):
        n = min(ROW_GROUP_ROWS, rows - start)
        draw = random.random(n)
        template = np.where(draw < 0.4, random.integers(0, TEMPLATES_, n), -1)
        yield pa.table(
            [
                pa.array([f"request-{start + row:016d}" for row in range(n)]),
                pa.array(np.zeros(n, np.int32)),
                pa.array(["user"] * n),
                pa.array(random.integers(-1, CLUSTERS_, n)),
                pa.array(template, mask=template < 0),
                pa.array([[int(one)] if one >= 0 else [] for one in template], pa.list_(pa.int64())),
            ],
            schema=REQUEST_SEGMENTS,
        )


def make_exports(folder: Path, rows: int, seed: int, *, with_segments: bool = False) -> None:
    """Nothing; `folder` holds the tables of a run with so many requests, and a segment of each where asked for."""
    folder.mkdir(parents=True)
    write_table(folder / "labels.parquet", LABELS, labels(rows, seed))
    write_table(folder / "request_segments.parquet", REQUEST_SEGMENTS, segments(rows if with_segments else 0, seed))
    counts = {"requests": 20, "accounts": MEMBERS, "owners": MEMBERS}
    campaigns = [
        {"campaign_id": n, "score": 1.0, "p_value": 1e-6, "q_value": 1e-4, "alert": True, **counts, **SEEN,
         "templates": [n], "signal_tags": [], "signal_similarities": [], "benign": [], "families": ["time", "use"],
         "test_time_rhythm": 1e-6} for n in range(CAMPAIGNS)
    ]  # fmt: skip
    members = [
        {"account_id": f"account-{CAMPAIGNS * n + one:016d}", "campaign_id": n, "owner": one, "requests": 9,
         "account_requests": 10, "share": 0.9, "first_use": START, "evidence": 2.0, "reasons": ["share of traffic"]}
        for n in range(CAMPAIGNS) for one in range(MEMBERS)
    ]  # fmt: skip
    templates = [
        {"template_id": n, "skeleton": "Grade this under the rubric. {slot}", "kind": "exact", "words": 5, **counts,
         **SEEN, "fillings": 20, "examples": ["Grade this under the rubric. x"] * 3, "campaigns": []}
        for n in range(TEMPLATES_)
    ]  # fmt: skip
    clusters = [
        {"cluster_id": n, "segments": 3, **counts, **SEEN, "stability": 0.5, "exemplar": "a text of some words"}
        for n in range(CLUSTERS_)
    ]
    for name, rows_, schema in (
        ("campaigns", campaigns, campaigns_schema(["time_rhythm"])),
        ("accounts", members, ACCOUNTS),
        ("templates", templates, TEMPLATES),
        ("clusters", clusters, CLUSTERS),
    ):
        write_table(folder / f"{name}.parquet", schema, [pa.Table.from_pylist(rows_, schema=schema)])


def write(run: str, to: str, form: str) -> dict[str, Any]:
    """Seconds and rows of one export, imports apart."""
    from refrain.exporters.registry import find_exporter

    find_exporter(form)
    server = server_seconds(to)
    start, work = time.perf_counter(), time.process_time()
    counts = export_run(Path(run), to, form, Options(run=Path(run).name, key=b"k" * 32))
    told = {"seconds": round(time.perf_counter() - start, 2), "cpu_seconds": round(time.process_time() - work, 2)}
    if "://" in to:
        told["server_cpu_seconds"] = round(server_seconds(to) - server, 2)
    return {**told, "rows": sum(counts.values())}


def server_seconds(to: str) -> float:
    """Processor seconds of a PostgreSQL server on this machine, with those of its sessions that have ended."""
    if "://" not in to:
        return 0.0
    import psycopg

    time.sleep(0.5)  # the session before has ended and is counted
    with psycopg.connect(to.replace("+psycopg", "")) as connection:
        parent = int(_fields(connection.info.backend_pid)[1])
        return sum(map(int, _fields(parent)[11:15])) / os.sysconf("SC_CLK_TCK")


def _fields(pid: int) -> list[str]:
    """What /proc says of a process, from its state on (man 5 proc)."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()


def main() -> None:
    made = parser("exports", __doc__)
    made.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    made.add_argument("--formats", nargs="+", default=list(FORMATS), choices=FORMATS)
    made.add_argument("--segments", action="store_true", help="also a segment for each request: twice the rows")
    made.add_argument("--state", default="", help="what else the machine was doing, in words")
    arguments = made.parse_args()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        for rows in arguments.rows:
            run = Path(temporary) / f"run-{rows}"
            make_exports(run / "exports", rows, arguments.seed, with_segments=arguments.segments)
            for form in arguments.formats:
                to = str(Path(temporary) / f"{form}-{rows}")
                if form == "postgresql":
                    from postgres import running

                    server = stack.enter_context(running())
                    to = server.url(server.make_database())
                name = {"sqlite": "sql", "postgresql": "sql"}.get(form, form)
                told = [
                    alone("exports", "write", {"run": str(run), "to": to, "form": name}).needed(form) for _ in range(2)
                ]
                found.setdefault(form, {})[str(rows)] = {**told[0], "again": told[1]}
                limit = WANTED_SECONDS.get(form)
                worked = sum(told[0].get(name, 0) for name in ("cpu_seconds", "server_cpu_seconds"))
                say(f"{form:>10} {rows:>10,} labels  {told[0]['seconds']:>7.2f} s ({worked:.2f} s of processor)"
                    f"  {told[0]['peak_mib']:>5} MiB"
                    f"  again {told[1]['seconds']:.2f} s" + (f"  (wanted: {limit} s)" if limit else ""))  # fmt: skip
    write_result(arguments, {"state": arguments.state, "wanted_seconds": WANTED_SECONDS, "exports": found})


if __name__ == "__main__":
    main()
