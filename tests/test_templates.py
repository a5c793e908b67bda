"""Templates of whole logs: planted ones come back whole; neither repetition nor the order of a log changes them."""

import random
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from planted import MINE, START, WRAPPER, Mined, Said, task, wrapped


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
