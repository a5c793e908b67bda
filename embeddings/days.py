"""Graphs of days and what lies between them, each computed once: a window of days is put together from them.

A day is the distinct vectors of the segments that were sent on it, in the order of the texts, so what it holds depends
on no other day. Its graph, and the edges between two days, lie in the store under the address of what they are made
of; a window that was searched yesterday costs the new day and its pairs with the others. Whether they were kept changes
no byte of a result, and each can be computed on a worker of its own.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from embeddings.blocks import side_by_side
from embeddings.cells import Cells
from embeddings.crossing import Crossing, Side, cross
from embeddings.edges import NONE, Edges, Floats, nearest_edges, renumbered, settled
from embeddings.guessing import Graph, exact_graph, guess_graph, join_round
from embeddings.shards import Rows
from refrain.artifacts import digest_json, seal, staged, sweep, whole_manifest
from refrain.config import IndexConfig

EDGES, PARAMETERS = "edges.npy", "parameters.json"
CELLS = ("centres", "numbers", "starts")
CROSSING = ("left_rows", "left_edges", "right_rows", "right_edges")
_MERGED = 16  # blocks merged at a time: nothing is computed, so there is room for more rows


@dataclass(frozen=True)
class Day:
    """A day's distinct vectors, `rows` (m,) among those of the window, in an order of its own, and its name in the
    store; the same name stands for the same vectors in the same order."""

    rows: Rows
    name: str


@dataclass(frozen=True)
class Kept:
    """Where graphs are kept, or None for nowhere, and the digest of the code and the settings that shape them."""

    folder: Path | None
    code: str

    def get(self, kind: str, names: Sequence[str]) -> Path | None:
        """The folder of what is kept of these days, whole; None where it has to be computed."""
        if self.folder is None:
            return None
        place = self.folder / kind / self._address(kind, names)
        return place if whole_manifest(place) else None

    def put(self, kind: str, names: Sequence[str], write: Callable[[Path], None]) -> Path | None:
        """The folder in which what `write` leaves is then kept; None where nothing is."""
        if self.folder is None:
            return None
        place = self.folder / kind / self._address(kind, names)
        sweep(place.parent)
        with staged(place) as out:
            write(out)
            seal(
                out, stage="index", noun=kind, address=place.name, inputs=tuple(names), config={}, code=self.code,
                counts={},
            )  # fmt: skip
        return place

    def _address(self, kind: str, names: Sequence[str]) -> str:
        return digest_json([kind, list(names), self.code])


@dataclass(frozen=True)
class Window:
    """The window's vectors by position, its days, the settings, where graphs are kept, and who hears of progress."""

    gather: Callable[[Rows], Floats]  # (m, d) of distinct vectors at some rows
    size: int
    days: tuple[Day, ...]
    config: IndexConfig
    kept: Kept
    advance: Callable[[int], None]

    @property
    def work(self) -> int:
        """The units that `advance` is told of in all: the vectors of each day, those looked up of each pair, and those
        of each round over all."""
        pairs = [(before, day) for b, day in enumerate(self.days) for before in self.days[:b]]
        rounds = self.config.window_rounds * self.size if pairs else 0
        return sum(len(day.rows) for day in self.days) + sum(_looked_up(self, *pair) for pair in pairs) + rounds


@dataclass(frozen=True)
class Found:
    """The window's edges (n, k) among its distinct vectors, how many parts were kept, and the index's parameters."""

    edges: Edges
    reused: int
    parameters: dict[str, int]


def search_window(window: Window) -> Found:
    """The near neighbours of all of the window's distinct vectors."""
    k = window.config.neighbours + window.config.spare_neighbours
    edges = np.full((window.size, k), NONE)
    reused = 0
    graphs: list[Graph] = []
    for b, day in enumerate(window.days):
        graph, was_kept = _graph(window, day)
        graphs.append(graph)
        reused += was_kept
        _merge(edges, day.rows, graph.edges, day.rows, window.config, fresh=False)
        crossings = _crossings(window, window.days[:b], graphs[:b], day, graph)
        for before, (crossing, was_kept) in zip(window.days[:b], crossings, strict=True):
            reused += was_kept
            _merge(edges, before.rows[crossing.left_rows], crossing.left_edges, day.rows, window.config, fresh=True)
            _merge(edges, day.rows[crossing.right_rows], crossing.right_edges, before.rows, window.config, fresh=True)
    edges = _joined(window, edges)
    names = sorted({name for graph in graphs for name in graph.parameters})
    most = {name: max(graph.parameters.get(name, 0) for graph in graphs) for name in names}
    return Found(edges, reused, most)


def _joined(window: Window, edges: Edges) -> Edges:
    """The edges after rounds over the whole window, in which what two days found for one another leads further."""
    if len(window.days) == 1 or not window.config.window_rounds:
        return settled(edges)
    vectors = window.gather(np.arange(window.size))
    for _ in range(window.config.window_rounds):
        edges = join_round(edges, vectors, window.config, window.advance)
    return settled(edges)


def _graph(window: Window, day: Day) -> tuple[Graph, bool]:
    place = window.kept.get("days", [day.name])
    if place is not None:
        window.advance(len(day.rows))
        return _read_graph(place), True
    vectors = window.gather(day.rows)
    k = window.config.neighbours + window.config.spare_neighbours
    graph = (exact_graph if len(vectors) < window.config.exact_below else guess_graph)(
        vectors, k, window.config, window.advance
    )

    def write(out: Path) -> None:
        np.save(out / EDGES, graph.edges, allow_pickle=False)
        (out / PARAMETERS).write_text(json.dumps(graph.parameters, sort_keys=True) + "\n", encoding="ascii")
        if graph.cells is not None:
            for name in CELLS:
                np.save(out / f"{name}.npy", getattr(graph.cells, name), allow_pickle=False)

    place = window.kept.put("days", [day.name], write)
    return graph if place is None else _read_graph(place), False


def _read_graph(place: Path) -> Graph:
    """A kept graph, its edges memory-mapped."""
    edges = np.load(place / EDGES, mmap_mode="r", allow_pickle=False)
    parameters = json.loads((place / PARAMETERS).read_text(encoding="ascii"))
    if not (place / f"{CELLS[0]}.npy").exists():
        return Graph(edges, None, parameters)
    return Graph(edges, Cells(*(np.load(place / f"{name}.npy", allow_pickle=False) for name in CELLS)), parameters)


def _crossings(
    window: Window, days: Sequence[Day], graphs: Sequence[Graph], day: Day, graph: Graph
) -> Iterator[tuple[Crossing, bool]]:
    """The edges between each of the earlier days and a day, and whether they were kept, in order."""
    held: Floats | None = None
    for before, earlier in zip(days, graphs, strict=True):
        known = _read_crossing(window, before, day)
        if known is not None:
            window.advance(_looked_up(window, before, day))
            yield known, True
            continue
        if held is None:
            held = window.gather(day.rows)
        yield _cross(window, before, earlier, day, graph, held), False


def _cross(window: Window, before: Day, earlier: Graph, day: Day, graph: Graph, vectors: Floats) -> Crossing:
    """The edges between two days; kept."""
    left = Side(window.gather(before.rows), earlier, _among(before.rows, day.rows, window.size))
    right = Side(vectors, graph, _among(day.rows, before.rows, window.size))
    found = cross(left, right, window.config, window.advance)

    def write(out: Path) -> None:
        for name in CROSSING:
            np.save(out / f"{name}.npy", getattr(found, name), allow_pickle=False)

    place = window.kept.put("pairs", [before.name, day.name], write)
    return found if place is None else _mapped(place)


def _read_crossing(window: Window, before: Day, day: Day) -> Crossing | None:
    place = window.kept.get("pairs", [before.name, day.name])
    return None if place is None else _mapped(place)


def _mapped(place: Path) -> Crossing:
    """Kept edges, memory-mapped."""
    return Crossing(*(np.load(place / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in CROSSING))


def _merge(edges: Edges, rows: Rows, more: Edges, numbers: Rows, config: IndexConfig, *, fresh: bool) -> None:
    """Nothing; the window's edges of `rows` then hold the nearest of what they held and of `more`, whose numbers stand
    for `numbers` in the window."""

    def merge(block: Rows) -> None:
        theirs = renumbered(np.asarray(more[block]), numbers, fresh=fresh)
        edges[rows[block]] = nearest_edges(edges[rows[block]], theirs)

    for _ in side_by_side(len(rows), config.block_rows * _MERGED, merge):
        pass


def _among(rows: Rows, others: Rows, size: int) -> NDArray[np.bool_]:
    """Whether each of the rows is one of the others; both are below `size`."""
    held = np.zeros(size, bool)
    held[others] = True
    return held[rows]


def _looked_up(window: Window, before: Day, day: Day) -> int:
    """How many vectors of either day are looked up among the other's."""
    shared = int(_among(day.rows, before.rows, window.size).sum())
    return len(day.rows) + len(before.rows) - 2 * shared
