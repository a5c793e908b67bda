"""Small logs of numbers for the parts of `mine`: requests as segments, segments as units, drawn by hypothesis."""

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from refrain.occurrences import Occurrences, Sequence, occurrences, unit_sequence
from refrain.units import EXACT, Units

SEGMENTS, UNITS, OWNERS = 6, 4, 3


@dataclass(frozen=True)
class Drawn:
    """A log: for each request its owner and its segments, (segment, in the system prompt); for each segment its units
    and whether each fills it."""

    requests: list[tuple[int, list[tuple[int, bool]]]]
    units: list[dict[int, bool]]

    @property
    def placed(self) -> Occurrences:
        rows = [(row, *entry) for row, (_, entries) in enumerate(self.requests) for entry in entries]
        columns = np.array(rows, np.int64).reshape(-1, 3).T
        owners = np.array([owner for owner, _ in self.requests], np.int64)
        counted = np.ones(len(rows), bool)
        return occurrences(columns[0], columns[1], columns[2].astype(bool), ~counted, counted, owners)

    @property
    def table(self) -> Units:
        rows = [(row, *pair) for row, pairs in enumerate(self.units) for pair in sorted(pairs.items())]
        columns = np.array(rows, np.int64).reshape(-1, 3).T
        names = [f"u{unit}" for unit in range(UNITS)]
        whole = columns[2].astype(bool)
        words = np.arange(1, UNITS + 1)
        return Units(columns[0], columns[1], whole, words, words, [EXACT] * UNITS, names)

    @property
    def sequence(self) -> Sequence:
        return unit_sequence(self.placed, self.table)

    def units_of(self, request: int) -> list[int]:
        """The request's units in order."""
        return [unit for segment, _ in self.requests[request][1] for unit in sorted(self.units[segment])]


SEGMENT = st.tuples(st.integers(0, SEGMENTS - 1), st.booleans())
DRAWN = st.builds(
    Drawn,
    st.lists(st.tuples(st.integers(0, OWNERS - 1), st.lists(SEGMENT, max_size=6)), max_size=8),
    st.lists(
        st.dictionaries(st.integers(0, UNITS - 1), st.booleans(), max_size=2), min_size=SEGMENTS, max_size=SEGMENTS
    ),
)
# A template for each unit, -1 for none.
ASSIGNED = st.lists(st.integers(-1, 2), min_size=UNITS, max_size=UNITS).map(lambda ids: np.array(ids, np.int64))
