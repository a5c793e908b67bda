"""What fills the slots of a template: how many different things, how long, of which kind, and some of them."""

import re
from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import Any

from refrain.marking import Unit, fillings

_NUMBER = re.compile(r"[\d\s.,:/%+-]*\d[\d\s.,:/%+-]*\Z")
# Words from which a filling is a text of its own (a task, a document) rather than a value put into a sentence.
_LONG_WORDS = 25
# Requests for each different filling from which the slot takes one of few values.
_FEW_EACH = 3


def describe_slots(
    pieces: Sequence[Sequence[str]], requests: Sequence[tuple[str, Sequence[Unit]]], samples: int, characters: int
) -> list[dict[str, Any]]:
    """One dict for each slot of a skeleton's pieces, from requests as (text, units to mark in it).

    `requests` counts those that fill it, `fillings` the different things (case and white space aside), `median_words`
    their length over the requests; `kind` is number, few values, short text or long text, None where nothing fills it;
    `samples` are the most frequent fillings, the first in the alphabet among equals, cut to `characters`.
    """
    found: list[list[str]] = [[] for kind, _ in pieces if kind == "slot"]
    for text, units in requests:
        for slot, filling in fillings(text, units, pieces).items():
            found[slot].append(" ".join(filling.split()))
    return [_described(number, texts, samples, characters) for number, texts in enumerate(found)]


def _described(number: int, texts: Sequence[str], samples: int, characters: int) -> dict[str, Any]:
    counts = Counter(texts)
    different = len({text.casefold() for text in counts})
    words = float(median(len(text.split()) for text in texts)) if texts else None
    often = sorted(counts, key=lambda text: (-counts[text], text))
    return {
        "slot": number,
        "requests": len(texts),
        "fillings": different,
        "median_words": words,
        "kind": _kind(texts, different, words),
        "samples": [text[:characters] for text in often[:samples]],
    }


def _kind(texts: Sequence[str], different: int, words: float | None) -> str | None:
    if words is None:
        return None
    if all(map(_NUMBER.match, texts)):
        return "number"
    if words >= _LONG_WORDS:
        return "long text"
    return "few values" if different * _FEW_EACH <= len(texts) else "short text"
