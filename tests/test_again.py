"""Nights that are run anew on another log: what is the same thing keeps its id, and no id is ever two things."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from identities import KEY, RULE, START, Use, pool, seen, uses
from nights_of import NOON, SQLITE, campaign, day, night
from test_ledger_cli import call

from refrain.config import LedgerConfig
from refrain.errors import InputError, LedgerError
from refrain.ledger import Ledger, open_ledger, tables
from refrain.ledger.names import resolve
from refrain.ledger.rows import STATES
from refrain.lineage import Known, LineageRule, Seen, match, matchable
from refrain.night_publishing import record_seen

GRADE = tuple(f"grade the answer {n}" for n in range(12))
PLAN = tuple(f"plan the journey {n}" for n in range(12))
Log = dict[tuple[str, ...], Sequence[Use]]  # by the words of the template


@pytest.fixture
def ledger(tmp_path: Path, ledger_config: LedgerConfig) -> Iterator[Ledger]:
    """An empty ledger."""
    with open_ledger(tmp_path, ledger_config) as opened:
        yield opened


def found(log: Log, number: int, kind: str = "campaign") -> list[Seen]:
    """What a run over five days that end with a night has."""
    all_seen = [seen(at, sent, number, words=words, kind=kind) for at, (words, sent) in enumerate(log.items())]
    return [one for one in all_seen if one is not None]


def record(ledger: Ledger, log: Log, number: int, *, again: bool = False) -> dict[tuple[str, ...], str]:
    """The ids of a night by words, after it was recorded."""
    shift = START - day(0)
    row = night(number)
    row = replace(row, day=row.day + shift, first_day=row.first_day + shift, last_day=row.last_day + shift)
    record_seen(ledger, row, found(log, number), RULE, key=KEY, again=again)
    at = {sighting.local_id: sighting.identity for sighting in ledger.sightings(day=row.day)}
    return {words: at[number] for number, words in enumerate(log) if number in at}


def rows(ledger: Ledger) -> tuple[object, ...]:
    """All that stands in the nights."""
    return ledger.nights(), ledger.identities("campaign"), ledger.sightings(), ledger.events()


def log_of(grade: Sequence[str], plan: Sequence[str]) -> Log:
    """Two campaigns: one from the first day on, one from the third."""
    return {GRADE: uses(grade, range(9)), PLAN: uses(plan, range(2, 9))}


FIRST = log_of(pool("a", 20), pool("b", 20))
# Some accounts less and some more: another birth signature, so ids that are minted would be others.
CHANGED = log_of([*pool("a", 18), *pool("x", 3)], [*pool("b", 17), *pool("y", 2)])


def test_the_same_log_again_is_the_same_to_the_last_row(ledger: Ledger) -> None:
    for number in range(6):
        record(ledger, FIRST, number)
    before = rows(ledger)
    for number in range(6):
        record(ledger, FIRST, number, again=number == 0)
    assert rows(ledger) == before
    assert ledger.aside() == {}


def test_a_slightly_changed_log_keeps_ids_and_decisions(ledger: Ledger, tmp_path: Path) -> None:
    ids = [record(ledger, FIRST, number) for number in range(6)][-1]
    ledger.decide(ids[PLAN], "confirmed", by="lea", when=NOON, why="so")
    fresh = set(ids.values())
    again = [record(ledger, CHANGED, number, again=number == 0) for number in range(6)]
    assert [set(one.values()) <= fresh for one in again] == [True] * 6
    assert again[-1] == ids
    assert ledger.aside() == {}
    assert [row.identity for row in ledger.decisions()] == [ids[PLAN]]
    assert {row.members for row in ledger.sightings(ids[PLAN])} == {19}
    # Without what stood before, the same log has other ids.
    with open_ledger(tmp_path / "other", SQLITE) as other:
        assert set(record(other, CHANGED, 0).values()).isdisjoint(fresh)


def test_what_is_gone_gives_its_id_to_nothing_else(ledger: Ledger) -> None:
    other = tuple(f"translate the page {n}" for n in range(12))
    ids = [record(ledger, FIRST, number) for number in range(6)][-1]
    ledger.decide(ids[PLAN], "watching", by="lea", when=NOON, why="so")
    changed: Log = {GRADE: FIRST[GRADE], other: uses(pool("z", 20), range(2, 9))}
    for number in range(2, 6):
        last = record(ledger, changed, number, again=number == 2)
        retired = ledger.aside()[ids[PLAN]]
        assert retired == (number == 5)  # only now can nothing come back any more
        assert last[GRADE] == ids[GRADE]
        assert last[other] not in ids.values()
    assert ledger.aside() == {ids[PLAN]: True}
    # Not on a later night either, even if the thing itself were there.
    later = record(ledger, {**changed, PLAN: FIRST[PLAN]}, 6)
    assert later[PLAN] != ids[PLAN]
    assert ledger.aside() == {ids[PLAN]: True}
    with pytest.raises(LedgerError, match="no such identity"):
        ledger.decide(ids[PLAN], "confirmed", by="lea", when=NOON, why="so")
    with pytest.raises(InputError, match="is retired"):
        resolve(ledger, ids[PLAN])
    assert resolve(ledger, ids[PLAN], gone=True) == ids[PLAN]


def test_a_log_that_was_mended_brings_a_retired_id_back(ledger: Ledger) -> None:
    ids = [record(ledger, FIRST, number) for number in range(6)][-1]
    before = rows(ledger)
    for number in range(6):
        record(ledger, {GRADE: FIRST[GRADE]}, number, again=number == 0)
    assert ledger.aside() == {ids[PLAN]: True}
    for number in range(6):
        record(ledger, CHANGED, number, again=number == 0)
    assert ledger.aside() == {}
    for number in range(6):
        record(ledger, FIRST, number, again=number == 0)
    assert rows(ledger) == before


def test_nights_that_stopped_half_way_go_on_with_what_was_there(ledger: Ledger) -> None:
    """Run anew from the first night, killed after the second, begun again, and killed: the ids wait until the end."""
    ids = [record(ledger, FIRST, number) for number in range(6)][-1]
    record(ledger, CHANGED, 0, again=True)
    record(ledger, CHANGED, 1)
    record(ledger, CHANGED, 0, again=True)
    assert ledger.aside() == {ids[PLAN]: False}
    assert record(ledger, CHANGED, 5) == ids  # the nights between were left out
    assert ledger.aside() == {}


def test_of_two_that_claim_an_id_the_liker_one_has_it(ledger: Ledger) -> None:
    [grade] = record(ledger, {GRADE: uses(pool("a", 20), range(9))}, 0).values()
    halves: Log = {GRADE[:9]: uses(pool("a", 6), range(9)), GRADE: uses(pool("a", 20)[6:], range(9))}
    ids = record(ledger, halves, 0, again=True)
    assert ids[GRADE] == grade
    assert ids[GRADE[:9]] != grade
    assert len(set(ids.values())) == 2


def test_the_ledger_itself_refuses_a_retired_id(ledger: Ledger) -> None:
    ledger.record_night(night(0), [campaign(1, 0, 0)], [], [])
    ledger.record_night(night(0), [], [], [])
    assert ledger.aside() == {campaign(1, 0, 0).id: True}
    with pytest.raises(ValueError, match="is retired"):
        ledger.record_night(night(1), [campaign(1, 1, 1)], [], [])
    assert [row.day for row in ledger.nights()] == [day(0)]
    ledger.record_night(night(0), [campaign(1, 0, 0)], [], [])
    assert ledger.aside() == {}


def test_what_is_too_old_to_come_back_keeps_its_id_alone(tmp_path: Path, ledger_config: LedgerConfig) -> None:
    with open_ledger(tmp_path, replace(ledger_config, signature_nights=2)) as ledger:
        ledger.record_night(night(0), [campaign(1, 0, 0)], [], [])
        ledger.record_night(night(0), [], [], [])
        assert [row.id for row in ledger.spare(day(0))] == [campaign(1, 0, 0).id]
        for number in range(1, 4):
            ledger.record_night(night(number), [], [], [])
        with ledger._database.reading() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM aside_states").scalar() == 0
        assert ledger.aside() == {campaign(1, 0, 0).id: True}


def test_decisions_say_what_became_of_an_id(tmp_path: Path) -> None:
    with open_ledger(tmp_path, SQLITE) as ledger:
        rows = [campaign(name << 44, 1, 1) for name in (0xA, 0xB)]
        ledger.record_night(night(0), [], [], [])
        ledger.record_night(night(1), rows, [], [])
        for row in rows:
            ledger.decide(row.id, "watching", by="lea", when=NOON, why="so")
        ledger.record_night(night(0), [], [], [], replace=True)
    place = ("--outputs", tmp_path)
    assert [line.endswith("(taken back)") for line in call("decisions", *place).stdout.splitlines()] == [True] * 2
    with open_ledger(tmp_path, SQLITE) as ledger:
        ledger.record_night(night(1), rows[:1], [], [])
    first, second = call("decisions", *place).stdout.splitlines()
    assert not first.endswith(")")
    assert second.endswith("by lea: so (retired)")
    with open_ledger(tmp_path, SQLITE) as ledger, ledger._database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM aside_states")
        connection.exec_driver_sql(f"DELETE FROM aside WHERE id = '{rows[1].id}'")
    assert call("decisions", *place).stdout.splitlines()[1].endswith("(lost)")
    with open_ledger(tmp_path, SQLITE) as ledger, ledger._database.writing() as connection:
        values = {"id": rows[1].id, "kind": "campaign", "born": day(1), "until": day(1), "retired": True}
        connection.execute(tables.aside.insert().values(**values))
    assert '"gone": "retired"' in call("decisions", "c-b", *place, "--json").stdout
    assert "is retired" in call("decide", "c-b", "watching", "--why", "so", *place, code=2).output


stories = st.lists(
    st.tuples(st.integers(0, 3), st.integers(2, 9), st.integers(0, 9), st.integers(1, 6)), min_size=1, max_size=5
)  # which words, how many accounts, from which day on, for how many days
SHORT: LineageRule = replace(RULE, recent_days=2, ended_days=4, merge_nights=1)


@settings(max_examples=40)
@given(stories=stories, kind=st.sampled_from(["campaign", "template", "cluster"]))
def test_identities_that_are_over_change_no_answer(stories: list[tuple[int, int, int, int]], kind: str) -> None:
    """A night that is given only what can still be matched, and the ids of the rest, answers as with all of them."""
    log: list[tuple[tuple[str, ...], list[Use]]] = [
        (tuple(f"words {which} {n}" for n in range(8)), uses(pool(f"p{at % 2}", accounts), range(first, first + days)))
        for at, (which, accounts, first, days) in enumerate(stories)
    ]
    known: dict[str, Known] = {}
    for number in range(18):
        now = START - day(0) + day(number)
        there = [seen(at, sent, number, days=3, words=words, kind=kind) for at, (words, sent) in enumerate(log)]
        things = [one for one in there if one is not None]
        bounded = [one for one in known.values() if one.state in matchable(one.kind)]
        whole = match(list(known.values()), things, now, SHORT, key=KEY)
        answer = match(bounded, things, now, SHORT, key=KEY, used=set(known))
        assert (answer.assignments, answer.events) == (whole.assignments, whole.events)
        assert [(one.id, one.state, one.signature.content()) for one in answer.identities] == [
            (one.id, one.state, one.signature.content()) for one in whole.identities
        ]
        known |= {one.id: one for one in whole.identities}


def test_only_what_can_be_matched_is_loaded(ledger: Ledger) -> None:
    rows = [campaign(at, 0, 0, state) for at, state in enumerate(STATES)]
    rows += [replace(row, id=row.id.replace("c-", "t-"), kind="template") for row in rows]
    ledger.record_night(night(0), rows, [], [])
    ledger.record_night(night(1), [campaign(1, 0, 1)], [], [])
    for kind, over in (("campaign", {3}), ("template", {2, 3})):
        loaded = ledger.identities(kind, before=day(1), in_states=matchable(kind))  # type: ignore[arg-type]
        expected = [row for at, row in enumerate(rows[4 * (kind == "template") :][:4]) if at not in over]
        assert loaded == expected
    assert [row.state for row in ledger.identities("campaign", in_states=["dormant"])] == []
