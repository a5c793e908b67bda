"""The evasion report's own laws: a knob turns one thing, and the plot shows what the rows say. No run of refrain."""

import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from evasion_chart import draw, marks
from evasion_knobs import BASELINES, KNOBS, Knob, Value, world

from refrain.simulate import Campaign, sample

pytestmark = pytest.mark.bench

SVG = "{http://www.w3.org/2000/svg}"
Row = dict[str, Any]


def rows(knob: Knob, detected: bool, recall: float) -> list[Row]:
    return [
        {"seed": seed, "knob": knob.name, "value": value, "campaign": pool.name, "detected": detected, "recall": recall}
        for value in knob.values
        for pool in BASELINES
        for seed in (0, 1)
    ]


def panels(svg: str) -> dict[str, ET.Element]:
    return {g.attrib["id"]: g for g in ET.fromstring(svg).iter(f"{SVG}g") if g.get("class") == "panel"}


def heights(panel: ET.Element, kind: str) -> set[float]:
    """The middle of each mark of a kind, as drawn."""
    discs = {float(c.attrib["cy"]) for c in panel.iter(f"{SVG}circle") if c.attrib["class"].endswith(kind)}
    squares = {
        float(r.attrib["y"]) + float(r.attrib["height"]) / 2
        for r in panel.iter(f"{SVG}rect")
        if r.attrib["class"].endswith(kind)
    }
    return discs | squares


def grid(panel: ET.Element) -> list[float]:
    """The heights of a panel's grid lines, from its top to its bottom."""
    lines = [p.attrib["d"] for p in panel.iter(f"{SVG}path") if p.attrib["class"] == "grid"]
    return sorted(float(d.split(" ")[1].partition("h")[0]) for d in lines)


def test_help_says_how() -> None:
    script = Path(__file__).with_name("evasion.py")
    answer = subprocess.run([sys.executable, script, "--help"], check=True, capture_output=True, text=True)
    assert all(option in answer.stdout for option in ("--knobs", "--seeds", "--work", "--draw"))
    assert all(name in answer.stdout for name in KNOBS)


@pytest.mark.parametrize("pool", BASELINES, ids=lambda pool: pool.name)
@pytest.mark.parametrize("knob", KNOBS.values(), ids=list(KNOBS))
def test_a_knob_turns_its_own_fields(knob: Knob, pool: Campaign) -> None:
    worlds = [world(pool, knob, value, 0) for value in knob.values]
    for here in worlds:
        (campaign,) = here.campaigns
        changed = {f.name for f in fields(Campaign) if getattr(campaign, f.name) != getattr(pool, f.name)}
        assert changed <= {*knob.fields, "wrapper"}  # the wrapper goes round with the seed
    assert len(set(worlds)) == len(worlds)


@pytest.mark.parametrize(
    ("knob", "value"), [("cover", 0.5), ("accounts", 8), ("shared", 0.0), ("wrapper", "none")], ids=str
)
def test_everybody_else_sends_the_same(knob: str, value: Value) -> None:
    pool = BASELINES[1]

    def others(name: str, at: Value) -> list[Row]:
        made = sample(world(pool, KNOBS[name], at, 0))
        both = zip(made.log.to_pylist(), made.truth.to_pylist(), strict=True)
        return [line for line, truth in both if truth["family"].partition(":")[0] != pool.name]

    assert others(knob, value) == others("shared", 1.0)


@pytest.mark.parametrize(("detected", "at"), [(True, 0), (False, -1)])
def test_all_found_is_the_top_line_and_none_the_bottom(detected: bool, at: int) -> None:
    drawn = panels(draw([row for knob in KNOBS.values() for row in rows(knob, detected, 0.5)]))
    assert list(drawn) == list(KNOBS)
    for panel in drawn.values():
        assert heights(panel, "found") == {grid(panel)[at]}
        assert heights(panel, "open") == {grid(panel)[1]}


def test_marks_count_seeds_and_average_recall() -> None:
    knob = KNOBS["cover"]
    some = [*rows(knob, True, 1.0), *rows(knob, False, 0.0)]
    for mark in marks(some, knob, "weak").values():
        assert (mark.share, mark.recall, mark.seeds) == (0.5, 0.5, 4)


def test_knobs_without_rows_have_no_panel() -> None:
    assert list(panels(draw(rows(KNOBS["rhythm"], True, 1.0)))) == ["rhythm"]


def test_the_figures_are_told_in_words_too() -> None:
    told = ET.fromstring(draw(rows(KNOBS["cover"], True, 0.25))).findtext(f"{SVG}desc")
    assert told is not None
    assert "weak pool: detected at 0 in 2 of 2 seeds with account recall 0.25" in told
