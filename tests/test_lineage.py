"""Ids over nights: one thing keeps one id, and what becomes of it is said once."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from identities import KEY, RULE, START, WORDS, Ledger, Use, names, pool, seen, told, uses

from refrain.errors import InputError, StoreError
from refrain.lineage import Known, Seen, Signature, match, mint, sketch

OTHER = tuple(f"grade the answer {n}" for n in range(12))


def test_a_steady_campaign_keeps_its_id_and_nothing_is_said_of_it() -> None:
    ledger, sent = Ledger(), uses(pool("a", 20), range(20))
    nights = [ledger.night(night, [seen(night % 3, sent, night)]) for night in range(20)]
    ids = {name for night in nights for name in names(night).values()}
    assert len(ids) == 1
    assert told(nights[0]) == [(ids.copy().pop(), "born")]
    assert [told(night) for night in nights[1:]] == [[]] * 19


def test_growth_and_shrinking_are_said_once_each() -> None:
    ledger = Ledger()
    sent = uses(pool("a", 20), range(20)) + uses(pool("b", 20), range(6, 12))
    nights = [ledger.night(night, [seen(0, sent, night)]) for night in range(20)]
    [(name, _)] = told(nights[0])
    assert {n: told(night) for n, night in enumerate(nights) if n and told(night)} == {
        6: [(name, "grew")],
        14: [(name, "shrank")],
    }
    [event] = [event for event in nights[6].events if event.event == "grew"]
    assert event.details == {"accounts": 40, "accounts_before": 20}


def test_a_piece_gets_an_id_of_its_own_that_names_its_parent() -> None:
    ledger = Ledger()
    left, right = uses(pool("a", 20), range(10)), uses(pool("b", 8), range(10))
    whole = names(ledger.night(4, [seen(0, left + right, 4)]))[0]
    night = ledger.night(5, [seen(0, right, 5), seen(1, left, 5)])
    assert names(night)[1] == whole
    piece = names(night)[0]
    assert piece != whole
    splits = {event.identity: event for event in night.events if event.event == "split"}
    assert splits[piece].others == (whole,)
    assert splits[whole].others == (piece,)
    assert splits[piece].details["role"] == "child"
    assert told(ledger.night(6, [seen(0, right, 6), seen(1, left, 6)])) == []


def test_a_merge_is_said_on_its_second_night_and_names_the_parents() -> None:
    ledger = Ledger()
    left, right = uses(pool("a", 20), range(10)), uses(pool("b", 8), range(10))
    first = names(ledger.night(4, [seen(0, left, 4), seen(1, right, 4)]))
    assert told(ledger.night(5, [seen(0, left + right, 5)]), "grew") == []
    night = ledger.night(6, [seen(0, left + right, 6)])
    assert names(night) == {0: first[0]}
    merged = {event.identity: event for event in night.events if event.event == "merged"}
    assert merged[first[0]].others == (first[1],)
    assert merged[first[1]].others == (first[0],)
    assert ledger.known[first[1]].state == "merged"
    # It parts again: a merged-away id is never given again.
    later = ledger.night(7, [seen(0, left, 7), seen(1, right, 7)])
    assert names(later)[0] == first[0]
    assert names(later)[1] not in first.values()


def test_a_merge_of_one_night_burns_no_id() -> None:
    ledger = Ledger()
    left, right = uses(pool("a", 20), range(10)), uses(pool("b", 8), range(10))
    first = names(ledger.night(4, [seen(0, left, 4), seen(1, right, 4)]))
    ledger.night(5, [seen(0, left + right, 5)])
    night = ledger.night(6, [seen(0, right, 6), seen(1, left, 6)])
    assert names(night) == {0: first[1], 1: first[0]}


def test_dormant_returned_and_ended() -> None:
    ledger = Ledger(replace(RULE, ended_days=12))
    sent = uses(pool("a", 20), [0, 1, 2, 3, 14, 15, 16])
    other = uses(pool("z", 9), range(40))
    story = {}
    for night in range(40):
        found = ledger.night(night, [seen(7, sent, night), seen(8, other, night, words=OTHER)])
        if night and told(found):
            story[night] = [word for _, word in told(found)]
    assert story == {6: ["dormant"], 14: ["returned"], 19: ["dormant"], 28: ["ended"]}
    assert len(ledger.known) == 2


def test_what_comes_back_after_its_end_succeeds_it_under_another_id() -> None:
    ledger = Ledger(replace(RULE, ended_days=8))
    sent = uses(pool("a", 20), [0, 1, 2, 20])
    first = names(ledger.night(0, [seen(0, sent, 0)]))[0]
    for night in range(1, 20):
        ledger.night(night, [seen(0, sent, night)])
    late = ledger.night(20, [seen(0, sent, 20)])
    assert ledger.known[first].state == "ended"
    assert names(late)[0] != first
    [event] = [event for event in late.events if event.event == "succeeded"]
    assert event.others == (first,)


def test_a_pool_replaced_inside_the_window_keeps_the_id_and_says_so_once() -> None:
    ledger = Ledger()
    sent = uses(pool("a", 20), range(8)) + uses(pool("b", 20), range(8, 20))
    nights = [ledger.night(night, [seen(0, sent, night)]) for night in range(20)]
    [(name, _)] = told(nights[0])
    assert {n: told(night) for n, night in enumerate(nights) if n and told(night)} == {9: [(name, "succeeded")]}
    [event] = [event for event in nights[9].events if event.event == "succeeded"]
    assert event.details["on"] == "2026-09-09"
    assert (event.details["accounts_gone"], event.details["accounts_new"]) == (20, 20)


def test_a_pool_that_is_replaced_on_the_campaigns_second_day_is_told_from_what_comes_after() -> None:
    ledger = Ledger()
    sent = uses(pool("a", 6), [1]) + uses(pool("b", 6), range(2, 12))
    nights = [ledger.night(night, [seen(0, sent, night)]) for night in range(1, 12)]
    assert [(n, word) for n, night in enumerate(nights, 1) for _, word in told(night)][1:] == [(3, "succeeded")]
    [event] = [event for event in nights[2].events if event.event == "succeeded"]
    assert (event.details["accounts_gone"], event.details["accounts_new"]) == (6, 6)


def test_a_pool_replaced_as_a_finding_of_its_own_names_the_one_before() -> None:
    ledger = Ledger()
    old, new = uses(pool("a", 20), range(8)), uses(pool("b", 20), range(8, 20))
    nights = [ledger.night(night, [seen(0, old, night), seen(1, new, night)]) for night in range(20)]
    first, second = names(nights[0])[0], names(nights[9])[1]
    assert first != second
    [event] = [event for event in nights[8].events if event.identity == second and event.event == "succeeded"]
    assert event.others == (first,)


def test_one_wrapper_in_two_pools_at_once_is_no_succession() -> None:
    ledger = Ledger()
    old, new = uses(pool("a", 20), range(20)), uses(pool("b", 20), range(8, 20))
    nights = [ledger.night(night, [seen(0, old, night), seen(1, new, night)]) for night in range(12)]
    assert not [word for night in nights for _, word in told(night) if word == "succeeded"]
    assert names(nights[8])[1] == names(nights[11])[1] != names(nights[11])[0] == names(nights[0])[0]


def test_accounts_that_come_for_a_day_each_are_no_replaced_pool() -> None:
    ledger = Ledger()
    sent = [use for day in range(15) for use in uses(pool(f"day {day}", 12), [day])]
    nights = [ledger.night(night, [seen(0, sent, night)]) for night in range(15)]
    assert not [word for night in nights for _, word in told(night) if word == "succeeded"]


def test_a_pivot_names_the_model_once() -> None:
    ledger = Ledger()
    accounts = pool("a", 20)
    sent = uses(accounts, range(20)) + uses(accounts, range(8, 20), 6, "new", "x")
    nights = [ledger.night(night, [seen(0, sent, night)]) for night in range(20)]
    found = [(n, event) for n, night in enumerate(nights) for event in night.events if event.event == "pivoted"]
    [(night, event)] = found
    assert night in (8, 9)
    assert event.details["model"] == "new"


def test_a_model_that_some_always_used_is_no_pivot() -> None:
    ledger = Ledger()
    sent = uses(pool("a", 20), range(10)) + uses(pool("a", 7), range(10), 6, "new", "x")
    nights = [ledger.night(night, [seen(0, sent, night)]) for night in range(10)]
    assert not [word for night in nights for _, word in told(night) if word == "pivoted"]


def test_templates_and_clusters_have_ids_of_their_own() -> None:
    ledger = Ledger()
    sent = uses(pool("a", 9), range(6))
    kinds = ("campaign", "template", "cluster")
    first = ledger.night(3, [seen(0, sent, 3, kind=kind) for kind in kinds])
    assert [found.identity[:2] for found in first.assignments] == ["c-", "s-", "t-"]
    second = ledger.night(4, [seen(5, sent, 4, kind=kind) for kind in kinds])
    assert [found.identity for found in first.assignments] == [found.identity for found in second.assignments]
    assert [event.identity[:2] for event in second.events] == ["c-"]


def test_two_strangers_of_one_language_are_two() -> None:
    ledger = Ledger()
    first = ledger.night(4, [seen(0, uses(pool("a", 20), range(5)), 4)])
    second = ledger.night(5, [seen(0, uses(pool("b", 20), [5]), 5, words=(*OTHER, *WORDS[:2]))])
    assert names(first)[0] != names(second)[0]


def test_a_local_number_twice_is_refused() -> None:
    item = seen(0, uses(pool("a", 5), [0]), 0)
    assert item is not None
    with pytest.raises(InputError, match="twice"):
        match([], [item, item], START, RULE, key=KEY)


def test_ids_depend_on_key_day_and_kind_and_on_nothing_else() -> None:
    item = seen(0, uses(pool("a", 5), [0]), 0)
    assert item is not None
    name = mint(KEY, START, "campaign", item.signature)
    assert name == mint(KEY, START, "campaign", Signature.from_bytes(item.signature.to_bytes()))
    others = {
        mint(bytes(32), START, "campaign", item.signature),
        mint(KEY, date(2026, 9, 2), "campaign", item.signature),
        mint(KEY, START, "template", item.signature),
        mint(KEY, START, "campaign", item.signature, 1),
    }
    assert len(others | {name}) == 5


def test_equal_twins_get_two_ids() -> None:
    sent = uses(pool("a", 5), [0])
    night = Ledger().night(0, [seen(0, sent, 0), seen(1, sent, 0)])
    assert len(set(names(night).values())) == 2


@pytest.mark.parametrize("cut", [0, 3, 4, 20, -1])
def test_a_torn_signature_is_refused(cut: int) -> None:
    item = seen(0, uses(pool("a", 5), [0]), 0)
    assert item is not None
    data = item.signature.to_bytes()
    assert Signature.from_bytes(data).to_bytes() == data
    with pytest.raises(StoreError, match="damaged"):
        Signature.from_bytes(data[:cut])


def test_cut_sketches_still_measure_the_overlap() -> None:
    """A third of each side is common: of the members kept, about as many."""
    rule = replace(RULE, campaign_members=200)
    shared, left, right = (uses(pool(name, 500), [0, 1], 4) for name in ("s", "l", "r"))

    def cut(item: Seen | None) -> Seen:
        assert item is not None
        kept: dict[str, Any] = {}
        for name in ("accounts", "requests"):
            part = getattr(item.signature, name)
            kept[name] = replace(
                sketch(part.digests, part.weights, part.first, part.last, rule.campaign_members), total=part.total
            )
        return replace(item, signature=replace(item.signature, **kept))

    from refrain.lineage.overlaps import pairs

    one, two = cut(seen(0, shared + left, 1)), cut(seen(0, shared + right, 1))
    [pair] = pairs([one.signature], [two.signature], RULE.part, "requests")
    assert pair.main.similarity == pytest.approx(0.5, abs=0.1)
    assert pair.accounts.similarity == pytest.approx(0.5, abs=0.1)


_WINDOWS = st.lists(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 4)), min_size=1, max_size=40), min_size=0, max_size=6
)


def _drawn(parts: list[list[tuple[int, int]]], night: int) -> list[Seen]:
    found = [
        seen(
            n,
            [Use(f"u{account}", day, 2, cell=str(n)) for account, day in sorted(set(part))],
            night,
            words=WORDS[n : n + 4],
        )
        for n, part in enumerate(parts)
    ]
    return [item for item in found if item is not None]


@settings(deadline=None, max_examples=60)
@given(before=_WINDOWS, after=_WINDOWS, order=st.randoms(use_true_random=False))
def test_order_changes_nothing_and_ids_are_unique(
    before: list[list[tuple[int, int]]], after: list[list[tuple[int, int]]], order: object
) -> None:
    first = match([], _drawn(before, 4), START, RULE, key=KEY)
    tonight = _drawn(after, 5)
    plain = match(first.identities, tonight, date(2026, 9, 6), RULE, key=KEY)
    known, mixed = list(first.identities), list(tonight)
    order.shuffle(known)  # type: ignore[attr-defined]
    order.shuffle(mixed)  # type: ignore[attr-defined]
    again = match(known, mixed, date(2026, 9, 6), RULE, key=KEY)
    assert plain.assignments == again.assignments
    assert plain.events == again.events
    assert [_bytes(item) for item in plain.identities] == [_bytes(item) for item in again.identities]
    given_ids = [found.identity for found in plain.assignments]
    assert len(set(given_ids)) == len(given_ids) == len(tonight)
    gone = {item.id for item in plain.identities if item.state in ("merged", "ended")}
    assert not gone & set(given_ids)


def _bytes(item: Known) -> tuple[object, ...]:
    return item.id, item.born, item.last_seen, item.state, item.signature.to_bytes()


@settings(deadline=None, max_examples=60)
@given(parts=_WINDOWS)
def test_an_identical_night_continues_everything(parts: list[list[tuple[int, int]]]) -> None:
    tonight = _drawn(parts, 4)
    day = date(2026, 9, 5)
    first = match([], tonight, day, RULE, key=KEY)
    second = match(first.identities, tonight, day, RULE, key=KEY)
    assert names(first) == names(second)
    assert all(event.event == "continued" for event in second.events)
