"""Packets as a file: one JSON object a line, by campaign. ASCII, so a terminal that shows it meets no escape."""

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from refrain.errors import InputError
from refrain.formats import plain

FILE = "packets.jsonl"
VERSION = "1"  # of a packet's form: a new field does not raise it, what breaks a reader does


def write_packets(folder: Path, packets: Iterable[dict[str, Any]]) -> int:
    """The number of packets written to the folder's file, one line each; no more than one is held at a time."""
    count = 0
    with (folder / FILE).open("w", encoding="ascii", newline="\n") as out:
        for packet in packets:
            out.write(json.dumps(plain(packet), ensure_ascii=True, allow_nan=False) + "\n")
            count += 1
    return count


def copy_packets(folder: Path, to: Path) -> int:
    """The number of packets copied from one folder into another, where they appear whole or not at all."""
    aside = to / f".{FILE}.{os.getpid()}"
    try:
        shutil.copyfile(folder / FILE, aside)
        aside.replace(to / FILE)
    finally:
        aside.unlink(missing_ok=True)
    with (to / FILE).open("rb") as lines:
        return sum(1 for _ in lines)


def read_packets(folder: Path, campaign_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """The packets of some campaigns by number; none where the folder has no packets."""
    wanted = set(campaign_ids)
    if not (folder / FILE).exists():
        return {}
    return {number: packet for number, packet in enumerate(all_packets(folder)) if number in wanted}


def read_packet(folder: Path, campaign_id: int) -> dict[str, Any]:
    """The packet of one campaign; InputError where there is none."""
    found = read_packets(folder, [campaign_id])
    if campaign_id not in found:
        raise InputError(f"there is no packet of a campaign {campaign_id}", hint="`refrain export` writes the packets")
    return found[campaign_id]


def all_packets(folder: Path) -> Iterator[dict[str, Any]]:
    """Every packet of the folder's file, by campaign, one at a time."""
    with (folder / FILE).open(encoding="ascii") as lines:
        yield from map(json.loads, lines)
