"""What analysts ask for between nights, from the command line, on a small finished run."""

import json
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from embeddings.querying import exact_cosines, open_query_encoder
from refrain.artifacts import Store, read_manifest
from refrain.cli import app
from refrain.cli.demand import _LIKE_COSINE
from refrain.errors import StoreError
from refrain.ledger.rows import SightingRow
from refrain.lineage_table import write_lineage
from refrain.recluster import aside_id
from refrain.runs import LATEST_NIGHT, open_run
from refrain.search import read_query
from refrain.settings import load_settings
from refrain.stable_ids import stable_ids

if TYPE_CHECKING:
    from conftest import SmallRun

CONFIG = load_settings().config
CANARY = "zanzibar quokka"
DAY, NOON = date(2026, 9, 1), datetime(2026, 9, 1, 12, tzinfo=UTC)


def call(*arguments: object, code: int = 0, stdin: str | None = None) -> Result:
    """What `refrain` says to these arguments; its exit code must be `code`."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)
    assert result.exit_code == code, result.output
    return result


def bytes_below(folder: Path) -> Mapping[str, bytes]:
    """Every file's bytes by name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@dataclass(frozen=True)
class Loudest:
    """The text of the segment that most requests of the first campaign hold, and the run's tables around it."""

    text: str
    row: int
    said: Any  # request_id, account_id and segment_row of every counted occurrence


@pytest.fixture(scope="module")
def loudest(small_run: "SmallRun") -> Loudest:
    requests = small_run.run / "requests"
    labels = pq.read_table(small_run.run / "campaigns" / "request_campaigns.parquet")
    mine = labels.filter(pc.equal(labels["campaign_id"], 0))["request_row"]
    said = pq.read_table(requests / "request_segments", partitioning=None)
    said = said.filter(said["counted"])
    rows = said.filter(pc.is_in(said["request_row"], mine.combine_chunks()))["segment_row"].to_pylist()
    row = Counter(rows).most_common(1)[0][0]
    segments = pq.read_table(requests / "segments.parquet").to_pylist()
    return Loudest(segments[row]["raw"], row, said)


def test_what_a_text_says_is_found_with_who_said_it(small_run: "SmallRun", loudest: Loudest) -> None:
    told = call("search", loudest.text, "--outputs", small_run.outputs, "--top", 5, "--accounts", 1000, "--json")
    found = json.loads(told.stdout)
    first = found["hits"][0]
    assert first["segment_row"] == loudest.row
    assert first["text"] == loudest.text
    assert first["cosine"] == pytest.approx(1)
    assert [hit["cosine"] for hit in found["hits"]] == sorted((hit["cosine"] for hit in found["hits"]), reverse=True)
    labels = pq.read_table(small_run.run / "exports" / "labels.parquet").to_pylist()
    holding = set(loudest.said.filter(pc.equal(loudest.said["segment_row"], loudest.row))["request_row"].to_pylist())
    theirs = [label for at, label in enumerate(labels) if at in holding]  # both are in the order of requests
    assert first["requests"] == len(theirs)
    counts = Counter(label["account_id"] for label in theirs)
    assert first["top_accounts"] == [
        {"account_id": account, "requests": count}
        for account, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]
    campaigns = Counter(label["campaign_id"] for label in theirs if label["campaign_id"] is not None)
    assert first["campaigns"] == [{"campaign_id": at, "requests": n} for at, n in sorted(campaigns.items())]
    assert 0 in campaigns
    assert {row["campaign_id"] for row in found["campaigns"]} >= set(campaigns)
    made_of = pq.read_table(small_run.run / "templates" / "template_segments.parquet").to_pylist()
    assert first["templates"] == sorted({row["template_id"] for row in made_of if row["segment_row"] == loudest.row})
    clusters = pq.read_table(small_run.run / "clusters" / "segment_clusters.parquet").to_pylist()
    assert first["cluster_id"] == {row["segment_row"]: row["cluster_id"] for row in clusters}[loudest.row]
    everyone: set[int] = set()
    for hit in found["hits"]:
        mine = loudest.said.filter(pc.equal(loudest.said["segment_row"], hit["segment_row"]))
        everyone.update(mine["request_row"].to_pylist())
    assert found["requests"] == len(everyone)


def test_a_text_comes_from_a_file_or_stdin_and_is_said_the_same_way_twice(
    small_run: "SmallRun", loudest: Loudest, tmp_path: Path
) -> None:
    (tmp_path / "text").write_text(loudest.text + "\n")
    where = ("--outputs", small_run.outputs, "--json")
    given = call("search", loudest.text, *where).stdout
    assert call("search", f"@{tmp_path / 'text'}", *where).stdout == given
    assert call("search", "-", *where, stdin=loudest.text).stdout == given
    assert "segments of" in call("search", loudest.text, "--outputs", small_run.outputs, "--top", 3).stdout


def test_the_second_query_needs_no_transformer_and_says_the_same(
    small_run: "SmallRun", loudest: Loudest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors, store = small_run.run / "vectors", Store(small_run.outputs / "store")
    shutil.copytree(store.encoders, tmp_path / "encoders")
    for kept in (tmp_path / "encoders").glob("*.json"):
        kept.unlink()
    texts = [loudest.text.lower(), "[SEP] ünïcode 回答", "word " * 400]
    first = open_query_encoder(vectors, CONFIG.embed, tmp_path / "encoders").encode(texts)
    monkeypatch.setattr("embeddings.querying.open_encoders", None)
    second = open_query_encoder(vectors, CONFIG.embed, tmp_path / "encoders").encode(texts)
    assert first.tobytes() == second.tobytes()


def test_another_encoder_than_the_runs_is_refused(
    small_run: "SmallRun", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(small_run.run / "vectors", tmp_path / "vectors")
    (tmp_path / "vectors" / "encoder.json").chmod(0o644)
    (tmp_path / "vectors" / "encoder.json").write_text(json.dumps({"fingerprint": "0" * 32}))
    with pytest.raises(StoreError, match="another encoder"):
        open_query_encoder(tmp_path / "vectors", CONFIG.embed, Store(small_run.outputs / "store").encoders)


@pytest.mark.parametrize(
    "arguments",
    [
        ["search", " "],
        ["search", "123 !!"],
        ["search", "@{tmp}/absent"],
        ["search", CANARY, "--run", "absent"],
        ["search", CANARY, "--top", "0"],
        ["compare", "small", "absent"],
        ["recluster", "{log}", "--accounts", "-", "--like", "-"],
        ["recluster", "{log}", "--accounts", "{tmp}/absent"],
        ["recluster", "{log}", "--from", "2026-13-01"],
        ["recluster", "{log}", "--like", CANARY, "--like-cosine", "1.5"],
        ["recluster", "{log}", "--like", " "],
        ["recluster", "{log}", "--slice", "absent"],
        ["recluster", "{log}", "--run-id", "../x"],
    ],
    ids=" ".join,
)
def test_nonsense_is_code_2_and_quotes_no_text(small_run: "SmallRun", tmp_path: Path, arguments: list[str]) -> None:
    before = sorted(path.name for path in (small_run.outputs / "runs").iterdir())
    filled = [argument.format(tmp=tmp_path, log=small_run.log) for argument in arguments]
    told = call(*filled, "--outputs", small_run.outputs, code=2, stdin="").output
    assert CANARY not in told
    assert "Traceback" not in told
    assert sorted(path.name for path in (small_run.outputs / "runs").iterdir()) == before


def test_a_long_text_is_cut_as_the_log_is_and_what_is_left_out_is_counted() -> None:
    text = ". ".join(f"{'x' * at} is a sentence" for at in range(1, 101))
    query = read_query(text, CONFIG.ingest)
    assert query.segments[:2] == ("x is a sentence.", "xx is a sentence.")
    assert len(query.segments) + query.left_out == 100


def test_a_run_of_ones_own_takes_no_other_runs_name() -> None:
    assert aside_id("september") == aside_id("recluster-september") == "recluster-september"
    assert aside_id("nightly-2026-09-01") == "recluster-nightly-2026-09-01"


@pytest.fixture(scope="module")
def outputs(small_run: "SmallRun", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small run's outputs, to be written into."""
    place = tmp_path_factory.mktemp("demand") / "outputs"
    shutil.copytree(small_run.outputs, place, symlinks=True)
    return place


@pytest.fixture(scope="module")
def reclustered(
    small_run: "SmallRun", outputs: Path, loudest: Loudest, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """What `refrain recluster` says of the requests near a text."""
    before = bytes_below(outputs / "runs" / "small")
    text = tmp_path_factory.mktemp("text") / "text"
    text.write_text(loudest.text)
    told = call(
        "recluster",
        small_run.log,
        "--like",
        f"@{text}",
        "--set",
        "cluster.min_owners=3",
        "--outputs",
        outputs,
        "--json",
    )
    assert loudest.text not in told.stderr
    assert bytes_below(outputs / "runs" / "small") == before
    return json.loads(told.stdout)


def test_a_part_is_what_is_near_and_nothing_else(
    small_run: "SmallRun", outputs: Path, loudest: Loudest, reclustered: Any
) -> None:
    store = Store(small_run.outputs / "store")
    encoder = open_query_encoder(small_run.run / "vectors", CONFIG.embed, store.encoders)
    segments = pq.read_table(small_run.run / "requests" / "segments.parquet")["text"].to_pylist()
    lettered = [text if any(map(str.isalpha, text)) else "x" for text in segments]
    cosines = exact_cosines(encoder.encode(lettered), encoder.encode(read_query(loudest.text, CONFIG.ingest).segments))
    near = {at for at, cosine in enumerate(cosines.max(axis=1)) if cosine >= _LIKE_COSINE}
    everyone = pq.read_table(small_run.run / "requests" / "request_segments", partitioning=None).to_pylist()
    wanted = {row["request_row"] for row in everyone if row["segment_row"] in near}
    ids = pq.read_table(small_run.run / "requests" / "requests", partitioning=None)["request_id"].to_pylist()
    labels = pq.read_table(Path(reclustered["exports"]) / "labels.parquet")
    assert set(labels["request_id"].to_pylist()) == {ids[row] for row in wanted}
    assert 0 < len(wanted) < len(ids)


def test_a_part_is_a_run_of_its_own_and_latest_stays(outputs: Path, reclustered: Any) -> None:
    assert reclustered["run"].startswith("recluster-")
    assert (outputs / "runs" / "latest").readlink().name == "small"
    assert (
        json.loads((Path(reclustered["folder"]) / "manifest.json").read_text())["config"]["cluster"]["min_owners"] == 3
    )
    assert [stage["stage"] for stage in reclustered["stages"]][-1] == "export"
    assert all(row["identity"] is None for row in reclustered["findings"])


def test_two_runs_side_by_side(outputs: Path, reclustered: Any) -> None:
    same = json.loads(call("compare", "small", "latest", "--outputs", outputs, "--json").stdout)
    assert {change["change"] for change in same["changes"]} == {"same"}
    assert same["settings"] == {}
    assert same["agreement"] == {"cluster_id": 1, "template_id": 1, "campaign_id": 1}
    other = json.loads(call("compare", "small", reclustered["run"], "--outputs", outputs, "--json").stdout)
    assert other["settings"] == {"cluster.min_owners": [CONFIG.cluster.min_owners, 3]}
    assert other["common_requests"] == other["requests"][1] < other["requests"][0]
    first = next(change for change in other["changes"] if 0 in change["before"])
    assert first["after"]  # the campaign whose text was asked for is there again
    text = call("compare", "small", reclustered["run"], "--outputs", outputs).stdout
    assert f"cluster.min_owners: {CONFIG.cluster.min_owners} -> 3" in text


def test_a_finding_has_the_id_of_the_nights_campaign_that_it_matches(
    outputs: Path, reclustered: Any, loudest: Loudest
) -> None:
    runs = outputs / "runs"
    campaigns = pq.read_table(runs / "small" / "exports" / "campaigns.parquet")["campaign_id"].to_pylist()
    names = {number: f"c-{number:012d}" for number in campaigns}
    seen = [SightingRow(DAY, name, "campaign", number, True, 1, 1, NOON, NOON) for number, name in names.items()]
    manifest = read_manifest(runs / "small" / "exports")
    assert manifest is not None
    write_lineage(runs / "small", manifest.content, seen, [])
    (runs / LATEST_NIGHT).symlink_to("small")
    try:
        assert stable_ids(open_run(outputs, "small")) == names
        found = stable_ids(open_run(outputs, reclustered["run"]))
        assert found
        assert names[0] in found.values()
        told = json.loads(call("search", loudest.text, "--outputs", outputs, "--json").stdout)
        assert {row["campaign_id"]: row["identity"] for row in told["campaigns"]}.items() <= names.items()
        assert names[0] in call("search", loudest.text, "--outputs", outputs).stdout
    finally:
        (runs / LATEST_NIGHT).unlink()
        shutil.rmtree(runs / "small" / "lineage")
