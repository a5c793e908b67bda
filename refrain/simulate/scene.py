"""Where and when the traffic happens: dates, models, and how ordinary customers live."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

START = datetime(2026, 5, 11, tzinfo=UTC)  # a Monday, so that three days hold no weekend
MODELS = ("cirrus-2", "cirrus-2-mini", "stratus-1")
NEW_MODEL = "cirrus-3"


@dataclass(frozen=True)
class Habits:
    """How ordinary customers live. Shares are between 0 and 1; the reasons name what would be too easy without them."""

    active: float = 0.62  # share of days on which a person sends anything
    volume_log_mean: float = 0.6  # log-normal requests on an active day beside the first: median 1.8,
    volume_log_deviation: float = 1.0  # and one person in twenty sends more than 9
    volume_limit: int = 80  # requests a day, or one heavy account would fill a small sample
    weekend_rest: float = 0.55  # people rest, services do not: round the clock alone is no sign
    signed_up_during_log: float = 0.05  # share of accounts: youth alone is no sign
    oldest_days: float = 700.0  # age of the oldest account
    short_prompt: float = 0.04  # "continue", "thanks" as a first message
    short_follow_up: float = 0.45  # and as a later one of a conversation
    follow_up: float = 0.4  # chance that a conversation goes on
    lead: float = 0.16  # stock phrases in front: sentences that many owners share
    tail: float = 0.2  # and behind
    pasted_passage: float = 0.06  # share of prompts with running text behind them
    preface: float = 0.06  # share of people who keep a wrapper of their own
    own_system_prompt: float = 0.05
    hasty: float = 0.25  # share of people who type in lower case with slips
    shared_card: float = 0.05  # families, agencies: a shared card alone is no sign
    cards_shared: int = 12  # background cards that are shared
    no_card: float = 0.12  # invoice or free tier
    small_company: float = 0.06  # share of accounts in a company of a few keys
    companies: int = 12
    cloud_networks: int = 14  # subnets that many services share: a shared subnet alone is no sign
    office_networks: int = 24
    new_model: float = 0.12  # share of requests that take the new model once it is out


@dataclass(frozen=True)
class Scene:
    """Seed, dates and habits that every family of the traffic shares."""

    seed: int
    days: int
    start: datetime = START
    new_model_day: int = 1  # the day on which the new model is released
    habits: Habits = field(default_factory=Habits)

    def __post_init__(self) -> None:
        if self.days < 1:
            raise ValueError("a scene needs at least one day")

    @property
    def end(self) -> datetime:
        """The first moment after the log."""
        return self.start + timedelta(days=self.days)

    def day(self, day: int) -> datetime:
        """Midnight (UTC) at which a day begins, counted from 0."""
        return self.start + timedelta(days=day)
