"""Requests of members in which nothing recurs: each a rewording of the campaign's template of its own.

A wrapper that is worded anew for every request leaves some requests of which no cluster has a segment. Whether a
segment is of the campaign's templates is voted on by its nearest neighbours (Cover and Hart, "Nearest neighbor pattern
classification", 1967), and asked of members only: what anybody else sends is theirs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from refrain.config import ScoreConfig
from refrain.counting import Ints, find_sorted
from refrain.scored_campaigns import Labels, ScoredCampaign
from refrain.tables import column, parts, read_columns

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Placed:
    """Segments of requests by their place among those that have neighbours."""

    requests: Ints
    places: Ints

    def of(self, requests: NDArray[np.bool_]) -> "Placed":
        """Those of the requests chosen."""
        own = requests[self.requests]
        return Placed(self.requests[own], self.places[own])


@dataclass(frozen=True)
class Neighbourhood:
    """What the index stage left: segments, ascending, and the places of each one's nearest neighbours, -1 for none."""

    segment_rows: Ints  # (n,)
    indices: Ints  # (n, k)

    def places(self, segments: Ints) -> Ints:
        """The place of each segment, -1 where it has none."""
        return find_sorted(segments, self.segment_rows)

    def vote(self, places: Ints, template_of: Ints, majority: float) -> tuple[Ints, Floats]:
        """(n,) the template that most of each one's neighbours have, the best frame among equals, and (n,) the share of
        them that have any; -1 where that is no more than the majority. `template_of` is each place's template, or -1.
        """
        near = np.asarray(self.indices[places])
        templates = np.where(near >= 0, template_of[near], -1)
        share = np.asarray((templates >= 0).mean(axis=1))
        winner = np.full(len(places), -1)
        for row in np.flatnonzero(share > majority):
            voted, votes = np.unique(templates[row][templates[row] >= 0], return_counts=True)
            winner[row] = voted[votes.argmax()]
        return winner, share


def open_neighbours(folder: Path) -> Neighbourhood:
    """The neighbours in a folder of the index stage, read where they are looked at."""
    rows, indices = (np.load(folder / f"{name}.npy", "r", allow_pickle=False) for name in ("segment_rows", "indices"))
    return Neighbourhood(rows, indices)


def label_rewordings(
    labels: Labels,
    ranked: Sequence[ScoredCampaign],
    requests: Path,
    neighbours: Path,
    templates: Path,
    request_owner: Ints,
    config: ScoreConfig,
) -> Labels:
    """The labels, with those of members' requests that are in no campaign and reword a template of one.

    `ranked` has the most evidence first: the first campaign that a request fits has it.
    """
    owners = int(request_owner.max(initial=-1)) + 1
    anybody = np.zeros(owners, bool)
    for item in ranked:
        anybody[item.members] = True
    anything = np.unique(np.concatenate([np.zeros(0, np.int64), *(item.templates for item in ranked)]))
    left = (labels.campaigns < 0) & anybody[request_owner]
    near = open_neighbours(neighbours)
    placed = _placed(requests, left, near, config.min_words)
    held = read_columns(templates / "template_segments.parquet", ["template_id", "segment_row"])
    sung = np.isin(held["template_id"], anything)
    held_template, held_places = held["template_id"][sung], near.places(held["segment_row"][sung])
    out = Labels(labels.templates.copy(), labels.campaigns.copy())
    template_of = np.full(len(near.segment_rows), -1)
    for number, item in enumerate(ranked):
        member = np.zeros(owners, bool)
        member[item.members] = True
        own = placed.of((out.campaigns < 0) & member[request_owner])
        theirs = np.isin(held_template, item.templates) & (held_places >= 0)
        # Of a segment in several templates, the best frame: the smallest number is written last.
        order = np.argsort(-held_template[theirs], kind="stable")
        template_of[held_places[theirs][order]] = held_template[theirs][order]
        distinct, which = np.unique(own.places, return_inverse=True)
        template, share = near.vote(distinct, template_of, config.reworded_share)
        template_of[held_places[theirs]] = -1
        for_it = template[which] >= 0
        # Of a request's segments the one that is surest names the template.
        found, best = own.requests[for_it], which[for_it]
        last = np.lexsort((-template[best], share[best]))
        out.campaigns[found] = number
        out.templates[found[last]] = template[best[last]]
    return out


def _placed(requests: Path, chosen: NDArray[np.bool_], near: Neighbourhood, min_words: int) -> Placed:
    """The segments, of some words at least, of the requests chosen."""
    words = column(requests / "segments.parquet", "words")
    found: list[tuple[Ints, Ints]] = []
    for part in parts(requests / "request_segments"):
        table = pq.ParquetFile(part).read(columns=["request_row", "segment_row"])
        request, segment = (table[name].to_numpy() for name in table.column_names)
        wanted = chosen[request] & (words[segment] >= min_words)
        found.append((request[wanted], near.places(segment[wanted])))
    if not found:
        return Placed(np.zeros(0, np.int64), np.zeros(0, np.int64))
    rows, places = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    return Placed(rows[places >= 0], places[places >= 0])
