"""Values hashed at the door: under a key of the log's owner, before anything of a record is written.

A value is replaced by HMAC-SHA256 (RFC 2104) of its text under $REFRAIN_HASH_KEY, cut to 128 bits, with the key's
number before it: "h1:" and 32 hexadecimal digits. Equal values give equal hashes in whichever column and log, and
nobody without the key can confirm a guess. The network that an address lies in, and its autonomous system, are taken
first and hashed by themselves.
Texts (prompts, messages) stay: what an account writes of itself there is not hashed.
"""

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from refrain.batches import MISSING, Batch
from refrain.config import IngestConfig
from refrain.errors import InputError
from refrain.fields import WHOLE, all_plain, label_texts, read_id, read_label
from refrain.given_keys import LEAST_BYTES, given_key
from refrain.key import key_id
from refrain.networks import exit_network
from refrain.systems import read_system

HASH_KEY_VARIABLE = "REFRAIN_HASH_KEY"
_DIGEST_BYTES = 16
_BESIDE = {"network", "asn"}  # columns that say where an address lies, hashed where it is


@dataclass(frozen=True)
class Door:
    """Hashes the columns that the config names."""

    columns: tuple[str, ...]
    key: bytes = field(repr=False)
    version: int
    ipv4_prefix: int
    ipv6_prefix: int

    @property
    def name(self) -> str:
        """What stands for the key in an identity; it does not give the key away."""
        return key_id(hashlib.sha256(self.key).digest())

    def hashed(self, text: str) -> str:
        """The hash that stands for a text."""
        return _hashed(self.key, self.version, text)

    def network(self, address: str) -> str:
        """The hash that stands for the network which an address lies in."""
        return self.hashed(exit_network(address, self.ipv4_prefix, self.ipv6_prefix) or "")

    def closed(self, batch: Batch) -> Batch:
        """The batch with its columns hashed. Of a record that could not be read, nothing can be told apart: its content
        is left out."""
        columns, closed = dict(batch.columns), set(self.columns)
        if "ip" in closed and ("ip" in columns or "network" in columns):
            absent = [None] * len(batch.rows)
            addresses, networks = (label_texts(columns.get(name, absent)) for name in ("ip", "network"))
            columns["network"] = [
                self.hashed(network) if network is not None else None if address is None else self.network(address)
                for address, network in zip(addresses, networks, strict=True)
            ]
        if "asn" in columns and not closed.isdisjoint(("ip", "asn")):
            systems = (read_system(value, WHOLE, b"").text for value in columns["asn"])
            columns["asn"] = [None if system is None else self.hashed(system) for system in systems]
        for name in closed - _BESIDE if "ip" in closed else closed - {"asn"}:
            if name in columns:
                columns[name] = self._hashes(columns[name])
        faults = [replace(fault, content="") for fault in batch.faults]
        return replace(batch, columns=columns, faults=faults)

    def check_names(self, files: Iterable[str], names: Sequence[tuple[str, str]]) -> None:
        """Nothing; InputError where a folder's name (`account_id=...`) says a value that is to be hashed. `names` are
        our name and the log's of each column."""
        hashed = {*self.columns, *_BESIDE} if "ip" in self.columns else {*self.columns}
        closed = {theirs: ours for ours, theirs in names if ours in hashed}
        for file in files:
            for part in file.split("/")[:-1]:
                key, equals, _ = part.partition("=")
                if equals and key in closed:
                    raise InputError(
                        f"folders of the log are named by {closed[key]}, which is to be hashed at the door",
                        hint="names of files are kept as they are: write that column into the files instead",
                    )

    def _hashes(self, column: Sequence[Any]) -> list[Any]:
        if all_plain(column, WHOLE):
            return [None if text is None else self.hashed(text) for text in column]
        return [self._value(value) for value in column]

    def _value(self, value: object) -> Any:
        """The hash of a value; what is no value stays none, and what has the wrong type has it still."""
        found = read_id(value, WHOLE, b"")
        if found.wrong:
            text = read_label(value, WHOLE, b"").text or ""
            return {"hashed": self.hashed(text)}
        if found.text is None:
            return MISSING if value is MISSING else None
        return self.hashed(found.text)


def open_door(config: IngestConfig) -> Door | None:
    """What hashes the columns of the config, with the key of $REFRAIN_HASH_KEY; None where there is nothing to hash.

    ConfigError where there is no such key, or it cannot be one; the message shows nothing of it.
    """
    if not config.hash:
        return None
    columns = tuple(sorted(set(config.hash)))
    return Door(columns, _key(), config.hash_key_version, config.ipv4_prefix, config.ipv6_prefix)


def _key() -> bytes:
    hint = f"{HASH_KEY_VARIABLE}=$(openssl rand -hex {LEAST_BYTES}), kept where the log's owner keeps secrets"
    return given_key(HASH_KEY_VARIABLE, "[ingest] hash needs a key", hint)


@lru_cache(maxsize=1 << 17)
def _hashed(key: bytes, version: int, text: str) -> str:
    digest = hmac.digest(key, text.encode("utf-8", "surrogatepass"), "sha256")
    return f"h{version}:{digest[:_DIGEST_BYTES].hex()}"
