"""What `refrain search` and `refrain compare` found, on a terminal, made fit to print."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from refrain.comparison import SAME, Change, Comparison
from refrain.figures import counted
from refrain.findings import excerpt
from refrain.printable import printable

_TEXT, _SKELETON, _ACCOUNT, _NAME, _VALUE = 300, 160, 48, 60, 60  # characters shown
_NUMBERS = 12  # of templates or campaigns named on a line
_MUTED, _HEAD, _ALERT = "dim", "bold cyan", "bold red"


def render_search(found: Mapping[str, Any], console: Console) -> None:
    """Nothing; the segments found stand on the console, nearest first, then the templates and campaigns they lead
    to."""
    table = _table("cosine", "accounts", "owners", "requests", "segment, who sent it, and what it is part of")
    for hit in found["hits"]:
        table.add_row(
            f"{hit['cosine']:.3f}",
            *(f"{hit[name]:,}" for name in ("accounts", "owners", "requests")),
            Group(Text(printable(hit["text"], _TEXT), overflow="fold"), Text(_about(hit), style=_MUTED)),
        )
    console.print(table)
    if found["templates"]:
        table = _table("template", "accounts", "owners", "requests", "skeleton")
        for row in found["templates"]:
            skeleton = " ".join("{…}" if kind == "slot" else text for kind, text in excerpt(row["skeleton"], _SKELETON))
            counts = (f"{row[name]:,}" for name in ("template_id", "accounts", "owners", "requests"))
            table.add_row(*counts, Text(skeleton, overflow="fold"))
        console.print()
        console.print(table)
    if found["campaigns"]:
        table = _table("campaign", "accounts", "owners", "requests", "")
        for row in found["campaigns"]:
            number = Text(f"{row['campaign_id']}{'!' if row['alert'] else ' '}", style=_ALERT if row["alert"] else "")
            counts = (f"{row[name]:,}" for name in ("accounts", "owners", "requests"))
            table.add_row(number, *counts, row.get("identity") or "")
        console.print()
        console.print(table)
    console.print()
    console.print(
        Text(
            f"{counted(len(found['hits']), 'segment')} of {found['segments']:,} in run {found['run']}: "
            f"{counted(found['requests'], 'request')} of {counted(found['accounts'], 'account')}"
        )
    )


def render_comparison(found: Comparison, console: Console) -> None:
    """Nothing; what changed stands on the console: campaigns, alerts, settings, labels."""
    one, two = found.runs
    console.print(
        Text(
            f"{one}: {found.requests[0]:,} requests   {two}: {found.requests[1]:,} requests   "
            f"in both: {found.common_requests:,}"
        )
    )
    told = [change for change in found.changes if change.change != SAME or change.alert[0] != change.alert[1]]
    if told:
        table = _table("change", "first", "second", "accounts", "requests", "")
        for change in told:
            table.add_row(
                change.change, _numbers(change.before), _numbers(change.after), _pair(change.accounts),
                _pair(change.requests), Text(_words(change), style=_MUTED),
            )  # fmt: skip
        console.print()
        console.print(table)
    console.print()
    console.print(
        Text(
            f"{counted(len(found.changes) - len(told), 'campaign')} the same; {counted(len(found.raised), 'alert')} "
            f"raised, {len(found.dropped)} dropped"
        )
    )
    for name, (before, after) in found.settings.items():
        console.print(Text(f"{name}: {_value(before)} -> {_value(after)}", style=_MUTED))
    agreement = ", ".join(
        f"{name.removesuffix('_id')} {'-' if value is None else f'{value:.4f}'}"
        for name, value in found.agreement.items()
    )
    console.print(Text(f"adjusted Rand index of labels over common requests: {agreement}"))


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style=_HEAD, padding=(0, 2, 0, 0))
    for name in columns[:-1]:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column(columns[-1], ratio=1, overflow="fold")
    return table


def _about(hit: Mapping[str, Any]) -> str:
    named = [_listed("template", hit["templates"])] if hit["templates"] else []
    if hit["campaigns"]:
        named.append(_listed("campaign", [row["campaign_id"] for row in hit["campaigns"]]))
    senders = [f"{printable(row['account_id'], _ACCOUNT)} ({row['requests']:,})" for row in hit["top_accounts"]]
    return " · ".join([*named, ", ".join(senders)])


def _listed(what: str, numbers: Sequence[int]) -> str:
    return f"{what} {_numbers(numbers)}"


def _numbers(numbers: Sequence[int]) -> str:
    more = f" and {len(numbers) - _NUMBERS} more" if len(numbers) > _NUMBERS else ""
    return ", ".join(map(str, numbers[:_NUMBERS])) + more if numbers else "-"


def _pair(counts: tuple[int, int]) -> str:
    return f"{counts[0]:,} -> {counts[1]:,}"


def _words(change: Change) -> str:
    parts = [f"+{change.gained:,} -{change.lost:,} accounts"] if change.gained or change.lost else []
    if change.alert[0] != change.alert[1]:
        parts.append("alert raised" if change.alert[1] else "alert dropped")
    elif change.alert[1]:
        parts.append("alert")
    return ", ".join(parts)


def _value(value: Any) -> str:
    return "-" if value is None else printable(json.dumps(value, ensure_ascii=True), _VALUE)
