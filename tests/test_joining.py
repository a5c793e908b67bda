"""Langfuse's observations find their user at the trace, wherever in the log it stands."""

import json
import random
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutated_logs import mutated

from refrain.contents import Lines
from refrain.dialects.dialect import Bad, Facts, Passed
from refrain.dialects.joining import KnownFacts, write_facts
from refrain.dialects.langfuse import DIALECT, trace_facts, trace_key

assert DIALECT.join is not None
JOIN = DIALECT.join
JOINED = Path(__file__).parent / "logs" / "langfuse" / "joined"
SLOW = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])


def records(name: str) -> list[dict[str, Any]]:
    """The lines of a file of the log."""
    return [json.loads(line) for line in (JOINED / name).read_text(encoding="utf-8").splitlines()]


def whole_log() -> list[dict[str, Any]]:
    """The records in the order of the log; most observations come before their trace."""
    return [*records("observations.jsonl"), *records("scores.jsonl"), *records("traces.jsonl")]


def test_an_observation_has_the_user_of_its_trace(tmp_path: Path) -> None:
    raws = whole_log()
    known = KnownFacts(write_facts(tmp_path / "facts", (told for raw in raws for told in JOIN.tell(raw))))
    got = [found for raw in raws for found in JOIN.read(raw, known)]
    known.close()
    assert [found for found in got if isinstance(found, dict)] == records("expected.jsonl")
    assert [found for found in got if isinstance(found, Bad)] == [Bad("traceId", "no trace")]
    told = "a trace whose generations are read"
    reasons = [found.reason for found in got if isinstance(found, Passed)]
    # An event, a score; then the traces: 1, 2, 3 and 2 again have generations, 5 is a request itself.
    assert reasons == ["not a model call", "not a model call", told, told, told, told]


def test_what_a_record_says_of_its_trace() -> None:
    observation, trace = records("observations.jsonl")[0], records("traces.jsonl")[0]
    assert (trace_key(observation), trace_facts(observation)) == ("trace_1", {"generation": True})
    assert (trace_key(trace), trace_facts(trace)) == ("trace_1", {"trace": True, "user": "user_1", "session": "sess_1"})
    assert list(JOIN.tell({**observation, "type": "SPAN"})) == []
    assert list(JOIN.tell({**observation, "trace_id": 7})) == []


def test_a_user_of_a_wrong_type_stays_one(tmp_path: Path) -> None:
    (observation, *_), (trace, *_) = records("observations.jsonl"), records("traces.jsonl")
    nested: Any = "deep"
    for _ in range(50_000):
        nested = [nested]
    known = KnownFacts(write_facts(tmp_path / "facts", JOIN.tell({**trace, "user_id": nested})))
    (found,) = JOIN.read(observation, known)
    known.close()
    assert isinstance(found, dict)
    assert found["account_id"] == []  # the intake: wrong type


def test_damaged_records_are_joined_without_harm(tmp_path: Path) -> None:
    dice, records = random.Random(3), [record for record in whole_log() for _ in range(40)]
    lines = [mutated(record, records, dice)[1] for record in records]
    raws = [record for row, line in enumerate(lines) for record in decoded(row, line)]
    assert len(raws) > len(lines) // 2
    known = KnownFacts(write_facts(tmp_path / "facts", (told for raw in raws for told in JOIN.tell(raw))))
    kinds = {type(found) for raw in raws for found in JOIN.read(raw, known)}
    assert kinds == {dict, Bad, Passed}
    known.close()


def decoded(row: int, line: str) -> list[dict[str, Any]]:
    """The record of a line, where it holds one."""
    (found,) = Lines([line.encode("utf-8", "surrogatepass")]).records(row)
    return [found[1]] if isinstance(found, tuple) else []


KEYS = st.sampled_from(["a", "b", "", "\ud800", "x" * 5000, "' OR 1=1 --"])
TOLD = st.lists(st.tuples(KEYS, st.dictionaries(st.sampled_from("uvw"), st.integers() | st.none() | st.text())))


@SLOW
@given(TOLD, TOLD)
def test_facts_add_up_and_the_later_comes_first(tmp_path: Path, early: Any, late: Any) -> None:
    path = tmp_path / "facts"
    path.unlink(missing_ok=True)
    merged: dict[str, Facts] = {}
    for key, facts in [*early, *late]:
        merged.setdefault(key, {}).update({name: value for name, value in facts.items() if value is not None})
    known = KnownFacts(write_facts(path, [*early, *late]))
    assert {key: known(key) for key in [*merged, "another"]} == {**merged, "another": None}
    known.close()


def test_more_keys_than_a_transaction_takes_are_all_there(tmp_path: Path) -> None:
    told = [(f"t{at % 12_000}", {"n": at}) for at in range(25_000)]
    known = KnownFacts(write_facts(tmp_path / "facts", iter(told)))
    assert [known("t0"), known("t11999"), known("t12000")] == [{"n": 24_000}, {"n": 23_999}, None]
    known.close()


def test_nothing_of_a_user_can_be_read_from_the_disk(tmp_path: Path) -> None:
    told: list[tuple[str, Facts]] = [("a trace of some length", {"user": "a user of some length"})]
    table = write_facts(tmp_path / "facts", told)
    data = (tmp_path / "facts").read_bytes()
    assert not any(word in data for word in (b"some length", b"user", table.key))
    assert "key" not in repr(table)
    assert table.seal({"user": 1}) != table.seal({"user": 1})  # equal users look different
    with pytest.raises(ValueError):
        replace(table, key=bytes(32)).open(table.seal(told[0][1]))


def test_the_table_is_ours_alone_and_read_only(tmp_path: Path) -> None:
    known = KnownFacts(write_facts(tmp_path / "facts", [("a", {"u": 1})]))
    assert (tmp_path / "facts").stat().st_mode & 0o777 == 0o600
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        known._connection.execute("DELETE FROM facts")
    known.close()
