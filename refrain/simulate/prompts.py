"""What ordinary people write: a question of their own, a stock phrase around it, a paste, or just "thanks"."""

from __future__ import annotations

from random import Random

from refrain.simulate.accounts import Account
from refrain.simulate.grammar import shared, topic, topics
from refrain.simulate.scene import Habits

_SENTENCES = (2, 3)  # of a pasted passage
_SLIP_LENGTH = 4  # letters; shorter words are not mistyped


def passage(rng: Random) -> str:
    """Running text of a few sentences of one genre, as people paste it."""
    genre = topic(rng.choice(sorted(topics("passages"))))
    frames = rng.sample(genre.frames, rng.randint(*_SENTENCES))
    return " ".join(genre.composed(frame, rng) for frame in frames)


def short(language: str, rng: Random) -> str:
    """A prompt that everybody sends: "continue", "danke"."""
    return rng.choice(shared(language)["short"])


def task(keys: tuple[str, ...], rng: Random) -> str:
    """A question on one of the topics."""
    return topic(rng.choice(keys)).ask(rng)


def _mistyped(text: str, rng: Random) -> str:
    """Lower case, no full stop at the end, two letters of one word swapped."""
    words = text.lower().rstrip(".").split(" ")
    at = rng.randrange(len(words))
    word = words[at]
    if len(word) > _SLIP_LENGTH and word.isalpha():
        cut = rng.randrange(1, len(word) - 1)
        words[at] = word[:cut] + word[cut + 1] + word[cut] + word[cut + 2 :]
    return " ".join(words)


def question(account: Account, habits: Habits, rng: Random) -> str:
    """A prompt out of the account's interests, in its manner, with its preface in front."""
    key = rng.choice(account.interests)
    text = topic(key).ask(rng)
    if not key.startswith("code/"):
        phrases = shared(account.language)
        if rng.random() < habits.lead:
            text = f"{rng.choice(phrases['lead'])} {text}"
        if rng.random() < habits.tail:
            text = f"{text} {rng.choice(phrases['tail'])}"
        if account.manner == "hasty":
            text = _mistyped(text, rng)
        if rng.random() < habits.pasted_passage:
            text = f"{text}\n\n{passage(rng)}"
    return f"{account.preface}\n{text}" if account.preface else text
