"""The ledger on SQLite and on PostgreSQL: nights stand whole, go back exactly, and an id stays one thing."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nights_of import NOON, SQLITE, campaign, day, event, night, outputs_of, sighting
from postgres import Server

from refrain.config import LedgerConfig
from refrain.errors import ConfigError, InputError, LedgerError
from refrain.ledger import EventRow, IdentityRow, Ledger, SightingRow, open_ledger
from refrain.ledger.names import resolve
from refrain.ledger.rows import KINDS


@pytest.fixture
def ledger(tmp_path: Path, ledger_config: LedgerConfig) -> Iterator[Ledger]:
    """An empty ledger."""
    with open_ledger(outputs_of(tmp_path), ledger_config) as opened:
        yield opened


def contents(ledger: Ledger) -> tuple[object, ...]:
    """All that nights wrote."""
    return ledger.nights(), [ledger.identities(kind) for kind in KINDS], ledger.sightings(), ledger.events()


def test_what_a_night_wrote_is_read_as_it_was(ledger: Ledger) -> None:
    first, second = campaign(1, 0, 0), campaign(2, 0, 0, signature=bytes(range(256)))
    template = IdentityRow("t-00000000000a", "template", day(0), day(0), "active", b"words")
    seen = [sighting(second, 0, 1), sighting(first, 0, 0), replace(sighting(template, 0, 0), first_seen=None)]
    details: dict[str, int | float | str] = {"model": "gpt-\u202e\x00\ud800x", "requests": 2**40, "share": 0.25}
    happened = [EventRow(day(0), second.id, "born"), EventRow(day(0), first.id, "pivoted", (second.id,), details)]
    ledger.record_night(night(0), [second, template, first], seen, happened)
    assert ledger.nights() == [night(0)]
    assert ledger.last_night() == night(0)
    assert ledger.identities("campaign") == [first, second]
    assert ledger.identities("template") == [template]
    assert ledger.sightings() == [seen[1], seen[0], seen[2]]
    assert ledger.sightings(template.id) == [seen[2]]
    assert ledger.sightings(kind="template", day=day(0)) == [seen[2]]
    safe = {**details, "model": "gpt-\\u202e\\x00\\ud800x"}
    assert ledger.events() == [replace(happened[1], details=safe), happened[0]]
    assert ledger.events(second.id, day=day(0)) == [happened[0]]
    assert ledger.events(second.id, day=day(1)) == []
    assert ledger.faults() == []


def test_a_time_of_another_zone_is_the_same_time(ledger: Ledger) -> None:
    zone = timezone(timedelta(hours=5, minutes=30))
    local = datetime(2026, 3, 2, 1, 2, 3, 456789, tzinfo=zone)
    ledger.record_night(replace(night(0), recorded=local), [], [], [])
    last = ledger.last_night()
    assert last is not None
    assert last.recorded == local
    assert last.recorded.tzinfo is UTC


def test_the_last_night_again_replaces_it_and_an_earlier_one_takes_the_later_back(ledger: Ledger) -> None:
    one, two = campaign(1, 0, 0), campaign(2, 1, 1)
    ledger.record_night(night(0), [one], [sighting(one, 0)], [event(one, 0, "born")])
    after_first = contents(ledger)
    seen_again = campaign(1, 0, 1)
    ledger.record_night(night(1), [seen_again, two], [sighting(two, 1)], [event(two, 1, "born")])
    after_second = contents(ledger)
    ledger.record_night(night(1, "other"), [], [], [])
    assert ledger.identities("campaign") == [one]
    ledger.record_night(night(1), [seen_again, two], [sighting(two, 1)], [event(two, 1, "born")])
    assert contents(ledger) == after_second
    with pytest.raises(LedgerError, match="cannot be recorded alone"):
        ledger.record_night(night(0), [one], [sighting(one, 0)], [event(one, 0, "born")])
    assert contents(ledger) == after_second
    ledger.record_night(night(0), [one], [sighting(one, 0)], [event(one, 0, "born")], replace=True)
    assert contents(ledger) == after_first


def test_a_night_is_matched_with_what_stood_before_it(ledger: Ledger) -> None:
    for number in range(4):
        ledger.record_night(night(number), [campaign(1, 0, number)], [], [])
    assert ledger.identities("campaign", before=day(0)) == []
    for number in range(1, 5):
        assert ledger.identities("campaign", before=day(number)) == [campaign(1, 0, number - 1)]


def test_only_so_many_nights_can_go_back_and_nobody_forgets_who_was_there(
    tmp_path: Path, ledger_config: LedgerConfig
) -> None:
    with open_ledger(tmp_path, replace(ledger_config, signature_nights=3)) as ledger:
        for number in range(6):
            rows = [campaign(1, 0, number)] + ([campaign(2, 0, 0)] if number == 0 else [])
            ledger.record_night(night(number), rows, [], [])
        assert ledger.identities("campaign") == [campaign(1, 0, 5), campaign(2, 0, 0)]
        for number in (3, 4, 5):
            before = ledger.identities("campaign", before=day(number))
            assert before == [campaign(1, 0, number - 1), campaign(2, 0, 0)]
        with pytest.raises(LedgerError, match="goes back to 2026-03-04"):
            ledger.identities("campaign", before=day(2))
        with pytest.raises(LedgerError, match="goes back to 2026-03-04"):
            ledger.record_night(night(2), [], [], [], replace=True)
        ledger.record_night(night(3), [campaign(1, 0, 3)], [], [], replace=True)
        assert ledger.identities("campaign") == [campaign(1, 0, 3), campaign(2, 0, 0)]


@pytest.mark.parametrize(
    ("after", "why"),
    [
        (campaign(1, 1, 1), "was another thing before"),
        (campaign(3, 0, 0), "was born on another night"),
        (campaign(2, 0, 1), "cannot come back"),
    ],
)
def test_an_id_never_stands_for_two_things(ledger: Ledger, after: IdentityRow, why: str) -> None:
    ledger.record_night(night(0), [campaign(1, 0, 0), campaign(2, 0, 0, "merged")], [], [])
    before = contents(ledger)
    with pytest.raises(ValueError, match=why):
        ledger.record_night(night(1), [after], [], [])
    assert contents(ledger) == before


def test_a_dormant_one_may_come_back_and_its_unchanged_nights_cost_nothing(ledger: Ledger) -> None:
    asleep = campaign(1, 0, 0, "dormant")
    ledger.record_night(night(0), [campaign(1, 0, 0)], [], [])
    for number in (1, 2, 3):
        ledger.record_night(night(number), [asleep], [], [])
    ledger.record_night(night(4), [campaign(1, 0, 4)], [], [])
    assert ledger.identities("campaign", before=day(4)) == [asleep]
    assert ledger.identity(asleep.id) == campaign(1, 0, 4)
    with ledger._database.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM states").scalar() == 3


@pytest.mark.parametrize(
    ("seen", "happened", "why"),
    [
        ([sighting(campaign(1, 0, 0), 1)], [], "of another night"),
        ([sighting(campaign(1, 0, 0), 0)] * 2, [], "seen twice"),
        ([sighting(campaign(1, 0, 0), 0), sighting(campaign(2, 0, 0), 0)], [], "one number"),
        ([], [event(campaign(9, 0, 0), 0, "born")], "never observed"),
        ([], [event(campaign(1, 0, 0), 0, "Born again")], "lower-case word"),
        ([], [EventRow(day(0), campaign(1, 0, 0).id, "born", (), {"x": float("nan")})], "a number or"),
        ([], [EventRow(day(0), campaign(1, 0, 0).id, "born", ("acct_1",))], "are identities"),
        ([replace(sighting(campaign(1, 0, 0), 0), last_seen=NOON.replace(tzinfo=None))], [], "needs its zone"),
    ],
)
def test_rows_that_cannot_be_true_leave_nothing(
    tmp_path: Path, seen: list[SightingRow], happened: list[EventRow], why: str
) -> None:
    with open_ledger(tmp_path, SQLITE) as ledger:
        with pytest.raises(ValueError, match=why):
            ledger.record_night(night(0), [campaign(1, 0, 0), campaign(2, 0, 0)], seen, happened)
        assert ledger.nights() == []
        assert ledger.identifiers() == []


def test_a_decision_stays_when_its_night_is_run_again(ledger: Ledger) -> None:
    one = campaign(1, 0, 0)
    ledger.record_night(night(0), [one], [], [])
    said = ledger.decide(one.id, "watching", by="lea", when=NOON, why="waits for the card records")
    later = ledger.decide(one.id, "confirmed", by="noor", when=NOON + timedelta(days=1), why="one card\u2019s pool")
    ledger.record_night(night(0), [], [], [])
    assert ledger.identity(one.id) is None
    ledger.record_night(night(0), [one], [], [])
    assert ledger.decisions() == ledger.decisions(one.id) == [said, later]
    assert ledger.decisions(campaign(2, 0, 0).id) == []
    with pytest.raises(LedgerError, match="knows no such identity"):
        ledger.decide(campaign(2, 0, 0).id, "confirmed", by="lea", when=NOON, why="so")


def test_pruning_takes_sightings_and_events_and_leaves_ids(ledger: Ledger) -> None:
    for number in range(5):
        row = campaign(1, 0, number)
        happened = [event(row, number, "continued"), event(row, number, "grew")]
        ledger.record_night(night(number), [row], [sighting(row, number)], happened)
    ledger.decide(campaign(1, 0, 0).id, "watching", by="lea", when=NOON, why="so")
    assert ledger.prune(2) == {"sightings": 2, "events": 4}
    assert ledger.prune(2) == {"sightings": 0, "events": 0}
    assert [row.day for row in ledger.sightings()] == [day(2), day(3), day(4)]
    assert len(ledger.nights()) == 5
    assert ledger.identities("campaign") == [campaign(1, 0, 4)]
    assert len(ledger.decisions()) == 1


def test_a_night_that_matched_with_older_identities_is_refused(ledger: Ledger) -> None:
    read = ledger.generation()
    ledger.record_night(night(0), [campaign(1, 0, 0)], [], [], generation=read)
    with pytest.raises(LedgerError, match="another night was recorded"):
        ledger.record_night(night(0), [campaign(2, 0, 0)], [], [], generation=read)
    assert ledger.identities("campaign") == [campaign(1, 0, 0)]


def test_names_that_people_type(ledger: Ledger) -> None:
    with pytest.raises(InputError, match="no night was recorded"):
        resolve(ledger, "0")
    one, two, other = campaign(0xAB << 40, 0, 0, signature=b"1"), campaign(1, 0, 0), campaign(2, 0, 0)
    ledger.record_night(night(0), [one, two, other], [sighting(two, 0, 7)], [])
    assert resolve(ledger, "c-ab") == resolve(ledger, one.id) == one.id
    assert resolve(ledger, "7") == two.id
    for named, why in (
        ("8", "no campaign 8"),
        ("c-0", "beginning of 2"),
        ("c-f", "knows no"),
        ("acct%", "no campaign"),
    ):
        with pytest.raises(InputError, match=why):
            resolve(ledger, named)


def test_a_ledger_of_another_store_is_refused(tmp_path: Path, ledger_config: LedgerConfig) -> None:
    shared = ledger_config if ledger_config.url else replace(ledger_config, url=f"sqlite:///{tmp_path}/shared.sqlite")
    with open_ledger(tmp_path / "a", shared) as ledger:
        ledger.record_night(night(0), [], [], [])
    with pytest.raises(LedgerError, match="another key"), open_ledger(tmp_path / "b", shared):
        pass
    with open_ledger(tmp_path / "a", shared) as ledger:
        assert ledger.nights() == [night(0)]


def test_nothing_is_made_where_only_reading_is_meant(tmp_path: Path, ledger_config: LedgerConfig) -> None:
    with pytest.raises(LedgerError, match="no night was recorded"), open_ledger(tmp_path, ledger_config, create=False):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_for_its_owner(tmp_path: Path) -> None:
    with open_ledger(tmp_path, SQLITE) as ledger:
        ledger.record_night(night(0), [], [], [])
        assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("ledger.sqlite*")} == {0o600}


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(b"no database at all" * 1000)
    with pytest.raises(LedgerError, match=r"ledger\.sqlite is damaged"), open_ledger(tmp_path, SQLITE):
        pass


def test_the_password_comes_from_the_environment_and_stands_in_no_message(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.url(server.make_database(), password=False)
    with pytest.raises(LedgerError, match=r"password|reached"), open_ledger(tmp_path, replace(SQLITE, url=url)):
        pass
    monkeypatch.setenv("REFRAIN_LEDGER_PASSWORD", server.password)
    with open_ledger(tmp_path, replace(SQLITE, url=url)) as ledger:
        assert ledger.nights() == []
        assert server.password not in ledger.name


@pytest.mark.parametrize(
    "url", ["nonsense secretpw", "mysql://u:secretpw@h/d", "postgresql://u:secretpw@127.0.0.1:1/d?password=secretpw"]
)
def test_no_message_shows_a_password(tmp_path: Path, url: str) -> None:
    with pytest.raises((ConfigError, LedgerError)) as caught, open_ledger(tmp_path, replace(SQLITE, url=url)):
        pass
    assert "secretpw" not in caught.value.message + caught.value.hint


Step = tuple[int, dict[int, int]]


@settings(max_examples=25)
@given(steps=st.lists(st.tuples(st.integers(0, 5), st.dictionaries(st.integers(1, 4), st.integers(0, 3))), max_size=8))
def test_a_ledger_is_what_its_nights_come_to_whatever_was_taken_back(steps: list[Step]) -> None:
    """A model: the nights that stand, and the changes of each. Replaying them gives the identities at any night."""
    with TemporaryDirectory() as folder, open_ledger(Path(folder), SQLITE) as ledger:
        model: dict[int, dict[int, int]] = {}

        def state_before(number: int) -> dict[int, IdentityRow]:
            known: dict[int, IdentityRow] = {}
            for at in sorted(earlier for earlier in model if earlier < number):
                for name, value in model[at].items():
                    born = known[name].born if name in known else day(at)
                    known[name] = IdentityRow(f"c-{name:012x}", "campaign", born, day(at), "active", bytes([value]))
            return known

        for number, wanted in steps:
            known = state_before(number)
            over = {name for name, retired in ledger.aside().items() if retired}
            # An id that is retired, and never lived to this night, is refused: see test_again.
            spare = {row.id for row in ledger.spare(day(number))}
            changes = {at: value for at, value in wanted.items() if f"c-{at:012x}" not in over - spare}
            rows = []
            for name, value in changes.items():
                born = known[name].born if name in known else day(number)
                rows.append(IdentityRow(f"c-{name:012x}", "campaign", born, day(number), "active", bytes([value])))
            ledger.record_night(night(number), rows, [], [], replace=True)
            model = {at: kept for at, kept in model.items() if at < number} | {number: changes}
            assert [row.day for row in ledger.nights()] == [day(at) for at in sorted(model)]
            for at in range(7):
                expected = sorted(state_before(at).values(), key=lambda row: row.id)
                assert ledger.identities("campaign", before=day(at)) == expected
            assert ledger.identifiers() == [row.id for row in ledger.identities("campaign")]
