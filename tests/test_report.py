"""The report is one file: complete, escaped, silent on the network."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tables import FORMULA_ACCOUNT, HOSTILE, START, Request, export, log_of, write_run, write_small_run

from refrain.errors import InputError
from refrain.printable import printable
from refrain.recognition import KNOWN
from refrain.report import write_report
from refrain.tables import write_columns

VOID = {"meta", "br", "link", "img", "hr", "input"}


class Page(HTMLParser):
    """Elements, attributes and texts of a page; a tag that closes another than the last open one is an error."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.texts: dict[str, list[str]] = {}
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self.open[-1] if self.open else "", []).append(data)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("run")
    write_small_run(folder)
    export(folder)
    write_report(folder, folder / "report.html")
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(source: str) -> Page:
    parsed = Page()
    parsed.feed(source)
    assert not parsed.open
    return parsed


def test_the_policy_forbids_everything_but_the_one_style_sheet(source: str, page: Page) -> None:
    [policy] = [
        value or "" for tag, name, value in page.attributes if name == "content" and "default-src" in (value or "")
    ]
    [style] = re.findall(r"<style>(.*?)</style>", source, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def test_nothing_in_the_page_loads_runs_or_leads_away(source: str, page: Page) -> None:
    assert not set(page.tags) & {"script", "img", "iframe", "object", "embed", "link", "form", "base", "foreignobject"}
    for tag, name, value in page.attributes:
        assert not name.startswith("on"), (tag, name)
        assert name not in ("src", "srcset", "style", "action", "xlink:href", "ping"), (tag, name)
        if name == "href":
            assert (value or "").startswith("#")
    [style] = re.findall(r"<style>(.*?)</style>", source, flags=re.DOTALL)
    assert "url(" not in style
    assert "@import" not in style


def test_what_came_from_the_log_is_text_and_its_hidden_characters_are_seen(source: str, page: Page) -> None:
    assert not set(source) & set("\x1b\x00\u202e\u202c\u200b")
    assert printable(HOSTILE, 4000) in page.texts["pre"]
    assert "{{ 7*7 }}" in source
    assert FORMULA_ACCOUNT in page.texts["bdi"]


def test_links_lead_to_places_that_exist(page: Page) -> None:
    places = [value for _, name, value in page.attributes if name == "id"]
    assert len(places) == len(set(places))
    assert {(value or "")[1:] for _, name, value in page.attributes if name == "href"} <= set(places)
    assert {value for _, name, value in page.attributes if name == "aria-labelledby"} <= set(places)


def test_the_page_shows_skeletons_tests_doubts_and_drawings(page: Page) -> None:
    assert page.texts["mark"].count("slot") == 3  # of two skeletons in full and of the one short enough for the table
    cells = [text.strip() for text in page.texts["td"]]
    assert {"0.97", "0.55", "1e-09", "3e-05"} <= set(cells)
    assert {"off: fewer than 20 fillings"} <= set(page.texts["span"])
    assert page.texts["span"].count("holds") == 1
    labels = [value or "" for tag, name, value in page.attributes if (tag, name) == ("svg", "aria-label")]
    assert [label.partition(":")[0].partition(";")[0] for label in labels] == [
        "Requests per hour",
        "Map of 4 clusters",
        "Overlap of accounts between 2 templates",
        "Requests of campaign 0 per hour, at most 3",
        "Requests of campaign 1 per hour, at most 1",
    ]
    titles = page.texts["title"]
    assert "templates 1 and 2: 0%" in titles
    assert "2026-03-01 03:00: 2" in titles


def test_known_templates_are_shown_with_what_they_count_as(tmp_path: Path) -> None:
    run = tmp_path / "run"
    write_small_run(run)
    row = {"campaign_id": 0, "similarity": 0.71, "known": True, "source": "a paper"}
    write_columns(run / "campaigns" / "known.parquet", KNOWN, {
        name: [value, value] for name, value in row.items()
    } | {"name": ["judge", HOSTILE], "suppressed": [False, True], "note": ["", "members changed"]})  # fmt: skip
    export(run)
    write_report(run, run / "report.html")
    page = Page()
    page.feed((run / "report.html").read_text(encoding="utf-8"))
    cells = [text.strip() for text in page.texts["td"]]
    assert {"0.71", "known", "suppressed"} <= set(cells)
    assert {"judge", "a paper", "a paper; members changed"} <= set(page.texts["bdi"])
    assert not set("".join(page.texts["bdi"])) & set("\x1b\x00\u202e\u202c\u200b")


def test_the_same_run_gives_the_same_page(source: str, tmp_path: Path) -> None:
    run = tmp_path / "again"
    write_small_run(run)
    export(run)
    write_report(run, run / "report.html")
    again = (run / "report.html").read_text(encoding="utf-8")
    assert re.sub(r"run\d+|again", "RUN", again) == re.sub(r"run\d+|again", "RUN", source)


def test_an_empty_run_has_a_page(tmp_path: Path) -> None:
    write_run(tmp_path, log_of([]), [], [])
    write_report(tmp_path, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "0 alerts among 0 findings" in text
    assert "There are no clusters." in text
    write_run(tmp_path / "one", log_of([Request("r", "a", START, (("user", "x"),))]), [{"x": 1.0}], [])
    write_report(tmp_path / "one", tmp_path / "one.html")
    assert "Map of 1 cluster;" in (tmp_path / "one.html").read_text(encoding="utf-8")


def test_a_run_that_is_not_whole_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no campaigns"):
        write_report(tmp_path, tmp_path / "report.html")
    assert not list(tmp_path.iterdir())
