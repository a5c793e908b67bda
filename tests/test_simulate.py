"""The bundled traffic: reproducible, truthful, and with knobs that turn one thing each."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refrain.errors import InputError
from refrain.segments import SegmentRules, cut
from refrain.simulate import (
    CAMPAIGNS,
    LOOKALIKES,
    Campaign,
    Habits,
    Lookalike,
    Sample,
    Scene,
    World,
    demo_world,
    sample,
    write_sample,
)
from refrain.simulate.disguise import disguised
from refrain.simulate.grammar import LANGUAGES, Grammar, Topic, shared, topics
from refrain.simulate.scene import NEW_MODEL
from refrain.simulate.streams import poisson, stream
from refrain.simulate.wording import fixed_parts, wrappers
from refrain.text import fold, normalise, squeezed

SMALL: dict[str, Any] = {"requests": 1500, "days": 3}
DEV = Path(__file__).parents[2] / "shared" / "bench" / "scenarios" / "dev.json"
QUIET = Habits(shared_card=0, no_card=0)  # nobody but a campaign shares a card


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def traffic(campaign: Campaign, seed: int = 1, days: int = 3, habits: Habits = QUIET) -> Sample:
    """The campaign and next to nobody else."""
    return sample(World(Scene(seed, days, habits=habits), requests=1, campaigns=(campaign,)))


def rows(made: Sample, kind: str | None = "campaign") -> list[dict[str, Any]]:
    """Log and truth joined, of one kind."""
    both = zip(made.log.to_pylist(), made.truth.to_pylist(), strict=True)
    return [{**logged, **truth} for logged, truth in both if kind in (None, truth["kind"])]


def small(**knobs: Any) -> Campaign:
    settled: dict[str, Any] = {"accounts": 12, "per_account": 2.0, "tried_by": 0.0, "cover": 0.0}
    return Campaign("planted", "examiner", **{**settled, **knobs})


@pytest.fixture(scope="module")
def every() -> Sample:
    """All ten campaigns among all look-alikes."""
    return sample(demo_world(seed=5, requests=6000, days=3, campaigns=tuple(CAMPAIGNS)))


@pytest.mark.parametrize("form", ["parquet", "jsonl", "csv"])
def test_same_arguments_same_bytes(tmp_path: Path, form: Any) -> None:
    write_sample(tmp_path / "a", seed=3, format=form, **SMALL)
    write_sample(tmp_path / "b", seed=3, format=form, **SMALL)
    write_sample(tmp_path / "c", seed=4, format=form, **SMALL)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert files(tmp_path / "a")["truth.parquet"] != files(tmp_path / "c")["truth.parquet"]


def test_every_format_holds_the_same_log(tmp_path: Path) -> None:
    for form in ("parquet", "jsonl", "csv"):
        write_sample(tmp_path / form, seed=3, format=form, **SMALL)
    parts = sorted((tmp_path / "parquet" / "requests").glob("day=*/part-0.parquet"))
    stored = [row for part in parts for row in pq.ParquetFile(part).read().to_pylist()]
    for part in parts:
        dates = {t.date().isoformat() for t in pq.ParquetFile(part).read()["timestamp"].to_pylist()}
        assert dates == {part.parent.name.removeprefix("day=")}
    lines = (tmp_path / "jsonl" / "requests" / "requests.jsonl").read_text(encoding="utf-8").splitlines()
    with (tmp_path / "csv" / "requests" / "requests.csv").open(encoding="utf-8", newline="") as file:
        records = list(csv.DictReader(file))
    for row, line, record in zip(stored, lines, records, strict=True):
        text = {k: v.isoformat().replace("+00:00", "Z") if hasattr(v, "isoformat") else v for k, v in row.items()}
        assert json.loads(line) == {k: v for k, v in text.items() if v is not None}
        assert record == {k: v or "" for k, v in text.items()}


def test_truth_stands_beside_the_log_and_not_in_it(every: Sample) -> None:
    log, truth = every.log.to_pydict(), every.truth.to_pydict()
    assert log["request_id"] == truth["request_id"]
    assert log["account_id"] == truth["account_id"]
    assert len(set(log["request_id"])) == len(log["request_id"])
    assert log["timestamp"] == sorted(log["timestamp"])
    assert set(truth["kind"]) == {"organic", "benign_template", "campaign"}
    names = {family.partition(":")[0] for family in truth["family"]} - {"organic"}
    assert names == set(CAMPAIGNS) | {group.name for group in LOOKALIKES}
    telling = re.compile("|".join(names | {"organic/", "benign", "campaign"}))
    # A few names are words ("course"): prompts may say them, what names a request or an account may not.
    for column in set(log) - {"prompt", "system_prompt", "timestamp", "account_created_at"}:
        assert not [v for v in log[column] if v is not None and telling.search(v)], column
    templates = {t for t in truth["template"] if t is not None}
    assert not [p for p in log["prompt"] + log["system_prompt"] if p is not None and any(t in p for t in templates)]


def test_times_lie_in_the_log_and_after_the_sign_up(every: Sample) -> None:
    scene = Scene(0, 3)
    for row in every.log.to_pylist():
        assert scene.start <= row["timestamp"] < scene.end
        assert row["account_created_at"] < row["timestamp"]


def test_the_demo_has_the_size_that_the_demo_machine_bears() -> None:
    made = sample(demo_world(seed=7, requests=7000, days=3))
    counts = made.counts()
    rules = SegmentRules(max_words=40, window_words=20, max_segments=5000)
    texts = set(made.log["prompt"].to_pylist()) | set(made.log["system_prompt"].to_pylist()) - {None}
    segments = {normalised for text in texts for normalised, _ in cut(text, rules)}
    assert (counts["requests"], counts["campaigns"]) == (7000, 4)
    assert 700 <= counts["accounts"] <= 1000
    assert len(segments) <= 9000  # some 25 seconds of encoding
    organic = [row["prompt"] for row in rows(made, "organic")]
    assert len(set(organic)) > 0.85 * len(organic)


def test_a_log_without_campaigns_has_the_same_innocent_groups() -> None:
    clean = sample(demo_world(seed=5, requests=4000, days=3, campaigns=()))
    hidden = sample(demo_world(seed=5, requests=4000, days=3))
    assert clean.counts()["campaigns"] == 0
    assert rows(clean, "benign_template") == rows(hidden, "benign_template")


def wording_pattern(grammar: Grammar, text: str) -> str:
    """A regular expression that matches whatever the grammar can make of the text."""
    out, at = "", 0
    for symbol in re.finditer(r"<([a-z_0-9]+)>", text):
        options = "|".join(wording_pattern(grammar, option) for option in grammar.rules[symbol[1]])
        out += f"{re.escape(text[at : symbol.start()])}(?:{options})"
        at = symbol.end()
    return out + re.escape(text[at:])


@pytest.mark.parametrize("name", sorted(CAMPAIGNS))
def test_every_campaign_sends_its_wrapper_from_a_pool(every: Sample, name: str) -> None:
    sent = [row for row in rows(every) if row["family"] == name]
    wrapper = wrappers("wrappers")[CAMPAIGNS[name].wrapper]
    assert len({row["account_id"] for row in sent}) >= CAMPAIGNS[name].accounts / 2
    assert len({row["template"] for row in sent}) == len(list(CAMPAIGNS[name].wordings()))
    for row in sent:
        language, _, variant = row["template"].partition("/")[2].partition("-")
        text = wrapper.texts[language][int(variant)]
        read = row["system_prompt"] if wrapper.place == "system" else row["prompt"]
        if CAMPAIGNS[name].rewording:
            assert all(re.search(wording_pattern(wrapper.grammar, part), fold(read)) for part in fixed_parts(text))
        else:
            canonical = wrapper.worded(language, int(variant), 0, stream(0))
            plain = squeezed(normalise(read))
            assert all(squeezed(normalise(part)) in plain for part in fixed_parts(canonical))


shares = st.floats(0, 1)
seeds = st.integers(0, 50)
brief = settings(max_examples=12, deadline=None)
# What each knob may change in the log of the same requests.
TURNS = {
    "card_share": {"payment_hash"},
    "subnet_share": {"ip"},
    "client_share": {"user_agent"},
    "fresh_share": {"account_created_at"},
    "rewording": {"prompt", "system_prompt"},
    "obfuscation": {"prompt", "system_prompt"},
}


@brief
@given(knob=st.sampled_from(sorted(TURNS)), low=shares, high=shares, seed=seeds)
def test_a_knob_turns_one_thing(knob: str, low: float, high: float, seed: int) -> None:
    first, second = (
        {row["request_id"]: row for row in rows(traffic(small(cover=0.3, **{knob: value}), seed), None)}
        for value in (low, high)
    )
    assert first.keys() == second.keys()
    for request_id, row in first.items():
        assert {column for column in row if row[column] != second[request_id][column]} <= TURNS[knob]


@brief
@given(seed=seeds)
def test_rewording_runs_from_one_text_to_many(seed: int) -> None:
    fixed, free = (
        {row["system_prompt"] for row in rows(traffic(small(rewording=share), seed))} for share in (0.0, 1.0)
    )
    assert len(fixed) == 1
    assert len(free) > 10


@brief
@given(seed=seeds, accounts=st.integers(2, 40))
def test_cards_are_shared_as_the_knob_says(seed: int, accounts: int) -> None:
    for share in (0.0, 1.0):
        sent = rows(traffic(small(accounts=accounts, card_share=share, accounts_per_card=8), seed))
        members = {row["account_id"] for row in sent}
        cards = {row["payment_hash"] for row in sent}
        assert len(cards) == len(members) if share == 0 else len(cards) <= max(1, accounts // 8)


@brief
@given(seed=seeds)
def test_infrastructure_and_age_follow_their_knobs(seed: int) -> None:
    shared_all = rows(traffic(small(subnet_share=1.0, client_share=1.0, fresh_share=1.0), seed))
    alone = rows(traffic(small(subnet_share=0.0, client_share=0.0, fresh_share=0.0, addresses=9), seed))
    start = Scene(seed, 3).start
    assert len({row["ip"].rpartition(".")[0] for row in shared_all}) == 1
    assert len({row["ip"].rpartition(".")[0] for row in alone}) > 12
    assert len({row["user_agent"] for row in shared_all}) == 1
    assert len({row["user_agent"] for row in alone}) > 1
    assert min(row["account_created_at"] for row in shared_all) >= start - timedelta(days=14)
    assert max(row["account_created_at"] for row in alone) <= start - timedelta(days=60)


@brief
@given(seed=seeds, cover=st.floats(0, 0.7))
def test_cover_is_the_share_of_ordinary_requests(seed: int, cover: float) -> None:
    campaign = small(accounts=60, cover=cover, rhythm="flat")
    kinds = [row["kind"] for row in rows(traffic(campaign, seed), None) if row["family"].startswith("planted")]
    ordinary = kinds.count("organic") / len(kinds)
    assert ordinary == 0 if cover == 0 else abs(ordinary - cover) < 0.15


def test_a_pool_is_taken_up_replaced_and_moved_to_the_new_model() -> None:
    start = Scene(0, 4).start
    sent = rows(traffic(small(first_day=1, replaced_on=2, pivot_on=3, pivot_share=1.0), days=4), None)
    of_day: dict[int, list[dict[str, Any]]] = {day: [] for day in range(4)}
    for row in sent:
        of_day[(row["timestamp"] - start).days].append(row)
    hidden = {day: {r["account_id"] for r in on if r["kind"] == "campaign"} for day, on in of_day.items()}
    before = {row["account_id"] for row in of_day[0]}
    assert hidden[0] == set()
    assert len(before & hidden[1]) > 3  # they lived an ordinary life first
    assert hidden[1] & (hidden[2] | hidden[3]) == set()
    assert hidden[2] & hidden[3]
    for day, on in of_day.items():
        models = [r["model"] == NEW_MODEL for r in on if r["kind"] == "campaign"]
        assert all(models) if day == 3 else models.count(True) <= len(models) / 2


@given(strength=st.floats(0, 0.2), seed=seeds)
@settings(max_examples=60, deadline=None)
def test_a_disguise_is_undone_by_the_form_that_comparisons_use(strength: float, seed: int) -> None:
    text = "Speak your mind from the first moment to the last; a doubt may stay in 3 places, or in none."
    touched = disguised(text, strength, stream(seed))
    assert squeezed(normalise(touched)) == squeezed(normalise(text))
    assert strength > 0 or touched == text
    assert disguised(text, 0.5, stream(seed)) != text


@given(mean=st.sampled_from([0.0, 0.7, 4.0, 90.0]))
def test_poisson_counts_have_their_mean(mean: float) -> None:
    rng = stream(1, "counts")
    draws = [poisson(rng, mean) for _ in range(2000)]
    assert abs(sum(draws) / len(draws) - mean) <= 5 * (mean / len(draws)) ** 0.5
    variance = sum((d - mean) ** 2 for d in draws) / len(draws)
    assert abs(variance - mean) <= 0.2 * mean


@pytest.mark.parametrize(
    "wrong",
    [
        {"accounts": 1},
        {"cover": 1.0},
        {"card_share": 1.5},
        {"rewording": -0.1},
        {"languages": ("xx",)},
        {"variants": 9},
    ],
)
def test_an_impossible_campaign_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"share|accounts|variants"):
        small(**wrong)


def test_an_impossible_world_is_refused() -> None:
    with pytest.raises(ValueError, match="same name"):
        World(Scene(0, 1), 1, campaigns=(small(), small()))
    with pytest.raises(ValueError, match="wrapper"):
        Lookalike("nothing", "popular")
    with pytest.raises(ValueError, match="day"):
        Scene(0, 0)


def assert_complete(grammar: Grammar, texts: tuple[str, ...]) -> None:
    """Every symbol leads to text: all are known, none leads back to itself."""

    def walk(text: str, above: tuple[str, ...]) -> None:
        for symbol in re.findall(r"<([a-z_0-9]+)>", text):
            assert symbol in grammar.rules, f"unknown symbol {symbol}"
            assert symbol not in above, f"circular symbol {symbol}"
            for option in grammar.rules[symbol]:
                walk(option, (*above, symbol))

    for text in texts:
        walk(text, ())


@pytest.mark.parametrize("name", [*LANGUAGES, "code", "passages", "personas"])
def test_every_topic_can_be_composed(name: str) -> None:
    found: dict[str, Topic] = dict(topics(name))
    assert found
    for topic in found.values():
        assert_complete(topic.grammar, topic.frames)
    if name in LANGUAGES:
        assert all(shared(name)[habit] for habit in ("lead", "tail", "short"))


@pytest.mark.parametrize("name", ["wrappers", "lookalikes"])
def test_every_wrapper_can_be_worded_and_filled(name: str) -> None:
    for wrapper in wrappers(name).values():
        for texts in wrapper.texts.values():
            assert_complete(wrapper.grammar, texts)
        for key in wrapper.tasks:
            assert key in topics(key.partition("/")[0])


@pytest.mark.skipif(not DEV.exists(), reason="the shared benchmark is not here")
def test_our_wordings_are_not_those_of_the_benchmark() -> None:
    def runs(text: str, words: int = 6) -> set[tuple[str, ...]]:
        found = re.findall(r"\w+", text.lower())
        return {tuple(found[at : at + words]) for at in range(len(found) - words + 1)}

    scenario = json.loads(DEV.read_text(encoding="utf-8"))
    theirs: set[tuple[str, ...]] = set()
    for family in scenario["campaigns"] + scenario["benign"]:
        for text in [*family.get("templates", []), *family.get("inject", []), family.get("system") or ""]:
            theirs |= runs(text)
    ours = [
        wrapper.worded(language, variant, 0, stream(0))
        for name in ("wrappers", "lookalikes")
        for wrapper in wrappers(name).values()
        for language, texts in wrapper.texts.items()
        for variant in range(len(texts))
    ]
    assert theirs
    assert not [text for text in ours if runs(text) & theirs]


def test_only_an_earlier_sample_is_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_sample(out, seed=1, requests=1500, days=3)
    write_sample(out, seed=1, requests=1500, days=2)
    assert len(list((out / "requests").iterdir())) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    (out / "requests" / "mine.jsonl").write_text("{}\n")
    kept = files(out)
    with pytest.raises(InputError):
        write_sample(out, seed=2, requests=1500, days=2)
    assert files(out) == kept
    with pytest.raises(InputError):
        write_sample(tmp_path, seed=2, requests=1500, days=2)
    with pytest.raises(InputError):
        write_sample(tmp_path / "new", campaigns=("no_such",))


@pytest.mark.parametrize("days", [1, 9])
def test_a_sample_may_be_short_or_long(days: int) -> None:
    world = demo_world(seed=2, requests=900 * days, days=days, campaigns=tuple(CAMPAIGNS))
    made = sample(replace(world, requests=1))
    assert {row["family"] for row in rows(made)} == set(CAMPAIGNS)
    assert {t.date() for t in made.log["timestamp"].to_pylist()} == {world.scene.day(d).date() for d in range(days)}
