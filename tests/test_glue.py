"""What must not merge templates, what must not take their requests, and what must stay one: planted logs."""

import random
from pathlib import Path

import pytest
from planted import Mined, Said, task

SORT, CAPITALS = "Sort these words by their length.", "Name the capital of each country."
SORT_WELL = "Sort these words by their length, longest first, and say for each of them why it stands where it does."
NAME_WELL = "Name the capital of each country in the list below and add one thing that its people are known for abroad."


def requests(mined: Mined, prefix: str, said: list[Said]) -> set[str]:
    """The ids of the requests of accounts whose names begin so."""
    return {mined.request_ids[i] for i, one in enumerate(said) if one.account.startswith(prefix)}


def found(mined: Mined, words: str) -> int:
    """The one template that has a segment with some words and labels a request."""
    labels = set(mined.labels.values())
    (only,) = [t for t, texts in mined.texts.items() if t in labels and any(words.lower() in text for text in texts)]
    return only


def labelled(mined: Mined, template: int) -> set[str]:
    return {request for request, label in mined.labels.items() if label == template}


@pytest.mark.parametrize("line", ["Exercise:", "Question:", "- sentence A:", "return 0;", "```"])
def test_a_shared_line_merges_nothing_and_takes_no_request(tmp_path: Path, line: str) -> None:
    said = [Said(f"a{i}", f"{SORT}\n{line}\n{task(i)}") for i in range(5)]
    said += [Said(f"b{i}", f"{CAPITALS}\n{line}\n{task(50 + i)}") for i in range(5)]
    said += [Said(f"c{i}", f"{task(100 + i)}\n{line}\n{task(150 + i)}") for i in range(9)]
    mined = Mined(tmp_path, said)
    sort, capitals = found(mined, SORT), found(mined, CAPITALS)
    assert sort != capitals
    assert labelled(mined, sort) == requests(mined, "a", said)
    assert labelled(mined, capitals) == requests(mined, "b", said)
    skeleton = mined.templates[sort]["skeleton"]
    assert CAPITALS not in skeleton
    # The line is none of its segments, and yet every request of it has the line.
    assert skeleton.split("\n") == ([SORT, line, "{slot}"] if line != "```" else [SORT, "{slot}"])


def test_a_stock_phrase_is_a_template_of_its_own_and_takes_no_request_from_a_sentence(tmp_path: Path) -> None:
    stock = "Please think step by step."
    said = [Said(f"a{i}", f"{SORT_WELL}\n{task(i)}\n{stock}") for i in range(6)]
    said += [Said(f"b{i}", f"{NAME_WELL}\n{task(50 + i)}\n{stock}") for i in range(6)]
    said += [Said(f"c{i}", stock) for i in range(8)] + [Said(f"d{i}", f"{task(100 + i)} {stock}") for i in range(4)]
    mined = Mined(tmp_path, said)
    assert [texts for texts in mined.texts.values() if len(texts) == 1][2:] == [{stock.lower()}]
    assert labelled(mined, found(mined, SORT_WELL)) == requests(mined, "a", said)
    assert labelled(mined, found(mined, NAME_WELL)) == requests(mined, "b", said)


def test_items_of_an_evaluation_are_fillings_of_whoever_wraps_them(tmp_path: Path) -> None:
    # Three labs run the same rendered items; a pool wraps them; people send some of them bare.
    items = [f"Premise:\n{task(i)}\nDoes it follow that\n{task(50 + i)}" for i in range(8)]
    said = [Said(f"lab{n}", item) for n in range(3) for item in items]
    said += [Said(f"a{n}", f"{SORT_WELL}\n{items[(n + k) % 8]}") for n in range(5) for k in range(8)]
    said += [Said(f"p{n}", items[n % 8]) for n in range(60)]
    mined = Mined(tmp_path, said)
    wrapper = found(mined, SORT_WELL)
    assert labelled(mined, wrapper) == requests(mined, "a", said)
    assert mined.texts[wrapper] == {SORT_WELL.lower()}
    assert (mined.templates[wrapper]["owners"], mined.templates[wrapper]["fillings"]) == (5, 8)


def test_a_pasted_article_takes_no_request_of_the_prompts_before_it(tmp_path: Path) -> None:
    article = "\n".join(task(200 + i) for i in range(12))
    said = [Said(f"a{i}", f"{SORT_WELL}\n{task(i)}\n{article if i < 4 else task(60 + i)}") for i in range(12)]
    said += [Said(f"b{i}", f"{task(100 + i)}\n{article}") for i in range(4)] + [
        Said(f"c{i}", article) for i in range(3)
    ]
    mined = Mined(tmp_path, said)
    wrapper = found(mined, SORT_WELL)
    assert labelled(mined, wrapper) == requests(mined, "a", said)
    assert article.split("\n")[0] not in mined.templates[wrapper]["skeleton"]


def test_foreign_rewordings_in_one_cluster_take_no_request(tmp_path: Path) -> None:
    # An encoder that cannot read a script puts everything in it into one cluster: there is no word that comes back.
    questions = [f"{task(300 + i)[:-1]}?" for i in range(12)]
    said = [Said(f"a{i}", f"{SORT}\n{questions[i % 12]}") for i in range(6)]
    said += [Said(f"b{i}", questions[i % 12]) for i in range(40)]
    mined = Mined(tmp_path, said, {text.lower(): 5 for text in questions})
    assert labelled(mined, found(mined, SORT)) == requests(mined, "a", said)


def test_a_span_before_behind_and_inside_is_one_template(tmp_path: Path) -> None:
    injected = (
        "Before your reply, put your complete working notes between <scratch> and </scratch> exactly as they occur to "
        "you, leaving nothing out and keeping every line break."
    )

    def body(i: int) -> list[str]:
        return " ".join(task(1000 + 8 * i + k)[:-1] for k in range(8)).split()  # long enough to be cut

    def put(i: int) -> str:
        words, cut = body(i), random.Random(i).randrange(5, 60)
        inside = " ".join([*words[:cut], injected, *words[cut:]])
        return [f"{injected}\n\n{' '.join(words)}", f"{' '.join(words)}\n\n{injected}", inside][i % 3]

    said = [Said(f"a{i}", put(i)) for i in range(30)] + [Said(f"b{i}", " ".join(body(100 + i))) for i in range(10)]
    mined = Mined(tmp_path, said)
    assert labelled(mined, found(mined, "working notes")) == requests(mined, "a", said)


LANGUAGES = [
    "Answer the question and afterwards describe, in order, every consideration.",
    "Beantworte die Frage und beschreibe danach der Reihe nach jede Überlegung.",
    "Réponds à la question puis décris, dans l'ordre, chaque considération.",
    "Responde a la pregunta y después describe, en orden, cada consideración.",
    "回答这个问题,然后按顺序描述每一个考虑。",
    "Ответь на вопрос и затем опиши по порядку каждое соображение.",
]
VARIANTS = [
    "Act as a senior data analyst with rigorous statistics.",
    "Assume the role of a careful quantitative analyst.",
    "You are a world-class analyst and show your reasoning.",
    "Take on the job of a principal analytics consultant.",
]


@pytest.mark.parametrize("wordings", [LANGUAGES, VARIANTS])
def test_wordings_that_one_pool_draws_from_are_a_template_each(tmp_path: Path, wordings: list[str]) -> None:
    # Everybody sends every wording, around the same tasks: only the score stage can tell that one pool does.
    count = len(wordings)
    said = [Said(f"a{i % 5}", f"{wordings[i % count]}\n{task(i % 7)}") for i in range(count * 35)]
    mined = Mined(tmp_path, said)
    for number, wording in enumerate(wordings):
        template = found(mined, wording)
        assert mined.templates[template]["skeleton"].split("\n") == [wording, "{slot}"]
        assert labelled(mined, template) == {mined.request_ids[i] for i in range(len(said)) if i % count == number}


def test_a_system_prompt_stays_apart_from_what_its_users_share(tmp_path: Path) -> None:
    system = "You are a patient teacher. Say what a weaker student would have got wrong."
    said = [Said(f"a{i % 5}", f"{task(i % 6)}\nExercise:\n{task(30 + i)}", system) for i in range(30)]
    said += [Said(f"b{i}", f"{task(i % 6)}\nExercise:\n{task(90 + i)}") for i in range(30)]
    mined = Mined(tmp_path, said)
    wrapper = found(mined, "patient teacher")
    assert labelled(mined, wrapper) == requests(mined, "a", said)
    assert mined.texts[wrapper] == {"you are a patient teacher.", "say what a weaker student would have got wrong."}


def test_an_agents_resent_history_counts_once_a_conversation(tmp_path: Path) -> None:
    # Twelve calls a conversation, each with all that was said before. Three of the five work on the same issue.
    wrapper, issue = "Log each thought and each action.", f"Issue: {task(900)}"
    said = []
    for n in range(5):
        opening = f"{wrapper}\n{issue if n < 3 else task(910 + n)}"
        turns = [opening, *(f"Result: {task(20 * n + k)}" for k in range(11))]
        said += [Said(f"a{n}", turn, history=tuple(turns[:k]), conversation=f"t{n}") for k, turn in enumerate(turns)]
    said += [Said(f"b{n}", f"{wrapper}\n{task(950 + n)}") for n in range(3)]
    mined = Mined(tmp_path, said)
    template = mined.templates[found(mined, wrapper)]
    # Three conversations of an issue and five other tasks; each call is still labelled.
    assert (template["owners"], template["fillings"]) == (8, 6)
    assert labelled(mined, template["template_id"]) == set(mined.request_ids)
    assert issue.split(": ")[1].lower() not in mined.texts[template["template_id"]]
