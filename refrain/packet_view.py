"""A packet's parts on a terminal: slots, requests with the fixed part marked, the waterfall, what would change it."""

from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from refrain.evidence import evidence_bar
from refrain.figures import counted, moment, number_text, p_text
from refrain.marking import CUT, FIXED
from refrain.printable import printable
from refrain.waterfall import steps

Packet = dict[str, Any]
# Characters shown of a request's text, of a sample, of a sentence, of a name; and of an evidence bar.
_MESSAGE, _SAMPLE, _SENTENCE, _NAME, _BAR = 700, 80, 400, 60, 12
# Changes shown that leave the verdict as it is: the nearest ones; --json holds all.
_KEEPING = 4
_INDENT = (0, 0, 0, 2)
_FIXED_STYLE, _MUTED, _TURNS = "black on yellow", "dim", "bold yellow"


def slots(packet: Packet) -> RenderableType:
    """What fills the slots of each template."""
    parts: list[RenderableType] = []
    for template in packet["templates"]:
        for slot in template["slots"]:
            if slot["kind"] is None:
                continue
            words = f"{number_text(slot['median_words'])} words in the median"
            head = (
                f"template {template['template_id']}, slot {slot['slot'] + 1}: {slot['kind']}, {words}, "
                f"{counted(slot['fillings'], 'filling')} in {counted(slot['requests'], 'request')}"
            )
            samples = [printable(text, _SAMPLE) for text in slot["samples"]]
            parts += [Text(head, style=_MUTED), Padding(Text("\n".join(samples), overflow="fold"), _INDENT)]
    return Group(*parts) if parts else Text("the templates have no slot that is filled", style=_MUTED)


def messages(packet: Packet) -> RenderableType:
    """The chosen requests, each with why it was chosen."""
    parts: list[RenderableType] = []
    for message in packet["messages"]:
        value = f" ({printable(message['value'], _NAME)})" if message["value"] is not None else ""
        who = f"{moment(message['time'])}  {printable(message['account_id'], _NAME)}  "
        parts.append(Text(f"{who}{message['why']}{value}", style=_MUTED, overflow="fold"))
        parts.append(Padding(_marked(message["pieces"]), _INDENT))
    return Group(*parts) if parts else Text("no request is labelled with it", style=_MUTED)


def shared(packet: Packet) -> RenderableType:
    """The networks, cards and clients that owners have in common."""
    table = Table(box=None, pad_edge=False, header_style=_MUTED, padding=(0, 2, 0, 0))
    table.add_column("", no_wrap=True)
    table.add_column("value", overflow="fold")
    table.add_column("owners", justify="right", no_wrap=True)
    table.add_column("outside", justify="right", no_wrap=True)
    for row in packet["shared"]:
        table.add_row(row["what"], Text(printable(row["value"], _NAME)), f"{row['owners']:,}", f"{row['outside']:,}")
    return table


def waterfall(packet: Packet) -> RenderableType:
    """From the tests to the decision, a line a step."""
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True, width=_BAR)
    table.add_column(ratio=1, overflow="fold")
    for row in steps(packet["waterfall"]):
        bar = Text(evidence_bar(row["p_value"], _BAR), style="red")
        text = Text(printable(row["text"], _SENTENCE), style=_MUTED)
        table.add_row(Text(printable(row["step"], _NAME)), p_text(row["p_value"]), bar, text)
    return table


def changes(packet: Packet) -> RenderableType:
    """What would turn the verdict, and the nearest of what would not."""
    told = packet["would_change"]
    turning = [row for row in told["changes"] if row["alert"] != packet["alert"]]
    keeping = [row for row in told["changes"] if row["alert"] == packet["alert"]]
    parts: list[RenderableType] = [Text(told["text"], overflow="fold")]
    parts += [Text(f"! {printable(row['text'], _SENTENCE)}", style=_TURNS, overflow="fold") for row in turning]
    parts += [
        Text(f"  {printable(row['text'], _SENTENCE)}", style=_MUTED, overflow="fold") for row in keeping[:_KEEPING]
    ]
    if len(keeping) > _KEEPING:
        parts.append(Text(f"  and {len(keeping) - _KEEPING} more that would not; --json lists them", style=_MUTED))
    return Group(*parts)


def _marked(pieces: list[list[str]]) -> Text:
    text = Text(overflow="fold")
    room = _MESSAGE
    for kind, piece in pieces:
        if kind == CUT:
            text.append(f" [{int(piece):,} characters] ", style=_MUTED)
        elif room > 0:
            shown = printable(piece, room, lines=True)
            text.append(shown, style=_FIXED_STYLE if kind == FIXED else "")
            room -= len(shown)
    return text
