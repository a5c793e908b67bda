"""Wrappers: the text that comes back around ever new tasks, of campaigns and of innocent templates alike."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Literal

from refrain.simulate.grammar import Grammar, read_texts

Place = Literal["around", "inside", "system"]
_SLOT = re.compile(r"\{(task|passage|other)\}")


@dataclass(frozen=True)
class Wrapper:
    """A template with slots: where it stands, which topics fill it, its hand-written variants by language."""

    place: Place
    tasks: tuple[str, ...]
    texts: Mapping[str, tuple[str, ...]]
    grammar: Grammar

    def tasks_in(self, language: str) -> tuple[str, ...]:
        """The topics in one language; code stands for every language. All topics where none is in it."""
        return tuple(t for t in self.tasks if t.partition("/")[0] in (language, "code")) or self.tasks

    def worded(self, language: str, variant: int, rewording: float, rng: Random) -> str:
        """A variant's text, slots open; `rewording` 0 is the canonical text, 1 draws every word that may vary."""
        return self.grammar.expand(self.texts[language][variant], rng, freedom=rewording)


@cache
def wrappers(name: str) -> Mapping[str, Wrapper]:
    """The wrappers of texts/NAME.toml by their name."""
    return {
        key: Wrapper(
            place=table["place"],
            tasks=tuple(table["tasks"]),
            texts={language: tuple(texts) for language, texts in table["texts"].items()},
            grammar=Grammar({symbol: tuple(options) for symbol, options in table.get("words", {}).items()}),
        )
        for key, table in read_texts(name).items()
    }


def fixed_parts(text: str) -> tuple[str, ...]:
    """What stands between the slots of a worded wrapper, stripped, empty parts left out."""
    return tuple(part.strip() for part in _SLOT.split(text)[::2] if part.strip())


def fill(text: str, slots: Mapping[str, Callable[[], str]], disguise: Callable[[str], str]) -> str:
    """The worded wrapper with its slots filled; `disguise` is applied to the fixed parts alone."""
    parts = _SLOT.split(text)
    return "".join(slots[part]() if odd % 2 else disguise(part) for odd, part in enumerate(parts))


def insert(span: str, body: str, rng: Random) -> str:
    """The span before, behind or inside an otherwise ordinary request."""
    words = body.split(" ")
    cut = rng.randint(0, len(words))
    return rng.choice([f"{span}\n\n{body}", f"{body}\n\n{span}", " ".join([*words[:cut], span, *words[cut:]])])
