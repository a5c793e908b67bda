"""The evasion report as one SVG: a panel a knob, from what is easy to find on the left to what is hard on the right."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any
from xml.sax.saxutils import escape

from evasion_knobs import BASELINES, KNOBS, Knob, Value

# Pixels. Three panels beside one another fill the width of a page of text.
_COLUMNS = 3
_PANEL_WIDTH, _PANEL_HEIGHT = 320, 180
_LEFT, _RIGHT, _TOP, _BOTTOM = 36, 16, 30, 28  # a panel's margins around its field
_HEAD = 44  # the legend above the panels
_FIELD_WIDTH, _FIELD_HEIGHT = _PANEL_WIDTH - _LEFT - _RIGHT, _PANEL_HEIGHT - _TOP - _BOTTOM
_INDENT = 14  # from the field's edge to its first value, so that marks stay inside
_ASIDE = 4  # marks of the two pools stand beside one another, or one would hide the other
_MARK = 4  # half the width of a mark
_LABEL_GAP, _TITLE_GAP = 16, 10  # from the field to the text below and above it
_KEY_WIDTH, _KEY_LINE, _BASE = 230, 22, 4  # a legend entry, its line, and from a text's middle to its baseline
_GRID = (0.0, 0.5, 1.0)
_NAMES = tuple(pool.name for pool in BASELINES)

# Neutral on white and on black; the two hues differ for every kind of sight, and so do the marks' shapes.
_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f }
.name { font-weight: 600 }
.small { font-size: 11px }
.grid { stroke: #d0d7de; stroke-width: 1 }
.line { fill: none; stroke-width: 2 }
.recall { stroke-dasharray: 3 3; stroke-width: 1.5; fill: none }
.pool-0 { stroke: #0969da } .pool-0.found { fill: #0969da }
.pool-1 { stroke: #bc4c00 } .pool-1.found { fill: #bc4c00 }
.open { fill: none; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) {
  text { fill: #d1d7e0 }
  .grid { stroke: #444c56 }
  .pool-0 { stroke: #58a6ff } .pool-0.found { fill: #58a6ff }
  .pool-1 { stroke: #f0883e } .pool-1.found { fill: #f0883e }
}
"""


@dataclass(frozen=True)
class Mark:
    """One pool at one value of a knob, over all seeds."""

    detected: int
    seeds: int
    recall: float

    @property
    def share(self) -> float:
        """The share of seeds in which the pool was detected."""
        return self.detected / self.seeds


def marks(rows: Sequence[Mapping[str, Any]], knob: Knob, campaign: str) -> dict[Value, Mark]:
    """The marks of one pool in one panel by value, those without a row left out."""
    out = {}
    for value in knob.values:
        here = [r for r in rows if (r["knob"], r["campaign"], r["value"]) == (knob.name, campaign, value)]
        if here:
            out[value] = Mark(sum(r["detected"] for r in here), len(here), fmean(r["recall"] for r in here))
    return out


def draw(rows: Sequence[Mapping[str, Any]]) -> str:
    """The SVG of the report's rows, with a panel for each knob that has some; the same rows give the same bytes."""
    present = {row["knob"] for row in rows}
    knobs = [knob for name, knob in KNOBS.items() if name in present]
    width = _COLUMNS * _PANEL_WIDTH
    height = _HEAD + -(-len(knobs) // _COLUMNS) * _PANEL_HEIGHT
    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'role="img" aria-labelledby="name story">',
        '<title id="name">Where detection ends: share of seeds in which a pool is detected, and account recall, by '
        "what the adversary turns</title>",
        f'<desc id="story">{escape(" ".join(_told(rows, knobs)))}</desc>',
        f"<style>{_STYLE}</style>",
        *_legend(),
    ]
    for at, knob in enumerate(knobs):
        row, column = divmod(at, _COLUMNS)
        where = f"translate({column * _PANEL_WIDTH} {_HEAD + row * _PANEL_HEIGHT})"
        body += [f'<g class="panel" id="{knob.name}" transform="{where}">', *_panel(rows, knob), "</g>"]
    return "\n".join([*body, "</svg>"]) + "\n"


def _told(rows: Sequence[Mapping[str, Any]], knobs: Sequence[Knob]) -> Iterator[str]:
    """The figures in words, for who does not see them."""
    for knob in knobs:
        for campaign in _NAMES:
            found = (
                f"at {knob.label(value)} in {m.detected} of {m.seeds} seeds with account recall {m.recall:.2f}"
                for value, m in marks(rows, knob, campaign).items()
            )
            yield f"{knob.title}, {campaign} pool: detected {', '.join(found)}."


def _legend() -> Iterator[str]:
    y = _HEAD // 2
    for at, campaign in enumerate(_NAMES):
        for aside, (kind, text) in enumerate((("found", "detected"), ("open", "account recall"))):
            x = _LEFT + (2 * at + aside) * _KEY_WIDTH
            yield _path([(x, y), (x + _KEY_LINE, y)], at, kind)
            yield _mark(x + _KEY_LINE / 2, y, at, kind)
            yield _text(x + _KEY_LINE + 2 * _MARK, y + _BASE, f"{campaign} pool: {text}")


def _panel(rows: Sequence[Mapping[str, Any]], knob: Knob) -> Iterator[str]:
    yield _text(_LEFT, _TOP - _TITLE_GAP, knob.title, "name")
    for share in _GRID:
        yield f'<path class="grid" d="M{_LEFT} {_y(share):g}h{_FIELD_WIDTH}"/>'
        yield _text(_LEFT - _MARK, _y(share) + _BASE, f"{share:g}", "small", "end")
    for value in knob.values:
        yield _text(_x(knob, value), _TOP + _FIELD_HEIGHT + _LABEL_GAP, knob.label(value), "small", "middle")
    for at, campaign in enumerate(_NAMES):
        shown = marks(rows, knob, campaign)
        beside = _ASIDE * (2 * at - 1)
        for kind in ("open", "found"):
            spots = [
                (_x(knob, value) + beside, _y(m.share if kind == "found" else m.recall)) for value, m in shown.items()
            ]
            # Between words there is nothing that a line could pass through.
            if not any(isinstance(value, str) for value in shown) and len(spots) > 1:
                yield _path(spots, at, kind)
            for (x, y), (value, m) in zip(spots, shown.items(), strict=True):
                said = f"{campaign} pool at {knob.label(value)}: {m.detected} of {m.seeds} seeds, recall {m.recall:.2f}"
                yield _mark(x, y, at, kind, said)


def _x(knob: Knob, value: Value) -> float:
    """Values stand at equal steps, a single one in the middle."""
    steps = len(knob.values) - 1
    width = _FIELD_WIDTH - 2 * _INDENT
    return _LEFT + _INDENT + (width * knob.values.index(value) / steps if steps else width / 2)


def _y(share: float) -> float:
    return _TOP + _FIELD_HEIGHT * (1 - share)


def _path(spots: Sequence[tuple[float, float]], pool: int, kind: str) -> str:
    along = "L".join(f"{x:.4g} {y:.4g}" for x, y in spots)
    return f'<path class="line pool-{pool}{" recall" if kind == "open" else ""}" d="M{along}"/>'


def _mark(x: float, y: float, pool: int, kind: str, said: str = "") -> str:
    """A disc for the first pool, a square for the second; filled for detection."""
    told = f"<title>{escape(said)}</title>" if said else ""
    if pool == 0:
        return f'<circle class="pool-{pool} {kind}" cx="{x:.4g}" cy="{y:.4g}" r="{_MARK}">{told}</circle>'
    side = 2 * _MARK
    return (
        f'<rect class="pool-{pool} {kind}" x="{x - _MARK:.4g}" y="{y - _MARK:.4g}" width="{side}" height="{side}">'
        f"{told}</rect>"
    )


def _text(x: float, y: float, text: str, style: str = "", anchor: str = "start") -> str:
    named = f' class="{style}"' if style else ""
    return f'<text{named} x="{x:.4g}" y="{y:.4g}" text-anchor="{anchor}">{escape(text)}</text>'
