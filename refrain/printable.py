"""Text of a log made fit for a terminal or a page: what cannot be seen, or moves what can, is shown as an escape.

Escaped are control characters (so every terminal escape), line and paragraph separators, bidirectional controls,
zero-width and other default-ignorable characters, private and unassigned code points, and lone surrogates. The list
of default-ignorable characters outside category Cf is that of Unicode's DerivedCoreProperties.txt.
"""

import re
import unicodedata

# Categories: control, format, surrogate, private use, unassigned, line separator, paragraph separator.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Ignored by renderers though they count as letters or marks; a text can hide in the variation selectors among them.
_IGNORABLE = frozenset(
    [
        *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0),
        *range(0x180B, 0x1810),
        *range(0xFE00, 0xFE10),
        *range(0xE0000, 0xE1000),
        0x2800,  # the blank Braille pattern: not ignorable, but nothing is seen either
    ]
)
# Marks stacked on one letter climb over the lines above it; no orthography needs more than a few.
_STACK = 4
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_ELLIPSIS = "…"
_PLAIN = re.compile(r"[ -~]*\Z")
_BYTE, _PLANE = 0xFF, 0xFFFF


def printable(text: str, limit: int, *, lines: bool = False) -> str:
    r"""The text with everything unseen written as an escape (`\x1b`, `\u202e`), of at most `limit` characters.

    What is cut ends in an ellipsis; an escape is never cut in two. With `lines` a newline stays one. The result is
    plain text: hand it to rich as `Text`, and to HTML through an escaping template. Reads no further than it shows, so
    a text of megabytes costs nothing.
    """
    if len(text) <= limit and _PLAIN.match(text):
        return text
    shown: list[str] = []
    room, stack = limit, 0
    for character in text:
        stack = stack + 1 if unicodedata.combining(character) else 0
        piece = character if stack <= _STACK and _harmless(character, lines=lines) else escape(character)
        if len(piece) > room:
            return _shortened(shown, limit)
        shown.append(piece)
        room -= len(piece)
    return "".join(shown)


def escape(character: str) -> str:
    """The shortest backslash escape of one character, as Python writes it."""
    number = ord(character)
    if character in _SHORT:
        return _SHORT[character]
    if number <= _BYTE:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number <= _PLANE else f"\\U{number:08x}"


def _harmless(character: str, *, lines: bool) -> bool:
    if character == "\n":
        return lines
    return unicodedata.category(character) not in _UNSEEN and ord(character) not in _IGNORABLE


def _shortened(shown: list[str], limit: int) -> str:
    """The pieces that fit into limit characters together with the ellipsis."""
    total = sum(map(len, shown))
    while shown and total + 1 > limit:
        total -= len(shown.pop())
    return "".join([*shown, _ELLIPSIS])[: max(limit, 0)]
