"""A run measured against labelled cases: a worked example, the benchmark's own figures, bad input."""

import importlib.util
import json
import random
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import SmallRun

from refrain.errors import InputError
from refrain.evaluation import Evaluation, evaluate

BENCH = Path(__file__).resolve().parents[2] / "shared" / "bench" / "evaluate.py"
NO_BENCH = "the benchmark is not on this machine (../shared/bench)"

Row = tuple[str, str, str, str, str | None]


def write(
    folder: Path,
    rows: list[Row],
    labels: Mapping[str, tuple[int | None, int | None]],
    found: dict[int, tuple[float, bool, list[str]]],
) -> Path:
    """The truth `folder`/truth.parquet and exports in `folder`: request -> (campaign, template), campaign -> (score,
    alert, members)."""
    names = ["request_id", "account_id", "family", "kind", "template"]
    pq.write_table(
        pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))), folder / "truth.parquet"
    )
    account = {r[0]: r[1] for r in rows}
    table = {
        "request_id": list(labels),
        "account_id": [account.get(r, "x") for r in labels],
        "template_id": pa.array([t for _, t in labels.values()], pa.int64()),
        "campaign_id": pa.array([c for c, _ in labels.values()], pa.int64()),
    }
    pq.write_table(pa.table(table), folder / "labels.parquet")
    scores = {
        "campaign_id": list(found),
        "score": [f[0] for f in found.values()],
        "alert": [f[1] for f in found.values()],
    }
    pq.write_table(pa.table(scores), folder / "campaigns.parquet")
    pairs = [(a, c) for c, (_, _, members) in found.items() for a in members]
    members = {"account_id": [a for a, _ in pairs], "campaign_id": pa.array([c for _, c in pairs], pa.int64())}
    pq.write_table(pa.table(members), folder / "accounts.parquet")
    return folder


def test_a_worked_example(tmp_path: Path) -> None:
    rows: list[Row] = [(f"a{i}", f"A{i % 4}", "alpha", "campaign", "alpha/0") for i in range(8)]
    rows += [(f"b{i}", f"B{i % 2}", "beta", "campaign", "beta/0") for i in range(4)]
    rows += [(f"o{i}", f"O{i}", "organic", "organic", None) for i in range(6)]
    labels: dict[str, tuple[int | None, int | None]] = {r[0]: (None, None) for r in rows}
    labels |= {f"a{i}": (0, 0) for i in range(6)} | {"o0": (0, 0)}  # true: six of seven
    labels |= {"o1": (1, 1), "o2": (1, 1), "b0": (1, 1)}  # false: one of three
    folder = write(
        tmp_path, rows, labels, {0: (5.0, True, ["A0", "A1", "A2", "O0"]), 1: (9.0, True, ["O1", "O2", "B0"])}
    )
    got = evaluate(folder / "truth.parquet", folder)
    assert (got.campaigns, got.detected, got.missed) == (2, 1, ["beta"])
    assert (got.account_precision, got.account_recall) == (4 / 7, 4 / 6)
    assert got.innocents == 3
    assert (got.request_precision, got.request_recall) == (7 / 10, 7 / 12)
    assert (got.alerts, got.false_alerts, got.fragments) == (2, 1, 1.0)
    assert got.purity == 6 / 7
    assert got.ap == pytest.approx((1 / 2) / 2)  # the false one ranks first
    assert got.coverage == {"alpha": 0.75, "beta": 0.0}
    assert (got.grouping_precision, got.grouping_recall) == (1.0, 15 / (28 + 6))
    assert got.template_f1 == 0.0


def test_a_template_found_whole_counts(tmp_path: Path) -> None:
    rows: list[Row] = [(f"a{i}", f"A{i}", "alpha", "campaign", "alpha/0") for i in range(5)]
    folder = write(tmp_path, rows, {r[0]: (0, 3) for r in rows}, {0: (1.0, True, [r[1] for r in rows])})
    got = evaluate(folder / "truth.parquet", folder)
    assert (got.template_f1, got.grouping_f1, got.ap, got.account_f1) == (1.0, 1.0, 1.0, 1.0)


def test_a_clean_log_has_false_alerts_and_no_shares(tmp_path: Path) -> None:
    rows: list[Row] = [(f"o{i}", f"O{i}", "organic", "organic", None) for i in range(4)]
    folder = write(tmp_path, rows, {r[0]: (0, 0) for r in rows}, {0: (1.0, True, ["O0", "O1"])})
    got = evaluate(folder / "truth.parquet", folder)
    assert (got.false_alerts, got.false_alerts_per_100k_requests) == (1, 25_000.0)
    assert (got.ap, got.account_recall, got.purity, got.grouping_precision) == (None, None, None, None)


def test_another_log_is_refused(tmp_path: Path) -> None:
    rows: list[Row] = [("a0", "A0", "alpha", "campaign", None)]
    folder = write(tmp_path, rows, {"b0": (None, None)}, {0: (1.0, False, [])})
    with pytest.raises(InputError, match="1 requests that the run has not"):
        evaluate(folder / "truth.parquet", folder)


def test_a_truth_without_a_column_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"request_id": ["a"], "account_id": ["A"]}), tmp_path / "truth.parquet")
    with pytest.raises(InputError, match="lacks the column family"):
        evaluate(tmp_path / "truth.parquet", tmp_path)


def bench() -> ModuleType:
    """The benchmark's own evaluation."""
    spec = importlib.util.spec_from_file_location("bench_evaluate", BENCH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def same_figures(ours: Evaluation, theirs: dict[str, object]) -> None:
    """Nothing; every figure that both have is the same to the fourth place."""
    plain = json.loads(json.dumps(ours.plain()))
    shared = plain.keys() & theirs.keys() - {"coverage"}
    assert len(shared) > 10
    for name in shared:
        assert plain[name] == pytest.approx(theirs[name], abs=6e-3), name


@pytest.mark.skipif(not BENCH.exists(), reason=NO_BENCH)
@pytest.mark.parametrize("seed", range(20))
def test_figures_agree_with_the_benchmark(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    families = [("alpha", "campaign"), ("beta", "campaign"), ("organic", "organic"), ("popular", "benign_template")]
    rows: list[Row] = []
    for i in range(120):
        family, kind = draw.choice(families)
        rows.append((f"r{i}", f"{family}{draw.randrange(8)}", family, kind, f"{family}/0"))
    found = {c: (draw.random(), draw.random() < 0.7, draw.sample(sorted({r[1] for r in rows}), 6)) for c in range(5)}
    labels = {r[0]: (draw.choice([None, 0, 1, 2, 3, 4]), None) for r in rows}
    write(tmp_path, rows, labels, found)
    same_figures(evaluate(tmp_path / "truth.parquet", tmp_path), bench().evaluate(tmp_path / "truth.parquet", tmp_path))


@pytest.mark.slow
@pytest.mark.skipif(not BENCH.exists(), reason=NO_BENCH)
def test_a_real_run_agrees_with_the_benchmark(small_run: SmallRun) -> None:
    exports = small_run.run / "exports"
    same_figures(evaluate(small_run.truth, exports), bench().evaluate(small_run.truth, exports))
