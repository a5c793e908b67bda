"""The list of dismissed findings on disk: hostile texts come back as they were, edits are whole and can be undone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.errors import InputError
from refrain.known import FILE, KnownTemplate, Suppression, read_list
from refrain.shingles import fixed_words, shingles
from refrain.suppressed_list import add_suppression, remove_suppression
from refrain.suppressions import fixed_text, suppress_finding

KEY = bytes(range(32))
HOSTILE = (
    'Say """ or \'\'\'\\ and\x00\x1b[31m\u202ered\x7f\u2028]]\n[[template]]\nname = "x"{slot}\U0001f600 # end\ud800'
)
ENTRY = Suppression(
    "d", "why", "me", "2026-03-01", ("one two", "three"), ("0" * 32,), ("use",), ("use_dedication",), ()
)


def detail(*skeletons: str) -> dict[str, Any]:
    return {
        "campaign_id": 3,
        "templates": [{"skeleton": skeleton} for skeleton in skeletons],
        "members": [{"account_id": f"acct-{n}"} for n in range(3)],
        "tests": [
            {"family": "use", "test": "dedication", "p_value": 1e-9},
            {"family": "use", "test": "repetition", "p_value": 0.5},
            {"family": "time", "test": "rhythm", "p_value": None},
        ],
        "families": ["use"],
        "benign": ["popular_template"],
    }


def suppression(*skeletons: str, name: str | None = None) -> Suppression:
    return suppress_finding(detail(*skeletons), KEY, name=name, reason="r", by="b", when="w", silent_p=0.01)


def test_a_suppression_says_what_the_finding_was_and_names_no_account() -> None:
    found = suppression("Grade   it.{slot}NOW", "{slot}")
    assert found.texts == ("grade it.{slot}now",)
    assert (found.families, found.tests, found.benign) == (("use",), ("use_dedication",), ("popular_template",))
    assert list(found.members) == sorted(found.members)
    assert "acct" not in repr(found)
    assert found.name == suppression("grade it.{slot}now").name != suppression("something else").name
    with pytest.raises(InputError, match="campaign 3 has no text"):
        suppression("{slot}?!")


def test_a_hostile_skeleton_is_one_entry_and_nothing_unseen(tmp_path: Path) -> None:
    entry = suppression(HOSTILE)
    add_suppression(tmp_path / FILE, entry)
    found = read_list(tmp_path / FILE)
    assert (found.templates, found.suppressions) == ((), (entry,))
    text = (tmp_path / FILE).read_text(encoding="utf-8")
    assert not set(text) & set("\x00\x1b\u202e\x7f\u2028\ud800")


@given(st.text(max_size=60), st.text(max_size=60))
def test_what_is_kept_of_a_skeleton_is_as_like_as_the_skeleton(left: str, right: str) -> None:
    skeleton = f"{left}{{slot}}{right}"
    kept = fixed_text(skeleton)
    assert fixed_text(kept) == kept
    if fixed_words(skeleton):
        assert shingles(kept, 3) == shingles(skeleton, 3)


def test_adding_twice_changes_nothing_and_removing_undoes_it(tmp_path: Path) -> None:
    path = tmp_path / "benign" / FILE
    other = replace(ENTRY, name="a")
    assert add_suppression(path, ENTRY)
    before = path.read_bytes()
    assert not add_suppression(path, replace(ENTRY, when="2027-01-01"))
    assert path.read_bytes() == before
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert add_suppression(path, other)
    assert [entry.name for entry in read_list(path).suppressions] == ["a", "d"]
    assert remove_suppression(path, "a") == other
    assert path.read_bytes() == before
    assert {place.name for place in path.parent.iterdir()} == {FILE, "lock"}


def test_a_name_renews_its_own_finding_and_takes_no_other(tmp_path: Path) -> None:
    path = tmp_path / FILE
    add_suppression(path, ENTRY)
    renewed = replace(ENTRY, members=("1" * 32,), texts=ENTRY.texts[::-1])
    assert add_suppression(path, renewed)
    assert read_list(path).suppressions == (renewed,)
    with pytest.raises(InputError, match="the name 'd' is another finding's"):
        add_suppression(path, replace(ENTRY, texts=("four",)))
    with pytest.raises(InputError, match="no suppression 'x'") as caught:
        remove_suppression(path, "x")
    assert caught.value.hint == "there are: d"
    assert read_list(path).suppressions == (renewed,)


def test_templates_of_ones_own_in_the_same_file_stay(tmp_path: Path) -> None:
    path = tmp_path / FILE
    path.write_text('[[template]]\nname = "own"\nsource = "house"\ntext = "one two three"\n')
    add_suppression(path, ENTRY)
    assert read_list(path).templates == (KnownTemplate("own", "house", "one two three"),)
