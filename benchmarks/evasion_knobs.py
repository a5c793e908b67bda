"""What an adversary can turn, and the worlds in which one knob stands at one value.

One pool hides in every world, one of middling strength or a weak one: a second one would stand among the controls that
the first is compared with. A knob turns one thing about it; people, look-alikes and everything else that the pool does
stay as they were, request by request.
"""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from refrain.simulate import LOOKALIKES, Campaign, Scene, World
from refrain.simulate.campaigns import campaign_requests
from refrain.simulate.lookalikes import lookalike_requests

Value = float | str
DAYS = 3
PEOPLE = 3500  # requests of ordinary people: with the look-alikes' some 7,000, the size of the bundled sample

# A pool as one meets it, half of its tracks covered; and one that takes care in everything at once, so that detection
# has little to spare when a knob takes the rest.
MIDDLING = Campaign(
    "middling", "ledger", accounts=24, per_account=3, cover=0.3, rhythm="flat", card_share=0.4, subnet_share=0.3,
    client_share=0.4, fresh_share=0.6,
)  # fmt: skip
WEAK = Campaign(
    "weak", "ledger", accounts=16, per_account=2, cover=0.5, rhythm="own", card_share=0.3, subnet_share=0.2,
    client_share=0.3, fresh_share=0.6,
)  # fmt: skip
BASELINES = (MIDDLING, WEAK)

# Wrappers go round with the seed, so that no figure hangs on one wording: fixed ones of some twenty to forty words.
_FRAMED = ("ledger", "switchboard", "veil", "relay", "sleeper")
# Rewording is measured on wrappers of which no word must stay; a frame that stays is found by what stays.
_FRAMELESS = ("mentor", "scout")
_SHARED = ("card_share", "subnet_share", "client_share", "fresh_share")


@dataclass(frozen=True)
class Knob:
    """One thing that an adversary can turn: `fields` of a campaign, and their values from easy to hard to find."""

    name: str
    title: str
    fields: tuple[str, ...]
    values: tuple[Value, ...]
    scales: bool = False  # values are multiples of what the baseline has
    wrappers: tuple[str, ...] = _FRAMED

    def turned(self, campaign: Campaign, value: Value) -> Campaign:
        """The campaign with this knob at this value."""
        changes: dict[str, Any] = {name: self._setting(campaign, name, value) for name in self.fields}
        return replace(campaign, **changes)

    def label(self, value: Value) -> str:
        """The value as it is written under the panel."""
        return str(value) if isinstance(value, str) else f"{value:g}{'×' if self.scales else ''}"

    def _setting(self, campaign: Campaign, name: str, value: Value) -> Value:
        return float(getattr(campaign, name)) * float(value) if self.scales else value


def _alone(name: str, title: str) -> Knob:
    return Knob(name, title, (name,), (1.0, 0.0), scales=True)


KNOBS = {
    knob.name: knob
    for knob in (
        Knob("rewording", "Rewording: share of words drawn anew", ("rewording",), (0.0, 0.25, 0.5, 1.0),
             wrappers=_FRAMELESS),
        Knob("obfuscation", "Obfuscation: share of letters", ("obfuscation",), (0.0, 0.1, 0.3)),
        Knob("accounts", "Accounts", ("accounts",), (64, 32, 16, 8, 4)),
        Knob("requests", "Requests an account and day", ("per_account",), (8.0, 3.0, 2.0, 1.0, 0.5, 0.3)),
        Knob("cover", "Cover: share of ordinary requests", ("cover",), (0.0, 0.3, 0.5, 0.8, 0.95)),
        Knob("rhythm", "Rhythm", ("rhythm",), ("scheduler", "flat", "own", "human")),
        Knob("shared", "Shared infrastructure, all of it", _SHARED, (1.0, 0.5, 0.25, 0.0), scales=True),
        _alone("card_share", "Shared cards alone"),
        _alone("subnet_share", "Shared networks alone"),
        _alone("client_share", "Shared client alone"),
        _alone("fresh_share", "Young accounts alone"),
        Knob("wrapper", "No wrapper: tasks alone", ("wrapper",), ("none",)),
    )
}  # fmt: skip


def world(pool: Campaign, knob: Knob, value: Value, seed: int) -> World:
    """The world in which one of the baselines has this knob at this value."""
    scene = Scene(seed, DAYS)
    wrapper = knob.wrappers[(seed + BASELINES.index(pool)) % len(knob.wrappers)]
    campaign = knob.turned(replace(pool, wrapper=wrapper), value)
    hidden = sum(1 for _ in campaign_requests(scene, campaign))
    # People fill the log up: with what is planted added, the same people send the same, whatever a knob adds.
    return World(scene, PEOPLE + hidden + _innocent(scene), (campaign,), LOOKALIKES)


@cache
def _innocent(scene: Scene) -> int:
    """Requests of the look-alikes."""
    return sum(1 for group in LOOKALIKES for _ in lookalike_requests(scene, group))
