"""One request with its truth, and an ordinary day of an account."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from refrain.simulate.accounts import Account
from refrain.simulate.prompts import question, short
from refrain.simulate.rhythms import awake, clamped, moment
from refrain.simulate.scene import NEW_MODEL, Scene
from refrain.simulate.streams import opaque, stream

Kind = Literal["organic", "benign_template", "campaign"]
_PAUSE = 150.0  # seconds: mean time between two messages of a conversation


class Request(NamedTuple):
    """What the log holds of a request, and the truth about it."""

    request_id: str
    account: Account
    address: str
    when: datetime
    prompt: str
    system: str | None
    conversation: str | None
    model: str
    end_user: str | None
    family: str
    kind: Kind
    template: str | None


def request(
    scene: Scene,
    account: Account,
    name: tuple[str | int, ...],
    when: datetime,
    prompt: str,
    *,
    family: str,
    kind: Kind,
    template: str | None = None,
    system: str | None = None,
    conversation: str | None = None,
    model: str | None = None,
    end_user: str | None = None,
) -> Request:
    """A request named by `name` within its account: the name gives its id, its address and its model."""
    address = stream(scene.seed, account.account_id, "address", *name).choice(account.addresses)
    curiosity = stream(scene.seed, account.account_id, "model", *name).random()
    curious = when >= scene.day(scene.new_model_day) and curiosity < scene.habits.new_model
    return Request(
        request_id="req-" + opaque(scene.seed, account.account_id, *name),
        account=account,
        address=address,
        when=when,
        prompt=prompt,
        system=account.system if system is None else system,
        conversation=conversation,
        model=model or (NEW_MODEL if curious else account.model),
        end_user=end_user,
        family=family,
        kind=kind,
        template=template,
    )


def ordinary_day(
    scene: Scene, account: Account, day: int, count: int, *, family: str, kind: Kind = "organic"
) -> Iterator[Request]:
    """`count` requests of the account's own on one day, in conversations where it is a person; none while it rests."""
    if not awake(scene, account, day):
        return
    rng, habits = stream(scene.seed, account.account_id, "ordinary", day), scene.habits
    conversation: str | None = None
    when = scene.start
    for number in range(count):
        if conversation is not None and rng.random() < habits.follow_up:
            when = clamped(scene, account, when + timedelta(seconds=rng.expovariate(1 / _PAUSE)))
            brief = rng.random() < habits.short_follow_up
        else:
            when = moment(scene, account, day, rng)
            if account.rhythm == "human":
                conversation = "conv-" + opaque(scene.seed, account.account_id, "conversation", day, number)
            brief = rng.random() < habits.short_prompt
        prompt = short(account.language, rng) if brief else question(account, habits, rng)
        yield request(
            scene, account, ("ordinary", day, number), when, prompt, family=family, kind=kind, conversation=conversation
        )
