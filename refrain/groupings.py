"""How well requests are grouped by template: pairs, exact sets, near sets, one figure for both.

Counted over requests that have a template in the truth; one without a label is in no found group, and a group of one is
none. A true and a found template *match* by their Jaccard index over these requests:

- pairs: precision, recall and F1 over pairs of requests that truth and run both put under one template; large templates
  count for most
- exact: F1 of true and found templates with the same requests (FGA in Jiang et al., "A large-scale evaluation for log
  parsing techniques: how far are we?", ISSTA 2024, after Khan et al., "Guidelines for assessing the accuracy of log
  message template identification techniques", ICSE 2022); every template counts the same, and one stray request breaks
  two
- near: the same, for a Jaccard index of at least .9
- quality: the sum of the Jaccard indices above one half, over the mean number of true and found templates (panoptic
  quality, Kirillov et al., CVPR 2019): above one half a match is unique, so that nothing is counted twice
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

NEAR = 0.9  # the definition's Jaccard index, fixed: another would be another measure
_HALF = 0.5


@dataclass(frozen=True)
class Grouping:
    """The figures; shares are None where there is nothing to count."""

    precision: float | None
    recall: float | None
    f1: float
    exact: float
    near: float
    quality: float


def compare_groups(true: Sequence[Hashable], found: Sequence[Hashable | None]) -> Grouping:
    """The figures of aligned labels, one entry a request; None is no label."""
    both = Counter((t, f) for t, f in zip(true, found, strict=True) if f is not None)
    wanted, got = Counter(true), Counter(f for f in found if f is not None)
    agreed, found_pairs, true_pairs = _pairs(both.values()), _pairs(got.values()), _pairs(wanted.values())
    precision = agreed / found_pairs if found_pairs else None
    recall = agreed / true_pairs if true_pairs else None
    overlaps = [n / (wanted[t] + got[f] - n) for (t, f), n in both.items() if wanted[t] > 1 and got[f] > 1]
    count = sum(n > 1 for n in wanted.values()) + sum(n > 1 for n in got.values())
    return Grouping(
        precision,
        recall,
        f1(precision, recall),
        exact=2 * sum(overlap == 1 for overlap in overlaps) / max(count, 1),
        near=2 * sum(overlap >= NEAR for overlap in overlaps) / max(count, 1),
        quality=2 * sum(overlap for overlap in overlaps if overlap > _HALF) / max(count, 1),
    )


def f1(precision: float | None, recall: float | None) -> float:
    """The harmonic mean; 0 where one is None or 0."""
    return 2 * precision * recall / (precision + recall) if precision and recall else 0.0


def _pairs(counts: Iterable[int]) -> int:
    return sum(n * (n - 1) // 2 for n in counts)
