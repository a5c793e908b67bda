"""Accounts that openly belong together, as one owner.

The same organisation makes one owner, and so does the same card used from the same exit network. A card alone does
not (a pool that shares one would vanish into a single owner, and with it the evidence), nor does a network alone (a
gateway has thousands of customers).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Rows = npt.NDArray[np.int64]
KINDS = ("single", "organisation", "payment_network")


@dataclass(frozen=True)
class Links:
    """Which account was seen with which key: two (n,) arrays; keys are numbered from 0 in any order."""

    account_rows: Rows
    keys: Rows


@dataclass(frozen=True)
class Owners:
    """Owners numbered by the smallest account row in them.

    `owner_rows` (accounts,): the owner of each account; `accounts` (owners,): how many accounts each has; `kinds`
    (owners,): single; organisation where two of its accounts share one; payment_network where only cards join them.
    """

    owner_rows: Rows
    accounts: Rows
    kinds: tuple[str, ...]


def find_owners(accounts: int, organisations: Links, purchases: Links) -> Owners:
    """The owners of `accounts` accounts: connected components over shared organisations and shared purchases.

    A key of `organisations` is an organisation; a key of `purchases` is a card *and* an exit network seen together.
    """
    if accounts == 0:
        return Owners(np.empty(0, np.int64), np.empty(0, np.int64), ())
    key_count = int(organisations.keys.max(initial=-1)) + 1
    lefts = np.concatenate([organisations.account_rows, purchases.account_rows])
    rights = accounts + np.concatenate([organisations.keys, key_count + purchases.keys])
    size = int(rights.max(initial=accounts - 1)) + 1
    graph = coo_array((np.ones(len(lefts), np.int8), (lefts, rights)), shape=(size, size))
    parts = connected_components(graph, directed=False)[1][:accounts]
    # Components come in the order of the search; numbering by first account makes them a fact of the data.
    _, first, inverse = np.unique(parts, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    owner_rows = rank[inverse].astype(np.int64)
    members = np.bincount(owner_rows).astype(np.int64)
    companies = set(owner_rows[_sharing(organisations)].tolist())
    kinds = tuple(
        "single" if count == 1 else "organisation" if row in companies else "payment_network"
        for row, count in enumerate(members.tolist())
    )
    return Owners(owner_rows, members, kinds)


def _sharing(links: Links) -> Rows:
    """The accounts that share a key with another account."""
    pairs = np.unique(np.stack([links.keys, links.account_rows]), axis=1)
    counts = np.bincount(pairs[0]) if pairs.size else np.empty(0, np.int64)
    result: Rows = pairs[1][counts[pairs[0]] > 1]
    return result
