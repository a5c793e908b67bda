"""The score stage over whole logs: planted pools are found and nobody else, each request is labelled by rule."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import SmallRun
from tables import START, Log, Request, Template, log_of, write_requests, write_templates

from refrain import assessing, campaigns
from refrain.artifacts import Store
from refrain.assessing import Scene
from refrain.campaigns import score_campaigns
from refrain.config import ScoreConfig
from refrain.counting import Ints
from refrain.known import NOTHING_KNOWN, KnownLists
from refrain.progress import NoProgress, Progress
from refrain.rounds import Round, State
from refrain.settings import load_settings
from refrain.signals import Signal

CONFIG = load_settings().config.score
FIRST, SECOND = "Grade both answers under this rubric.", "Write down every step of your reasoning."
LINE = "Take the next task from the list below."
PRODUCT = "You are the assistant inside one product."
POPULAR = [f"Act as an expert in subject number {n} please." for n in range(12)]
SMALL_TALK = [f"hello there {n}" for n in range(40)]
DAYS = 7


def person(name: str, rng: np.random.Generator) -> list[Request]:
    """Somebody with waking hours, a card and a network, who tries popular templates and sometimes takes a line."""
    peak, network, client = rng.normal(14, 2), int(rng.integers(60_000)), int(rng.integers(8))
    out = []
    for number in range(int(rng.integers(6, 30))):
        hour = float(np.mod(rng.normal(peak, 3), 24))
        text = [str(rng.choice(SMALL_TALK))]
        if rng.random() < 0.25:
            text.append(str(rng.choice(POPULAR)))
        if rng.random() < 0.04:
            text.append(LINE)
        out.append(_request(name, number, int(rng.integers(DAYS)) * 24 + hour, text, network, name, f"client-{client}"))
    return out


def member(name: str, wrappers: Sequence[str], cards: int, rng: np.random.Generator) -> list[Request]:
    """An account of a pool: round the clock, nearly always with the pool's wrapper, on one of the pool's few cards."""
    card, network = f"card {wrappers[0]} {int(rng.integers(cards))}", int(rng.integers(60_000))
    out = []
    for number in range(int(rng.integers(14, 30))):
        text = [str(rng.choice(SMALL_TALK))]
        if number:
            text.append(wrappers[number % len(wrappers)])
            if rng.random() < 0.4:
                text.append(LINE)
        hour = float(rng.uniform(0, DAYS * 24))
        out.append(_request(name, number, hour, text, network, card, f"client-{int(rng.integers(8))}"))
    return out


def _request(
    account: str, number: int, hour: float, text: Sequence[str], network: int, card: str, client: str
) -> Request:
    more = {"ip": f"10.{network // 256}.{network % 256}.7", "payment_hash": card, "user_agent": client}
    when = START + timedelta(hours=min(hour, DAYS * 24 - 0.01))
    return Request(f"{account}-{number}", account, when, tuple(("user", t) for t in text), more)


def planted(seed: int = 0) -> list[Request]:
    """320 people and two pools of twelve that share two accounts."""
    rng = np.random.default_rng(seed)
    out = [r for n in range(320) for r in person(f"person-{n}", rng)]
    out += [r for n in range(10) for r in member(f"first-{n}", [FIRST], 4, rng)]
    out += [r for n in range(10) for r in member(f"second-{n}", [SECOND], 3, rng)]
    return out + [r for n in range(2) for r in member(f"both-{n}", [FIRST, SECOND], 2, rng)]


POOLS = {
    FIRST: {*(f"first-{n}" for n in range(10)), "both-0", "both-1"},
    SECOND: {*(f"second-{n}" for n in range(10)), "both-0", "both-1"},
}
TEMPLATES = [FIRST, SECOND, LINE, PRODUCT, *POPULAR]


@dataclass(frozen=True)
class Scored:
    """What the stage left of a log."""

    log: Log
    templates: list[str]
    folder: Path

    def table(self, name: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = pq.read_table(self.folder / f"{name}.parquet").to_pylist()
        return rows

    def alerts(self) -> dict[tuple[str, ...], set[str]]:
        """The accounts of each campaign that alerts, by its templates."""
        members = defaultdict(set)
        for row in self.table("members"):
            members[row["campaign_id"]].add(self.log.accounts[row["account_row"]])
        return {
            tuple(sorted(self.templates[t] for t in row["templates"])): members[row["campaign_id"]]
            for row in self.table("campaigns")
            if row["alert"]
        }


def scored(
    root: Path, requests: list[Request], known: KnownLists = NOTHING_KNOWN, config: ScoreConfig = CONFIG
) -> Scored:
    log = log_of(requests)
    write_requests(root / "requests", log)
    templates = [text for text in TEMPLATES if text in log.segment_rows]
    write_templates(root / "templates", log, [Template(text, (text,)) for text in templates])
    (root / "neighbours").mkdir()
    np.save(root / "neighbours" / "segment_rows.npy", np.zeros(0, np.int64))
    np.save(root / "neighbours" / "indices.npy", np.zeros((0, 15), np.int64))
    out = root / "campaigns"
    out.mkdir()
    graded = log.segment_rows.get(FIRST, -1)

    def near(rows: Ints) -> dict[int, list[Signal]]:
        return {graded: [Signal("rubric grading", 0.8, "vector")]} if graded in rows else {}

    score_campaigns(
        root / "requests", root / "neighbours", root / "templates", out, config,
        store=Store(root / "store"), progress=NoProgress(), near=near, known=known,
    )  # fmt: skip
    return Scored(log, templates, out)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Scored:
    return scored(tmp_path_factory.mktemp("planted"), planted())


def test_two_pools_are_two_campaigns_and_nobody_else_is_one(found: Scored) -> None:
    alerts = found.alerts()
    assert set(alerts) == {(FIRST,), (SECOND,)}
    for (wrapper,), accounts in alerts.items():
        assert accounts <= POOLS[wrapper]
        assert len(accounts) >= 10


def test_a_line_that_both_pools_and_people_use_is_no_campaign(found: Scored) -> None:
    assert all(LINE not in templates for templates in found.alerts())


def test_what_falls_short_of_the_alert_is_listed_below_it(tmp_path: Path) -> None:
    strict = scored(tmp_path, planted(), config=replace(CONFIG, false_discovery_rate=1e-30))
    assert strict.alerts() == {}
    members = defaultdict(set)
    for row in strict.table("members"):
        members[row["campaign_id"]].add(strict.log.accounts[row["account_row"]])
    listed = {tuple(strict.templates[t] for t in row["templates"]): row for row in strict.table("campaigns")}
    assert set(listed) == {(FIRST,), (SECOND,)}
    for (wrapper,), row in listed.items():
        assert row["p_value"] <= CONFIG.listed_p
        assert members[row["campaign_id"]] <= POOLS[wrapper]


def test_campaigns_are_ranked_and_their_numbers_agree_with_their_members(found: Scored) -> None:
    campaigns, members = found.table("campaigns"), found.table("members")
    assert [c["campaign_id"] for c in campaigns] == list(range(len(campaigns)))
    assert [(not c["alert"], -c["score"]) for c in campaigns] == sorted(
        (not c["alert"], -c["score"]) for c in campaigns
    )
    for campaign in campaigns:
        own = [m for m in members if m["campaign_id"] == campaign["campaign_id"]]
        assert campaign["accounts"] == len(own)
        assert campaign["requests"] == sum(m["requests"] for m in own)
        if own:
            assert campaign["first_seen"] == min(m["first_use"] for m in own)
    sent = Counter(r.account_id for r in found.log.requests)
    for row in members:
        assert row["share"] == pytest.approx(row["requests"] / sent[found.log.accounts[row["account_row"]]])
    assert [c["signal_tags"] for c in campaigns if c["templates"] == [0]] == [["rubric grading"]]


def test_every_campaign_shows_every_test_and_every_hypothesis(found: Scored) -> None:
    tests, benign = found.table("tests"), found.table("benign")
    for campaign in found.table("campaigns"):
        own = [t for t in tests if t["campaign_id"] == campaign["campaign_id"]]
        assert {t["family"] for t in own} == {"identity", "time", "use"}
        assert all((t["p_value"] is None) == (t["off"] is not None) and t["text"] for t in own)
        holding = [b["hypothesis"] for b in benign if b["campaign_id"] == campaign["campaign_id"] and b["holds"]]
        assert holding == campaign["benign"]


def check_labels(
    log_requests: int, uses: list[dict[str, Any]], owners: Sequence[int], folder: Path, *, reworded: bool = False
) -> None:
    """The rule of docs/architecture.md, request by request: the best frame, which has the smallest number, among those
    of the highest-ranked campaign whose member the owner is, else among all."""
    read = {
        n: pq.read_table(folder / f"{n}.parquet").to_pylist() for n in ("campaigns", "members", "request_campaigns")
    }
    held = defaultdict(list)
    for use in uses:
        held[use["request_row"]].append(use["template_id"])
    members = {(m["campaign_id"], m["owner_row"]) for m in read["members"]}
    assert [r["request_row"] for r in read["request_campaigns"]] == list(range(log_requests))
    for label in read["request_campaigns"]:
        row = label["request_row"]
        expected: tuple[int | None, int | None] = (None, None)
        if held[row]:
            expected = (min(held[row]), None)
        for campaign in read["campaigns"]:
            own = [t for t in held[row] if t in campaign["templates"]]
            if own and (campaign["campaign_id"], owners[row]) in members:
                expected = (min(own), campaign["campaign_id"])
                break
        found = (label["template_id"], label["campaign_id"])
        if expected[1] is None and found[1] is not None:
            assert reworded  # tests/test_rewordings.py holds which
            continue
        assert found == expected


def test_every_request_is_labelled_by_the_rule(found: Scored) -> None:
    uses = pq.read_table(found.folder.parent / "templates" / "request_templates.parquet").to_pylist()
    owners = [found.log.owners[r.account_id] for r in found.log.requests]
    check_labels(len(found.log.requests), uses, owners, found.folder)


def test_the_same_log_gives_the_same_bytes(found: Scored, tmp_path: Path) -> None:
    requests = planted()
    np.random.default_rng(5).shuffle(requests)
    again = scored(tmp_path, requests)
    for path in sorted(found.folder.iterdir()):
        assert path.read_bytes() == (again.folder / path.name).read_bytes(), path.name


@pytest.mark.parametrize("sent", [assessing._SENT, 0])
def test_further_cores_give_the_same_bytes(
    found: Scored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: int
) -> None:
    """Also where no worker has what all share, and all parts come back undone."""
    monkeypatch.setattr(assessing, "_ALONE_BELOW", 1)
    monkeypatch.setattr(assessing, "_SENT", sent)
    again = scored(tmp_path, planted())
    for path in sorted(found.folder.iterdir()):
        assert path.read_bytes() == (again.folder / path.name).read_bytes(), path.name


def test_other_names_for_the_accounts_give_the_same_campaigns(found: Scored, tmp_path: Path) -> None:
    """Rows are numbered by names, so that other names are a permutation of all rows of accounts and owners."""
    names = sorted({r.account_id for r in planted()})
    order = np.random.default_rng(6).permutation(len(names)).tolist()
    renamed = {name: f"account-{place:03d}" for name, place in zip(names, order, strict=True)}
    other = scored(tmp_path, [replace(r, account_id=renamed[r.account_id]) for r in planted()])
    assert other.alerts() == {key: {renamed[a] for a in accounts} for key, accounts in found.alerts().items()}


def test_an_account_that_repeats_itself_exactly_creates_no_member_elsewhere(found: Scored, tmp_path: Path) -> None:
    source = next(r for r in planted() if r.account_id == "person-3" and len(r.segments) == 1)
    repeated = [
        replace(source, request_id=f"again-{n}", timestamp=source.timestamp + timedelta(seconds=n)) for n in range(300)
    ]
    assert scored(tmp_path, planted() + repeated).alerts() == found.alerts()


def test_prompt_account_and_time_alone_are_enough(tmp_path: Path) -> None:
    bare = scored(tmp_path, [replace(r, more={}) for r in planted()])
    assert {(FIRST,), (SECOND,)} <= set(bare.alerts())
    off = {t["test"]: t["off"] for t in bare.table("tests") if t["campaign_id"] == 0 and t["p_value"] is None}
    assert {"young", "client", "card", "network", "addresses"} <= set(off)
    assert off["card"] == "the log has no payment method"


def test_one_familys_evidence_is_listed_where_the_content_is_worth_a_look(tmp_path: Path) -> None:
    """Two templates that a dozen people each use a lot, who are people in all else; the first is near a probe."""
    rng = np.random.default_rng(6)
    log = [r for n in range(330) for r in person(f"person-{n}", rng)]
    for name, wrapper in (("one", FIRST), ("two", SECOND)):
        for n in range(12):
            log += [replace(r, segments=(*r.segments, ("user", wrapper))) for r in person(f"{name}-{n}", rng)]
    found = scored(tmp_path, log)
    listed = [[found.templates[t] for t in row["templates"]] for row in found.table("campaigns")]
    assert found.alerts() == {}
    assert [FIRST] in listed
    assert [SECOND] not in listed


def test_members_of_findings_are_no_controls_of_other_pools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Among a hundred and fifty machines of one pool, six that share no card are as busy and as sleepless as most."""
    rng = np.random.default_rng(3)
    log = [r for n in range(300) for r in person(f"person-{n}", rng)]
    log += [r for n in range(150) for r in member(f"first-{n}", [FIRST], 30, rng)]
    log += [r for n in range(6) for r in member(f"second-{n}", [SECOND], 10**9, rng)]
    assert set(scored(tmp_path / "rounds", log).alerts()) == {(FIRST,), (SECOND,)}

    def once(scene: Scene, state: State, found: Round, taken: Ints, progress: Progress) -> State:
        return State([None] * len(state.assessed))

    monkeypatch.setattr(campaigns, "without_members", once)
    assert set(scored(tmp_path / "once", log).alerts()) == {(FIRST,)}


def test_a_pool_in_a_public_template_is_told_apart_by_traits_that_say_nothing_of_all_its_users(tmp_path: Path) -> None:
    """A dozen on a few cards, round the clock, among a hundred honest regulars: the cards alone speak of all of them,
    and of the hours of a hundred and twelve a dozen tell nothing."""
    rng = np.random.default_rng(1)
    log = [r for n in range(400) for r in person(f"person-{n}", rng)]
    for n in range(100):
        use = person(f"regular-{n}", rng)
        log += [replace(r, segments=(*r.segments, ("user", FIRST))) if rng.random() < 0.7 else r for r in use]
    log += [r for n in range(12) for r in member(f"pool-{n}", [FIRST], 4, rng)]
    alerts = scored(tmp_path, log).alerts()
    kinds = Counter(name.split("-")[0] for name in alerts[FIRST,])
    assert kinds["pool"] >= 10
    assert kinds.total() - kinds["pool"] <= 5


def customer(name: str, rng: np.random.Generator) -> list[Request]:
    """A user of a product with a client of its own, which works through the tasks of the list."""
    use = [r for r in person(name, rng) if ("user", LINE) not in r.segments]
    return [
        replace(r, segments=(("system", PRODUCT), ("user", LINE)), more={**r.more, "user_agent": "product/1"})
        for r in use
    ]


@pytest.mark.parametrize(("customers", "pool"), [(30, 12), (14, 24)])
def test_users_of_a_product_are_no_members_of_a_pool_that_sends_the_same_line(
    customers: int, pool: int, tmp_path: Path
) -> None:
    """The line's users are the product's and the pool's, so it is one candidate with the template of whoever are more,
    and of all its users together neither is the client one product's nor are the cards their own."""
    rng = np.random.default_rng(5)
    log = [r for n in range(320) for r in person(f"person-{n}", rng) if ("user", LINE) not in r.segments]
    log += [r for n in range(customers) for r in customer(f"customer-{n}", rng)]
    log += [r for n in range(pool) for r in member(f"first-{n}", [FIRST], 4, rng)]
    alerts = scored(tmp_path, log).alerts()
    members = set().union(*alerts.values())
    assert members == {f"first-{n}" for n in range(pool)}


def test_a_product_whose_tasks_others_work_through_raises_no_alert(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    log = [r for n in range(300) for r in person(f"person-{n}", rng) if ("user", LINE) not in r.segments]
    log += [r for n in range(30) for r in customer(f"customer-{n}", rng)]
    for n in range(12):
        use = person(f"other-{n}", rng)
        log += [replace(r, segments=(*r.segments, ("user", LINE))) for r in use if ("user", LINE) not in r.segments]
    assert scored(tmp_path, log).alerts() == {}


def test_people_alone_raise_no_alert(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    assert scored(tmp_path, [r for n in range(320) for r in person(f"person-{n}", rng)]).alerts() == {}


def test_a_log_without_templates_has_no_campaign(tmp_path: Path) -> None:
    lonely = scored(tmp_path, [_request("a", n, n, ["hello there 1"], 1, "c", "d") for n in range(3)] + [
        _request("b", 0, 5, [FIRST], 1, "c", "d")
    ])  # fmt: skip
    assert lonely.table("campaigns") == []
    assert [(r["template_id"], r["campaign_id"]) for r in lonely.table("request_campaigns")] == [
        (None, None), (None, None), (None, None), (0, None)
    ]  # fmt: skip


def test_the_campaigns_of_the_sample_are_found_and_labelled_by_the_rule(small_run: SmallRun) -> None:
    run = small_run.run
    requests = [
        row
        for path in sorted((run / "requests" / "requests").glob("day=*/*.parquet"))
        for row in pq.ParquetFile(path).read(["request_id", "account_row"]).to_pylist()
    ]
    accounts = pq.read_table(run / "requests" / "accounts.parquet").to_pylist()
    uses = pq.read_table(run / "templates" / "request_templates.parquet").to_pylist()
    check_labels(
        len(requests),
        uses,
        [accounts[r["account_row"]]["owner_row"] for r in requests],
        run / "campaigns",
        reworded=True,
    )
    truth = {t["request_id"]: t for t in pq.read_table(small_run.truth).to_pylist()}
    alerts = {
        c["campaign_id"] for c in pq.read_table(run / "campaigns" / "campaigns.parquet").to_pylist() if c["alert"]
    }
    labelled = hostile = 0
    for label in pq.read_table(run / "campaigns" / "request_campaigns.parquet").to_pylist():
        if label["campaign_id"] in alerts:
            kind = truth[requests[label["request_row"]]["request_id"]]
            labelled += 1
            hostile += kind["kind"] == "campaign"
    assert hostile >= 0.9 * labelled > 0
