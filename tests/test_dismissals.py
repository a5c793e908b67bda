"""Dismissed findings in the ledger, on both databases: what is written is read, and a list of before is taken over."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.config import LedgerConfig
from refrain.dismissals import IMPORTED, change_dismissed, read_dismissed, take_over
from refrain.errors import InputError, LedgerError
from refrain.known import FILE, KnownTemplate, Suppression, list_text, read_list, read_lists
from refrain.ledger import Ledger, find_ledger, open_ledger
from refrain.suppressed_list import add_suppression
from refrain.suppressions import fixed_text

ENTRY = Suppression(
    "d", "why", "me", "2026-03-01", ("one two", "three"), ("0" * 32,), ("use",), ("use_dedication",), ()
)
HOSTILE = 'Say """ \' \\ and\x1b[31m\u202ered\x7f\u2028]] [[template]] {slot}\U0001f600 # end\ud800'


@pytest.fixture
def ledger(tmp_path: Path, ledger_config: LedgerConfig) -> Iterator[Ledger]:
    """An empty ledger."""
    with open_ledger(tmp_path, ledger_config) as opened:
        yield opened


def test_what_is_dismissed_stands_there_and_can_be_taken_out(ledger: Ledger) -> None:
    hostile = replace(ENTRY, name="B-hostile", texts=(fixed_text(HOSTILE), "a\x00b"), reason="so\x00 \u202e")
    assert ledger.dismissed.add(ENTRY)
    assert ledger.dismissed.add(hostile)
    as_kept = replace(hostile, reason="so\\x00 \u202e")
    assert ledger.dismissed.entries() == [as_kept, ENTRY]
    assert not ledger.dismissed.add(replace(ENTRY, when="2027-01-01"))
    assert ledger.dismissed.entries()[1].when == ENTRY.when
    renewed = replace(ENTRY, members=("1" * 32,), texts=ENTRY.texts[::-1], by="lea")
    assert ledger.dismissed.add(renewed)
    assert ledger.dismissed.entries()[1] == renewed
    with pytest.raises(InputError, match="the name 'd' is another finding's"):
        ledger.dismissed.add(replace(ENTRY, texts=("four",)))
    assert ledger.dismissed.remove("B-hostile") == as_kept
    with pytest.raises(InputError, match="no suppression 'B-hostile'") as caught:
        ledger.dismissed.remove("B-hostile")
    assert caught.value.hint == "there are: d"
    assert ledger.dismissed.entries() == [renewed]


def test_entries_change_all_or_none(ledger: Ledger) -> None:
    for name in "abc":
        ledger.dismissed.add(replace(ENTRY, name=name))

    def change(entry: Suppression) -> Suppression | None:
        return {"a": None, "b": replace(entry, by="(purged)"), "c": entry}[entry.name]

    assert ledger.dismissed.change(change) == 2
    assert ledger.dismissed.entries() == [replace(ENTRY, name="b", by="(purged)"), replace(ENTRY, name="c")]

    def fail(entry: Suppression) -> Suppression | None:
        if entry.name == "c":
            raise RuntimeError
        return None

    with pytest.raises(RuntimeError):
        ledger.dismissed.change(fail)
    assert [entry.name for entry in ledger.dismissed.entries()] == ["b", "c"]


def test_many_at_once_lose_nothing(tmp_path: Path, ledger_config: LedgerConfig) -> None:
    def write(first: int) -> None:
        with open_ledger(tmp_path, ledger_config) as ledger:
            for number in range(first, first + 8):
                ledger.dismissed.add(replace(ENTRY, name=f"n{number:02}"))

    with open_ledger(tmp_path, ledger_config):
        pass
    threads = [threading.Thread(target=write, args=(first,)) for first in (0, 8, 16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read_dismissed(tmp_path, ledger_config) == [replace(ENTRY, name=f"n{number:02}") for number in range(24)]


def test_another_store_reads_none_of_it(tmp_path: Path, ledger_config: LedgerConfig) -> None:
    shared = ledger_config if ledger_config.url else replace(ledger_config, url=f"sqlite:///{tmp_path}/shared.sqlite")
    with open_ledger(tmp_path / "a", shared) as ledger:
        ledger.dismissed.add(ENTRY)
    with pytest.raises(LedgerError, match="another key"):
        read_dismissed(tmp_path / "b", shared)
    assert read_dismissed(tmp_path / "a", shared) == [ENTRY]


def test_where_nothing_was_ever_kept_nothing_is_made(tmp_path: Path, ledger_config: LedgerConfig) -> None:
    outputs = tmp_path / "outputs"
    assert read_dismissed(outputs, ledger_config) == []
    assert change_dismissed(outputs, ledger_config, lambda entry: None) == 0
    with find_ledger(outputs, ledger_config) as ledger:
        assert ledger is None
    assert not outputs.exists()


def test_a_list_of_before_is_taken_over_once(tmp_path: Path, ledger_config: LedgerConfig) -> None:
    path = tmp_path / "benign" / FILE
    other = replace(ENTRY, name="e")
    for entry in (ENTRY, other):
        add_suppression(path, entry)
    text, digest = path.read_bytes(), read_lists(path.parent).digest
    assert "2 dismissals" in take_over(tmp_path, ledger_config)
    assert take_over(tmp_path, ledger_config) == ""
    assert (path.with_name(IMPORTED).read_bytes(), path.exists()) == (text, False)
    assert path.with_name(IMPORTED).stat().st_mode & 0o777 == 0o600
    entries = read_dismissed(tmp_path, ledger_config)
    assert entries == [ENTRY, other]
    assert read_lists(path.parent, dismissed=entries).digest == digest
    assert read_lists(path.parent).suppressions == ()


def test_whoever_died_while_taking_over_goes_on(tmp_path: Path, ledger_config: LedgerConfig) -> None:
    """The ledger had it and the file its old name; what changed in the ledger since is newer than the file."""
    path = tmp_path / "benign" / FILE
    newer = replace(ENTRY, by="lea")
    add_suppression(path, ENTRY)
    add_suppression(path, replace(ENTRY, name="e"))
    with open_ledger(tmp_path, ledger_config) as ledger:
        ledger.dismissed.add(newer)
    assert read_dismissed(tmp_path, ledger_config) == [newer, replace(ENTRY, name="e")]
    assert not path.exists()
    add_suppression(path, replace(ENTRY, texts=("another",)))
    with pytest.raises(InputError, match="another finding"):
        take_over(tmp_path, ledger_config)
    assert path.exists()


def test_templates_of_ones_own_in_that_file_stay_in_force(tmp_path: Path, ledger_config: LedgerConfig) -> None:
    path = tmp_path / "benign" / FILE
    path.parent.mkdir()
    own = KnownTemplate("own", "house", "one two three")
    path.write_text(list_text([own], [ENTRY]))
    assert read_dismissed(tmp_path, ledger_config) == [ENTRY]
    assert (read_list(path).templates, read_list(path).suppressions) == ((own,), ())
    assert take_over(tmp_path, ledger_config) == ""
    assert read_list(path.with_name(IMPORTED)).suppressions == (ENTRY,)


def test_a_purge_changes_ledger_and_lists(tmp_path: Path, ledger_config: LedgerConfig) -> None:
    path = tmp_path / "benign" / FILE
    add_suppression(path, ENTRY)
    take_over(tmp_path, ledger_config)
    assert change_dismissed(tmp_path, ledger_config, lambda entry: replace(entry, members=())) == 1
    assert read_dismissed(tmp_path, ledger_config) == [replace(ENTRY, members=())]
    assert read_list(path.with_name(IMPORTED)).suppressions == (replace(ENTRY, members=()),)


names = st.text("abcXYZ09-_", min_size=1, max_size=8).map(lambda name: f"n{name}")
words = st.text(max_size=20).map(fixed_text).map(lambda text: f"word {text}")
entries = st.builds(
    replace, st.just(ENTRY), name=names, texts=st.lists(words, min_size=1, max_size=3).map(tuple), when=words
)


@given(st.lists(entries, max_size=4, unique_by=lambda entry: entry.name), st.randoms())
def test_equal_content_is_an_equal_digest_and_other_content_another(found: list[Suppression], random: object) -> None:
    digest = read_lists(dismissed=found).digest
    assert read_lists(dismissed=found[::-1]).digest == digest
    assert sorted(read_lists(dismissed=found).suppressions, key=lambda entry: entry.name) == sorted(
        found, key=lambda entry: entry.name
    )
    for at, entry in enumerate(found):
        changed = [*found[:at], replace(entry, when=f"{entry.when}x"), *found[at + 1 :]]
        assert read_lists(dismissed=changed).digest != digest
        assert read_lists(dismissed=found[:at] + found[at + 1 :]).digest != digest
