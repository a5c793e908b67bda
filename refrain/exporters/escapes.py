"""Characters that a format cannot hold, written so that they can be had back.

PostgreSQL's text holds no U+0000 (its manual, 8.3), XML 1.0 none of most controls (section 2.2, production 2). Such a
character becomes U+241B, the picture of an escape, and its number in four hexadecimal digits; U+241B itself becomes
U+241B 241B. A text with neither stays as it is, and `unescaped` gives every text back.
"""

import re

MARK = "\u241b"
_NUL = re.compile(f"[\0{MARK}]")
# Beside what XML forbids: a carriage return, which a parser turns into a line feed.
_XML = re.compile(f"[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|{MARK}")
_ESCAPED = re.compile(f"{MARK}([0-9A-F]{{4}})")


def without_nul(text: str) -> str:
    """The text as PostgreSQL can hold it."""
    return _NUL.sub(_escape, text) if "\0" in text or MARK in text else text


def for_xml(text: str) -> str:
    """The text as XML 1.0 can hold it and a parser gives back."""
    return _XML.sub(_escape, text)


def unescaped(text: str) -> str:
    """The text that `without_nul` or `for_xml` was given."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)


def _escape(found: re.Match[str]) -> str:
    return f"{MARK}{ord(found[0]):04X}"
