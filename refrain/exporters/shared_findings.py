"""The findings of a run as formats tell them that send one at a time: who, when, on what evidence, and no prompt.

A finding's own text, the skeletons of its templates, is there under --with-text alone; without it a keyed digest stands
for each, which two who share a key can compare.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from refrain.contract import TEST_PREFIX
from refrain.errors import InputError
from refrain.exporters.exporter import Options
from refrain.share_key import shared_id

ALERTS, ALL = CHOICES = ("alerts", "all")
SETTING = {"findings": "those that alert and are not dismissed (alerts, the default) or all"}


@dataclass(frozen=True)
class Finding:
    """One finding: a row of campaigns, its members' rows, its templates' rows."""

    row: dict[str, Any]
    identity: str
    """Its stable id, "" where no night knows it."""
    state: str
    verdict: str
    members: list[dict[str, Any]]
    templates: list[dict[str, Any]]

    @property
    def campaign_id(self) -> int:
        """Its number in the run."""
        return int(self.row["campaign_id"])

    @property
    def tests(self) -> dict[str, float]:
        """The p-value of each test that could run."""
        found = {name.removeprefix(TEST_PREFIX): p for name, p in self.row.items() if name.startswith(TEST_PREFIX)}
        return {name: p for name, p in found.items() if p is not None}

    def name(self, run: str) -> str:
        """What it is called: the stable id, else the run's and its number."""
        return self.identity or f"{run}/{self.campaign_id}"


def findings(exports: Path, options: Options, default: str = ALERTS) -> Iterator[Finding]:
    """The findings in the order of their rank: alerts that nobody dismissed, or all of them."""
    chosen = options.more.get("findings", default)
    if chosen not in CHOICES:
        raise InputError(f"--option findings is one of {' and '.join(CHOICES)}")
    members: dict[int, list[dict[str, Any]]] = {}
    for row in pq.read_table(exports / "accounts.parquet").to_pylist():
        members.setdefault(row["campaign_id"], []).append(row)
    told = [name for name in pq.read_schema(exports / "templates.parquet").names if name != "examples"]
    rows = pq.read_table(exports / "templates.parquet", columns=told).to_pylist()
    templates = {row["template_id"]: row for row in rows}
    for row in pq.read_table(exports / "campaigns.parquet").to_pylist():
        number = row["campaign_id"]
        standing = options.standing(number)
        if chosen == ALERTS and (not row["alert"] or standing.verdict == "dismissed"):
            continue
        yield Finding(
            row,
            options.identities.get(number, ""),
            standing.state,
            standing.verdict,
            members.get(number, []),
            [templates[one] for one in row.get("templates") or [] if one in templates],
        )


def hashed_account(account_id: str, options: Options) -> str:
    """An account's id hashed under the options' key as providers share it; the id itself where it is one already."""
    return account_id if options.hashed else _hashed(options.key, "account", account_id)


def hashed_skeleton(skeleton: str, options: Options) -> str:
    """A skeleton hashed under the options' key: two who share the key see that they have the same."""
    return _hashed(options.key, "skeleton", skeleton)


def _hashed(key: bytes, kind: str, text: str) -> str:
    if not key:
        raise InputError("ids are hashed in this format, and there is no key")
    return shared_id(key, kind, text)
