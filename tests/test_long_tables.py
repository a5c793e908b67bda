"""The long tables of the exports, against their definition in SQL."""

import random
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import refrain.long_tables
from refrain.errors import StoreError
from refrain.long_tables import write_long_tables

DAYS = ("day=2026-03-01", "day=2026-03-02")
# The best of a request's clustered segments, as the smallest (outside its template, rank by owners, -strength); a
# segment is part of those templates that are made of it and that its request holds.
JOINED = """
CREATE TABLE clustered AS SELECT segment_row, cluster_id, strength, rank FROM 'clusters/segment_clusters.parquet' JOIN (
    SELECT cluster_id, row_number() OVER (ORDER BY owners DESC, cluster_id) AS rank FROM 'clusters/clusters.parquet'
) USING (cluster_id);
CREATE TABLE fixed AS SELECT DISTINCT template_id, segment_row FROM 'templates/template_segments.parquet';
CREATE TABLE holding AS SELECT DISTINCT request_row, template_id FROM 'templates/request_templates.parquet';
CREATE TABLE labelled AS FROM 'campaigns/request_campaigns.parquet';
"""
LABELS = """
WITH best AS (
    SELECT s.request_row, min({'outside': t.segment_row IS NULL, 'rank': c.rank, 'doubt': -c.strength,
                               'cluster_id': c.cluster_id}) AS cluster
    FROM 'requests/request_segments/*/*.parquet' s JOIN clustered c USING (segment_row)
    LEFT JOIN labelled l USING (request_row)
    LEFT JOIN fixed t ON t.template_id = l.template_id AND t.segment_row = s.segment_row
    GROUP BY s.request_row
)
SELECT request_id, account_id, coalesce(best.cluster.cluster_id, -1), coalesce(-best.cluster.doubt, 0),
    template_id, campaign_id
FROM 'requests/requests/*/*.parquet' JOIN 'requests/accounts.parquet' USING (account_row)
LEFT JOIN labelled USING (request_row) LEFT JOIN best USING (request_row) ORDER BY request_row
"""
SEGMENTS = """
WITH held AS (
    SELECT s.request_row, s.position, list(t.template_id ORDER BY t.template_id) AS templates
    FROM 'requests/request_segments/*/*.parquet' s JOIN fixed t USING (segment_row)
    JOIN holding h ON h.request_row = s.request_row AND h.template_id = t.template_id
    GROUP BY s.request_row, s.position
)
SELECT request_id, s.position, role, coalesce(cluster_id, -1),
    CASE WHEN list_contains(held.templates, l.template_id) THEN l.template_id ELSE held.templates[1] END,
    coalesce(held.templates, [])
FROM 'requests/request_segments/*/*.parquet' s JOIN 'requests/requests/*/*.parquet' r USING (request_row)
LEFT JOIN clustered USING (segment_row) LEFT JOIN labelled l USING (request_row)
LEFT JOIN held ON held.request_row = s.request_row AND held.position = s.position
ORDER BY s.request_row, s.position
"""


def write(run: Path, seed: int) -> None:
    """Nothing; `run` has the tables of some requests, of which any may be without segments, labels or templates."""
    draw = random.Random(seed)
    requests, segments, clusters, templates, accounts = (draw.randint(1, most) for most in (30, 12, 4, 4, 3))

    def put(path: str, **columns: list[object]) -> None:
        (run / path).parent.mkdir(parents=True, exist_ok=True)
        kinds = {"strength": pa.float64(), "request_id": pa.string(), "account_id": pa.string(), "role": pa.string()}
        kinds["position"] = pa.int32()
        table = pa.table({name: pa.array(values, kinds.get(name, pa.int64())) for name, values in columns.items()})
        pq.write_table(table, run / path)

    def some(most: int, share: float) -> list[object]:
        return [row for row in range(most) if draw.random() < share]

    half = draw.randint(0, requests)
    for day, rows in zip(DAYS, (range(half), range(half, requests)), strict=True):
        own = [(row, at) for row in rows for at in range(draw.randint(0, 5))]
        put(
            f"requests/requests/{day}/part-0.parquet",
            request_row=list(rows),
            request_id=[f"r{row}" for row in rows],
            account_row=[draw.randrange(accounts) for _ in rows],
        )
        put(
            f"requests/request_segments/{day}/part-0.parquet",
            request_row=[row for row, _ in own],
            position=[at for _, at in own],
            role=[draw.choice(["user", "system"]) for _ in own],
            segment_row=[draw.randrange(segments) for _ in own],
        )
    ids = [f"a{row}" for row in range(accounts)]
    put("requests/accounts.parquet", account_row=list(range(accounts)), account_id=list(ids))
    put(
        "clusters/clusters.parquet",
        cluster_id=list(range(clusters)),
        owners=[draw.randint(1, 2) for _ in range(clusters)],
    )
    put(
        "clusters/segment_clusters.parquet",
        segment_row=(of := some(segments, 0.8)),
        cluster_id=[draw.randint(-1, clusters - 1) for _ in of],
        strength=[draw.choice([0.0, 0.5, 1.0]) for _ in of],
    )
    made = [(draw.randrange(templates), draw.randrange(segments)) for _ in range(draw.randint(0, 12))]
    put("templates/template_segments.parquet", template_id=[t for t, _ in made], segment_row=[s for _, s in made])
    held = [(draw.randrange(requests), draw.randrange(templates)) for _ in range(draw.randint(0, 60))]
    put("templates/request_templates.parquet", request_row=[r for r, _ in held], template_id=[t for _, t in held])
    put(
        "campaigns/request_campaigns.parquet",
        request_row=(of := some(requests, 0.7)),
        template_id=[draw.choice([None, *range(templates)]) for _ in of],
        campaign_id=[draw.choice([None, 0, 1]) for _ in of],
    )


def made(run: Path) -> dict[str, int]:
    requests, clusters, templates, campaigns = (run / n for n in ("requests", "clusters", "templates", "campaigns"))
    return write_long_tables(requests, clusters, templates, campaigns, run, lambda units: None)


@pytest.mark.parametrize("seed", range(60))
def test_the_tables_are_what_their_definition_says(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, seed)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(refrain.long_tables, "ROW_GROUP_ROWS", 7)  # a request's segments may lie in several portions
    counts = made(tmp_path)
    with duckdb.connect() as connection:
        connection.execute(JOINED)
        for name, sql in (("labels", LABELS), ("request_segments", SEGMENTS)):
            rows = [tuple(row.values()) for row in pq.read_table(f"{name}.parquet").to_pylist()]
            assert rows == connection.execute(sql).fetchall()
            assert counts[name] == len(rows)


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("requests/accounts.parquet", "labels would have"),
        (f"requests/requests/{DAYS[0]}/part-0.parquet", "segments are of requests that the log does not have"),
    ],
)
def test_a_row_that_is_missing_is_told(table: str, told: str, tmp_path: Path) -> None:
    write(tmp_path, 3)
    pq.write_table(pq.read_table(tmp_path / table, partitioning=None).slice(1), tmp_path / table)
    with pytest.raises(StoreError, match=told):
        made(tmp_path)


def test_segments_out_of_order_are_refused(tmp_path: Path) -> None:
    write(tmp_path, 3)
    path = tmp_path / "requests" / "request_segments" / DAYS[0] / "part-0.parquet"
    rows = pq.read_table(path, partitioning=None)
    pq.write_table(rows.take(list(range(len(rows)))[::-1]), path)
    with pytest.raises(StoreError, match="not in the order of requests and positions"):
        made(tmp_path)
