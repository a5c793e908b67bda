"""JSON inside a record: texts that hold it, or may."""

import json
import re
from typing import Any

# How a list of messages or a request begins; what begins so and cannot be parsed was cut off.
_REQUEST = re.compile(r'\s*(?:\[\s*)?\{\s*"(?:role|messages|content|parts|contents|lc|message\.role)"\s*:')


_decoder = json.JSONDecoder(parse_constant=lambda _: None)  # NaN and Infinity are no values


class UnparsableError(Exception):
    """A text that should be JSON and is not. It carries nothing of the text."""


def decode(text: str | bytes) -> Any:
    """The value of a JSON text; UnparsableError where it is none."""
    try:
        if isinstance(text, bytes):
            text = text.decode(json.detect_encoding(text), "surrogatepass")
        return _decoder.decode(text)
    except (ValueError, RecursionError):
        raise UnparsableError from None  # the JSON error would carry the text


def decoded(value: Any) -> Any:
    """The value, where it is a text the JSON in it; UnparsableError where that is none."""
    return decode(value) if isinstance(value, str | bytes) else value


def perhaps(text: str) -> Any:
    """What a text holds that may be JSON or words: an object or a list, or the text itself.

    UnparsableError where it begins as messages do and cannot be parsed: it was cut off.
    """
    if text.lstrip()[:1] not in ("[", "{"):
        return text
    try:
        value = decode(text)
    except UnparsableError:
        if _REQUEST.match(text):
            raise
        return text
    return value
