"""What an exporter is given where the house is left: a redacted copy of the tables, and options that know no more."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq

from refrain.exporters.exporter import Options
from refrain.packet_lines import FILE, all_packets
from refrain.sharing import SharingRule, redacted_exports

_DISMISSED = "dismissed"


@contextmanager
def shared_copy(exports: Path, options: Options, key: bytes, rule: SharingRule) -> Iterator[tuple[Path, Options]]:
    """A folder with the shared copy of `exports`, and the options to export it with; the folder is gone afterwards.

    Dismissed campaigns are withheld. The options name the shared campaigns alone, no stage folder, and the shared key.
    """
    rule = replace(rule, withheld=rule.withheld | _dismissed(exports, options))
    with tempfile.TemporaryDirectory(prefix="refrain-share-") as folder:
        copy = Path(folder) / "exports"
        redacted_exports(exports, copy, key, rule)
        numbers = pq.read_table(copy / "campaigns.parquet", columns=["campaign_id"])["campaign_id"].to_pylist()
        identities = {number: options.identities[number] for number in numbers if number in options.identities}
        names = set(identities.values())
        standings = {name: standing for name, standing in options.standings.items() if name in names}
        yield (
            copy,
            replace(options, folder=None, key=key, hashed=True, identities=identities, standings=standings),
        )


def _dismissed(exports: Path, options: Options) -> frozenset[int]:
    """The campaigns that somebody dismissed, by a decision or by `refrain suppress`."""
    decided = {number for number in options.identities if options.standing(number).verdict == _DISMISSED}
    if (exports / FILE).exists():
        decided |= {
            packet["campaign_id"]
            for packet in all_packets(exports)
            if any(known.get("suppressed") for known in packet.get("known", ()))
        }
    return frozenset(decided)
