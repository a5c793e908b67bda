"""The store's secret key: digests of texts and accounts are keyed, so that hashing a guess confirms nothing."""

import hashlib
import os
import secrets
from pathlib import Path

from refrain.errors import ConfigError, StoreError

KEY_BYTES = 32
DIGEST_BYTES = 16
KEY_VARIABLE = "REFRAIN_KEY"


def load_key(root: Path) -> bytes:
    """The 32 bytes of $REFRAIN_KEY (hex) where it is set, else of `root/key`, which is made once with mode 0600.

    Raises ConfigError for a variable that is no 64 hex digits and StoreError for a damaged key file; neither
    message shows the key.
    """
    given = os.environ.get(KEY_VARIABLE)
    if given is not None:
        try:
            key = bytes.fromhex(given)
        except ValueError:
            key = b""
        if len(key) != KEY_BYTES:
            raise ConfigError(f"{KEY_VARIABLE} must be {2 * KEY_BYTES} hexadecimal digits")
        return key
    path = root / "key"
    if not path.exists():
        _make_key(path)
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise StoreError(
            f"the key file {path} is damaged: {len(key)} bytes instead of {KEY_BYTES}",
            hint="restore it from a backup; with another key every stored digest becomes a stranger",
        )
    return key


def _make_key(path: Path) -> None:
    """Nothing; `path` holds a whole key afterwards, whoever of several processes made it first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".staging-key-{os.getpid()}-{secrets.token_hex(4)}")  # a writer sweeps what a kill leaves
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(aside, path)  # unlike a rename, a link never replaces the key that another process just made
        except FileExistsError:
            return
        except FileNotFoundError:  # swept by a writer that started meanwhile
            _make_key(path)
        except OSError:  # a file system without links
            aside.rename(path)
    finally:
        aside.unlink(missing_ok=True)


def keyed_digest(key: bytes, data: bytes) -> bytes:
    """BLAKE2b of `data` under `key`, 16 bytes."""
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES, key=key).digest()


def key_id(key: bytes) -> str:
    """A name of the key that does not give it away: the keyed digest of a constant, as hex."""
    return keyed_digest(key, b"refrain key id").hex()
