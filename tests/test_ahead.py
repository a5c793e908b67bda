"""Items that are made ahead: the same items, the same error, and no thread left behind."""

import threading
from collections.abc import Iterator

import pytest

from refrain.ahead import ahead


def test_items_come_in_order_and_the_next_is_made_while_one_is_used() -> None:
    made = [threading.Event() for _ in range(4)]

    def items() -> Iterator[int]:
        for at, event in enumerate(made):
            event.set()
            yield at

    for at, item in enumerate(ahead(items())):
        assert item == at
        assert at == 3 or made[at + 1].wait(timeout=60)
    assert list(ahead([])) == []
    assert list(ahead([None, 0, ""])) == [None, 0, ""]  # nothing is not the end


def test_an_error_is_raised_in_its_place_and_who_stops_early_leaves_no_thread() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise KeyError("made")

    taken = ahead(items())
    assert next(taken) == 1
    with pytest.raises(KeyError, match="made"):
        next(taken)
    before = set(threading.enumerate())
    endless = ahead(iter(int, 1))
    assert next(endless) == 0
    endless.close()  # type: ignore[attr-defined]
    assert set(threading.enumerate()) == before
