"""Decisions from elsewhere: what is read, what is refused and why, once only, and the form that comes back the same."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nights_of import NOON, campaign, night, sighting

from refrain.config import LedgerConfig
from refrain.decision_files import FORMATS, format_of, read_records, write_records
from refrain.decision_form import FIELDS, Bad, FormRule, read_decision
from refrain.decisions import import_decisions, write_quarantine
from refrain.errors import InputError
from refrain.ledger import DecisionRow, Ledger, NewDecision, open_ledger
from refrain.ledger.rows import VERDICTS
from refrain.ledger.wording import WHO_CHARACTERS, WHY_CHARACTERS, one_line

NOW = NOON + timedelta(days=30)
RULE = FormRule(NOW)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ONE, TWO = "c-000000000001", "c-000000000002"
GOOD = {"campaign": ONE, "verdict": "confirmed", "why": "one pool", "who": "lea", "when": "2026-03-02T08:00:00Z"}


@pytest.fixture
def ledger(tmp_path: Path, ledger_config: LedgerConfig) -> Iterator[Ledger]:
    """A ledger that knows two campaigns."""
    with open_ledger(tmp_path / "outputs", ledger_config) as opened:
        rows = [campaign(1, 0, 0), campaign(2, 0, 0)]
        opened.record_night(night(0), rows, [sighting(row, 0, n) for n, row in enumerate(rows)], [])
        yield opened


def lines(*records: object) -> bytes:
    """Records as JSON lines."""
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def said(ledger: Ledger) -> list[tuple[str, str, str, str, datetime]]:
    """What stands in the ledger."""
    return [(row.identity, row.verdict, row.why, row.by, row.when) for row in ledger.decisions()]


def test_a_file_is_read_once_whatever_its_form(ledger: Ledger) -> None:
    later = {
        **GOOD,
        "campaign": TWO,
        "verdict": " Dismissed ",
        "why": "a\n course\x1b",
        "when": "2026-03-01T09:00:00+01:00",
    }
    data = lines(GOOD, later, GOOD)
    done = import_decisions(ledger, data, "jsonl", RULE)
    assert done.counts == {"read": 3, "written": 2, "known": 1, "quarantined": 0}
    expected = [
        (TWO, "dismissed", r"a course\x1b", "lea", datetime(2026, 3, 1, 8, tzinfo=UTC)),
        (ONE, "confirmed", "one pool", "lea", datetime(2026, 3, 2, 8, tzinfo=UTC)),
    ]
    assert said(ledger) == expected
    for form in FORMATS:
        again = import_decisions(ledger, write_records(ledger.decisions(), form).encode(), form, RULE)
        assert again.counts == {"read": 2, "written": 0, "known": 2, "quarantined": 0}
    assert said(ledger) == expected


def test_a_dry_run_says_the_same_and_writes_nothing(ledger: Ledger) -> None:
    data = lines(GOOD, {**GOOD, "campaign": "c-00000000000f"}, {**GOOD, "verdict": "guilty"})
    dry = import_decisions(ledger, data, "jsonl", RULE, dry_run=True)
    assert said(ledger) == []
    assert import_decisions(ledger, data, "jsonl", RULE) == dry
    assert dry.counts == {"read": 3, "written": 1, "known": 0, "quarantined": 2}


def test_an_earlier_decision_that_comes_late_does_not_override(ledger: Ledger) -> None:
    ledger.decide(ONE, "watching", by="noor", when=NOON + timedelta(days=3), why="so")
    import_decisions(ledger, lines(GOOD), "jsonl", RULE)
    assert [row.verdict for row in ledger.decisions(ONE)] == ["confirmed", "watching"]


def test_a_decision_on_an_identity_that_a_night_took_back_is_known(ledger: Ledger) -> None:
    import_decisions(ledger, lines(GOOD), "jsonl", RULE)
    ledger.record_night(night(0), [campaign(2, 0, 0)], [], [])
    stranger = {**GOOD, "who": "noor"}
    done = import_decisions(ledger, lines(GOOD, stranger, stranger), "jsonl", RULE)
    assert done.counts == {"read": 3, "written": 0, "known": 1, "quarantined": 2}


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"campaign": None}, "campaign", "missing field"),
        ({"campaign": 3}, "campaign", "wrong type"),
        ({"campaign": "3"}, "campaign", "no stable id"),
        ({"campaign": f"{ONE}'; DROP TABLE decisions"}, "campaign", "no stable id"),
        ({"campaign": "c-00000000000f"}, "campaign", "unknown campaign"),
        ({"verdict": "guilty"}, "verdict", "unknown verdict"),
        ({"verdict": True}, "verdict", "wrong type"),
        ({"why": " \t "}, "why", "blank"),
        ({"why": "x" * 501}, "why", "too long"),
        ({"who": ["lea"]}, "who", "wrong type"),
        ({"who": "x" * 65}, "who", "too long"),
        ({"when": "yesterday"}, "when", "unreadable time"),
        ({"when": float("nan")}, "when", "unreadable time"),
        ({"when": "2026-03-02T08:00:00"}, "when", "time without a zone"),
        ({"when": "2027-01-02T08:00:00Z"}, "when", "time in the future"),
        ({"when": False}, "when", "wrong type"),
    ],
)
def test_what_is_no_decision_says_which_field_and_why(
    ledger: Ledger, change: dict[str, object], field: str, reason: str
) -> None:
    done = import_decisions(ledger, lines({**GOOD, **change}, {**GOOD, "campaign": TWO}), "jsonl", RULE)
    assert done.refused == ((1, Bad(field, reason)),)
    assert [row[0] for row in said(ledger)] == [TWO]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"campaign": "c-0000', "unparsable record"),
        (b"[" * 100_000, "over-long record"),
        (b"[" * 60_000, "unparsable record"),
        (b"[1]", "no object"),
        (b'{"why": "\xff"}', "no UTF-8"),
        (b'{"why": "' + b"x" * 100_000 + b'"}', "over-long record"),
    ],
    ids=["torn", "long nesting", "nesting", "list", "bytes", "long"],
)
def test_a_broken_line_is_refused_and_the_next_one_read(ledger: Ledger, line: bytes, reason: str) -> None:
    done = import_decisions(ledger, b"\xef\xbb\xbf\n" + line + b"\r\n \n" + lines(GOOD), "jsonl", RULE)
    assert done.refused == ((1, Bad("", reason)),)
    assert done.counts["written"] == 1


def test_a_csv_file_of_another_tool(ledger: Ledger) -> None:
    text = (
        "Identity,by,case,WHEN,why,verdict\r\n"
        f'{ONE},lea,512,2026-03-02 08:00,"one, ""pool""",Confirmed\r\n'
        "\r\n"
        f"{TWO},lea,513,1772438400,'=2+2,watching\r\n"
        f"{TWO},lea,513\r\n"
        f"{TWO},,514,1772438400,so,watching\r\n"
        f"{TWO},lea,{'x' * 200_000},1772438400,so,watching\r\n"
        f"{TWO},noor,'tis,1772438400,'tis,watching\r\n"
    )
    done = import_decisions(ledger, text.encode(), "csv", FormRule(NOW, "Europe/Berlin"))
    assert said(ledger) == [
        (ONE, "confirmed", 'one, "pool"', "lea", datetime(2026, 3, 2, 7, tzinfo=UTC)),
        (TWO, "watching", "=2+2", "lea", datetime(2026, 3, 2, 8, tzinfo=UTC)),
        (TWO, "watching", "'tis", "noor", datetime(2026, 3, 2, 8, tzinfo=UTC)),
    ]
    refused = (
        (3, Bad("", "wrong number of fields")),
        (4, Bad("who", "missing field")),
        (5, Bad("", "over-long record")),
    )
    assert done.refused == refused


@pytest.mark.parametrize("data", [b"", b"a,b\n1,2\n", b"\n\n", b'"' + b"x" * 200_000, b"campaign,verdict,why,who\n"])
def test_a_csv_file_without_the_columns_is_an_error_that_names_them(ledger: Ledger, data: bytes) -> None:
    with pytest.raises(InputError, match=r"lacks .*when") as caught:
        import_decisions(ledger, data, "csv", RULE)
    assert "xxx" not in caught.value.message


def test_a_file_of_no_known_form_or_size_is_an_error(ledger: Ledger) -> None:
    assert [format_of(name, None) for name in ("a.CSV", "a.jsonl", "a.ndjson")] == ["csv", "jsonl", "jsonl"]
    assert format_of("a.txt", "csv") == "csv"
    for name, form in (("a.xlsx", None), ("", None), ("a.csv", "xml")):
        with pytest.raises(InputError, match="csv or jsonl"):
            format_of(name, form)
    with pytest.raises(InputError, match="at most 64 MiB"):
        import_decisions(ledger, b"x" * ((64 << 20) + 1), "jsonl", RULE)


def test_the_quarantine_names_rows_and_quotes_nothing(ledger: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "cases.jsonl.quarantine.jsonl"
    secret = {**GOOD, "campaign": "acct_secret"}
    write_quarantine(path, import_decisions(ledger, lines(GOOD, secret, [secret]), "jsonl", RULE))
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"row": 2, "field": "campaign", "reason": "no stable id"},
        {"row": 3, "field": "", "reason": "no object"},
    ]
    assert path.stat().st_mode & 0o777 == 0o600
    write_quarantine(path, import_decisions(ledger, lines(GOOD), "jsonl", RULE))
    assert not path.exists()


_TEXTS = st.text(st.characters(codec=None), min_size=1, max_size=60)
_ROWS = st.builds(
    DecisionRow,
    number=st.just(0),
    identity=st.from_regex(r"[cts]-[0-9a-f]{12}", fullmatch=True),
    verdict=st.sampled_from(VERDICTS),
    by=_TEXTS.map(lambda text: one_line(text, WHO_CHARACTERS) or "lea"),
    when=st.integers(10**15, 1_774_000_000_000_000).map(lambda micros: EPOCH + timedelta(microseconds=micros)),
    why=_TEXTS.map(lambda text: one_line(f"={text}", WHY_CHARACTERS) or "so"),
)


@given(st.lists(_ROWS, max_size=5), st.sampled_from(FORMATS))
def test_what_is_written_is_read_as_the_same_decisions(rows: list[DecisionRow], form: str) -> None:
    records = list(read_records(write_records(rows, form).encode(), form))
    assert [number for number, _ in records] == list(range(1, len(rows) + 1))
    found = [read_decision(record, RULE) for _, record in records if not isinstance(record, Bad)]
    assert found == [NewDecision(row.identity, row.verdict, row.by, row.when, row.why) for row in rows]


_LEAF = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.sampled_from(list(GOOD.values()))
)
_JSON = _LEAF | st.lists(_LEAF, max_size=3) | st.dictionaries(st.sampled_from([*FIELDS, "by"]), _LEAF, max_size=5)


@given(st.lists(_JSON | st.fixed_dictionaries(dict.fromkeys(FIELDS, _JSON)), max_size=4), st.binary(max_size=40))
def test_no_record_and_no_bytes_crash_the_reading(records: list[object], torn: bytes) -> None:
    whole = lines(*records)
    for data in (whole, whole + torn, whole[: len(whole) // 2]):
        for _, record in read_records(data, "jsonl"):
            found = record if isinstance(record, Bad) else read_decision(record, RULE)
            assert isinstance(found, Bad) or found.verdict in VERDICTS
    header = ",".join(FIELDS).encode() + b"\n"
    read = [record for _, record in read_records(header + torn, "csv")]
    assert all(isinstance(record, Bad) or set(record) == set(FIELDS) for record in read)
