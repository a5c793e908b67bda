"""Evidence packets as they are shared: the numbers and the masked skeletons, and no field that is not named here.

What a packet quotes (requests, fillings, networks, cards, clients, sentences of tests, analysts' notes) is not among
them; a field that a later version adds to packets is not shared before it is named here.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from refrain.findings import pieces
from refrain.packet_lines import all_packets
from refrain.share_key import shared_id

Row = dict[str, Any]
_FINDING = (
    "packet_version", "campaign_id", "score", "p_value", "q_value", "alert", "counts", "first_seen", "last_seen",
    "families", "timeline",
)  # fmt: skip
_SIGNAL = ("tag", "similarity", "measure")
_TEMPLATE = (
    "template_id", "kind", "words", "requests", "accounts", "owners", "first_seen", "last_seen", "fillings",
    "requests_in_campaign", "requests_read",
)  # fmt: skip
_SLOT = ("slot", "requests", "fillings", "median_words", "kind")
_ACCOUNT = ("requests", "account_requests", "share", "first_use", "evidence")
_FALL = ("families_needed", "p_value_of_all", "p_value", "alert_p", "q_value", "false_discovery_rate", "alert")
_FAMILY = ("family", "looked_at", "p_value", "unexplained", "speaks")
_TEST = ("test", "observed", "expected", "p_value", "explained_by")
_BENIGN = ("hypothesis", "holds", "explains")
_CHANGE = ("kind", "name", "tests", "p_value", "p_needed", "alert")


def shared_packets(
    folder: Path, campaigns: set[int], skeletons: Mapping[int, str], owners: Mapping[int, int], key: bytes
) -> Iterator[Row]:
    """The packets of the shared campaigns, by number, one at a time.

    `skeletons`: the masked skeletons of the shared templates by number; another template of a campaign is left out.
    `owners`: the numbers that owners have in the shared copy.
    """
    for packet in all_packets(folder):
        if packet["campaign_id"] in campaigns:
            yield _packet(packet, skeletons, owners, key)


def _packet(packet: Row, skeletons: Mapping[int, str], owners: Mapping[int, int], key: bytes) -> Row:
    fall = packet["waterfall"]
    templates = [row for row in packet["templates"] if row["template_id"] in skeletons]
    return {
        **_named(packet, _FINDING),
        "signals": [_named(row, _SIGNAL) for row in packet["signals"]],
        "templates": [_template(row, skeletons[row["template_id"]]) for row in templates],
        "accounts": [
            {
                "account_id": shared_id(key, "account", row["account_id"]),
                "owner": owners[row["owner"]],
                **_named(row, _ACCOUNT),
            }
            for row in packet["accounts"]
            if row["owner"] in owners
        ],
        "waterfall": {"families": [_family(row) for row in fall["families"]], **_named(fall, _FALL)},
        "benign": [_named(row, _BENIGN) for row in packet["benign"]],
        "would_change": {"changes": [_named(row, _CHANGE) for row in packet["would_change"]["changes"]]},
    }


def _template(row: Row, skeleton: str) -> Row:
    slots = [_named(slot, _SLOT) for slot in row["slots"]]
    return {**_named(row, _TEMPLATE), "skeleton": skeleton, "pieces": pieces(skeleton), "slots": slots}


def _family(row: Row) -> Row:
    return {**_named(row, _FAMILY), "tests": [_named(test, _TEST) for test in row["tests"]]}


def _named(row: Row, names: tuple[str, ...]) -> Row:
    return {name: row[name] for name in names if name in row}
