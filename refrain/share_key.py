"""The key that providers share, and ids hashed under it: who has it can match accounts, nobody else can reverse them.

HMAC-SHA-256 (RFC 2104), cut to 128 bits (RFC 2104, section 5). Without a key a hash of an account id is undone by
hashing every id there may be.
"""

import hashlib
import hmac

from refrain.given_keys import LEAST_BYTES, given_key

VARIABLE = "REFRAIN_SHARE_KEY"  # the variable's name, no key
_HASH_BYTES = 16
_NAME_BYTES = 8
# Leads every hash: which form it has. Another form of ids, or another function, gets another number.
FORM = "s1"


def share_key() -> bytes:
    """The bytes of $REFRAIN_SHARE_KEY; ConfigError as `given_key`."""
    hint = f"make one for all who share: export {VARIABLE}=$(openssl rand -hex {LEAST_BYTES})"
    return given_key(VARIABLE, "ids are shared hashed under it", hint)


def share_key_name(key: bytes) -> str:
    """A name of the key that does not give it away; equal names, equal keys."""
    return hmac.digest(key, b"refrain share key name", hashlib.sha256)[:_NAME_BYTES].hex()


def shared_id(key: bytes, kind: str, value: str) -> str:
    """The id of an account or a request (`kind`) as it is shared: `s1:` and 32 hexadecimal digits.

    The value is hashed as it stands, byte for byte: who wants to match accounts agrees on their form first.
    """
    digest = hmac.digest(key, f"refrain share {kind}\x00{value}".encode(), hashlib.sha256)
    return f"{FORM}:{digest[:_HASH_BYTES].hex()}"
