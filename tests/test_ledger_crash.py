"""Two writers at once, a writer killed in the middle, and a schema of before."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from nights_of import NOON, campaign, day, event, night, outputs_of, sighting

from refrain.config import LedgerConfig
from refrain.errors import LedgerError
from refrain.ledger import open_ledger, tables
from refrain.ledger.database import Database, connect
from refrain.ledger.schema import HEAD, upgrade

TESTS = Path(__file__).parent

# A child that records nights; says `inside` where its transaction has written and not ended, and waits for a
# line. Or, with no pause, tells how often it was refused because another had been faster.
CHILD = """
import sys
from pathlib import Path
import nights_of as rows
from refrain.config import LedgerConfig
from refrain.errors import LedgerError
from refrain.ledger import entries, ledger, open_ledger

folder, url, name, nights, pause = sys.argv[1:]
written = entries.forget_states

def halt(*arguments):
    done = written(*arguments)
    print("inside", flush=True)
    sys.stdin.readline()
    return done

if pause == "pause":
    ledger.forget_states = halt
print("ready", flush=True)
sys.stdin.readline()
done = refused = 0
with open_ledger(Path(folder), LedgerConfig(url=url, signature_nights=28)) as opened:
    while done < int(nights):
        read = opened.generation()
        last = opened.last_night()
        number = 0 if last is None else (last.day - rows.FIRST).days + 1
        row = rows.campaign(int(name) * 1000 + number, number, number)
        known = opened.identities("campaign", before=rows.day(number))
        assert len(known) == number, (len(known), number)
        try:
            happened = [rows.event(row, number, "born")]
            opened.record_night(
                rows.night(number, name), [row], [rows.sighting(row, number)], happened, generation=read
            )
            done += 1
        except LedgerError as error:
            if "another night" not in error.message:
                raise
            refused += 1
print("done", refused, flush=True)
"""


@contextmanager
def child(
    folder: Path, config: LedgerConfig, name: int, *, nights: int = 1, pause: bool = False
) -> Iterator["subprocess.Popen[str]"]:
    """A process at its first `ready`; killed at the end if it still runs."""
    arguments = [str(outputs_of(folder)), config.url, str(name), str(nights), "pause" if pause else "go"]
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", CHILD, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=TESTS.parent,
        env={"PYTHONPATH": f"{TESTS.parent}:{TESTS}"},
    )
    try:
        expect(process, "ready")
        yield process
    finally:
        process.kill()
        process.communicate()


def expect(process: "subprocess.Popen[str]", word: str) -> str:
    """The child's next line, which begins with `word`."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith(word), line
    return line


def go_on(process: "subprocess.Popen[str]") -> None:
    """Nothing; the child reads a line."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def test_two_writers_lose_no_night_and_make_none_twice(tmp_path: Path, ledger_config: LedgerConfig) -> None:
    """Both open an empty ledger at the same time, too: one of them makes the tables."""
    with (
        child(tmp_path, ledger_config, 1, nights=15) as first,
        child(tmp_path, ledger_config, 2, nights=15) as second,
    ):
        go_on(first)
        go_on(second)
        for process in (first, second):
            expect(process, "done")
    with open_ledger(outputs_of(tmp_path), ledger_config) as ledger:
        assert [row.day for row in ledger.nights()] == [day(number) for number in range(30)]
        assert {row.run_id for row in ledger.nights()} == {"1", "2"}
        assert len(ledger.identities("campaign")) == len(ledger.events()) == len(ledger.sightings()) == 30
        assert ledger.generation() == 30
        assert ledger.faults() == []


def test_a_writer_that_is_killed_inside_its_transaction_leaves_nothing(
    tmp_path: Path, ledger_config: LedgerConfig
) -> None:
    folder = outputs_of(tmp_path)
    rows = campaign(9, 0, 0)
    with open_ledger(folder, ledger_config) as ledger:
        ledger.record_night(night(0), [rows], [sighting(rows, 0)], [event(rows, 0, "born")])
        before = ledger.nights(), ledger.identities("campaign"), ledger.events(), ledger.generation()
        for name in (1, 2, 3):
            with child(tmp_path, ledger_config, name, pause=True) as process:
                go_on(process)
                expect(process, "inside")
                # A reader sees the night before, and waits for nobody.
                assert (ledger.nights(), ledger.identities("campaign"), ledger.events(), ledger.generation()) == before
                process.kill()
                process.communicate()
            assert (ledger.nights(), ledger.identities("campaign"), ledger.events(), ledger.generation()) == before
        assert ledger.faults() == []
        ledger.record_night(night(1), [campaign(10, 1, 1)], [], [])
        assert ledger.identities("campaign") == [rows, campaign(10, 1, 1)]


def test_a_writer_waits_for_the_one_before(tmp_path: Path, ledger_config: LedgerConfig) -> None:
    with open_ledger(outputs_of(tmp_path), ledger_config):
        pass
    with (
        child(tmp_path, ledger_config, 1, pause=True) as first,
        child(tmp_path, ledger_config, 2) as second,
    ):
        go_on(first)
        expect(first, "inside")
        go_on(second)  # it reads that there is no night, and finds one when its turn has come
        go_on(first)
        expect(first, "done")
        expect(second, "done")
    with open_ledger(outputs_of(tmp_path), ledger_config) as ledger:
        assert [row.run_id for row in ledger.nights()] == ["1", "2"]


def test_whoever_waits_too_long_is_told_so(
    tmp_path: Path, ledger_config: LedgerConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("refrain.ledger.database._WAIT_SECONDS", 1)
    with open_ledger(outputs_of(tmp_path), ledger_config) as ledger:
        with child(tmp_path, ledger_config, 1, pause=True) as process:
            go_on(process)
            expect(process, "inside")
            with pytest.raises(LedgerError, match="has been writing"):
                ledger.record_night(night(0), [], [], [])
        ledger.record_night(night(0), [], [], [])


def at_first_schema(folder: Path, config: LedgerConfig) -> None:
    """Nothing; the ledger is as the first schema had it, with a night and a decision."""
    database = connect(folder, config.url)
    with database.writing() as connection:
        upgrade(connection, "0001", database.name)
        one = campaign(1, 0, 0)
        identity = {"id": one.id, "kind": one.kind, "born": one.born}
        state = {"identity": one.id, "day": day(0), "state": "active", "last_seen": day(0), "signature": one.signature}
        decision = {"identity": one.id, "verdict": "watching", "by": "lea", "when": NOON, "why": "so"}
        connection.execute(tables.nights.insert().values(**{**vars(night(0)), "counts": dict(night(0).counts)}))
        connection.execute(tables.identities.insert().values(**identity))
        connection.execute(tables.states.insert().values(**state))
        connection.execute(tables.decisions.insert().values(**decision))
    database.close()


def test_a_ledger_of_the_first_schema_keeps_its_rows(tmp_path: Path, ledger_config: LedgerConfig) -> None:
    at_first_schema(tmp_path, ledger_config)
    with open_ledger(tmp_path, ledger_config) as ledger:
        assert ledger.nights() == [night(0)]
        assert ledger.identities("campaign") == [campaign(1, 0, 0)]
        assert [row.why for row in ledger.decisions()] == ["so"]
        ledger.record_night(night(1), [campaign(1, 0, 1)], [], [], generation=0)
    with open_ledger(tmp_path, ledger_config) as ledger:
        assert ledger.identities("campaign") == [campaign(1, 0, 1)]


def test_a_migration_that_fails_changes_nothing(
    tmp_path: Path, ledger_config: LedgerConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alembic.operations import Operations

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("no space")

    at_first_schema(tmp_path, ledger_config)
    with monkeypatch.context() as patch:
        patch.setattr(Operations, "bulk_insert", refuse)
        with pytest.raises(RuntimeError), open_ledger(tmp_path, ledger_config):
            pass
    database = connect(tmp_path, ledger_config.url)
    with database.reading() as connection:
        assert not sa.inspect(connection).has_table("marks")
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == "0001"
    database.close()
    with open_ledger(tmp_path, ledger_config) as ledger:
        assert ledger.nights() == [night(0)]


def schema_of(database: Database) -> str:
    """What distinguishes the database from the tables of the code."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with database.reading() as connection:
        options = {"compare_type": True, "compare_server_default": True}
        return json.dumps(
            [str(d) for d in compare_metadata(MigrationContext.configure(connection, opts=options), tables.metadata)]
        )


def test_the_migrations_lead_to_the_tables_of_the_code(tmp_path: Path, ledger_config: LedgerConfig) -> None:
    with open_ledger(tmp_path, ledger_config) as ledger:
        assert json.loads(schema_of(ledger._database)) == []


def test_head_is_the_last_migration() -> None:
    from alembic.script import ScriptDirectory

    folder = str(Path(tables.__file__).parent / "migrations")
    assert ScriptDirectory(folder, version_locations=[folder]).get_heads() == [HEAD]


def test_a_ledger_of_a_newer_refrain_or_another_program_is_left_alone(
    tmp_path: Path, ledger_config: LedgerConfig
) -> None:
    with open_ledger(tmp_path, ledger_config):
        pass
    database = connect(tmp_path, ledger_config.url)
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(LedgerError, match="newer refrain"), open_ledger(tmp_path, ledger_config):
        pass
    with database.writing() as connection:
        connection.exec_driver_sql("DROP TABLE alembic_version")
    with pytest.raises(LedgerError, match="another program"), open_ledger(tmp_path, ledger_config):
        pass
    database.close()
