"""The numbers of the drawings: what is counted is what is drawn."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from refrain.charts import BARS_WIDTH, MAP_BOX, bars, cluster_map, overlap
from refrain.findings import Timeline
from refrain.singers import Singers


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=72), st.sampled_from([1, 3, 24]))
def test_bars_stand_on_the_axis_in_proportion_to_their_counts(counts: list[int], hours: int) -> None:
    drawn = bars(Timeline("2026-03-01T00:00:00Z", hours, tuple(counts)), 100.0)
    assert len(drawn.bars) == sum(count > 0 for count in counts)
    for bar, count in zip(drawn.bars, (count for count in counts if count), strict=True):
        assert abs(bar.height - 100 * count / max(counts)) < 0.01
        assert abs(bar.y + bar.height - 100) < 0.02
        assert 0 <= bar.x < BARS_WIDTH
    assert 1 <= len(drawn.ticks) <= 8


def test_ticks_are_days() -> None:
    drawn = bars(Timeline("2026-02-27T18:00:00Z", 6, (1,) * 9), 100.0)
    assert [text for _, text in drawn.ticks] == ["28 Feb", "1 Mar"]
    assert drawn.bars[1].title == "2026-02-28 00:00: 1"


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 140), st.integers(1, 50))
def test_a_map_of_any_number_of_clusters_leaves_room(clusters: int, owners: int) -> None:
    uses = csr_array(np.ones((clusters, 3), np.int64)) if clusters else csr_array((0, 3), dtype=np.int64)
    drawn = cluster_map(Singers(tuple(range(clusters)), uses), [owners] * clusters, {0: 7})
    area = sum(np.pi * point.radius**2 for point in drawn.points)
    assert area < 0.2 * MAP_BOX.width * MAP_BOX.height
    assert [point.campaign_id for point in drawn.points] == [7, *[None] * (clusters - 1)][:clusters]
    assert len(drawn.links) == min(clusters * (clusters - 1) // 2, 250)


def test_links_join_clusters_with_common_accounts_strongest_first() -> None:
    uses = csr_array(np.array([[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]], np.int64))
    drawn = cluster_map(Singers((4, 5, 6, 7), uses), [2, 1, 2, 2], {})
    assert drawn.links == ((2, 3, 1.0), (0, 1, 0.71))
    shares = overlap(Singers((4, 5, 6, 7), uses), {4: 0, 5: 0, 6: 1, 7: 1})
    assert shares.shares[0] == (1.0, 1.0, 0.0, 0.0)
    assert shares.campaigns == (0, 0, 1, 1)
