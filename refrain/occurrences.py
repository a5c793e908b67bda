"""Where segments and units stand in requests."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refrain.counting import Ints, group_starts, mixed_sequences, ranges, slices, stable_order
from refrain.units import Units


@dataclass(frozen=True)
class Occurrences:
    """Segments in requests, one entry each, sorted by request, then position. Request i has the entries
    bounds[i]:bounds[i + 1]."""

    requests: Ints
    segments: Ints
    system: NDArray[np.bool_]
    given: NDArray[np.bool_]  # of the template that the log gives beside what was said
    counted: NDArray[np.bool_]  # said here for the first time in the conversation, no resent history
    owners: Ints  # of the request
    bounds: Ints  # (requests of the log + 1,)


def occurrences(
    requests: Ints,
    segments: Ints,
    system: NDArray[np.bool_],
    given: NDArray[np.bool_],
    counted: NDArray[np.bool_],
    owner_of_request: Ints,
) -> Occurrences:
    """The occurrences in a log of len(owner_of_request) requests."""
    bounds = slices(requests, len(owner_of_request))
    return Occurrences(requests, segments, system, given, counted, owner_of_request[requests], bounds)


@dataclass(frozen=True)
class Sequence:
    """Units in requests, in their order; `entries` are those of the occurrences that hold them."""

    requests: Ints
    units: Ints
    entries: Ints


def unit_sequence(placed: Occurrences, units: Units) -> Sequence:
    """Every unit of every segment of every request, in order."""
    bounds = segment_bounds(placed, units)
    many = (bounds[1:] - bounds[:-1])[placed.segments]
    at = np.repeat(np.arange(len(many)), many)
    return Sequence(placed.requests[at], units.unit_rows[bounds[placed.segments[at]] + ranges(many)], at)


def segment_bounds(placed: Occurrences, units: Units) -> Ints:
    """Where each segment's pairs begin and end among those of the units, for every segment that occurs."""
    return slices(units.segment_rows, int(placed.segments.max(initial=-1)) + 1)


def first_contents(placed: Occurrences) -> NDArray[np.bool_]:
    """Whether each request of the log is the first in which its owner sent exactly these segments, (requests,)."""
    contents = mixed_sequences(placed.segments * 2 + placed.system, placed.bounds)
    owners = np.full(len(contents), -1)
    owners[placed.requests] = placed.owners
    order = stable_order(contents)
    order = order[stable_order(owners[order] + 1)]  # stable: the earliest of equals first
    first = np.zeros(len(contents), bool)
    first[order[group_starts(owners[order], contents[order].view(np.int64))]] = True
    return first
