"""The autonomous systems of a log's addresses, from the table of the config, before anything is hashed."""

from dataclasses import dataclass, replace

from refrain.artifacts import digest_file
from refrain.batches import Batch
from refrain.config import IngestConfig
from refrain.fields import WHOLE, label_texts
from refrain.settings import config_file
from refrain.system_tables import SystemTable, read_system_table
from refrain.systems import read_system, system_name


@dataclass(frozen=True)
class SystemLookup:
    """Names the systems of addresses."""

    table: SystemTable

    def named(self, batch: Batch) -> Batch:
        """The batch with a system for each address that is in the table; one that the log names itself stays."""
        if "ip" not in batch.columns:
            return batch
        systems = list(batch.columns.get("asn", [None] * len(batch.rows)))
        addresses = label_texts(batch.columns["ip"])
        nameless = [
            (at, address)
            for at, (system, address) in enumerate(zip(systems, addresses, strict=True))
            if address is not None and read_system(system, WHOLE, b"").text is None
        ]
        distinct = list(dict.fromkeys(address for _, address in nameless))
        number = dict(zip(distinct, self.table.numbers(distinct), strict=True))
        for at, address in nameless:
            systems[at] = system_name(number[address]) or systems[at]
        return replace(batch, columns={**batch.columns, "asn": systems})


def open_systems(config: IngestConfig) -> SystemLookup | None:
    """What names the systems of addresses; None where the config has no table, InputError where it cannot be read."""
    return SystemLookup(read_system_table(config_file(config.asn_table))) if config.asn_table else None


def systems_identity(config: IngestConfig) -> str:
    """What stands for the table in an identity: its content's digest; "" for none."""
    return digest_file(config_file(config.asn_table)) if config.asn_table else ""
