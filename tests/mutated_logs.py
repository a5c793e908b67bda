"""Records of every format with something wrong in them, and what must hold whatever that is."""

import copy
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from refrain.contents import Lines
from refrain.detection import head, reading_of
from refrain.dialects import BUILT_IN, dialect
from refrain.intake import Intake
from refrain.logs import discover
from refrain.records import Portion
from refrain.settings import load_settings

LOGS = Path(__file__).parent / "logs"
CONFIG = replace(load_settings().config.ingest, max_text_characters=2000)
READING = reading_of(CONFIG)
_DEEP = (100, 700, 900, 960, 980)  # about the recursion limit of the decoder, which refuses what is deeper
_TOO_DEEP = 100_000
_OTHERS: tuple[Any, ...] = (
    None, True, 0, -1, 7, 1.5, 1e308, 10**30, "", " ", "x", "2026-13-45", "\x00\ud800\u202e", "[", "{}", "[[]]", "null",
    [], [None], [[]], ["x"], [{}], {}, {"": None}, {"role": {}, "content": {"text": {"text": []}}},
)  # fmt: skip


@dataclass
class Outcome:
    """What became of mutated records of one format."""

    mutations: int = 0
    requests: int = 0
    passed: int = 0
    refused: Counter[str] = field(default_factory=Counter)


def fixtures() -> dict[str, list[dict[str, Any]]]:
    """The true records of each format."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name in BUILT_IN:
        paths = [path for path in sorted((LOGS / name).glob("*")) if path.is_file() and ".expected." not in path.name]
        files = [file for path in paths for file in discover([str(path)])]
        found[name] = [record for file in files for record in head(file, READING, records=1000)]
    return found


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of everything inside a value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        yield (*path, key)
        yield from _places(item, (*path, key))


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def _drop(record: Any, place: tuple[Any, ...], dice: random.Random, others: list[Any]) -> str:
    del _at(record, place[:-1])[place[-1]]
    return json.dumps(record)


def _retype(record: Any, place: tuple[Any, ...], dice: random.Random, others: list[Any]) -> str:
    _at(record, place[:-1])[place[-1]] = copy.deepcopy(dice.choice(_OTHERS))
    return json.dumps(record)


def _retext(record: Any, place: tuple[Any, ...], dice: random.Random, others: list[Any]) -> str:
    """A value as its JSON text, whole or cut: formats hold some fields so."""
    text = json.dumps(_at(record, place))
    _at(record, place[:-1])[place[-1]] = text[: dice.randint(0, len(text))]
    return json.dumps(record)


def _truncate(record: Any, place: tuple[Any, ...], dice: random.Random, others: list[Any]) -> str:
    text = json.dumps(record)
    return text[: dice.randint(1, len(text) - 1)]


def _mix(record: Any, place: tuple[Any, ...], dice: random.Random, others: list[Any]) -> str:
    """Keys of another version or format among its own, some of them instead of its own."""
    other = dice.choice(others)
    names = dice.sample(sorted(other), dice.randint(0, len(other)))
    return json.dumps({**record, **{name: other[name] for name in names}})


def _move(record: Any, place: tuple[Any, ...], dice: random.Random, others: list[Any]) -> str:
    """A value from elsewhere in another record."""
    other = dice.choice(others)
    _at(record, place[:-1])[place[-1]] = _at(other, dice.choice(list(_places(other))))
    return json.dumps(record)


def _nest(record: Any, place: tuple[Any, ...], dice: random.Random, others: list[Any]) -> str:
    mark = "a mark that nothing else has"
    depth = dice.choice((5, *_DEEP, _TOO_DEEP))
    opened, closed = dice.choice((("[", "]"), ('{"content":', "}"), ('[{"text":', "}]")))
    inner = json.dumps(_at(record, place))
    _at(record, place[:-1])[place[-1]] = mark
    return json.dumps(record).replace(json.dumps(mark), opened * depth + inner + closed * depth)


def _deep_text(record: Any, place: tuple[Any, ...], dice: random.Random, others: list[Any]) -> str:
    _at(record, place[:-1])[place[-1]] = dice.choice(("[", '{"a":')) * dice.choice((*_DEEP, _TOO_DEEP))
    return json.dumps(record)


MUTATIONS: dict[str, Callable[[Any, tuple[Any, ...], random.Random, list[Any]], str]] = {
    "drop a field": _drop,
    "change a type": _retype,
    "value as text": _retext,
    "truncate": _truncate,
    "mix versions": _mix,
    "move a value": _move,
    "nest deeply": _nest,
    "nest in text": _deep_text,
}


def mutated(record: dict[str, Any], others: list[Any], dice: random.Random) -> tuple[str, str]:
    """The kind of a mutation and a record with it, as a line."""
    kind = dice.choice(list(MUTATIONS))
    return kind, MUTATIONS[kind](copy.deepcopy(record), dice.choice(list(_places(record))), dice, others)


def check(name: str, lines: list[str], intake: Intake) -> Outcome:
    """What became of mutated records; AssertionError where one raises, is lost, or is not counted once a request."""
    outcome = Outcome(mutations=len(lines))
    given = faults = 0
    for row, line in enumerate(lines, start=1):
        content = Lines([line.encode("utf-8", "surrogatepass")])
        batch = Portion("log.jsonl", row - 1, content, {}, name).batch(READING)
        again = Portion("log.jsonl", row - 1, content, {}, name).batch(READING)
        assert (batch.rows, list(batch.columns), batch.passed) == (again.rows, list(again.columns), again.passed)
        assert set(batch.rows) | {fault.row for fault in batch.faults} <= {row}
        assert len(batch) + batch.passed >= 1, "a record that nobody counts"
        assert "unreadable by its format" not in {fault.reason for fault in batch.faults}
        for one in content.records(row - 1):
            if isinstance(one, tuple):
                assert all(isinstance(known.recognises(one[1]), bool) for known in map(dialect, BUILT_IN))
        given += len(batch.rows)
        faults += len(batch.faults)
        outcome.passed += batch.passed
        intake.take("log.jsonl", batch)
    tables, tally = intake.drain()
    outcome.requests = tally.staged
    for (reason, _), count in tally.refused.items():
        outcome.refused[reason] += count
    assert tally.passed == outcome.passed
    assert tally.staged + tally.refused.total() == given + faults
    assert tables["rows"].num_rows == tally.staged and tables["refused"].num_rows == tally.refused.total()
    return outcome


def run(mutations: int, seed: int) -> dict[str, Outcome]:
    """The outcomes of so many mutations, by format, an equal share each."""
    records = fixtures()
    found = {}
    for number, (name, own) in enumerate(records.items()):
        dice = random.Random(f"{seed} {name}")
        share = mutations // len(records) + (number < mutations % len(records))
        others = [record for held in records.values() for record in held]
        lines = [mutated(dice.choice(own), others, dice)[1] for _ in range(share)]
        found[name] = check(name, lines, Intake(CONFIG, READING.clock, bytes(32)))
    return found
