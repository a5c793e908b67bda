"""Findings on a terminal: the table of all, and one with its template, timeline, tests, doubts and members."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from refrain.evidence import evidence_bar
from refrain.figures import counted, moment, number_text, p_text, period
from refrain.findings import Row, excerpt, finding, findings
from refrain.given_templates import GIVEN
from refrain.packet_view import changes, messages, shared, slots, waterfall
from refrain.printable import printable

__all__ = ["finding", "findings", "p_text", "period", "printable", "render_finding", "render_findings"]

# Lines of lists that a person reads on a terminal; --json and the exports hold the rest.
_QUIET_FINDINGS, _MEMBERS, _EXAMPLES, _TEMPLATES, _REASONS = 20, 15, 2, 8, 3
# Characters shown of a skeleton in the table and in full, of a sentence, of a name.
_EXCERPT, _SKELETON, _SENTENCE, _NAME = 110, 2000, 300, 48
_ACCOUNT = 16  # columns that an account's id always gets
_BAR = 12  # characters of an evidence bar
_BLOCKS = "▁▂▃▄▅▆▇█"
_INDENT = (0, 0, 0, 2)
_WIDE = 110  # columns from which the tables stand in full
_ALERT, _MUTED, _SLOT_STYLE, _HEAD = "bold red", "dim", "black on yellow", "bold cyan"


def render_findings(rows: Sequence[Row], console: Console) -> None:
    """Nothing; the table of findings stands on the console: every alert, and the first of the quieter ones."""
    alerts = sum(bool(row["alert"]) for row in rows)
    if not rows:
        console.print("No template is shared by enough owners to be a finding.")
        return
    quiet = [row for row in rows if not row["alert"]][:_QUIET_FINDINGS]
    shown = [row for row in rows if row["alert"] or row in quiet]
    table = Table(box=None, pad_edge=False, header_style=_HEAD, padding=(0, 2, 0, 0))
    table.add_column("#", justify="right", no_wrap=True)
    for name in ("score", "q", "accounts", "owners", "requests"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("what they sing, and what speaks", ratio=1, overflow="fold")
    for row in shown:
        table.add_row(
            Text(f"{row['campaign_id']}{'!' if row['alert'] else ' '}", style=_ALERT if row["alert"] else ""),
            f"{row['score']:.2f}",
            p_text(row["q_value"]),
            *(f"{row[name]:,}" for name in ("accounts", "owners", "requests")),
            Group(_skeleton_excerpt(row["skeleton"]), Text(_spoken(row), style=_MUTED)),
        )
    console.print(table)
    console.print()
    console.print(Text(f"{counted(len(rows), 'finding')}, {counted(alerts, 'alert')} (!)"))
    if len(shown) < len(rows):
        console.print(
            Text(f"{len(rows) - len(shown)} quieter findings are not shown; --json lists them.", style=_MUTED)
        )


def render_finding(detail: Row, console: Console) -> None:
    """Nothing; one finding stands on the console, from the template to the members."""
    wide = console.width >= _WIDE
    title = Text(f"Campaign {detail['campaign_id']}", style="bold")
    if detail.get("identity"):
        title.append(f"  {detail['identity']}")
    title.append("  ALERT" if detail["alert"] else "  no alert", style=_ALERT if detail["alert"] else _MUTED)
    console.print(title)
    console.print(
        Text(
            f"score {detail['score']:.2f}   p {p_text(detail['p_value'])}   q {p_text(detail['q_value'])}   "
            f"{detail['requests']:,} requests, {detail['accounts']:,} accounts, {detail['owners']:,} owners   "
            f"{moment(detail['first_seen'])} to {moment(detail['last_seen'])}"
        )
    )
    if detail["signal_tags"]:
        console.print(Text(f"signals: {_names(detail['signal_tags'])}"))
    packet = detail["packet"]
    for heading, body in (
        ("Templates", _templates(detail["templates"])),
        *([("Slots", slots(packet)), ("Requests that tie the accounts", messages(packet))] if packet else []),
        *([("In common", shared(packet))] if packet and packet["shared"] else []),
        ("Known templates", _known(detail["known"])),
        ("Timeline", _timeline(detail["timeline"])),
        ("Tests", _tests(detail["tests"], wide=wide)),
        *([("Waterfall", waterfall(packet))] if packet else []),
        ("Benign explanations", _hypotheses(detail["hypotheses"])),
        *([("What would change the verdict", changes(packet))] if packet else []),
        ("Accounts", _members(detail["members"], wide=wide)),
    ):
        console.print()
        console.print(Text(heading, style=_HEAD))
        console.print(Padding(body, _INDENT))


def sparkline(counts: Sequence[int]) -> str:
    """One character a bin; a space where nothing was, so that silence and little differ."""
    top = max(counts, default=0)
    return "".join(_BLOCKS[-(-count * len(_BLOCKS) // top) - 1] if count else " " for count in counts)


def _names(names: Sequence[str]) -> str:
    return ", ".join(printable(name.replace("_", " "), _NAME) for name in names)


def _spoken(row: Row) -> str:
    # Only a night's run has stable ids.
    parts = [*([row["identity"]] if row.get("identity") else []), _names(row["families"]) or "no family speaks"]
    if row["signal_tags"]:
        parts.append(_names(row["signal_tags"]))
    if row["benign"]:
        parts.append(f"perhaps {_names(row['benign'])}")
    known = next((entry for entry in row["known"] if entry["known"]), None)
    if known:
        parts.append(f"{'suppressed' if known['suppressed'] else 'known'}: {printable(known['name'], _NAME)}")
    elif any(entry["note"] for entry in row["known"]):
        parts.append("reopened")
    return " · ".join(parts)


def _skeleton_excerpt(skeleton: str) -> Text:
    text = Text(overflow="fold")
    for position, (kind, shown) in enumerate(excerpt(skeleton, _EXCERPT)):
        text.append(" " if position else "")
        text.append(" slot ", style=_SLOT_STYLE) if kind == "slot" else text.append(shown)
    return text


def _templates(templates: Sequence[Row]) -> RenderableType:
    parts: list[RenderableType] = []
    for row in templates[:_TEMPLATES]:
        head = (
            f"template {row['template_id']}: {row['requests']:,} requests, {row['accounts']:,} accounts, "
            f"{row['owners']:,} owners, {row['words']} fixed words, {row['fillings']:,} fillings"
            f"{', given by the log' if row['kind'] == GIVEN else ''}"
        )
        parts.append(Text(head, style=_MUTED))
        skeleton = Text(overflow="fold")
        room = _SKELETON
        for kind, piece in row["pieces"]:
            if kind == "slot":
                skeleton.append(" slot ", style=_SLOT_STYLE)
            elif room > 0:
                shown = printable(piece, room, lines=True)
                skeleton.append(shown)
                room -= len(shown)
        parts.append(Padding(skeleton, _INDENT))
        parts.extend(
            Text(f"e.g. {printable(example, _SENTENCE)}", style=_MUTED, overflow="fold")
            for example in row["examples"][:_EXAMPLES]
        )
    if len(templates) > _TEMPLATES:
        parts.append(Text(f"and {len(templates) - _TEMPLATES} more", style=_MUTED))
    return Group(*parts)


def _known(known: Sequence[Row]) -> RenderableType:
    """The nearest known templates: an entry that lowers the rank says so."""
    if not known:
        return Text("none is near", style=_MUTED)
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for row in known:
        says = "suppressed" if row["suppressed"] else "known" if row["known"] else ""
        about = printable("; ".join(filter(None, (row["source"], row["note"]))), _SENTENCE)
        table.add_row(
            Text(printable(row["name"], _NAME), overflow="fold"),
            f"{row['similarity']:.2f}",
            Text(says, style="bold yellow"),
            Text(about, style=_MUTED, overflow="fold"),
        )
    return table


def _timeline(timeline: dict[str, Any]) -> RenderableType:
    counts = timeline["counts"]
    return Group(
        Text(sparkline(counts), no_wrap=True, overflow="crop"),
        Text(_axis(timeline), style=_MUTED),
    )


def _axis(timeline: dict[str, Any]) -> str:
    top = max(timeline["counts"], default=0)
    return f"requests per {period(timeline['bin_hours'])} from {moment(timeline['start'])} UTC, at most {top:,}"


def _tests(tests: Sequence[Row], *, wide: bool) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style=_MUTED, padding=(0, 2, 0, 0))
    table.add_column("test", no_wrap=True)
    for name in ("observed", "expected", "p"):
        table.add_column(name, justify="right", no_wrap=True)
    if wide:
        table.add_column("against chance", no_wrap=True)
    table.add_column("", ratio=1, overflow="fold")
    for family, group in groupby(tests, key=lambda row: str(row["family"])):
        table.add_row(Text(_names([family]), style="bold"))
        for row in group:
            sentence = f"off: {row['off']}" if row["off"] is not None else row["text"]
            table.add_row(
                Text(f"  {_names([row['test']])}"),
                number_text(row["observed"]),
                number_text(row["expected"]),
                p_text(row["p_value"]),
                *([Text(evidence_bar(row["p_value"], _BAR), style="red")] if wide else []),
                Text(printable(sentence or "", _SENTENCE), style=_MUTED),
            )
    return table


def _hypotheses(hypotheses: Sequence[Row]) -> RenderableType:
    if not hypotheses:
        return Text("none was tested", style=_MUTED)
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for row in hypotheses:
        holds = Text("holds", style="bold yellow") if row["holds"] else Text("does not hold", style=_MUTED)
        table.add_row(
            Text(_names([row["hypothesis"]])), holds, Text(printable(row["text"] or "", _SENTENCE), style=_MUTED)
        )
    return table


def _members(members: Sequence[Row], *, wide: bool) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style=_MUTED, padding=(0, 2, 0, 0))
    table.add_column("account", overflow="fold", min_width=_ACCOUNT)
    for name in ("requests", "share", *(("owner", "first use") if wide else ()), "evidence"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("why", ratio=1, overflow="fold")
    for row in members[:_MEMBERS]:
        table.add_row(
            Text(printable(row["account_id"], _NAME)),
            f"{row['requests']:,}",
            f"{row['share']:.0%}",
            *((str(row["owner_row"]), moment(row["first_use"])) if wide else ()),
            f"{row['evidence']:.2f}",
            Text("; ".join(printable(reason, _NAME) for reason in row["reasons"][:_REASONS]), style=_MUTED),
        )
    if len(members) <= _MEMBERS:
        return table
    return Group(table, Text(f"and {len(members) - _MEMBERS:,} more; --json and the exports hold them", style=_MUTED))
