"""The exports against a plain reading of the same run, and refusals where the inputs contradict each other."""

import re
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import (
    FORMULA_ACCOUNT,
    HARNESS,
    HOSTILE,
    NOTES,
    RUBRIC,
    START,
    Campaign,
    Log,
    Request,
    Template,
    export,
    log_of,
    write_campaigns,
    write_clusters,
    write_requests,
    write_run,
    write_small_run,
    write_templates,
)

from refrain.errors import StoreError

TEXTS = ("alpha one", "beta two", "gamma three", "delta four", "epsilon five", HOSTILE)


def rows(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return found


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Log, list[dict[str, float]], list[Template], list[Campaign]]:
    """A log over three days, clusters, templates that may share segments, and campaigns with some members."""
    text = st.sampled_from(TEXTS)
    drawn = draw(
        st.lists(
            st.tuples(st.integers(0, 71), st.sampled_from("abcd"), st.lists(text, max_size=5)), min_size=1, max_size=14
        )
    )
    log = log_of(
        Request(f"r{number}", account, START + timedelta(hours=hour), tuple(("user", text) for text in texts))
        for number, (hour, account, texts) in enumerate(drawn)
    )
    present = list(log.segments)
    owner = {text: draw(st.integers(-1, 2)) for text in present}
    clusters = [
        {text: draw(st.sampled_from([0.0, 0.25, 1.0])) for text in present if owner[text] == number}
        for number in range(3)
    ]
    clusters = [cluster for cluster in clusters if cluster]
    templates = [
        Template(f"{number}{{slot}}", tuple(draw(st.lists(st.sampled_from(present), min_size=1, unique=True))))
        for number in range(draw(st.integers(0, 3)) if present else 0)
    ]
    campaigns = [
        Campaign((number,), tuple(draw(st.sets(st.sampled_from(log.accounts))))) for number in range(len(templates))
    ]
    return log, clusters, templates, campaigns


def expected_cluster(
    log: Log, row: int, clusters: list[dict[str, float]], inside: tuple[str, ...]
) -> tuple[int, float]:
    """The cluster and strength that the contract gives a request, found by looking at each of its segments."""
    owners = [
        len({log.owners[log.requests[other].account_id] for text in cluster for other in log.holding([text])})
        for cluster in clusters
    ]
    found = [
        (text not in inside, -owners[number], number, -cluster[text])
        for _, text in log.requests[row].segments
        for number, cluster in enumerate(clusters)
        if text in cluster
    ]
    if not found:
        return -1, 0.0
    _, _, number, doubt = min(found)
    return number, -doubt


@settings(max_examples=25, deadline=None)
@given(worlds())
def test_labels_and_segments_are_those_of_a_plain_reading(
    world: tuple[Log, list[dict[str, float]], list[Template], list[Campaign]],
) -> None:
    log, clusters, templates, campaigns = world
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        write_requests(run / "requests", log)
        write_clusters(run / "clusters", log, clusters)
        write_templates(run / "templates", log, templates)
        write_campaigns(run / "campaigns", log, templates, campaigns)
        out = export(run)
        labels, segments = rows(out / "labels.parquet"), rows(out / "request_segments.parquet")
        decided = rows(run / "campaigns" / "request_campaigns.parquet")

    wanted, long = [], []
    for row, request in enumerate(log.requests):
        template = decided[row]["template_id"]
        inside = templates[template].segments if template is not None else ()
        cluster, strength = expected_cluster(log, row, clusters, inside)
        wanted.append({
            "request_id": request.request_id, "account_id": request.account_id, "cluster_id": cluster,
            "strength": strength, "template_id": template, "campaign_id": decided[row]["campaign_id"],
        })  # fmt: skip
        for position, (role, text) in enumerate(request.segments):
            parts = [
                n for n, other in enumerate(templates) if text in other.segments and row in log.holding(other.segments)
            ]
            long.append({
                "request_id": request.request_id, "position": position, "role": role,
                "cluster_id": next((n for n, cluster in enumerate(clusters) if text in cluster), -1),
                "template_id": template if template in parts else parts[0] if parts else None, "templates": parts,
            })  # fmt: skip
    assert labels == wanted
    assert segments == long


def test_a_campaign_is_only_on_requests_of_its_members_with_its_templates(tmp_path: Path) -> None:
    log = write_small_run(tmp_path)
    out = export(tmp_path)
    members = {(row["account_id"], row["campaign_id"]) for row in rows(out / "accounts.parquet")}
    templates = {row["campaign_id"]: row["templates"] for row in rows(out / "campaigns.parquet")}
    labels = rows(out / "labels.parquet")
    assert sorted(row["request_id"] for row in labels) == sorted(request.request_id for request in log.requests)
    labelled = [row for row in labels if row["campaign_id"] is not None]
    assert labelled
    for row in labelled:
        assert (row["account_id"], row["campaign_id"]) in members
        assert row["template_id"] in templates[row["campaign_id"]]
    # person-1 tried the pool's template once: it has the template and not the campaign.
    [tried] = [row for row in labels if row["request_id"] == "b-rubric"]
    assert (tried["template_id"], tried["campaign_id"]) == (1, None)


def test_campaigns_accounts_templates_and_clusters_value_for_value(tmp_path: Path) -> None:
    log = write_small_run(tmp_path)
    out = export(tmp_path, examples=1)
    pool, quiet = rows(out / "campaigns.parquet")
    assert (pool["accounts"], pool["owners"], pool["requests"], pool["alert"]) == (8, 7, 64, True)
    assert pool["benign"] == ["one_company"]
    assert {name: value for name, value in pool.items() if name.startswith("test_")} == {
        "test_identity_payment": 3e-5,
        "test_time_rhythm": 1e-9,
        "test_time_succession": 0.8,
        "test_use_division": None,
    }
    assert quiet["p_value"] is None

    accounts = rows(out / "accounts.parquet")
    assert [(row["campaign_id"], -row["evidence"], row["account_id"]) for row in accounts] == sorted(
        (row["campaign_id"], -row["evidence"], row["account_id"]) for row in accounts
    )
    [formula] = [row for row in accounts if row["account_id"] == FORMULA_ACCOUNT]
    assert (formula["requests"], formula["account_requests"], formula["share"]) == (8, 8, 1.0)
    assert formula["reasons"] == ["share of traffic", HOSTILE]
    [partly] = [row for row in accounts if row["account_id"] == "person-2"]
    assert (partly["requests"], partly["account_requests"]) == (2, 3)

    templates = rows(out / "templates.parquet")
    assert [row["examples"] for row in templates] == [[HARNESS], [f"{RUBRIC}\ntask\n{NOTES}"], [HOSTILE]]
    assert [row["campaigns"] for row in templates] == [[], [0], [1]]
    assert [row["exemplar"] for row in rows(out / "clusters.parquet")] == [HARNESS, RUBRIC, NOTES, HOSTILE]
    assert rows(out / "clusters.parquet")[0]["owners"] == log.counts(log.holding([HARNESS]))["owners"]


def test_the_same_run_gives_the_same_bytes_and_nothing_else_stays(tmp_path: Path) -> None:
    folders = []
    for name in ("one", "two"):
        write_small_run(tmp_path / name)
        folders.append(export(tmp_path / name))
    first, second = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders)
    assert first == second
    tables = ("accounts", "campaigns", "clusters", "labels", "request_segments", "templates")
    assert set(first) == {*(f"{table}.parquet" for table in tables), "packets.jsonl"}


def test_a_log_without_a_request_exports_empty_tables(tmp_path: Path) -> None:
    write_run(tmp_path, log_of([]), [], [])
    out = export(tmp_path)
    assert (out / "packets.jsonl").read_bytes() == b""
    assert {path.stem: rows(path) for path in out.glob("*.parquet")} == {
        name: [] for name in ("labels", "request_segments", "clusters", "templates", "campaigns", "accounts")
    }


@pytest.mark.parametrize(
    ("column", "value"),
    [("campaign_id", [1]), ("template_id", [0]), ("template_id", [None])],
    ids=["not a member", "not its template", "no template"],
)
def test_a_campaign_on_a_request_that_is_not_part_of_it_is_refused(
    tmp_path: Path, column: str, value: list[int]
) -> None:
    log = write_small_run(tmp_path)
    path = tmp_path / "campaigns" / "request_campaigns.parquet"
    table = pq.read_table(path)
    row = log.holding([RUBRIC])[0]
    values = table.column(column).to_pylist()
    values[row : row + 1] = value
    position = table.column_names.index(column)
    pq.write_table(table.set_column(position, column, pa.array(values, pa.int64())), path)
    with pytest.raises(
        StoreError, match=re.escape("1 requests are labelled with a campaign that they are not part of")
    ):
        export(tmp_path)


def test_a_request_labelled_twice_is_refused(tmp_path: Path) -> None:
    write_small_run(tmp_path)
    path = tmp_path / "campaigns" / "request_campaigns.parquet"
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table, table.slice(0, 1)]), path)
    with pytest.raises(StoreError, match="labels would have 79 rows where the requests have 78"):
        export(tmp_path)


def test_a_null_where_the_contract_has_none_is_refused_without_quoting_the_row(tmp_path: Path) -> None:
    write_small_run(tmp_path)
    path = tmp_path / "templates" / "templates.parquet"
    table = pq.read_table(path)
    position = table.column_names.index("kind")
    kinds = [None, *table.column("kind").to_pylist()[1:]]
    pq.write_table(table.set_column(position, "kind", pa.array(kinds, pa.string())), path)
    with pytest.raises(StoreError, match="the column kind is empty in 1 rows and never may be"):
        export(tmp_path)
