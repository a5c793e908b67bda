"""What a run found becomes signatures: the right members, under the store's key, and nothing in clear."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import pyarrow.parquet as pq
import pytest
from conftest import SmallRun
from identities import KEY, RULE

from refrain.errors import StoreError
from refrain.key import keyed_digest
from refrain.lineage import Seen, observe
from refrain.suppressions import member_digest
from refrain.tables import read_table


@pytest.fixture(scope="module")
def found(small_run: SmallRun) -> dict[tuple[str, int], Seen]:
    return {(item.kind, item.local_id): item for item in observe(small_run.run, KEY, RULE)}


def rows(small_run: SmallRun, *place: str) -> list[dict[str, Any]]:
    return list(pq.read_table(small_run.run.joinpath(*place)).to_pylist())


def number(digest: str) -> int:
    return int(digest[:16], 16)


def test_a_campaign_has_its_requests_and_accounts(small_run: SmallRun, found: dict[tuple[str, int], Seen]) -> None:
    labels = rows(small_run, "exports", "labels.parquet")
    campaigns = rows(small_run, "exports", "campaigns.parquet")
    assert any(row["alert"] for row in campaigns)
    for row in campaigns:
        own = [label for label in labels if label["campaign_id"] == row["campaign_id"]]
        item = found["campaign", row["campaign_id"]]
        requests = {number(keyed_digest(KEY, label["request_id"].encode()).hex()) for label in own}
        accounts = Counter(number(member_digest(KEY, label["account_id"])) for label in own)
        assert set(item.signature.requests.digests.tolist()) == requests
        weights = dict(
            zip(item.signature.accounts.digests.tolist(), item.signature.accounts.weights.tolist(), strict=True)
        )
        assert weights == dict(accounts)
        assert (item.alert, item.requests, item.members) == (row["alert"], row["requests"], row["accounts"])
        assert item.signature.first_seen == int(row["first_seen"].timestamp() * 1e6 + 0.5)
        assert sum(count for _, _, count in item.signature.models) == row["requests"]


def test_segments_weigh_the_requests_that_hold_them(small_run: SmallRun, found: dict[tuple[str, int], Seen]) -> None:
    run = small_run.run
    campaign = rows(small_run, "campaigns", "campaigns.parquet")[0]
    parts = {
        row["segment_row"]
        for row in rows(small_run, "templates", "template_segments.parquet")
        if row["template_id"] in campaign["templates"]
    }
    labelled = {
        row["request_row"]
        for row in rows(small_run, "campaigns", "request_campaigns.parquet")
        if row["campaign_id"] == campaign["campaign_id"]
    }
    held: dict[int, set[int]] = defaultdict(set)
    for row in read_table(run / "requests" / "request_segments", ["request_row", "segment_row"]).to_pylist():
        if row["segment_row"] in parts and row["request_row"] in labelled:
            held[row["segment_row"]].add(row["request_row"])
    digests = {
        row["segment_row"]: int.from_bytes(row["digest"][:8], "big")
        for row in rows(small_run, "requests", "segments.parquet")
    }
    part = found["campaign", campaign["campaign_id"]].signature.segments
    seen = dict(zip(part.digests.tolist(), part.weights.tolist(), strict=True))
    assert seen == {digests[segment]: len(requests) for segment, requests in held.items()}


def test_templates_and_clusters_have_the_counts_of_the_exports(
    small_run: SmallRun, found: dict[tuple[str, int], Seen]
) -> None:
    for kind, table in (("template", "templates"), ("cluster", "clusters")):
        counts = {row[f"{kind}_id"]: row for row in rows(small_run, "exports", f"{table}.parquet")}
        own = [item for (name, _), item in found.items() if name == kind]
        assert own
        for item in own:
            row = counts[item.local_id]
            assert (item.requests, item.members, item.alert) == (row["requests"], row["accounts"], False)


def test_the_same_run_gives_the_same_bytes_and_another_key_others(
    small_run: SmallRun, found: dict[tuple[str, int], Seen]
) -> None:
    again = observe(small_run.run, KEY, RULE)
    assert [item.signature.to_bytes() for item in again] == [item.signature.to_bytes() for item in found.values()]
    other: dict[tuple[str, int], Seen] = {
        (item.kind, item.local_id): item for item in observe(small_run.run, bytes(32), RULE)
    }
    name = next(iter(found))
    assert not set(found[name].signature.accounts.digests) & set(other[name].signature.accounts.digests)


def test_nothing_of_the_log_stands_in_clear(small_run: SmallRun, found: dict[tuple[str, int], Seen]) -> None:
    data = b"".join(item.signature.content() for item in found.values())
    for row in rows(small_run, "exports", "accounts.parquet"):
        assert row["account_id"].encode() not in data


def test_a_run_without_its_last_stages_is_refused(small_run: SmallRun) -> None:
    with pytest.raises(StoreError, match="requests"):
        observe(small_run.outputs, KEY, RULE)
