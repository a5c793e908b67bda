"""The bundled sample: ten campaigns to choose from, the innocent groups, and sizes that fit the requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from refrain.simulate.campaigns import Campaign
from refrain.simulate.lookalikes import Lookalike
from refrain.simulate.scene import Scene
from refrain.simulate.world import World

# Accounts below are stated for this many requests a day and grow or shrink with them.
_STATED_PER_DAY = 7000 / 3
_FEWEST_MEMBERS = 8  # of a pool in a small sample
_FEWEST_FOLLOWERS = 3  # of an innocent group of several accounts
# Clients that many others use too: one client alone is no sign.
_GO, _OKHTTP, _GATEWAY = "Go-http-client/2.0", "okhttp/4.12", "litellm/1.72"

CAMPAIGNS = {
    campaign.name: campaign
    for campaign in (
        # One fixed wrapper round the clock, shared cards.
        Campaign(
            "ledger_fixed", "ledger", accounts=32, per_account=4, card_share=0.5, client_share=0.5, fresh_share=0.9,
        ),
        # A pool of hand-written variants that grade pairs of answers; one scheduler.
        Campaign(
            "panel_variants", "panel", variants=6, accounts=28, per_account=4, rhythm="scheduler", subnet_share=0.6,
            fresh_share=0.6,
        ),
        # One span put into otherwise ordinary requests; many addresses, one client, synchronised.
        Campaign(
            "trail_injected", "trail", accounts=36, per_account=4, cover=0.35, rhythm="scheduler", addresses=20,
            client_share=0.6, fresh_share=0.5,
        ),
        # The wrapper is reworded for every request.
        Campaign(
            "mentor_reworded", "mentor", variants=2, rewording=1.0, accounts=36, per_account=4, cover=0.2,
            card_share=0.4, client_share=0.4, fresh_share=0.8,
        ),
        # One wrapper in six languages.
        Campaign(
            "tongues_six", "tongues", languages=("en", "de", "fr", "es", "zh", "ru"), accounts=30, per_account=5,
            rhythm="flat", subnet_share=0.5, fresh_share=0.7,
        ),
        # A fixed system prompt, free user text.
        Campaign(
            "examiner_system", "examiner", accounts=28, per_account=4, rhythm="own", card_share=0.4, client_share=0.5,
            fresh_share=0.9,
        ),
        # One wrapper under zero-width characters, look-alike and doubled letters.
        Campaign(
            "veil_obfuscated", "veil", obfuscation=0.08, accounts=28, per_account=4, card_share=0.4, fresh_share=0.9,
        ),
        # The whole pool is replaced overnight.
        Campaign(
            "relay_replaced", "relay", accounts=24, per_account=5, replaced_on=2, subnet_share=0.7, client_share=0.5,
            fresh_share=1.0,
        ),
        # Half of the traffic moves to the new model on the day of its release.
        Campaign(
            "switchboard_pivot", "switchboard", accounts=30, per_account=4, pivot_on=1, pivot_share=0.6,
            subnet_share=0.4, client_share=0.3, fresh_share=0.6,
        ),
        # Low and slow: aged accounts take it up on one day, among ordinary requests.
        Campaign(
            "sleeper_adopted", "sleeper", accounts=40, per_account=1.6, cover=0.5, rhythm="own", first_day=1,
            fresh_share=0.0, client_share=0.2,
        ),
    )
}  # fmt: skip
DEMO_CAMPAIGNS = ("ledger_fixed", "trail_injected", "mentor_reworded", "relay_replaced")

LOOKALIKES = (
    Lookalike("notes_only", "popular", "notes_only", accounts=36, per_account=2, active=0.5),
    Lookalike("fix_my_english", "popular", "fix_my_english", accounts=34, per_account=2.5, active=0.5),
    Lookalike("slow_and_steady", "popular", "slow_and_steady", accounts=34, per_account=1.5, active=0.5),
    Lookalike("weekly_menu", "popular", "weekly_menu", accounts=24, per_account=1.5, active=0.5),
    # Keys made within weeks.
    Lookalike("company_org", "company", "ticket_router", accounts=26, per_account=4, client=_GO, joined=(20, 40)),
    Lookalike("company_card", "company", "note_check", accounts=16, client=_OKHTTP, joined=(20, 40), org=False),
    # A course signs up at the start of term, a hackathon on its eve.
    Lookalike("course", "class", "seminar", accounts=28, per_account=1.6, active=0.7, joined=(5, 60)),
    Lookalike("hackathon", "class", "hack_night", accounts=18, per_account=2.5, active=0.7, joined=(0, 0.5)),
    Lookalike("craze", "viral", "mirror_craze", accounts=60, per_account=1, day=1),
    Lookalike("homework_app", "application", "pocket_tutor", accounts=1, per_account=60),
    Lookalike("coding_harness", "harness", "forge_shell", accounts=40, per_account=3, client="forge-cli/2.4"),
    Lookalike(
        "margin_product", "own_keys", "inkwell", accounts=28, per_account=2, client="inkwell/0.9", joined=(0, 45)
    ),
    Lookalike("entailment_run", "evaluation", "exam_true", accounts=3, per_account=45),
    Lookalike("recap_run", "evaluation", "exam_recap", accounts=2, per_account=35),
    Lookalike("reseller", "gateway", accounts=30, per_account=2.5, client=_GATEWAY),
)


def demo_world(*, seed: int, requests: int, days: int, campaigns: Sequence[str] = DEMO_CAMPAIGNS) -> World:
    """The bundled world at this size, with these of CAMPAIGNS hidden in it (none: a clean log).

    Pools and groups scale with the requests a day; below some 2,000 a day they keep their smallest size and leave
    ordinary people less room. KeyError for an unknown campaign.
    """
    scale = requests / days / _STATED_PER_DAY
    return World(
        scene=Scene(seed, days),
        requests=requests,
        campaigns=tuple(_scaled_campaign(CAMPAIGNS[name], scale, days) for name in campaigns),
        lookalikes=tuple(_scaled_group(group, scale, days) for group in LOOKALIKES),
    )


def _scaled_campaign(campaign: Campaign, scale: float, days: int) -> Campaign:
    """The campaign at this scale, its dates moved into a shorter log."""
    late = campaign.replaced_on is not None and campaign.replaced_on >= days
    return replace(
        campaign,
        accounts=max(_FEWEST_MEMBERS, round(campaign.accounts * scale)),
        tried_by=campaign.tried_by * scale,
        first_day=min(campaign.first_day, days - 1),
        replaced_on=(days - 1 or None) if late else campaign.replaced_on,
    )


def _scaled_group(group: Lookalike, scale: float, days: int) -> Lookalike:
    """The group at this scale; one customer's application grows in requests, all others in accounts."""
    day = None if group.day is None else min(group.day, days - 1)
    if group.style == "application":
        return replace(group, per_account=group.per_account * scale, day=day)
    fewest = min(group.accounts, _FEWEST_FOLLOWERS)
    return replace(group, accounts=max(fewest, round(group.accounts * scale)), day=day)
