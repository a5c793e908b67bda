"""The effective configuration and where each value came from.

Layers, later over earlier: configs/default.toml, the run's own settings (for a verb on an existing run), --config FILE,
--set section.key=value. An unknown key, a wrong type or a value out of range is an error that names its place.
"""

import difflib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args, get_origin, get_type_hints

from refrain.config import Config
from refrain.errors import ConfigError

DEFAULT = "default.toml"

Layer = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Settings:
    """A configuration and, for every `section.key`, the layer that its value came from."""

    config: Config
    origins: Mapping[str, str]


def config_file(name: str) -> Path:
    """The path of a file in configs/, or of any path that exists as given; ConfigError where neither does."""
    package = Path(__file__).resolve().parent
    # A wheel carries configs/ inside the package, a clone has it beside the package.
    for folder in (package / "configs", package.parent / "configs"):
        if (folder / name).is_file():
            return folder / name
    if Path(name).is_file():
        return Path(name)
    raise ConfigError(f"there is no file {name!r}", hint="give a file in configs/ or a path")


def config_folder(name: str) -> Path | None:
    """The path of a folder in configs/, or of any path that exists as given, None for ""; ConfigError where neither
    does."""
    if not name:
        return None
    package = Path(__file__).resolve().parent
    for folder in (package / "configs", package.parent / "configs"):
        if (folder / name).is_dir():
            return folder / name
    if Path(name).is_dir():
        return Path(name)
    raise ConfigError(f"there is no folder {name!r}", hint='give a folder in configs/ or a path, or "" for none')


def load_settings(
    file: Path | None = None, overrides: Sequence[str] = (), *, run: Layer | None = None, run_name: str = "the run"
) -> Settings:
    """The defaults overlaid by `run`, by `file` and by `overrides` (each `section.key=value`).

    Keys of `run` that no longer exist are left out: a run of an older version stays usable.
    """
    hints = get_type_hints(Config)
    values: dict[str, dict[str, Any]] = {section: {} for section in hints}
    origins: dict[str, str] = {}

    def overlay(layer: Layer, origin: str, *, lenient: bool = False) -> None:
        for section, entries in layer.items():
            if section not in hints:
                if lenient:
                    continue
                raise _unknown(origin, section, list(hints), "section")
            if not isinstance(entries, Mapping):
                raise ConfigError(f"{origin}: [{section}] must be a table of settings")
            types = get_type_hints(hints[section])
            for key, value in entries.items():
                if key not in types:
                    if lenient:
                        continue
                    raise _unknown(origin, f"{section}.{key}", [f"{section}.{known}" for known in types], "setting")
                values[section][key] = _typed(value, types[key], f"{origin}: {section}.{key}")
                origins[f"{section}.{key}"] = origin

    overlay(_read(config_file(DEFAULT)), DEFAULT)
    if run is not None:
        overlay(run, run_name, lenient=True)
    if file is not None:
        overlay(_read(file), str(file))
    for override in overrides:
        overlay(_override(override, hints), f"--set {override.partition('=')[0].strip()}")

    sections = {}
    for section, kind in hints.items():
        missing = sorted({f.name for f in fields(kind)} - values[section].keys())
        if missing:
            raise ConfigError(f"{DEFAULT}: [{section}] lacks {', '.join(missing)}")
        try:
            sections[section] = kind(**values[section])
        except ValueError as error:
            raise ConfigError(f"[{section}]: {error}") from error
    return Settings(Config(**sections), MappingProxyType(dict(sorted(origins.items()))))


def plain(section: object) -> dict[str, Any]:
    """A section (or the whole Config) as plain JSON values: tuples become lists."""
    result: dict[str, Any] = json.loads(json.dumps(asdict(section)))  # type: ignore[call-overload]
    return result


def _read(path: Path) -> Layer:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"there is no config file {path}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the config file {path} cannot be read as text") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}", hint='TOML: text in "quotes", lists in [brackets]') from error


def _override(text: str, hints: Mapping[str, type]) -> Layer:
    """`section.key=value` as a layer; the value is TOML, or bare text where the setting is a text."""
    name, equals, value = text.partition("=")
    section, dot, key = name.strip().partition(".")
    if not equals or not dot or not key:
        raise ConfigError(f"--set {text!r} is not of the form section.key=value")
    kind = get_type_hints(hints[section]).get(key) if section in hints else None
    try:
        parsed = tomllib.loads(f"value = {value.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    if kind is str and not isinstance(parsed, str):
        parsed = value.strip()  # a folder named 2024 is a name all the same
    return {section: {key: parsed}}


def _unknown(origin: str, name: str, known: Sequence[str], what: str) -> ConfigError:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0)
    return ConfigError(f"{origin}: there is no {what} {name!r}", hint=f"did you mean {near[0]!r}?" if near else "")


def _typed(value: Any, kind: Any, place: str) -> Any:
    """`value` as `kind` (bool, int, float, str, tuple[X, ...], dict[str, X]); ConfigError where it is not."""
    origin = get_origin(kind)
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_typed(item, get_args(kind)[0], f"{place}[{at}]") for at, item in enumerate(value))
    if origin is dict and isinstance(value, Mapping):
        return {key: _typed(item, get_args(kind)[1], f"{place}.{key}") for key, item in value.items()}
    if kind is float and type(value) is int:
        return float(value)
    if kind in (bool, int, float, str) and type(value) is kind:
        return value
    wanted = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}.get(
        kind, "a table" if origin is dict else "a list"
    )
    raise ConfigError(f"{place} must be {wanted}, not {type(value).__name__}")
