"""Texts composed from small grammars: `<symbol>` is replaced by one of its alternatives, `<3..9>` by a number.

The grammars are data (texts/*.toml). An alternative may hold further symbols; a grammar must not be circular.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from random import Random
from typing import Any

_SYMBOL = re.compile(r"<(?:([a-z_0-9]+)|(\d+)\.\.(\d+))>")
LANGUAGES = ("en", "de", "fr", "es", "zh", "ru")
_SHARED = "shared"


@dataclass(frozen=True)
class Grammar:
    """Alternatives by symbol; the first of each list is the canonical one."""

    rules: Mapping[str, tuple[str, ...]]

    def expand(self, text: str, rng: Random, freedom: float = 1.0) -> str:
        """The text with every symbol replaced.

        `freedom` is the share of symbols that are drawn; the others take their first alternative, numbers their lowest.
        KeyError for a symbol that the grammar does not know.
        """

        def drawn(match: re.Match[str]) -> str:
            free = freedom > 0 and rng.random() < freedom
            if match[1] is None:
                return str(rng.randint(int(match[2]), int(match[3])) if free else int(match[2]))
            options = self.rules[match[1]]
            return self.expand(rng.choice(options) if free else options[0], rng, freedom)

        return _SYMBOL.sub(drawn, text)


@dataclass(frozen=True)
class Topic:
    """What can be asked about one thing: whole prompts (frames) and the grammar that fills them."""

    frames: tuple[str, ...]
    grammar: Grammar

    def ask(self, rng: Random) -> str:
        """One composed prompt."""
        return self.composed(rng.choice(self.frames), rng)

    def composed(self, frame: str, rng: Random) -> str:
        """The frame with its symbols replaced, its first letter a capital."""
        text = self.grammar.expand(frame, rng)
        return text[:1].upper() + text[1:]


def read_texts(name: str) -> dict[str, Any]:
    """The tables of texts/NAME.toml."""
    return tomllib.loads((files(__package__) / "texts" / f"{name}.toml").read_text(encoding="utf-8"))


def _rules(*tables: Mapping[str, list[str]]) -> dict[str, tuple[str, ...]]:
    return {symbol: tuple(options) for table in tables for symbol, options in table.items() if symbol != "frames"}


@cache
def shared(name: str) -> Mapping[str, tuple[str, ...]]:
    """The lists that all topics of one file know (lead, tail, short and the like)."""
    return _rules(read_texts(name).get(_SHARED, {}))


@cache
def topics(name: str) -> Mapping[str, Topic]:
    """The topics of texts/NAME.toml by `name/topic`."""
    tables = read_texts(name)
    common = tables.pop(_SHARED, {})
    return {
        f"{name}/{topic}": Topic(tuple(table["frames"]), Grammar(_rules(common, table)))
        for topic, table in tables.items()
    }


def topic(key: str) -> Topic:
    """The topic named `file/topic`; KeyError where there is none."""
    return topics(key.partition("/")[0])[key]
