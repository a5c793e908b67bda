"""Lists of known templates: what is ours reads, and what cannot be read names its place."""

from dataclasses import replace
from pathlib import Path

import pytest

from refrain.errors import ConfigError
from refrain.known import read_lists
from refrain.settings import config_folder, load_settings
from refrain.stages import identity

GOOD = '[[template]]\nname = "a"\nsource = "here"\ntext = "one two three"\n'
MEMBER = "0123456789abcdef" * 2
DISMISSED = (
    '[[suppressed]]\nname = "d"\nreason = "r"\nby = "b"\nwhen = "w"\ntexts = ["one"]\n'
    f'members = ["{MEMBER}"]\nfamilies = []\ntests = []\nbenign = []\n'
)


def test_our_list_reads_and_every_entry_says_where_it_is_from() -> None:
    found = read_lists(config_folder("benign"))
    assert not found.suppressions
    for entry in found.templates:
        assert len(entry.text.split()) >= 5, entry.name
        assert entry.source
        assert not entry.url or entry.url.startswith("https://")


def test_lists_are_read_in_the_order_of_folders_and_names_and_other_files_are_not(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    (first / "b.toml").write_text(GOOD)
    (first / "a.toml").write_text(GOOD.replace('"a"', '"z"') + DISMISSED)
    (first / "README.md").write_text("no list")
    (second / "a.toml").write_text(GOOD.replace('"a"', '"m"'))
    found = read_lists(first, None, second, tmp_path / "absent")
    assert [entry.name for entry in found.templates] == ["z", "a", "m"]
    assert [entry.members for entry in found.suppressions] == [(MEMBER,)]
    assert read_lists(first, second).digest == found.digest
    (first / "README.md").write_text("still none")
    assert read_lists(first, second).digest == found.digest
    (second / "a.toml").write_text(GOOD.replace('"a"', '"m"') + "\n")
    assert read_lists(first, second).digest != found.digest


def test_no_folder_and_an_empty_one_hold_nothing(tmp_path: Path) -> None:
    assert config_folder("") is None
    assert read_lists(None, tmp_path) == read_lists()
    with pytest.raises(ConfigError, match="no folder 'absent'"):
        config_folder("absent")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[template", "x.toml: "),
        ("\xff", "cannot be read as text"),
        ('[[templates]]\nname = "a"\n', "no entry 'templates'"),
        ('[template]\nname = "a"\n', r"\[\[template\]\] must be tables"),
        ("template = [1]\n", r"\[\[template\]\] must be tables"),
        (GOOD.replace('name = "a"', ""), r"\[\[template\]\] 1: name"),
        (GOOD.replace('"a"', '"a b"'), r"\[\[template\]\] 1: name"),
        (GOOD.replace('"a"', "3"), r"\[\[template\]\] 1: name"),
        (GOOD.replace("source", "sauce"), r"1 \(a\): there is no field 'sauce'"),
        (GOOD.replace('source = "here"\n', ""), r"1 \(a\): source is missing"),
        (GOOD.replace('"here"', '" "'), r"1 \(a\): source must be a text that is not blank"),
        (GOOD.replace('"one two three"', '["one"]'), r"1 \(a\): text must be a text"),
        (GOOD.replace("one two three", "{slot} -- {slot}"), r"1 \(a\): text holds no word"),
        (GOOD + GOOD, "the name 'a' stands twice"),
        (DISMISSED.replace('["one"]', "[]"), r"1 \(d\): texts"),
        (DISMISSED.replace('["one"]', '["one", "?!"]'), r"1 \(d\): texts"),
        (DISMISSED.replace(MEMBER, "acct-1"), r"1 \(d\): members must be digests"),
        (DISMISSED.replace("tests = []", 'tests = "all"'), r"1 \(d\): tests must be a list"),
        (DISMISSED.replace("benign = []", "benign = [1]"), r"1 \(d\): benign must be a list"),
    ],
)
def test_what_cannot_be_read_names_file_entry_and_field(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "x.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=said) as caught:
        read_lists(tmp_path)
    assert "x.toml" in caught.value.message


def test_a_name_may_not_stand_in_two_files(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(GOOD)
    (tmp_path / "y.toml").write_text(GOOD)
    with pytest.raises(ConfigError, match=r"y\.toml: the name 'a' stands twice"):
        read_lists(tmp_path)


def test_a_folder_counts_by_what_its_lists_hold(tmp_path: Path) -> None:
    section = load_settings().config.score

    def address(folder: Path | str) -> dict[str, object]:
        return identity(replace(section, known=str(folder)))

    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    assert address(first) == address(second) == address("")
    (first / "a.toml").write_text(GOOD)
    assert address(first) != address(second)
    (second / "a.toml").write_text(GOOD)
    assert address(first) == address(second)
