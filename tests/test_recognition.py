"""Known findings: a planted pool in a public template ranks lower, and nothing but rank and score depends on a list."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_campaigns import CONFIG, FIRST, LINE, POOLS, SECOND, Scored, planted, scored

from refrain.artifacts import Store
from refrain.findings import finding
from refrain.key import load_key
from refrain.known import KnownLists, KnownTemplate, Suppression
from refrain.recognition import Facts, Recogniser, Recognition
from refrain.suppressions import suppress_finding

TABLES = ("campaigns", "members", "tests", "benign", "signals")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Scored:
    """The planted log, scored with empty lists."""
    return scored(tmp_path_factory.mktemp("bare"), planted())


def dismissed(found: Scored, campaign_id: int) -> Suppression:
    root = found.folder.parent
    detail = finding(root, campaign_id)
    return suppress_finding(
        detail, Store(root / "store").key, name="d", reason="a course", by="me", when="now", silent_p=CONFIG.silent_p
    )


def by_template(found: Scored, table: str) -> dict[tuple[int, ...], list[str]]:
    """The rows of a table for each campaign, by its templates and without its number and score; written out, as what is
    no number equals nothing."""
    own = {row["campaign_id"]: tuple(sorted(row["templates"])) for row in found.table("campaigns")}
    rows: dict[tuple[int, ...], list[str]] = {templates: [] for templates in own.values()}
    for row in found.table(table):
        rows[own[row["campaign_id"]]].append(repr({k: v for k, v in row.items() if k not in ("campaign_id", "score")}))
    return rows


def test_lists_change_the_order_of_findings_and_nothing_else(bare: Scored, tmp_path: Path) -> None:
    top, second = bare.table("campaigns")[:2]
    assert top["alert"] and second["alert"]
    public = bare.templates[top["templates"][0]]
    lists = KnownLists(
        (KnownTemplate("pool", "a paper", public), KnownTemplate("line", "a blog", LINE)), (dismissed(bare, 0),)
    )
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "key").write_bytes(load_key(bare.folder.parent / "store"))
    known = scored(tmp_path, planted(), lists)
    for table in TABLES:
        assert by_template(known, table) == by_template(bare, table), table
    old = {row["campaign_id"]: tuple(row["templates"]) for row in bare.table("campaigns")}
    new = {row["campaign_id"]: tuple(row["templates"]) for row in known.table("campaigns")}
    for before, after in zip(bare.table("request_campaigns"), known.table("request_campaigns"), strict=True):
        assert before["template_id"] == after["template_id"]
        assert old.get(before["campaign_id"]) == new.get(after["campaign_id"])
    # The order: alerts stay before what is none, and inside these by the lowered score.
    rows = known.table("campaigns")
    assert [(not row["alert"], -row["score"]) for row in rows] == sorted((not r["alert"], -r["score"]) for r in rows)
    assert rows[0]["templates"] == second["templates"]
    [moved] = [row for row in rows if row["templates"] == top["templates"]]
    assert moved["score"] == pytest.approx(top["score"] * CONFIG.suppressed_factor)
    assert moved["alert"]
    said = [row for row in known.table("known") if row["campaign_id"] == moved["campaign_id"]]
    assert [(row["name"], row["known"], row["suppressed"], row["note"]) for row in said] == [
        ("d", True, True, "a course"),
        ("pool", True, False, ""),
    ]


def test_with_empty_lists_nothing_is_known(bare: Scored) -> None:
    assert bare.table("known") == []


def recognised(found: Scored, lists: KnownLists, facts: Facts) -> Recognition:
    root = found.folder.parent
    recogniser = Recogniser(lists, root / "requests", root / "templates", CONFIG, Store(root / "store"))
    return recogniser.recognise(facts)


def facts_of(found: Scored, wrapper: str) -> Facts:
    """The facts of the finding in one wrapper, as the stage hands them over."""
    number = found.templates.index(wrapper)
    [campaign] = [row for row in found.table("campaigns") if row["templates"] == [number]]
    own = campaign["campaign_id"]
    members = [row for row in found.table("members") if row["campaign_id"] == own]
    tests = [row for row in found.table("tests") if row["campaign_id"] == own and row["p_value"] is not None]
    return Facts(
        np.full(campaign["requests"], number),
        np.array([row["account_row"] for row in members]),
        frozenset(campaign["families"]),
        {f"{row['family']}_{row['test']}": row["p_value"] for row in tests},
        frozenset(campaign["benign"]),
    )


def test_a_public_template_counts_where_most_requests_are_in_it(bare: Scored) -> None:
    facts = facts_of(bare, FIRST)
    lists = KnownLists((KnownTemplate("f", "s", FIRST), KnownTemplate("far", "s", "nothing that is in here at all")))
    found = recognised(bare, lists, facts)
    assert found.factor == CONFIG.known_factor
    assert [(row["name"], row["similarity"], row["known"]) for row in found.rows] == [("f", 1.0, True)]
    other = bare.templates.index(SECOND)
    half = replace(facts, templates=np.array([facts.templates[0], other]))
    assert recognised(bare, lists, half).factor == 1
    assert [row["known"] for row in recognised(bare, lists, half).rows] == [False]
    assert recognised(bare, lists, replace(facts, templates=np.zeros(0, np.int64))) == Recognition(1.0, [])


def test_a_dismissal_holds_for_its_finding_and_for_no_other(bare: Scored) -> None:
    facts = facts_of(bare, FIRST)
    entry = dismissed(bare, next(
        row["campaign_id"] for row in bare.table("campaigns") if row["templates"] == [facts.templates[0]]
    ))  # fmt: skip
    lists = KnownLists((), (entry,))
    assert recognised(bare, lists, facts).factor == CONFIG.suppressed_factor
    assert recognised(bare, lists, facts_of(bare, SECOND)) == Recognition(1.0, [])
    assert len(entry.members) == len(bare.alerts()[(FIRST,)])
    assert not {account for account in POOLS[FIRST] if account in json.dumps(entry.members)}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({}, ""),
        ({"accounts": "fewer"}, ""),
        ({"accounts": "half"}, ""),
        ({"accounts": "mostly new"}, "accounts are new"),
        ({"families": "more"}, "weather speaks now"),
        ({"families": "none"}, ""),
        ({"tests": "strong"}, "weather forecast shows now"),
        ({"tests": "weak"}, ""),
        ({"benign": "gone"}, "course in one place no longer holds"),
    ],
)
def test_a_dismissal_reopens_when_members_or_evidence_change(bare: Scored, change: dict[str, str], why: str) -> None:
    facts = facts_of(bare, FIRST)
    [number] = [row["campaign_id"] for row in bare.table("campaigns") if row["templates"] == [facts.templates[0]]]
    entry = replace(dismissed(bare, number), benign=("course_in_one_place",))
    facts = replace(facts, benign=frozenset(entry.benign))
    new = np.setdiff1d(np.arange(len(bare.log.accounts)), facts.accounts)
    count = len(facts.accounts)
    facts = {
        "fewer": replace(facts, accounts=facts.accounts[:1]),
        "half": replace(facts, accounts=np.concatenate([facts.accounts, new[:count]])),
        "mostly new": replace(facts, accounts=np.concatenate([facts.accounts, new[: count + 1]])),
        "more": replace(facts, families=facts.families | {"weather"}),
        "none": replace(facts, families=frozenset()),
        "strong": replace(facts, tests={**facts.tests, "weather_forecast": CONFIG.watch_p}),
        "weak": replace(facts, tests={**facts.tests, "weather_forecast": CONFIG.silent_p}),
        "gone": replace(facts, benign=frozenset()),
    }.get(next(iter(change.values()), ""), facts)
    found = recognised(bare, KnownLists((), (entry,)), facts)
    [row] = found.rows
    assert row["suppressed"] == (not why)
    assert found.factor == (1 if why else CONFIG.suppressed_factor)
    assert row["note"] == "a course" if not why else row["note"].startswith("reopened: ") and why in row["note"]


def test_another_key_knows_no_member(bare: Scored, tmp_path: Path) -> None:
    facts = facts_of(bare, FIRST)
    [number] = [row["campaign_id"] for row in bare.table("campaigns") if row["templates"] == [facts.templates[0]]]
    root = bare.folder.parent
    lists = KnownLists((), (dismissed(bare, number),))
    other = Recogniser(lists, root / "requests", root / "templates", CONFIG, Store(tmp_path / "store"))
    assert other.recognise(facts).factor == 1
