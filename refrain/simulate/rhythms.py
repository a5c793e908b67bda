"""When an account sends: people by day, services round the clock, cron on the hour, batches in one go."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random
from typing import Literal

from refrain.simulate.accounts import Account
from refrain.simulate.scene import Scene
from refrain.simulate.streams import stream

# `own` is the account's own; under `scheduler` one clock fires for a whole pool.
Rhythm = Literal["own", "human", "flat", "cron", "batch", "scheduler"]
_NOON, _DAY_DEVIATION = 14.0, 3.3  # hours of local time: the middle and the spread of a person's day
_BATCH_DEVIATION = 0.15  # hours around the batch's own hour
_CRON_DELAY = 0.008  # hours: half a minute after the full hour
_SCHEDULER_SLOTS, _SCHEDULER_JITTER = 48, 0.006  # one shot every half hour, within some twenty seconds
_SATURDAY = 5
_FIRST_USE = timedelta(minutes=1)  # after signing up
_LAST_CALL = timedelta(seconds=1)  # before the log ends


def awake(scene: Scene, account: Account, day: int) -> bool:
    """Whether the account exists on that day and, being a person, does not rest."""
    date = scene.day(day)
    if account.created_at >= date + timedelta(days=1):
        return False
    at_rest = stream(scene.seed, account.account_id, "rest", day).random() < scene.habits.weekend_rest
    return not (account.rhythm == "human" and date.weekday() >= _SATURDAY and at_rest)


def moment(scene: Scene, account: Account, day: int, rng: Random, rhythm: Rhythm = "own") -> datetime:
    """A time on that day in that rhythm, not before the account was made, inside the log."""
    rhythm = account.rhythm if rhythm == "own" else rhythm
    if rhythm == "human":
        hour = rng.gauss(_NOON, _DAY_DEVIATION) - account.zone
    elif rhythm == "cron":
        hour = rng.randrange(24) + abs(rng.gauss(0, _CRON_DELAY))
    elif rhythm == "batch":
        hour = rng.gauss(account.batch_hour, _BATCH_DEVIATION)
    elif rhythm == "scheduler":
        hour = rng.randrange(_SCHEDULER_SLOTS) * 24 / _SCHEDULER_SLOTS + abs(rng.gauss(0, _SCHEDULER_JITTER))
    else:
        hour = rng.uniform(0, 24)
    return clamped(scene, account, scene.day(day) + timedelta(hours=hour % 24))


def clamped(scene: Scene, account: Account, when: datetime) -> datetime:
    """The time, moved where it must be: after the sign-up, before the end of the log."""
    return min(max(when, account.created_at + _FIRST_USE), scene.end - _LAST_CALL)
