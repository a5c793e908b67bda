"""Which nights are run: missed ones first, nothing twice, and nothing before the last one unless that is said."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.errors import InputError
from refrain.night_plan import Plan, plan_backfill, plan_night, with_taken_back

DAYS = [date(2026, 5, 1) + timedelta(days=at) for at in range(12)]


def days(*numbers: int) -> tuple[date, ...]:
    """Days of May."""
    return tuple(DAYS[number - 1] for number in numbers)


def test_the_first_night_catches_nothing_up() -> None:
    assert plan_night((), DAYS[4], catch_up=7) == Plan(days(5))


def test_missed_nights_come_first_in_order() -> None:
    assert plan_night(days(1, 2), DAYS[5], catch_up=7) == Plan(days(3, 4, 5, 6))


def test_of_more_missed_nights_the_latest_are_caught_up_and_the_others_named() -> None:
    assert plan_night(days(1), DAYS[5], catch_up=2) == Plan(days(4, 5, 6), left_out=days(2, 3))
    assert plan_night(days(1), DAYS[5], catch_up=0) == Plan(days(6), left_out=days(2, 3, 4, 5))


def test_the_last_night_is_run_again_and_an_earlier_one_only_when_that_is_said() -> None:
    assert plan_night(days(1, 2), DAYS[1], catch_up=7) == Plan(days(2))
    with pytest.raises(InputError, match="before the last one, 2026-05-05") as caught:
        plan_night(days(1, 2, 5), DAYS[1], catch_up=7)
    assert "--again" in caught.value.hint
    assert plan_night(days(1, 2, 5), DAYS[1], catch_up=7, again=True) == Plan(days(2, 5), again=True)
    assert plan_night(days(1, 2, 5), DAYS[2], catch_up=7, again=True) == Plan(days(3, 5), again=True)


def test_a_last_night_whose_run_changed_since_is_run_first() -> None:
    assert plan_night(days(1, 2), DAYS[2], catch_up=7, torn=DAYS[1]) == Plan(days(2, 3))
    assert plan_night(days(1, 2), DAYS[1], catch_up=7, torn=DAYS[1]) == Plan(days(2))
    assert plan_backfill(days(1, 2), DAYS[2], DAYS[3], torn=DAYS[1]) == Plan(days(2, 3, 4))
    assert plan_backfill(days(1, 2), DAYS[0], DAYS[3], torn=DAYS[1]) == Plan(days(2, 3, 4), there=days(1))


def test_nights_that_were_taken_back_and_never_run_anew_come_however_many_are_caught_up() -> None:
    """`--again` on the second of six was killed after that night."""
    same = plan_night(days(1, 2), DAYS[1], catch_up=0, again=True)
    assert with_taken_back(same, days(3, 4, 5, 6)) == Plan(days(2, 3, 4, 5, 6))
    following = plan_night(days(1, 2), DAYS[6], catch_up=1)
    assert following == Plan(days(6, 7), left_out=days(3, 4, 5))
    assert with_taken_back(following, days(4, 5, 6)) == Plan(days(4, 5, 6, 7), left_out=days(3))
    assert with_taken_back(following, ()) == following


def test_a_backfill_goes_on_where_it_stopped() -> None:
    assert plan_backfill((), DAYS[0], DAYS[3]) == Plan(days(1, 2, 3, 4))
    assert plan_backfill(days(1, 2), DAYS[0], DAYS[3]) == Plan(days(3, 4), there=days(1, 2))
    assert plan_backfill(days(1, 2), DAYS[0], DAYS[1]) == Plan((), there=days(1, 2))


def test_a_backfill_of_what_lies_before_the_last_night_runs_all_from_there_on_anew_or_nothing() -> None:
    with pytest.raises(InputError, match=r"2 nights .* before the last one, 2026-05-04"):
        plan_backfill(days(4), DAYS[1], DAYS[4])
    assert plan_backfill(days(4, 6), DAYS[1], DAYS[4], again=True) == Plan(days(2, 3, 4, 5, 6), again=True)
    with pytest.raises(InputError, match="no night lies"):
        plan_backfill((), DAYS[3], DAYS[0])


@given(st.sets(st.sampled_from(DAYS)), st.sampled_from(DAYS), st.integers(0, 12), st.booleans(), st.booleans())
def test_a_plan_ascends_ends_with_what_was_asked_for_and_replaces_only_what_was_said(
    nights: set[date], day: date, catch_up: int, again: bool, torn: bool
) -> None:
    published = sorted(nights)
    latest = published[-1] if published else None
    try:
        plan = plan_night(published, day, catch_up=catch_up, again=again, torn=latest if torn else None)
    except InputError:
        assert latest is not None
        assert day < latest
        assert not again
        return
    assert list(plan.days) == sorted(set(plan.days))
    assert day in plan.days
    assert not set(plan.left_out) & set(plan.days)
    if plan.again:
        assert latest is not None
        assert plan.days[0] == day
        assert {night for night in nights if night > day} == set(plan.days[1:])
    else:
        assert plan.days[-1] == day
        # All but the last published night are left as they are.
        assert not set(plan.days) & set(published[:-1])
        if latest is not None and day > latest:
            between = {night for night in DAYS if latest < night < day}
            assert between == (set(plan.days) | set(plan.left_out)) - {day, latest}
            assert len(plan.left_out) == max(len(between) - catch_up, 0)
