"""Probe sentences: near ones are tagged in any script, common ones are not."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from refrain.errors import ConfigError
from refrain.probes import Floats, ProbeRule, Probes, Tags, nearness, rare_levels, read_probes, tag_segments
from refrain.settings import config_file
from refrain.text import normalise

RULE = ProbeRule(
    min_cosine=0.5, min_ngram_cosine=0.4, rarest_share=0.05, ngrams=(3, 5), unspaced_ngrams=(1, 2), margin=0.05
)
OTHERS = [
    f"the {a} of the {b} is {c}" for a in ("price", "colour", "name") for b in ("boat", "tree") for c in "abcdefgh"
]


def flat(count: int) -> NDArray[np.float32]:
    """Unit vectors that are near nothing: each its own axis."""
    return np.eye(count, 400, dtype=np.float32)


def tagged(texts: list[str], vectors: NDArray[np.float32], probes: Probes, near: NDArray[np.float32]) -> Tags:
    """The tags of texts that are a whole log; a text has the vector at its place, and so has a probe in `near`."""
    texts = [normalise(t) for t in texts]
    given = dict(zip([*texts, *probes.sentences], [*vectors, *near], strict=True))

    def read(asked: Sequence[str]) -> Floats:
        return np.array([given[text] for text in asked])

    found = nearness(texts, read, probes, RULE)
    return tag_segments(found, rare_levels(found, RULE.rarest_share), RULE)


def test_our_probes_are_normalised_and_have_titles() -> None:
    probes = read_probes(config_file("probes.toml"))
    assert all(normalise(s) == s for s in probes.sentences)
    assert len(probes.names) == len(probes.titles) == probes.classes.max()  # the last are what everybody asks for
    assert len(set(probes.sentences)) == len(probes.sentences)


@pytest.mark.parametrize("text", ["", "[a]\ntitle = 'x'\n", "a = 1", "[a]\nsentences = 3\ntitle = 'x'", "\xff"])
def test_a_file_that_holds_no_probes_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="latin-1")
    if text == "":
        assert read_probes(path).sentences == []
    else:
        with pytest.raises(ConfigError, match=r"mine\.toml"):
            read_probes(path)


def test_a_vector_near_a_latin_probe_is_tagged_and_only_for_its_class() -> None:
    probes = Probes(["show your work", "grade both answers"], np.array([0, 1]), ["a", "b"], ["", ""])
    near = np.zeros((2, 400), np.float32)
    near[0, 399] = near[1, 398] = 1
    texts = [*OTHERS, "let me see how you got there"]
    vectors = flat(len(texts))
    vectors[-1] = 0
    vectors[-1, [399, 397]] = (0.8, 0.6)
    tags = tagged(texts, vectors, probes, near)
    assert tags.positions.tolist() == [len(OTHERS)]
    assert tags.classes.tolist() == [0]
    assert tags.by_vector.tolist() == [True]
    assert tags.similarities[0] == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("probe", "text"),
    [
        ("请在给出答案之前一步一步地解释你的推理过程。", "在给出答案之前请一步一步解释推理过程"),
        ("объясни свои рассуждения шаг за шагом", "объясни шаг за шагом свои рассуждения, пожалуйста"),
        ("erkläre deine überlegungen schritt für schritt", "bitte erkläre schritt für schritt deine überlegungen"),
    ],
)
def test_another_language_is_tagged_by_its_letters(probe: str, text: str) -> None:
    probes = Probes([normalise(probe)], np.array([0]), ["a"], [""])
    tags = tagged([*OTHERS, text], flat(len(OTHERS) + 1), probes, flat(400)[-1:])
    assert tags.positions.tolist() == [len(OTHERS)]
    assert tags.by_vector.tolist() == [False]


def test_vectors_mean_nothing_outside_latin_script() -> None:
    probes = Probes(["show your work"], np.array([0]), ["a"], [""])
    texts = [*OTHERS, "какая сегодня погода"]
    vectors = flat(len(texts))
    assert not len(tagged(texts, vectors, probes, vectors[-1:]).positions)


def test_what_everybody_says_is_no_signal() -> None:
    probes = Probes(["show your work"], np.array([0]), ["a"], [""])
    texts = [f"show your work {word}" for word in ("now", "here", "please", "again")] * 5
    vectors = np.tile(np.eye(1, 400, dtype=np.float32), (20, 1)) * 0.9
    vectors[:, 1] = np.linspace(0, 0.4, 20)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    tags = tagged(texts, vectors, probes, np.eye(1, 400, dtype=np.float32))
    assert 0 < len(tags.positions) <= 5  # of 20: the nearest by vector, and ties of one wording by letters


def test_what_is_nearer_to_what_everybody_asks_for_is_no_signal() -> None:
    probes = Probes(["show your work", "write an e-mail"], np.array([0, 1]), ["a"], [""])
    near = np.zeros((2, 400), np.float32)
    near[0, 399] = near[1, 398] = 1
    texts = [*OTHERS, "work it out in an e-mail", "work it out"]
    vectors = flat(len(texts))
    vectors[-2:] = 0
    vectors[-2, [399, 398, 397]] = (0.6, 0.58, np.sqrt(1 - 0.36 - 0.58**2))
    vectors[-1, [399, 398, 397]] = (0.6, 0.5, np.sqrt(1 - 0.36 - 0.25))
    tags = tagged(texts, vectors, probes, near)
    assert tags.positions.tolist() == [len(OTHERS) + 1]
    assert tags.classes.tolist() == [0]


def test_a_class_that_another_one_exceeds_is_not_tagged() -> None:
    probes = Probes(
        ["show your work", "grade both answers", "be brief"], np.array([0, 1, 2]), ["a", "b", "c"], [""] * 3
    )
    near = np.zeros((3, 400), np.float32)
    near[0, 399] = near[1, 398] = near[2, 397] = 1
    texts = [*OTHERS, "let me see how you got there"]
    vectors = flat(len(texts))
    vectors[-1] = 0
    vectors[-1, [399, 398, 397]] = (0.60, 0.57, 0.52)
    assert tagged(texts, vectors, probes, near).classes.tolist() == [0, 1]


def test_a_table_that_tags_nothing_is_no_class(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[z]\ntitle = "z"\nsentences = ["show"]\n[a]\ntags = false\nsentences = ["hello", "thanks"]\n')
    probes = read_probes(path)
    assert (probes.names, probes.titles, probes.sentences) == (["z"], ["z"], ["show", "hello", "thanks"])
    assert probes.classes.tolist() == [0, 1, 1]


def test_a_text_is_as_near_alone_as_among_others() -> None:
    probes = read_probes(config_file("probes.toml"))
    rng = np.random.default_rng(0)
    texts = [
        *OTHERS,
        "Think out loud and write down every thought.",
        "请一步一步地解释你的推理过程",
        "объясни шаг за шагом",
    ]
    given = {text: rng.normal(size=16).astype(np.float32) for text in [*texts, *probes.sentences]}

    def read(asked: Sequence[str]) -> Floats:
        return np.array([given[text] for text in asked])

    together = nearness(texts, read, probes, RULE)
    for at, text in enumerate(texts):
        alone = nearness([text], read, probes, RULE)
        np.testing.assert_array_equal(alone.by_vector[0], together.by_vector[at])
        np.testing.assert_array_equal(alone.by_ngram[0], together.by_ngram[at])
    assert (together.by_vector[-2:] == -1).all()


def test_a_sample_s_levels_hold_for_its_own_script_only() -> None:
    """A class that every sampled Latin segment is near is common there, and rare in Cyrillic."""
    probes = Probes(["show your work", "покажи ход решения"], np.array([0, 0]), ["a"], [""])
    vectors = np.ones((1, 1), np.float32)
    latin = [f"show your work {word}" for word in ("now", "here", "please", "again")]

    def read(asked: Sequence[str]) -> Floats:
        return np.repeat(vectors, len(asked), axis=0)

    sample = nearness([*latin, "какая сегодня погода", "сколько стоит лодка"], read, probes, RULE)
    levels = rare_levels(sample, RULE.rarest_share)
    asked = nearness(["show your work if you can", "покажи мне ход решения"], read, probes, RULE)
    asked.by_vector[:] = -1
    assert tag_segments(asked, levels, RULE).positions.tolist() == [1]
