"""What commands are given that must not stand in a list of processes: texts and accounts, from a file or stdin."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import typer

from refrain.errors import InputError

STDIN = "-"
FILE_MARK = "@"


def given_text(text: str | None, option: str) -> str | None:
    """The text itself, that of the file behind an @, or for '-' what comes on standard input; InputError where it is
    blank or no text."""
    if text is None:
        return None
    if text == STDIN:
        found = typer.get_text_stream("stdin", encoding="utf-8", errors="strict")
        try:
            read = found.read()
        except UnicodeDecodeError:
            raise InputError("what comes on standard input is no text", hint="it is read as UTF-8") from None
    elif text.startswith(FILE_MARK):
        read = _text_of(Path(text[len(FILE_MARK) :]))
    else:
        read = text
    if not read.strip():
        raise InputError(f"the text of {option} is blank")
    return read


def given_ids(path: Path | None) -> list[str]:
    """The accounts in a file, or for '-' on standard input, one a line; none where no file is given. InputError where
    there is no account."""
    if path is None:
        return []
    text = given_text(STDIN, "--accounts") if str(path) == STDIN else _text_of(path)
    ids = [line.strip() for line in (text or "").splitlines() if line.strip()]
    if not ids:
        raise InputError(f"{path} names no account", hint="one id a line")
    return ids


def given_day(text: str | None) -> date | None:
    """The day that a text names; InputError where it is none."""
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InputError(f"{text!r} is no day", hint="as in 2026-09-01") from None


def check_one_stdin(given: Mapping[str, object]) -> None:
    """Nothing; InputError where several options would read standard input."""
    asking = [option for option, value in given.items() if str(value) == STDIN]
    if len(asking) > 1:
        raise InputError(f"{' and '.join(asking)} cannot both come on standard input", hint="give one as a file")


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"there is no file {path}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is no text", hint="it is read as UTF-8") from None
