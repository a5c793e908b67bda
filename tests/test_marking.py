"""Where units stand in a text: the same search over the words of the whole text as oracle, lines and caches aside."""

from hypothesis import given
from hypothesis import strategies as st

from refrain.marking import Mark, Unit, marks
from refrain.segments import token_spans
from refrain.text import normalise, squeezed

WORDS = st.sampled_from(["a", "b", "A", "a/b", "b/a", "--", "bb", "c"])
BREAKS = st.sampled_from([" ", "\n", "  ", "\r\n", "\n\n"])
TEXTS = st.lists(st.tuples(WORDS, BREAKS), max_size=12).map(lambda parts: "".join(word + gap for word, gap in parts))
UNITS = st.builds(Unit, TEXTS, st.sampled_from([0, 1, 2, None]))


def words_of(text: str) -> list[tuple[str, tuple[int, int]]]:
    spans = token_spans(text)
    return [(word, span) for span in spans for word in squeezed(normalise(text[slice(*span)])).split()]


def plain_marks(text: str, units: list[Unit]) -> list[Mark]:
    words = words_of(text)
    taken = [False] * len(words)
    found: list[Mark] = []
    wanted = [(unit, [word for word, _ in words_of(unit.text)]) for unit in units]
    for unit, own in sorted(wanted, key=lambda item: (item[0].piece is None, -len(item[1]))):
        for at in range(len(words) - len(own) + 1) if own else ():
            end = at + len(own)
            if [word for word, _ in words[at:end]] == own and not any(taken[at:end]):
                taken[at:end] = [True] * len(own)
                found.append(Mark(words[at][1][0], words[end - 1][1][1], unit.piece))
                break
    return sorted(found, key=lambda mark: mark.start)


@given(TEXTS, st.lists(UNITS, max_size=5), st.booleans())
def test_marks_are_those_of_the_words_of_the_whole_text(text: str, units: list[Unit], long: bool) -> None:
    text = text + " c" * 300 if long else text  # a line that is not remembered
    assert marks(text, units) == plain_marks(text, units)
