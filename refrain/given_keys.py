"""Secret keys as people give them in the environment: random bytes in hexadecimal digits or base64."""

import base64
import binascii
import os
import re

from refrain.errors import ConfigError

LEAST_BYTES = 32
_LEAST_DISTINCT = 12  # different bytes: 32 random ones have fewer once in 10^12 keys, a typed password often
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})+")


def given_key(variable: str, purpose: str, hint: str) -> bytes:
    """The bytes of an environment variable; ConfigError, which does not show them, where it is not set, shorter than 32
    bytes, or plainly not random. `purpose` says what needs it, `hint` how to make one."""
    given = os.environ.get(variable, "").strip()
    if not given:
        raise ConfigError(f"{variable} is not set: {purpose}", hint=hint)
    key = _decoded(given)
    if key is None or len(key) < LEAST_BYTES:
        raise ConfigError(f"{variable} must be at least {LEAST_BYTES} bytes as hexadecimal digits or base64", hint=hint)
    if len(set(key)) < _LEAST_DISTINCT:
        raise ConfigError(f"{variable} is not random: few of its bytes differ", hint=hint)
    return key


def _decoded(text: str) -> bytes | None:
    """Hexadecimal where it can be (as base64 it would be a longer key than meant), else base64 in either alphabet; None
    where it is neither."""
    if _HEX.fullmatch(text):
        return bytes.fromhex(text)
    try:
        whole = text.replace("-", "+").replace("_", "/").rstrip("=")
        return base64.b64decode(whole + "=" * (-len(whole) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
