"""Which nights are to be run, and in which order: pure functions of the nights that there are."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from refrain.errors import InputError
from refrain.figures import counted

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Plan:
    """Nights to be run in order. `again`: the first takes the place of the night of its day and of all after it.

    `left_out` are missed nights beyond what is caught up, `there` those asked for that are published already.
    """

    days: tuple[date, ...]
    again: bool = False
    left_out: tuple[date, ...] = ()
    there: tuple[date, ...] = ()


def plan_night(
    nights: Sequence[date], day: date, *, catch_up: int, again: bool = False, torn: date | None = None
) -> Plan:
    """The night of `day` with the missed ones before it, at most `catch_up` of them, the latest.

    `nights` are the published ones, ascending. The last of them may be run again; an earlier one only `again`, and
    then those after it are, too; InputError otherwise. `torn` is the last one where its run is another by now than
    what was published: it is run again first.
    """
    if not nights:
        return Plan((day,))
    last = nights[-1]
    if day < last:
        if not again:
            raise InputError(
                f"the night of {day} lies before the last one, {last}",
                hint="--again runs it and those after it anew: their ids and events may change",
            )
        return Plan((day, *(night for night in nights if night > day)), again=True)
    if day == last:
        return Plan((day,))
    missed = _days(last + _DAY, day - _DAY)
    kept = missed[len(missed) - catch_up :] if catch_up < len(missed) else missed
    first = (torn,) if torn == last and torn is not None else ()
    return Plan((*first, *kept, day), left_out=missed[: len(missed) - len(kept)])


def plan_backfill(
    nights: Sequence[date], first: date, last: date, *, again: bool = False, torn: date | None = None
) -> Plan:
    """The nights from `first` to `last`, both included, in order, without those that are there.

    One that lies before the last and is not there can only be run `again`, which runs all from `first` on anew, those
    after `last` included; InputError otherwise.
    """
    if first > last:
        raise InputError(f"no night lies from {first} to {last}", hint="give the earlier day first")
    wanted = _days(first, last)
    latest = nights[-1] if nights else None
    if latest is None or first > latest:
        return Plan((*((torn,) if torn else ()), *wanted))
    if again:
        later = tuple(night for night in nights if night > last)
        return Plan((*wanted, *later), again=True)
    published = set(nights)
    between = [day for day in wanted if day < latest and day not in published]
    if between:
        raise InputError(
            f"{counted(len(between), 'night')} from {first} to {last} would come before the last one, {latest}",
            hint="--again runs all from the first on anew: their ids and events may change",
        )
    there = tuple(day for day in wanted if day in published and day != torn)
    redone = (torn,) if torn is not None and torn not in wanted else ()
    return Plan((*redone, *(day for day in wanted if day not in there)), there=there)


def with_taken_back(plan: Plan, taken_back: Sequence[date]) -> Plan:
    """The plan with nights that were published once, were taken back for one before them (`again`), and never came to
    be run anew: whoever did so was killed. They come however many are caught up."""
    days = tuple(sorted({*plan.days, *taken_back}))
    return replace(plan, days=days, left_out=tuple(day for day in plan.left_out if day not in days))


def _days(first: date, last: date) -> tuple[date, ...]:
    return tuple(first + at * _DAY for at in range((last - first).days + 1))
