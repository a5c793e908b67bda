"""The whole story of the scripted nights, told from findings as an ideal run would have them: groups of templates that
the same accounts use within the window."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from identities import RULE, START, Ledger, Use, names, seen

from refrain.lineage import Seen
from refrain.lineage.evaluation import JudgedNight, NightsEvaluation, evaluate_nights
from refrain.simulate import Scene, World, sample
from refrain.simulate.nights import NIGHTS_SCHEMA, nights_table, scripts

NIGHTS, WINDOW, JOIN = 20, 5, 0.5


@pytest.fixture(scope="module")
def world() -> World:
    return World(Scene(3, NIGHTS, new_model_day=6), 1, (), (), scripts(NIGHTS, 400))


@pytest.fixture(scope="module")
def rows(world: World) -> list[dict[str, Any]]:
    made = sample(world)
    both = zip(made.log.to_pylist(), made.truth.to_pylist(), strict=True)
    return [
        {**row, **truth, "day": (row["timestamp"] - world.scene.start).days}
        for row, truth in both
        if truth["kind"] == "campaign"
    ]


def groups(rows: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The rows by templates that share accounts, the largest group first."""
    by_template: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        by_template[row["template"]].append(row)
    found: list[list[dict[str, Any]]] = []
    for _, own in sorted(by_template.items()):
        accounts = {row["account_id"] for row in own}
        for group in found:
            others = {row["account_id"] for row in group}
            if len(accounts & others) >= JOIN * len(accounts | others):
                group.extend(own)
                break
        else:
            found.append(list(own))
    return sorted(found, key=len, reverse=True)


def finding(number: int, group: list[dict[str, Any]], night: int) -> Seen:
    sent = Counter((row["account_id"], row["day"], row["model"], row["template"]) for row in group)
    uses = [Use(account, day, count, model, f"{model} {cell}") for (account, day, model, cell), count in sent.items()]
    words = sorted({f"{row['template']} {n}" for row in group for n in range(8)})
    item = seen(number, uses, night, days=WINDOW, words=words)
    assert item is not None
    return item


@pytest.fixture(scope="module")
def told(world: World, rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> NightsEvaluation:
    rule = replace(RULE, ended_days=8)
    ledger, nights = Ledger(rule), []
    for night in range(NIGHTS):
        window = [row for row in rows if night - WINDOW < row["day"] <= night]
        parts = groups(window)
        answer = ledger.night(night, [finding(number, group, night) for number, group in enumerate(parts)])
        ids = names(answer)
        families = {ids[n]: Counter(row["family"] for row in group).most_common(1)[0] for n, group in enumerate(parts)}
        nights.append(
            JudgedNight(
                START + timedelta(days=night),
                {name: family for name, (family, _) in families.items()},
                {name: count for name, (_, count) in families.items()},
                frozenset(families),
                answer.events,
            )
        )
    path: Path = tmp_path_factory.mktemp("truth") / "nights.parquet"
    table = nights_table(world, START, 0)
    shift = START - world.scene.start.date()
    moved = [{**row, "night": row["night"] + shift} for row in table.to_pylist() if row["event"] != "late"]
    pq.write_table(table.from_pylist(moved, schema=NIGHTS_SCHEMA), path)
    return evaluate_nights(nights, path, rule)


def test_every_event_is_told_once_and_no_other(told: NightsEvaluation) -> None:
    assert told.wrong == ()
    assert told.missed == ()
    assert told.by_event == {
        "born": (9, 9, 9), "grew": (1, 1, 1), "shrank": (1, 1, 1), "split": (1, 1, 1), "merged": (1, 1, 1),
        "succeeded": (1, 1, 1), "pivoted": (1, 1, 1), "dormant": (2, 2, 2), "returned": (1, 1, 1), "ended": (1, 1, 1),
    }  # fmt: skip


def test_ids_hold_and_none_is_used_twice(told: NightsEvaluation) -> None:
    assert told.held == 1.0
    assert told.reused == 0
    # The piece's window holds mostly its parent's requests at first.
    assert {family: days for family, days in told.days_to_alert.items() if days} == {"fork_b": 4}
