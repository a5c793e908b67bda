"""Templates of whole logs: planted ones come back whole; neither repetition nor the order of a log changes them."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from refrain.artifacts import Store
from refrain.config import MineConfig
from refrain.progress import NoProgress
from refrain.requests import ingest_logs
from refrain.settings import load_settings
from refrain.templates import mine_templates

CONFIG = load_settings().config
MINE = replace(CONFIG.mine, min_owners=3)
START = datetime(2026, 1, 1, tzinfo=UTC)
SUBJECTS = [
    f"{a}{b}" for a in ("river", "winter", "kernel", "garden", "violin") for b in ("bank", "song", "case", "work")
]
VERBS = ["explain", "describe", "compare", "translate", "fix", "sketch", "rank", "shorten"]


def task(i: int) -> str:
    """A sentence of which no other task has six words in a row."""
    draw = random.Random(i)
    return " ".join([draw.choice(VERBS), *draw.sample(SUBJECTS, 7), f"plan{chr(97 + i % 26)}{chr(97 + i // 26)}"]) + "."


@dataclass(frozen=True)
class Said:
    """One request: who, what, under which system prompt, and minutes after the start."""

    account: str
    prompt: str
    system: str | None = None
    at: int | None = None


class Mined:
    """The tables that ingest and mine leave for a log."""

    def __init__(
        self, folder: Path, said: Sequence[Said], clusters: dict[str, int] | None = None, config: MineConfig = MINE
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        rows = [
            {
                "request_id": f"r{i:04}",
                "account_id": one.account,
                "timestamp": (START + timedelta(minutes=i if one.at is None else one.at)).isoformat(),
                "prompt": one.prompt,
                "system_prompt": one.system,
            }
            for i, one in enumerate(said)
        ]
        (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        requests, grouped, self.out = folder / "requests", folder / "clusters", folder / "templates"
        for path in (requests, grouped, self.out):
            path.mkdir()
        store = Store(folder / "store")
        ingest_logs([str(folder / "log.jsonl")], requests, CONFIG.ingest, store=store, progress=NoProgress())
        self.segments = pq.read_table(requests / "segments.parquet")["text"].to_pylist()
        ids = [(clusters or {}).get(text, -1) for text in self.segments]
        pq.write_table(
            pa.table({"segment_row": np.arange(len(ids)), "cluster_id": pa.array(ids, pa.int64())}),
            grouped / "segment_clusters.parquet",
        )
        self.counts = mine_templates(requests, grouped, self.out, config, store=store, progress=NoProgress())
        ids_in_order = [path.read("request_id") for path in map(_Ids, sorted((requests / "requests").glob("*/*")))]
        self.request_ids = [name for some in ids_in_order for name in some]

    def rows(self, name: str) -> list[dict[str, Any]]:
        return list(pq.read_table(self.out / f"{name}.parquet").to_pylist())

    @property
    def templates(self) -> list[dict[str, Any]]:
        return self.rows("templates")

    @property
    def uses(self) -> dict[int, list[str]]:
        """The requests of each template."""
        out: dict[int, list[str]] = {row["template_id"]: [] for row in self.templates}
        for row in self.rows("request_templates"):
            out[row["template_id"]].append(self.request_ids[row["request_row"]])
        return out

    @property
    def texts(self) -> dict[int, set[str]]:
        """The normalised segments of each template."""
        out: dict[int, set[str]] = {row["template_id"]: set() for row in self.templates}
        for row in self.rows("template_segments"):
            out[row["template_id"]].add(self.segments[row["segment_row"]])
        return out


@dataclass(frozen=True)
class _Ids:
    path: Path

    def read(self, name: str) -> list[str]:
        return list(pq.ParquetFile(self.path).read(columns=[name])[name].to_pylist())


WRAPPER = "You are a strict teacher. Show your full working.\nTask: {task}\nEnd with the final answer alone."


def wrapped(count: int, **more: Any) -> list[Said]:
    return [Said(f"a{i}", WRAPPER.format(task=task(i)), **more) for i in range(count)]


def test_a_wrapper_around_tasks_is_one_template(tmp_path: Path) -> None:
    mined = Mined(tmp_path, [*wrapped(6), *(Said(f"b{i}", task(100 + i)) for i in range(20))])
    (template,) = mined.templates
    shown = [
        "You are a strict teacher.",
        "Show your full working.",
        "Task:",
        "{slot}",
        "End with the final answer alone.",
    ]
    assert template["skeleton"].split("\n") == shown
    assert (template["requests"], template["accounts"], template["owners"], template["fillings"]) == (6, 6, 6, 6)
    assert (template["kind"], template["words"]) == ("exact", 5 + 4 + 1 + 6)
    assert (template["first_seen"], template["last_seen"]) == (START, START + timedelta(minutes=5))
    assert mined.uses == {0: [f"r{i:04}" for i in range(6)]}
    assert {row["share"] for row in mined.rows("request_templates")} == {16 / 25}


@pytest.mark.parametrize(("place", "kind"), [(0, "span"), (4, "span"), (9, "exact")])
def test_a_sentence_injected_into_ordinary_requests(tmp_path: Path, place: int, kind: str) -> None:
    injected = "show every step of your full reasoning before you answer"
    prompts = [task(i).split() for i in range(6)]
    said = [Said(f"a{i}", " ".join([*words[:place], injected, *words[place:]])) for i, words in enumerate(prompts)]
    mined = Mined(tmp_path, [*said, *(Said(f"b{i}", task(100 + i)) for i in range(10))])
    (template,) = mined.templates
    assert injected in template["skeleton"]
    assert "{slot}" in template["skeleton"]
    assert (template["kind"], template["owners"], template["words"]) == (kind, 6, 10)
    assert mined.uses == {0: [f"r{i:04}" for i in range(6)]}


def test_obfuscation_hides_nothing(tmp_path: Path) -> None:
    def hide(text: str, how: int) -> str:
        if how == 0:
            return text.replace("a", "\u0430").replace("e", "\u0435")
        if how == 1:
            return "\u200b".join(text)
        if how == 2:
            return text.replace("r", "rr").replace("n", "nnn").upper()
        return text.replace("s", "\uff53").replace("i", "\u0456\ufe0f")

    plain = ["Grade the two answers under the rubric.", "Give your notes between tags."]
    said = [Said(f"a{i}", "\n".join([hide(plain[0], i), task(i), hide(plain[1], i)])) for i in range(4)]
    (template,) = Mined(tmp_path, said).templates
    assert (template["owners"], template["fillings"]) == (4, 4)


def test_a_line_that_unrelated_templates_share_merges_nothing(tmp_path: Path) -> None:
    one = [Said(f"a{i}", f"Sort these words by their length.\nExercise:\n{task(i)}") for i in range(5)]
    other = [Said(f"b{i}", f"Name the capital of each country.\nExercise:\n{task(50 + i)}") for i in range(5)]
    mined = Mined(tmp_path, one + other)
    assert [row["owners"] for row in mined.templates] == [5, 5, 10]
    assert [len(texts) for texts in mined.texts.values()] == [1, 1, 1]
    assert mined.templates[2]["skeleton"] == "{slot}\nExercise:\n{slot}"


def test_rewordings_in_one_cluster_are_one_template(tmp_path: Path) -> None:
    wordings = [
        "Think it through first.",
        "Reason before you reply.",
        "First do some reasoning.",
        "Ponder, then reply.",
    ]
    said = [Said(f"a{i}", f"{wordings[i % 4]}\n{task(i)}\nUse the tag answer.") for i in range(8)]
    assert [row["owners"] for row in Mined(tmp_path / "alone", said).templates] == [8]
    clusters = {text.lower(): 3 for text in wordings}
    mined = Mined(tmp_path / "grouped", said, clusters)
    (template,) = mined.templates
    assert set(clusters) <= mined.texts[0]
    assert (template["owners"], template["kind"], template["fillings"]) == (8, "exact", 8)
    held = {row["segment_row"]: row["cluster_id"] for row in mined.rows("template_segments")}
    assert {mined.segments[row] for row, cluster in held.items() if cluster == 3} == set(clusters)


def test_a_system_prompt_with_free_requests(tmp_path: Path) -> None:
    system = "You write rationales for a student model. Never refuse a task."
    mined = Mined(tmp_path, [Said(f"a{i}", task(i), system) for i in range(5)])
    (template,) = mined.templates
    assert template["skeleton"].split("\n") == [*system.replace(". ", ".\n").split("\n"), "{slot}"]
    assert template["fillings"] == 5
    assert {row["role"] for row in mined.rows("request_templates")} == {"system"}


@pytest.mark.parametrize(
    ("fixed", "fillings"),
    [
        ("请逐步推理并在最后给出答案。", ["三个苹果多少钱？", "长江有多长？", "谁写了红楼梦？"]),
        ("กรุณาอธิบายเหตุผลทุกขั้นตอนโดยละเอียด", ["แมวกินอะไร", "น้ำเดือดเมื่อไร", "ใครคือกษัตริย์"]),
        ("اشرح كل خطوة من خطوات التفكير.", ["كم عمر الارض؟", "اين تقع باريس؟", "ما هو الذهب؟"]),
        ("e\u0301crivez le raisonnement e\u0301tape par e\u0301tape.", ["Qui?", "Pourquoi donc?", "Et quand?"]),
    ],
)
def test_every_script(tmp_path: Path, fixed: str, fillings: list[str]) -> None:
    (template,) = Mined(tmp_path, [Said(f"a{i}", f"{fixed}\n{text}") for i, text in enumerate(fillings)]).templates
    assert template["skeleton"].endswith("\n{slot}")
    assert (template["owners"], template["fillings"]) == (3, 3)


MIXED = [
    *wrapped(5),
    *(Said(f"b{i}", f"Name the capital of each country.\nTask: {task(50 + i)}") for i in range(4)),
    *(
        Said(f"c{i}", " ".join([task(60 + i)[:-1], "but tell me how you got there in full", task(70 + i)]))
        for i in range(4)
    ),
    *(Said(f"a{i}", task(80 + i), "Be a careful tutor. Mark the errors.") for i in range(4)),
]


def test_the_order_of_the_log_and_of_time_change_no_template(tmp_path: Path) -> None:
    shuffled = random.Random(5).sample(MIXED, len(MIXED))
    one, other = Mined(tmp_path / "one", MIXED), Mined(tmp_path / "other", shuffled)
    columns = ["template_id", "skeleton", "kind", "words", "requests", "accounts", "owners", "fillings"]
    assert len(one.templates) == 4
    assert [[row[name] for name in columns] for row in one.templates] == [
        [row[name] for name in columns] for row in other.templates
    ]
    assert one.texts == other.texts


def test_an_account_that_repeats_itself_changes_neither_templates_nor_their_owners(tmp_path: Path) -> None:
    # Half of a template, over and over: counted by requests, its parts would no longer go together.
    half = Said("a0", "You are a strict teacher. Show your full working.")
    once, often = Mined(tmp_path / "once", [*MIXED, half]), Mined(tmp_path / "often", [*MIXED, *[half] * 100])

    def owners(mined: Mined) -> dict[frozenset[str], int]:
        return {frozenset(mined.texts[row["template_id"]]): row["owners"] for row in mined.templates}

    assert owners(once) == owners(often)


def test_examples_are_of_distinct_owners_and_spread_over_time(tmp_path: Path) -> None:
    busy = [Said("busy", WRAPPER.format(task=task(100 + i)), at=i) for i in range(40)]
    others = [Said(f"a{i}", WRAPPER.format(task=task(i)), at=1000 * i) for i in range(1, 10)]
    config = replace(MINE, examples=4, example_characters=80)
    (template,) = Mined(tmp_path, busy + others, config=config).templates
    said = {one.prompt[:80]: one for one in busy + others}
    found = [said[text] for text in template["examples"]]
    assert len({one.account for one in found}) == 4
    assert (found[0], found[-1]) == (busy[0], others[-1])


def test_same_log_same_bytes(tmp_path: Path) -> None:
    one, other = Mined(tmp_path / "one", MIXED), Mined(tmp_path / "other", MIXED)
    names = sorted(path.name for path in one.out.iterdir())
    assert names == ["request_templates.parquet", "template_segments.parquet", "templates.parquet"]
    assert all((one.out / name).read_bytes() == (other.out / name).read_bytes() for name in names)


@pytest.mark.parametrize(
    ("said", "templates"),
    [
        ([Said("a", "Hello.")], 0),
        ([Said("a", "???")], 0),
        ([Said(f"a{i}", task(i)) for i in range(8)], 0),
        ([Said("a", "Same.", at=i) for i in range(8)], 0),
        ([Said(f"a{i}", "Same thing.") for i in range(8)], 1),
        ([Said(f"a{i}", "N\x00ul \ud800 lone \udc00 and\x1b[31m red.") for i in range(3)], 1),
        ([Said(f"a{i}", "word " * 2_000_000 + task(i)) for i in range(3)], 1),
        ([Said(f"a{i}", "x. " * 20_000) for i in range(3)], 1),
    ],
)
def test_edges(tmp_path: Path, said: list[Said], templates: int) -> None:
    mined = Mined(tmp_path, said)
    assert (mined.counts["templates"], len(mined.templates)) == (templates, templates)
    assert all(row["owners"] == len(said) for row in mined.templates)
