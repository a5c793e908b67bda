"""Lists of known templates: public ones with their source, and findings that somebody dismissed.

A list is a TOML file of `[[template]]` and `[[suppressed]]` entries; configs/benign/README.md says what belongs into
one. Whatever stands there lowers a rank and does nothing else, so a list is read strictly: an entry that nobody can
read is an error and not a shorter list.
"""

import hashlib
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import tomli_w

from refrain.artifacts import Store, digest_json
from refrain.errors import ConfigError
from refrain.shingles import fixed_words

NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}"
"""What an entry may be called: it appears in tables and on pages."""
MEMBER = r"[0-9a-f]{32}"
"""A member of a dismissed finding: the keyed digest of an account id, in hex."""
TEMPLATE, SUPPRESSED = "template", "suppressed"  # the kinds of entry in a file
FILE = "suppressed.toml"
"""The name of a list of dismissed findings; those in the ledger count as if they stood in a file of this name."""
_HEAD = """\
# Findings that somebody dismissed. Written by `refrain suppress`, which keeps no other comment. An entry lowers the
# rank of its finding while members and evidence stay what they were, and does nothing else. Members are keyed digests.

"""


@dataclass(frozen=True)
class KnownTemplate:
    """A public template: `text` is its fixed wording, with `{slot}` where senders put their own."""

    name: str
    source: str
    text: str
    url: str = ""
    licence: str = ""


@dataclass(frozen=True)
class Suppression:
    """A finding that somebody dismissed, and what it was then: the fixed texts of its templates, its members, and what
    spoke for and against it. Members are keyed digests, sorted."""

    name: str
    reason: str
    by: str
    when: str
    texts: tuple[str, ...]
    members: tuple[str, ...]
    families: tuple[str, ...]
    tests: tuple[str, ...]
    benign: tuple[str, ...]


@dataclass(frozen=True)
class KnownLists:
    """Every entry of some lists, and a digest over the files that they were read from."""

    templates: tuple[KnownTemplate, ...] = ()
    suppressions: tuple[Suppression, ...] = ()
    digest: str = ""


NOTHING_KNOWN = KnownLists()

_Entry = TypeVar("_Entry", KnownTemplate, Suppression)


@dataclass(frozen=True)
class _Source:
    """The text of one list: the name that counts, and where it stands, for messages."""

    name: str
    place: str
    data: bytes


def read_lists(*folders: Path | None, dismissed: Sequence[Suppression] = ()) -> KnownLists:
    """The lists of all `*.toml` in these folders, in the order of folders and names; a folder that is None or not there
    holds none. `dismissed` are the entries of the ledger: they count as a file FILE of the last folder would.

    ConfigError, naming file, entry and field, where an entry is not of its form or a name stands twice.
    """
    sources = [
        [_source(path) for path in sorted(folder.glob("*.toml"))] if folder is not None else [] for folder in folders
    ] or [[]]
    if dismissed:
        text = list_text((), dismissed).encode()
        sources[-1] = sorted([*sources[-1], _Source(FILE, "the ledger", text)], key=lambda source: source.name)
    return _read([source for folder in sources for source in folder])


def list_text(templates: Sequence[KnownTemplate], suppressions: Sequence[Suppression]) -> str:
    """The text of a list as it is written: suppressions in the order of their names, equal lists as equal texts."""
    tables = {
        TEMPLATE: [{name: value for name, value in asdict(entry).items() if value} for entry in templates],
        SUPPRESSED: [asdict(entry) for entry in sorted(suppressions, key=lambda entry: entry.name)],
    }
    return _HEAD + tomli_w.dumps({kind: entries for kind, entries in tables.items() if entries})


def own_lists(store: Store) -> Path:
    """The folder of the lists that people keep beside a store: `benign/` in the outputs folder."""
    return store.root.parent / "benign"


def read_list(path: Path) -> KnownLists:
    """The list in one file, empty where there is none; ConfigError as `read_lists`."""
    return _read([_source(path)] if path.exists() else [])


def _source(path: Path) -> _Source:
    try:
        return _Source(path.name, str(path), path.read_bytes())
    except OSError as error:
        raise ConfigError(f"the list {path} cannot be read as text") from error


def _read(sources: Iterable[_Source]) -> KnownLists:
    templates: list[KnownTemplate] = []
    suppressions: list[Suppression] = []
    digests = []
    for source in sources:
        path = source.place
        try:
            tables = tomllib.loads(source.data.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise ConfigError(f"the list {path} cannot be read as text") from error
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path}: {error}", hint='TOML: text in "quotes", lists in [brackets]') from None
        digests.append([source.name, hashlib.blake2b(source.data, digest_size=16).hexdigest()])
        for kind in tables:
            if kind not in (TEMPLATE, SUPPRESSED):
                raise ConfigError(f"{path}: there is no entry {kind!r}", hint=f"[[{TEMPLATE}]] or [[{SUPPRESSED}]]")
        templates += _entries(KnownTemplate, tables.get(TEMPLATE, []), f"{path}: [[{TEMPLATE}]]")
        suppressions += _entries(Suppression, tables.get(SUPPRESSED, []), f"{path}: [[{SUPPRESSED}]]")
        for names in ([t.name for t in templates], [s.name for s in suppressions]):
            for name, count in Counter(names).items():
                if count > 1:
                    raise ConfigError(f"{path}: the name {name!r} stands twice", hint="names are unique over all lists")
    return KnownLists(tuple(templates), tuple(suppressions), digest_json(digests))


def _entries(kind: type[_Entry], tables: Any, place: str) -> list[_Entry]:
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ConfigError(f"{place} must be tables, each under its own heading")
    return [_entry(kind, table, f"{place} {number}") for number, table in enumerate(tables, 1)]


def _entry(kind: type[_Entry], table: dict[str, Any], place: str) -> _Entry:
    name = table.get("name")
    if not isinstance(name, str) or not re.fullmatch(NAME, name):
        raise ConfigError(f"{place}: name must be a text of at most 64 letters, digits, - and _")
    place = f"{place} ({name})"
    types = get_type_hints(kind)
    for field in table:
        if field not in types:
            raise ConfigError(f"{place}: there is no field {field!r}", hint=f"there are: {', '.join(types)}")
    values: dict[str, Any] = {}
    for own in fields(kind):
        if own.name in table:
            values[own.name] = _value(table[own.name], types[own.name], f"{place}: {own.name}")
        elif own.default is MISSING:
            raise ConfigError(f"{place}: {own.name} is missing")
    found: _Entry = kind(**values)
    if isinstance(found, KnownTemplate):
        if not fixed_words(found.text):
            raise ConfigError(f"{place}: text holds no word")
    elif not found.texts or not all(map(fixed_words, found.texts)):
        raise ConfigError(f"{place}: texts must be one or more, each with a word")
    elif not all(re.fullmatch(MEMBER, member) for member in found.members):
        raise ConfigError(f"{place}: members must be digests of 32 hexadecimal digits")
    return found


def _value(value: Any, kind: Any, place: str) -> str | tuple[str, ...]:
    if kind is str:
        if not isinstance(value, str) or not value.strip():
            raise ConfigError(f"{place} must be a text that is not blank")
        return value
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ConfigError(f"{place} must be a list of texts")
    return tuple(value)
