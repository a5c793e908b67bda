"""Accounts that openly belong together: one owner; everybody else: one each."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.networks import exit_network
from refrain.owners import Links, find_owners

Pairs = list[tuple[int, int]]


def links(pairs: Pairs) -> Links:
    both = np.asarray(pairs, np.int64).reshape(-1, 2)
    return Links(both[:, 0], both[:, 1])


def test_a_company_and_a_household_are_one_owner_each_and_a_pool_is_not() -> None:
    # Accounts 0, 2, 5 name one organisation; 1 and 4 use one card from one network; 3, 6, 7 share nothing.
    found = find_owners(8, links([(5, 0), (0, 0), (2, 0), (7, 1)]), links([(4, 0), (1, 0), (3, 1), (6, 2), (0, 3)]))
    assert found.owner_rows.tolist() == [0, 1, 0, 2, 1, 0, 3, 4]
    assert found.accounts.tolist() == [3, 2, 1, 1, 1]
    assert found.kinds == ("organisation", "payment_network", "single", "single", "single")


def test_edges() -> None:
    assert find_owners(0, links([]), links([])).owner_rows.tolist() == []
    assert find_owners(3, links([]), links([])).owner_rows.tolist() == [0, 1, 2]
    assert find_owners(2, links([(0, 0), (0, 0)]), links([(1, 0), (1, 0)])).kinds == ("single", "single")


@given(
    st.integers(1, 12),
    st.lists(st.tuples(st.integers(0, 11), st.integers(0, 4)), max_size=12),
    st.lists(st.tuples(st.integers(0, 11), st.integers(0, 4)), max_size=12),
)
def test_owners_are_the_components_that_brute_force_finds(accounts: int, companies: Pairs, cards: Pairs) -> None:
    companies = [(account % accounts, key) for account, key in companies]
    cards = [(account % accounts, key) for account, key in cards]
    label = list(range(accounts))
    for _ in range(accounts):
        for pairs in (companies, cards):
            for one, key in pairs:
                for other, its in pairs:
                    if key == its:
                        label[one] = label[other] = min(label[one], label[other])
    smallest = sorted(set(label))
    found = find_owners(accounts, links(companies), links(cards))
    assert found.owner_rows.tolist() == [smallest.index(root) for root in label]


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("::ffff:203.0.113.5", "203.0.113.0/24"),
        ("2001:db8:1:2:3::4", "2001:db8:1::/48"),
        (" 10.1.2.3 ", "10.1.2.0/24"),
        ("a81f66d2", "a81f66d2"),
        (None, None),
    ],
)
def test_the_exit_network_of_an_address(address: str | None, network: str | None) -> None:
    assert exit_network(address, 24, 48) == network
