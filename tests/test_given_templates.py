"""A template that the log gives outright: found where prompts alone say nothing, shown as it stands, and no prompt."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from mined import ASSIGNED, DRAWN, Drawn
from planted import CONFIG, Mined, Said, task
from rich.console import Console
from tables import write_small_run

from refrain.artifacts import Store
from refrain.batches import MISSING, Batch
from refrain.dialects import dialect
from refrain.given_templates import given_groups, group_words
from refrain.occurrences import Occurrences
from refrain.people import Refusals
from refrain.progress import NoProgress
from refrain.purge import purge
from refrain.purge_seen import Targets
from refrain.readings import read_templates
from refrain.report import write_report
from refrain.requests import ingest_logs
from refrain.runs import store_of
from refrain.show import finding, render_finding
from refrain.slices import make_slice
from refrain.stages import ingest
from refrain.talks import Talks
from refrain.uses import Uses

PLACES = "Compare {slot} with {slot} for {slot} in {slot} words."
WORDS = ["rivers", "winters", "kernels", "gardens", "violins", "bridges", "planets", "harbours", "poems", "engines"]
NUMBERS = ["ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety", "hundred"]


def rendered(i: int) -> str:
    """A rendering of PLACES that shares no run of three words with another."""
    return f"Compare {WORDS[i]} with {WORDS[i - 1]} for {WORDS[i - 2]} in {NUMBERS[i]} words."


def renderings(template: object, count: int = 8) -> list[Said]:
    return [Said(f"a{i}", rendered(i), template=template) for i in range(count)]


OTHERS = [Said(f"b{i}", task(i)) for i in range(10)]


def test_slots_in_the_middle_of_a_line_are_found_because_the_log_gives_the_template(tmp_path: Path) -> None:
    assert Mined(tmp_path / "prompts", [*renderings(None), *OTHERS]).templates == []
    mined = Mined(tmp_path / "given", [*renderings(PLACES), *OTHERS])
    (template,) = mined.templates
    assert (template["skeleton"], template["kind"]) == (PLACES, "given")
    assert (template["words"], template["owners"], template["requests"], template["fillings"]) == (5, 8, 8, 8)
    assert mined.uses == {0: [f"r{i:04}" for i in range(8)]}
    assert set(template["examples"]) <= {rendered(i) for i in range(8)}
    assert {row["role"] for row in mined.rows("request_templates")} == {"user"}


def test_a_template_of_several_lines_reads_as_it_stands(tmp_path: Path) -> None:
    text = "You are a tutor of {slot}.\nShow the full working of your answer.\n{slot}\nEnd with {slot}."
    said = [
        Said(
            f"a{i}",
            f"You are a tutor of {WORDS[i]}.\nShow the full working of your answer.\n{task(i)}\nEnd with {NUMBERS[i]}.",
            template=text,
        )
        for i in range(6)
    ]
    mined = Mined(tmp_path, [*said, *OTHERS])
    (template,) = mined.templates
    assert template["skeleton"] == text
    assert (template["kind"], template["words"], template["fillings"]) == ("given", 5 + 7 + 2, 6)
    # The line that the prompt has, too, is one segment that six requests have once.
    segments = pq.read_table(tmp_path / "requests" / "segments.parquet").to_pylist()
    counts = {row["text"]: (row["requests"], row["owners"]) for row in segments}
    assert counts["show the full working of your answer."] == (6, 6)


@pytest.mark.parametrize(
    ("text", "shared", "words"),
    [
        # What the renderings share is most of the template, and its unit; or less, and a unit beside it.
        ("Rewrite {slot} so that a tired reader of the evening paper enjoys it", 11, 12),
        ("Take {slot} with {slot} and {slot} over {slot} so that a tired reader enjoys it", 7, 11),
        (
            "Add {slot} to {slot} or {slot} to {slot} near {slot} by {slot} but {slot} since {slot} not {slot} "
            "so that a tired reader enjoys it",
            7,
            16,
        ),
    ],
)
def test_what_renderings_share_counts_no_word_twice(tmp_path: Path, text: str, shared: int, words: int) -> None:
    said = [Said(f"a{i}", filled(text, i), template=text) for i in range(6)]
    (alone,) = Mined(tmp_path / "alone", [replace(one, template=None) for one in said]).templates
    assert (alone["kind"], alone["words"]) == ("span", shared)
    # Two whom the log gives none are users all the same: they hold most of its words.
    said += [Said(f"b{i}", filled(text, 7 + i)) for i in range(2)]
    (template,) = Mined(tmp_path / "given", said).templates
    assert (template["skeleton"], template["words"], template["owners"]) == (text, words, 8)


def filled(text: str, i: int) -> str:
    """The template with a word in each of its slots."""
    first, *rest = text.split("{slot}")
    return first + "".join(f"{WORDS[(i + at) % len(WORDS)]}{part}" for at, part in enumerate(rest))


def test_two_templates_of_the_log_are_two_and_a_line_of_slots_is_none(tmp_path: Path) -> None:
    other = "Rank {slot} above {slot}\n{slot}\n{slot} {slot}"
    said = [Said(f"c{i}", f"Rank {WORDS[i]} above {WORDS[i - 1]}\n{task(20 + i)}\nx", template=other) for i in range(5)]
    mined = Mined(tmp_path, [*renderings(PLACES), *said, *OTHERS])
    assert sorted(row["skeleton"] for row in mined.templates) == [PLACES, "Rank {slot} above {slot}\n{slot}"]
    alone = [Said(f"d{i}", task(40 + i), template="{slot}") for i in range(6)]
    assert Mined(tmp_path / "alone", alone).templates == []


def tables(folder: Path) -> dict[str, bytes]:
    """The files that ingest and mine left."""
    found: dict[str, bytes] = {}
    for noun in ("requests", "templates"):
        files = (path for path in (folder / noun).rglob("*") if path.is_file())
        found |= {str(path.relative_to(folder)): path.read_bytes() for path in files}
    return found


def test_what_the_log_gives_changes_nothing_that_was_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFRAIN_KEY", "5a" * 32)  # digests of one store are another's
    said = [
        *(Said(f"a{i % 3}", f"Name a bird.\n{task(i)}", "You are kind.", conversation="c") for i in range(6)),
        *OTHERS,
    ]
    for name, template in (("absent", None), ("blank", " \n"), ("given", "Name a bird.\nFind {slot} in it.")):
        Mined(tmp_path / name, [replace(one, template=template) for one in said])
    assert tables(tmp_path / "absent") == tables(tmp_path / "blank")
    without, given = (placed(tmp_path / name) for name in ("absent", "given"))
    assert [row for row in given if row[1] != "template"] == without
    # The second half of the conversations sends the template again.
    assert {row for row in given if row[1] == "template"} == {
        (f"r{i:04}", "template", 0, text, i not in range(3, 6))
        for i in range(len(said))
        for text in ("name a bird.", "find {slot} in it.")
    }
    same = ["requests/texts.parquet", "requests/accounts.parquet", "requests/quarantine.parquet"]
    first, second = tables(tmp_path / "absent"), tables(tmp_path / "given")
    for name in [*same, *(name for name in first if name.startswith("requests/requests/"))]:
        assert first[name] == second[name], name


def placed(folder: Path) -> list[tuple[str, str, int, str, bool]]:
    """(request_id, role, turn, text, counted) of every segment, in order."""
    requests = folder / "requests"
    texts = pq.read_table(requests / "segments.parquet")["text"].to_pylist()
    ids = pq.read_table(requests / "requests")["request_id"].to_pylist()
    return [
        (ids[row["request_row"]], row["role"], row["turn"], texts[row["segment_row"]], row["counted"])
        for row in pq.read_table(requests / "request_segments").to_pylist()
    ]


@pytest.mark.parametrize("value", [["Find {slot}."], 7, True, {"text": "Find {slot}."}, 1.5])
def test_what_is_no_text_is_left_out_and_flagged(tmp_path: Path, value: object) -> None:
    Mined(tmp_path, [Said("a", "Name a bird.", template=value), Said("b", "Name a fish.")])
    assert [row[:4] for row in placed(tmp_path)] == [
        ("r0000", "user", 1, "name a bird."),
        ("r0001", "user", 1, "name a fish."),
    ]
    rows = pq.read_table(tmp_path / "requests" / "requests").to_pylist()
    assert [(row["repaired"], row["cut"]) for row in rows] == [(True, False), (False, False)]


@pytest.mark.parametrize(
    ("template", "raw", "repaired", "cut"),
    [
        ("Find\0 {slot}.", "Find {slot}.", True, False),
        ("\x1b[31mFind {slot}.\u202e", "[31mFind {slot}.", False, False),
        ("=Find\t{slot}.", "=Find\t{slot}.", False, False),
        ("\ud800Find {slot}.", "\ufffdFind {slot}.", True, False),
        ("Find {slot}. " + "x" * (CONFIG.ingest.max_text_characters + 5), "Find {slot}.", False, True),
    ],
)
def test_hostile_templates_are_cut_mended_and_harmless(
    tmp_path: Path, template: str, raw: str, repaired: bool, cut: bool
) -> None:
    Mined(tmp_path, [Said("a", "Name a bird.", template=template)])
    given = [row for row in placed(tmp_path) if row[1] == "template"]
    segments = pq.read_table(tmp_path / "requests" / "segments.parquet").to_pylist()
    assert raw in {row["raw"] for row in segments if row["text"] in {text for *_, text, _ in given}}
    (row,) = pq.read_table(tmp_path / "requests" / "requests").to_pylist()
    assert (row["repaired"], row["cut"]) == (repaired, cut)
    assert pq.read_table(tmp_path / "requests" / "texts.parquet")["text"].to_pylist() == ["Name a bird."]


def test_a_template_is_no_prompt_and_nobody_speaks_as_one() -> None:
    columns: dict[str, list[Any]] = {
        "prompt": [None, "x", "y"],
        "messages": [[], [{"role": "template", "content": "x"}], MISSING],
        "prompt_template": ["Find {slot}.", MISSING, "Find {slot}."],
    }
    refused = Refusals()
    talks = Talks(Batch(rows=[1, 2, 3], columns=columns), CONFIG.ingest)
    nothing, spoken, given = (talks.read(at, refused) for at in range(3))
    assert nothing is None
    assert refused.found == {0: ("prompt", "no prompt")}
    assert spoken is not None
    assert given is not None
    assert (spoken.spoken, given.prompt) == ([(1, 1, "x")], "y")
    assert given.spoken == [(1, 1, "y"), (4, 0, "Find {slot}.")]


def test_a_slice_finds_what_the_log_gives(tmp_path: Path) -> None:
    rows = [
        {"account_id": f"a{i}", "timestamp": 1_767_225_600 + i, "prompt": rendered(i), "prompt_template": text}
        for i, text in enumerate([PLACES, None, "Find {slot}."])
    ]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "out").mkdir()
    counts = ingest_logs(
        [str(tmp_path / "log.jsonl")], tmp_path / "out", CONFIG.ingest, store=Store(tmp_path / "store"),
        progress=NoProgress(), part=make_slice(matching="with {slot} for"),
    )  # fmt: skip
    assert (counts["kept"], counts["outside"]) == (1, 2)


@pytest.mark.parametrize(
    ("template", "variables", "given"),
    [
        ("Say {a} to {{ b }}, {c}.", {"a": 1, "b": None}, "Say {slot} to {slot}, {c}."),
        ("Say {a}.", '{"a": "{b}", "b": 2}', "Say {slot}."),
        ("int f() { return {x}; } {} {{}} {a b}", {"a": "x", "": 1, "a b": 2}, "int f() { return {x}; } {} {{}} {a b}"),
        ("Say {a}.", "__REDACTED__", "Say {a}."),
        ("Say {a}.", "{", "Say {a}."),
        ("Say {a}.", ["a"], "Say {a}."),
        (["Say {a}."], {"a": 1}, ["Say {a}."]),
    ],
)
def test_a_slot_is_what_the_variables_name(template: object, variables: object, given: object) -> None:
    attributes: dict[str, object] = {
        "openinference.span.kind": "LLM",
        "user.id": "acct",
        "input.value": "said",
        "llm.prompt_template.template": template,
        "llm.prompt_template.variables": variables,
    }
    read = dialect("openinference").read
    (record,) = read({"context": {"trace_id": "a", "span_id": "b"}, "attributes": attributes})
    assert isinstance(record, dict)
    assert (record["prompt"], record["prompt_template"]) == ("said", given)
    attributes["llm.prompt_template.template"] = "__REDACTED__"
    (record,) = read({"context": {"trace_id": "a", "span_id": "b"}, "attributes": attributes})
    assert isinstance(record, dict)
    assert "prompt_template" not in record


def test_what_the_log_gives_goes_with_its_account(tmp_path: Path) -> None:
    own = "Recite {slot} in the voice of nobody else"
    said = [
        *renderings(PLACES),
        Said("gone", rendered(8), template=PLACES),
        Said("gone", task(30), template=own),
        *OTHERS,
    ]
    rows = [
        {
            "request_id": f"r{i}",
            "account_id": one.account,
            "timestamp": 1_767_225_600 + 60 * i,
            "prompt": one.prompt,
            "prompt_template": one.template,
        }
        for i, one in enumerate(said)
    ]
    log, outputs = tmp_path / "log.jsonl", tmp_path / "outputs"
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    ingest([str(log)], CONFIG, store=store_of(outputs), progress=NoProgress())
    # Stage result and staged tables: both have it as segments, and nothing has it whole.
    assert {Path(name).name.split("-")[0] for name in holding(outputs, "voice of nobody else")} == {
        "segments.parquet",
        "forms",
    }
    done = purge(outputs, Targets(accounts=frozenset({"gone"})), NoProgress())
    assert (done.left, done.found["requests"]) == ((), 2)
    assert holding(outputs, "voice of nobody else") == []
    again = ingest([str(log)], CONFIG, store=store_of(outputs), progress=NoProgress())
    assert (again.manifest.counts["kept"], again.manifest.counts["purged"]) == (18, 2)
    texts = pq.read_table(again.folder / "segments.parquet")["text"].to_pylist()
    assert PLACES.lower() in texts
    assert own.lower() not in texts


def holding(outputs: Path, text: str) -> list[str]:
    """The tables and files that hold a text in any case, by the plainest search there is."""
    found = []
    for path in sorted(path for path in outputs.rglob("*") if path.is_file()):
        data = path.read_bytes()
        if path.suffix == ".parquet":
            data += str(pq.ParquetFile(path).read().to_pylist()).encode()
        if text in data.decode("utf-8", "replace").lower():
            found.append(str(path.relative_to(outputs)))
    return found


@pytest.mark.parametrize("kind", ["given", "exact"])
def test_a_finding_says_which_of_its_templates_the_log_gives(tmp_path: Path, kind: str) -> None:
    write_small_run(tmp_path)
    path = tmp_path / "templates" / "templates.parquet"
    table = pq.read_table(path)
    wanted = finding(tmp_path, 0)["templates"][0]["template_id"]
    kinds = [kind if number == wanted else "exact" for number in table["template_id"].to_pylist()]
    at = table.column_names.index("kind")
    pq.write_table(table.set_column(at, table.schema.field(at), pa.array(kinds)), path)
    file = io.StringIO()
    render_finding(finding(tmp_path, 0), Console(file=file, width=200, color_system=None))
    write_report(tmp_path, tmp_path / "report.html")
    said = [text.count("given by the log") for text in (file.getvalue(), (tmp_path / "report.html").read_text())]
    assert said == ([1, 1] if kind == "given" else [0, 0])


def from_log(drawn: Drawn) -> Occurrences:
    """The drawn log in which what is said to stand in the system prompt is what the log gives."""
    placed = drawn.placed
    return replace(placed, given=placed.system, system=np.zeros_like(placed.system))


def held_from_log(drawn: Drawn, row: int, wanted: set[int]) -> bool:
    return any(given and wanted & set(drawn.units[segment]) for segment, given in drawn.requests[row][1])


@settings(max_examples=100)
@given(DRAWN, ASSIGNED)
def test_a_group_is_given_where_most_of_its_requests_have_it_from_the_log(
    drawn: Drawn, assigned: np.typing.NDArray[np.int64]
) -> None:
    groups = assigned + 1
    found = given_groups(drawn.sequence, from_log(drawn), groups, 4)
    for group in range(4):
        wanted = set(np.flatnonzero(groups == group).tolist())
        rows = [row for row in range(len(drawn.requests)) if wanted & set(drawn.units_of(row))]
        assert found[group] == (2 * sum(held_from_log(drawn, row, wanted) for row in rows) > len(rows))
    own = group_words(drawn.table, drawn.sequence, from_log(drawn), groups, found)
    inside = {
        unit for _, entries in drawn.requests for segment, given in entries if given for unit in drawn.units[segment]
    }
    for unit, words in enumerate(drawn.table.words.tolist()):
        assert own.words[unit] == own.fixed[unit] == (0 if found[groups[unit]] and unit not in inside else words)


@settings(max_examples=100)
@given(DRAWN, ASSIGNED)
def test_a_use_reads_what_the_log_gives_or_what_was_said(drawn: Drawn, assigned: np.typing.NDArray[np.int64]) -> None:
    wanted = set(np.flatnonzero(assigned == 0).tolist())
    rows = [row for row in range(len(drawn.requests)) if wanted & set(drawn.units_of(row))]
    flags = np.array([held_from_log(drawn, row, wanted) for row in rows], bool)
    none = np.zeros(len(rows), bool)
    uses = Uses(np.array(rows, np.int64), np.zeros(len(rows), np.int64), np.ones(len(rows)), none, flags, ~none)
    (found,) = read_templates(uses, np.arange(len(rows)), from_log(drawn), drawn.table, assigned, 1)
    alone = [
        (owner, [entry for entry in entries if entry[1] == (row in rows and bool(flags[rows.index(row)]))])
        for row, (owner, entries) in enumerate(drawn.requests)
    ]
    # The same log with no more in each request than is read.
    read = Drawn(alone, drawn.units)
    (expected,) = read_templates(replace(uses, given=none), np.arange(len(rows)), read.placed, read.table, assigned, 1)
    assert found == expected
