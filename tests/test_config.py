"""Settings: layers, origins, and errors that name the place."""

import dataclasses
import tomllib
from pathlib import Path
from typing import get_type_hints

import pytest

from refrain.config import Config, ContentFile, content_fields, speed_fields
from refrain.errors import ConfigError
from refrain.settings import _typed, config_file, load_settings, plain


def test_defaults_alone_fill_every_section_and_say_where_they_come_from() -> None:
    settings = load_settings()
    names = {f"{section}.{key}" for section, kind in get_type_hints(Config).items() for key in get_type_hints(kind)}
    assert settings.origins.keys() == names
    assert set(settings.origins.values()) == {"default.toml"}


def test_no_section_has_a_default_in_code() -> None:
    for kind in get_type_hints(Config).values():
        for field in dataclasses.fields(kind):
            assert field.default is dataclasses.MISSING, f"{kind.__name__}.{field.name}"
            assert field.default_factory is dataclasses.MISSING, f"{kind.__name__}.{field.name}"


def test_every_default_stands_under_a_reason() -> None:
    """A comment directly above, or above a group of settings without a blank line between."""
    bare, reason = [], False
    for line in config_file("default.toml").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            reason = True
        elif not line or line.startswith("["):
            reason = reason and bool(line)
        elif " = " in line and not line.startswith((" ", "]")) and not reason and "#" not in line:
            bare.append(line)
    assert bare == []


def test_later_layers_win_and_the_origin_follows(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[index]\nneighbours = 7\n[score]\nseed = 1\n", encoding="utf-8")
    run = {"index": {"neighbours": 5}, "score": {"seed": 2}, "mine": {"min_owners": 9}, "gone": {"x": 1}}
    settings = load_settings(file, ["score.seed=3"], run=run, run_name="run a")
    assert (settings.config.index.neighbours, settings.config.score.seed, settings.config.mine.min_owners) == (7, 3, 9)
    assert settings.origins["index.neighbours"] == str(file)
    assert settings.origins["score.seed"] == "--set score.seed"
    assert settings.origins["mine.min_owners"] == "run a"


def test_the_effective_settings_load_again_as_themselves() -> None:
    config = load_settings(overrides=['ingest.columns={prompt = "text"}', "embed.model=2024"]).config
    assert config.embed.model == "2024"
    assert load_settings(run=plain(config)).config == config


@pytest.mark.parametrize(
    ("override", "said", "hint"),
    [
        ("index.neighbors=3", "index.neighbors", "'index.neighbours'"),
        ("indx.neighbours=3", "section 'indx'", "'index'"),
        ("index.neighbours=many", "index.neighbours must be a whole number, not str", ""),
        ("index.neighbours=true", "must be a whole number, not bool", ""),
        ("index.neighbours=1.5", "must be a whole number, not float", ""),
        ("score.false_discovery_rate=low", "must be a number", ""),
        ("ingest.columns=3", "must be a table", ""),
        ("ingest.columns={prompt = 3}", "ingest.columns.prompt must be a text", ""),
        ("index.neighbours", "section.key=value", ""),
        ("neighbours=3", "section.key=value", ""),
    ],
)
def test_a_bad_override_is_refused_by_name(override: str, said: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(overrides=[override])
    assert said in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("text", ["[index\n", "index = 3\n", "[index]\nnope = 1\n", "\0"])
def test_a_bad_file_is_refused_by_its_name(tmp_path: Path, text: str) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"bad\.toml"):
        load_settings(file)


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no config file"):
        load_settings(tmp_path / "absent.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read as text"):
        load_settings(tmp_path / "bytes.toml")
    with pytest.raises(ConfigError, match="there is no file"):
        config_file("no-such.toml")


def test_a_number_without_a_point_is_a_float_where_one_is_wanted() -> None:
    rate = load_settings(overrides=["score.false_discovery_rate=1"]).config.score.false_discovery_rate
    assert (rate, type(rate)) == (1.0, float)


def test_lists_become_tuples_of_the_right_kind() -> None:
    assert _typed(["a", "b"], tuple[str, ...], "x") == ("a", "b")
    with pytest.raises(ConfigError, match=r"x\[1\] must be a text"):
        _typed(["a", 1], tuple[str, ...], "x")


def test_content_fields_are_those_that_were_marked() -> None:
    @dataclasses.dataclass(frozen=True)
    class Section:
        probes: ContentFile
        seed: int

    assert content_fields(Section("probes.toml", 0)) == ("probes",)


def test_speed_fields_are_those_that_were_marked() -> None:
    config = load_settings().config
    assert speed_fields(config.ingest) == ("workers", "worker_mib", "keep_staged", "staged_mib", "staged_unit_kib")
    others = {name: speed_fields(section) for name, section in vars(config).items() if name != "ingest"}
    assert {name: marked for name, marked in others.items() if marked} == {"export": ("share_min_accounts",)}


def test_default_toml_sets_nothing_that_does_not_exist() -> None:
    data = tomllib.loads(config_file("default.toml").read_text(encoding="utf-8"))
    assert data.keys() == get_type_hints(Config).keys()
