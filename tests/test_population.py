"""The population: every column against plain Python over the same small log."""

from collections import Counter
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tables import START, TIME, Log, Request, log_of, write_requests

from refrain.population import Population, Trait, read_population, read_senders

CREATED = START - timedelta(days=10)


def request(number: int, account: str, text: str, day: float, **more: str | None) -> Request:
    return Request(f"r-{number}", account, START + timedelta(days=day), (("user", text),), more)


def small_log() -> Log:
    return log_of(
        [
            request(
                0, "a", "hello there", 0, ip="10.0.0.1", asn="AS7", user_agent="curl", payment_hash="card-1", model="m1"
            ),
            request(1, "a", "hello there", 1.5, ip="10.0.0.99", user_agent="app", payment_hash="card-1", model="m2"),
            request(2, "a", "добрый день", 2, ip="10.0.1.1", asn="AS8", user_agent="app"),
            request(3, "b", "добрый день", 0.5, ip="10.0.0.7", asn="AS7", user_agent="app", payment_hash="card-2"),
            request(4, "c", "добрый вечер", 1, ip="2001:db8::1", user_agent="curl"),
            request(5, "c", "hello there", 1.1, ip="not an address", user_agent="app"),
            request(6, "d", "你好", 2.9),
        ],
        owned_together=[["b", "c"]],
    )


def read(folder: Path, log: Log, created: dict[str, float] | None = None) -> Population:
    write_requests(folder, log)
    table = pq.read_table(folder / "accounts.parquet")
    days = [(created or {}).get(account) for account in log.accounts]
    times = pa.array([None if d is None else START + timedelta(days=d) for d in days], TIME)
    column = table.schema.get_field_index("created_at")
    pq.write_table(table.set_column(column, "created_at", times), folder / "accounts.parquet")
    return read_population(folder, 24, 48)


def values_of(trait: Trait, log: Log) -> list[set[str]]:
    return [{trait.names[v] for v in trait.values[a:b]} for a, b in pairwise(trait.bounds.tolist())]


def test_owners_and_their_requests(tmp_path: Path) -> None:
    log = small_log()
    population = read(tmp_path, log)
    owners = [log.owners[r.account_id] for r in log.requests]
    assert population.owners == 3
    assert population.request_owner.tolist() == owners
    assert population.activity.tolist() == [Counter(owners)[o] for o in range(3)]
    for owner in range(3):
        rows = population.requests_of(owner)
        assert rows.tolist() == [row for row, o in enumerate(owners) if o == owner]
        assert population.position[rows].tolist() == list(range(len(rows)))
    assert population.days.tolist() == [(r.timestamp - START).days for r in log.requests]
    assert population.hours.tolist() == pytest.approx(
        [r.timestamp.hour + r.timestamp.minute / 60 for r in log.requests]
    )
    senders = read_senders(tmp_path)
    assert np.array_equal(senders.request_owner, population.request_owner)
    assert np.array_equal(senders.activity, population.activity)


def test_traits_are_distinct_values_and_addresses_count_by_network(tmp_path: Path) -> None:
    log = small_log()
    population = read(tmp_path, log)
    assert values_of(population.card, log) == [{"card-1"}, {"card-2"}, set()]
    # What is no address may be a hash of one, and is a network of its own; accounts of one owner count together.
    assert values_of(population.network, log) == [
        {"10.0.0.0/24", "10.0.1.0/24"},
        {"10.0.0.0/24", "2001:db8::/48", "not an address"},
        set(),
    ]
    assert values_of(population.asn, log) == [{"AS7", "AS8"}, {"AS7"}, set()]
    assert population.asn_share == 3 / 6  # the last request has neither
    assert population.values_per_request(population.asn)[:2].tolist() == [2 / 3, 1 / 3]


def test_the_most_used_client_and_script_the_smallest_among_equals(tmp_path: Path) -> None:
    population = read(tmp_path, small_log())
    assert [population.clients[c] if c >= 0 else None for c in population.client] == ["app", "app", None]
    latin, cyrillic, chinese = population.script
    assert len({latin, cyrillic, chinese}) == 3
    assert latin == 0


def test_age_is_the_time_from_signing_up_to_the_first_request(tmp_path: Path) -> None:
    population = read(tmp_path, small_log(), {"a": -10, "b": -1, "c": 0.25, "d": 5})
    # The owner of b and c signed up with b; d's record says after its first request, which cannot be.
    assert population.age_days.tolist() == pytest.approx([10, 1.5, 0])
    assert np.isnan(read(tmp_path, small_log()).age_days).all()


def test_columns_that_the_log_lacks_are_absent(tmp_path: Path) -> None:
    log = log_of([request(n, f"p{n}", "hello there", n) for n in range(3)])
    population = read(tmp_path, log)
    assert not population.card.present
    assert not population.network.present
    assert not population.asn.present
    assert population.asn_share == 0
    assert population.client.tolist() == population.request_model.tolist() == [-1, -1, -1]
    assert population.clients == []
