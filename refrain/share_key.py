"""The key that providers share, and ids hashed under it: who has it can match accounts, nobody else can reverse them.

HMAC-SHA-256 (RFC 2104), cut to 128 bits (RFC 2104, section 5). Without a key a hash of an account id is undone by
hashing every id there may be.
"""

import base64
import binascii
import hashlib
import hmac
import os

from refrain.errors import ConfigError

VARIABLE = "REFRAIN_SHARE_KEY"  # the variable's name, no key
MIN_BYTES = 32
_MIN_DISTINCT = 12  # different bytes: 32 random ones have fewer once in 10^12 keys, a typed password often
_HASH_BYTES = 16
_NAME_BYTES = 8
# Leads every hash: which form it has. Another form of ids, or another function, gets another number.
FORM = "s1"


def share_key() -> bytes:
    """The bytes of $REFRAIN_SHARE_KEY, given as hex or base64; ConfigError, which does not show it, where it is not
    set, shorter than 32 bytes, or plainly not random."""
    given = os.environ.get(VARIABLE, "").strip()
    hint = f"make one for all who share: export {VARIABLE}=$(openssl rand -hex 32)"
    if not given:
        raise ConfigError(f"{VARIABLE} is not set: ids are shared hashed under it", hint=hint)
    key = _decoded(given)
    if key is None or len(key) < MIN_BYTES:
        raise ConfigError(f"{VARIABLE} must be at least {MIN_BYTES} bytes as hexadecimal digits or base64", hint=hint)
    if len(set(key)) < _MIN_DISTINCT:
        raise ConfigError(f"{VARIABLE} is not random: few of its bytes differ", hint=hint)
    return key


def share_key_name(key: bytes) -> str:
    """A name of the key that does not give it away; equal names, equal keys."""
    return hmac.digest(key, b"refrain share key name", hashlib.sha256)[:_NAME_BYTES].hex()


def shared_id(key: bytes, kind: str, value: str) -> str:
    """The id of an account or a request (`kind`) as it is shared: `s1:` and 32 hexadecimal digits.

    The value is hashed as it stands, byte for byte: who wants to match accounts agrees on their form first.
    """
    digest = hmac.digest(key, f"refrain share {kind}\x00{value}".encode(), hashlib.sha256)
    return f"{FORM}:{digest[:_HASH_BYTES].hex()}"


def _decoded(text: str) -> bytes | None:
    """Hex where it can be, else base64 in either alphabet; None where it is neither."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        pass
    try:
        whole = text.replace("-", "+").replace("_", "/").rstrip("=")
        return base64.b64decode(whole + "=" * (-len(whole) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
