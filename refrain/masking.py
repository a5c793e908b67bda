"""Text without what looks like a person's: addresses, keys, long numbers and queries of URLs, each a mask in braces.

A skeleton is what many accounts sent word for word, and may hold the sender's own mailbox or key all the same. What is
masked is recognised by its form alone: names, places and short numbers stay. Masking twice changes nothing.
"""

import ipaddress
import re
from collections.abc import Callable

from refrain.contract import SLOT

EMAIL, ADDRESS, KEY, NUMBER, QUERY = "{email}", "{address}", "{key}", "{number}", "{query}"
MASKS = (EMAIL, ADDRESS, KEY, NUMBER, QUERY)

# Of a URL its user is dropped, and its query and fragment are masked (RFC 3986, section 3).
_URL = re.compile(r"(?P<scheme>\b[A-Za-z][A-Za-z0-9+.-]{1,20}://)(?P<rest>[^\s\"'<>`]+)")
_USER = re.compile(r"[^/?#]*[@＠]")
# A query without a scheme before it.
_BARE_QUERY = re.compile(r"\?[\w.~%+\[\]-]{1,64}=[^\s\"'<>`]*")
_EMAIL = re.compile(r"[^\s@＠<>()\[\]{},;:\"'`]{0,64}[@＠][\w-]+(?:[.．][\w-]+)+")
_IPV4 = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?:/\d{1,2})?(?![\d.]*\d)")
_COLONS = re.compile(r"(?<![\w:])[0-9A-Fa-f:]{3,39}(?:/\d{1,3})?(?![\w:])")
_MAC = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}")
# Prefixes by which vendors mark their keys (their documentation; GitHub's list of secret scanning patterns).
_MARKED_KEY = re.compile(
    r"\b(?:sk|pk|rk|ghp|gho|ghu|ghs|ghr|github_pat|glpat|xox[abeoprs]|hf|npm|whsec|AKIA|ASIA|AIza|eyJ)[-_A-Za-z0-9]{8,}"
)
_RUN = re.compile(r"[A-Za-z0-9_+/=-]{20,}")
_KEY_DIGITS = 3  # of a run of lower-case letters: `response_format_v2` is a name, not a key
# At least seven digits together, or nine with single separators: a telephone, a card, an account; no date.
_NUMBER = re.compile(r"[+(]?(?:\d{7,}|\d(?:[ .()/\u00a0\u2009\u2011\u202f-]{0,2}\d){8,})")
_MARKED_DIGITS = 2  # `sk-learn-estimators` is no key


def masked(text: str) -> str:
    """The text with what looks like a person's replaced by masks; slots stay where they are."""
    return SLOT.join(map(_masked, text.split(SLOT)))


def _masked(text: str) -> str:
    for pattern, replacement in _STEPS:
        text = pattern.sub(replacement, text)
    return text


def _url(match: re.Match[str]) -> str:
    rest = _USER.sub("", match["rest"], count=1)
    path = re.split(r"[?#]", rest, maxsplit=1)[0]
    return f"{match['scheme']}{path}" + (f"?{QUERY}" if path != rest else "")


def _colons(match: re.Match[str]) -> str:
    found = match[0].partition("/")[0]
    if _MAC.fullmatch(found):
        return ADDRESS
    try:
        ipaddress.IPv6Address(found)
    except ValueError:
        return match[0]
    return ADDRESS


def _marked_key(match: re.Match[str]) -> str:
    digits = sum(character.isdigit() for character in match[0])
    return KEY if digits >= _MARKED_DIGITS else match[0]


def _run(match: re.Match[str]) -> str:
    """A mask where a run of letters and digits is no word, no name and no path."""
    text = match[0]
    digits = sum(character.isdigit() for character in text)
    upper, lower = (any(map(kind, text)) for kind in (str.isupper, str.islower))
    mixed = upper and lower and digits > 0
    many = digits >= _KEY_DIGITS and (upper or lower)
    return KEY if (mixed and many if "/" in text else mixed or many) else text


_STEPS: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (_URL, _url),
    (_BARE_QUERY, f"?{QUERY}"),
    (_EMAIL, EMAIL),
    (_IPV4, ADDRESS),
    (_COLONS, _colons),
    (_MARKED_KEY, _marked_key),
    (_RUN, _run),
    (_NUMBER, NUMBER),
)
