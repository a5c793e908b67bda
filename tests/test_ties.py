"""Which messages are shown: the parts of a campaign's time, and each campaign as if it were alone."""

from typing import Any

import duckdb
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from refrain.ties import choose_messages

COLUMNS = ("campaign_id", "template_id", "request_row", "owner_row", "minute", "text_row")
REQUESTS = st.lists(
    st.tuples(*(st.integers(0, most) for most in (2, 2, 40, 5, 3, 4))), unique_by=lambda row: row[2], max_size=25
)
SHARED = [{"what": "network", "value": "n", "owners": 2, "outside": 0}]


def chosen(rows: list[tuple[int, ...]], campaigns: list[int], most: int) -> dict[int, list[Any]]:
    """What is chosen of some requests; those of the first two minutes come from one network."""
    with duckdb.connect() as connection:
        table = pa.table({name: pa.array([row[at] for row in rows], pa.int64()) for at, name in enumerate(COLUMNS)})
        connection.register("given", table)
        connection.execute(
            "CREATE TABLE own AS SELECT *, make_timestamp(minute * 60000000) AS timestamp FROM given;"
            "CREATE TABLE theirs AS SELECT campaign_id, request_row, owner_row, 'network' AS what, 'n' AS value "
            "FROM given WHERE minute < 2"
        )
        return choose_messages(connection, campaigns, dict.fromkeys(campaigns, SHARED), most)


@given(REQUESTS, st.integers(1, 8))
def test_a_campaign_among_others_shows_what_it_shows_alone(rows: list[tuple[int, ...]], most: int) -> None:
    campaigns = sorted({row[0] for row in rows})
    together = chosen(rows, campaigns, most)
    for number in campaigns:
        own = [row for row in rows if row[0] == number]
        assert together[number] == chosen(own, [number], most)[number]
        shown = [message.request_row for message in together[number]]
        assert len(shown) == len(set(shown)) <= most
        assert set(shown) <= {row[2] for row in own}


@given(st.integers(1, 30), st.integers(1, 12))
def test_where_nothing_ties_each_part_of_the_time_shows_its_first_request(count: int, most: int) -> None:
    """Owners that share nothing: the parts are those that SQL's ntile makes."""
    rows: list[tuple[int, ...]] = [(0, 0, row, row, row + 2, row) for row in range(count)]
    with duckdb.connect() as connection:
        found = connection.execute(
            "SELECT min(nth) FROM (SELECT range AS nth, ntile(?) OVER (ORDER BY range) AS part FROM range(?)) "
            "GROUP BY part ORDER BY 1",
            [most, count],
        ).fetchall()
    messages = chosen(rows, [0], most)[0]
    assert [(message.kind, message.request_row) for message in messages] == [("spread", row) for (row,) in found]
