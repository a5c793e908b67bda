"""Attributes at dotted paths: flat, nested and half nested say the same."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refrain.dialects.paths import below, find, first, indexed, names

SLOW = settings(suppress_health_check=[HealthCheck.too_slow])
PATH = ("a", "b", "c", "d")


def spread(parts: tuple[str, ...], cuts: list[bool], value: Any) -> Any:
    """An object with `value` at the path, nested where `cuts` say so and dotted elsewhere."""
    keys = [parts[0]]
    for part, cut in zip(parts[1:], cuts, strict=True):
        if cut:
            keys.append(part)
        else:
            keys[-1] += f".{part}"
    for key in reversed(keys):
        value = {key: value}
    return value


@SLOW
@given(st.lists(st.booleans(), min_size=3, max_size=3), st.integers() | st.text(max_size=3) | st.just([]))
def test_a_value_is_found_however_its_path_is_cut(cuts: list[bool], value: Any) -> None:
    tree = spread(PATH, cuts, value)
    assert find(tree, "a.b.c.d") == value
    assert find(tree, "a.b.c.e") is None
    assert below(tree, "a.b.c") == {"d": value}


@SLOW
@given(
    st.lists(st.fixed_dictionaries({"role": st.sampled_from("us"), "content": st.text(max_size=3)}), max_size=12),
    st.randoms(use_true_random=False),
)
def test_a_list_is_the_same_written_out_with_its_positions(items: list[dict[str, str]], order: Any) -> None:
    pairs = [(f"x.y.{at}.{name}", value) for at, item in enumerate(items) for name, value in item.items()]
    order.shuffle(pairs)
    nested = {"x": {"y": {str(at): item for at, item in enumerate(items)}}}
    assert indexed(dict(pairs), "x.y") == indexed(nested, "x.y") == indexed({"x": {"y": items}}, "x.y") == items


def test_positions_that_are_none_are_left_out() -> None:
    tree = {"p.0.role": "user", "p.00000000000007.role": "far", "p.²": 1, "p.-1": 2, "p.x": 3, "p.2": "text"}
    assert indexed(tree, "p") == [{"role": "user"}, "text"]


def test_the_first_tree_is_asked_for_every_path_before_the_next() -> None:
    assert first(({"b": 1}, {"a": 2}), "a", "b") == 1
    assert first(({"a": None}, {"a": 0}), "a") == 0
    assert first((None, [], "text"), "a") is None


def test_the_names_of_a_tree_are_its_paths() -> None:
    tree = {"a.b": 1, "c": {"d.e": {"f": []}}, "p.0.role": 1, "p.1.role": 2, "q": {"3": 1}, "n": None, 4: 5}
    assert sorted(set(names(tree))) == ["a.b", "c.d.e.f", "p.N", "q.N"]
