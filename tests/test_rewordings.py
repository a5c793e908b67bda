"""Requests of members that reword a campaign's template as nobody did before: told by their segments' neighbours."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import SmallRun
from tables import START, Request, Template, log_of, write_requests, write_templates

from refrain.peeling import Suspect
from refrain.rewordings import label_rewordings, open_neighbours
from refrain.scored_campaigns import Labels, ScoredCampaign
from refrain.settings import load_settings

CONFIG = load_settings().config.score
WRAPPER = [f"Weigh these two answers and name the better one, form {n}." for n in range(4)]
OTHER = [f"Spell out each step that leads to the result, form {n}." for n in range(4)]
REWORDED = "Of both replies say which one is stronger, never before."
MIXED = "Of both replies spell out which one is stronger."
SHORT = "Name it."
CHAT = [f"what is the weather like in town number {n}" for n in range(4)]


def labelled(
    root: Path, sent: Sequence[tuple[str, str]], near: Mapping[str, Sequence[str]]
) -> dict[str, tuple[int, int]]:
    """(template, campaign) of each text and account, where `near` names the nearest neighbours of some texts.

    Template 0 is WRAPPER and campaign 0 that of owners "a" and "b"; template 1 is OTHER, campaign 1 that of "b".
    """
    known = [("x", text) for text in (*WRAPPER, *OTHER, *CHAT)]
    log = log_of(
        Request(f"{account}: {text}", account, START + timedelta(minutes=n), (("user", text),), {})
        for n, (account, text) in enumerate([*known, *sent])
    )
    write_requests(root / "requests", log)
    write_templates(
        root / "templates", log, [Template("first", tuple(WRAPPER)), Template("second", tuple(OTHER))]
    )  # fmt: skip
    folder = root / "neighbours"
    folder.mkdir()
    rows = log.segment_rows
    indices = np.full((len(rows), 4), -1)
    for text, others in near.items():
        indices[rows[text], : len(others)] = [rows[other] for other in others]
    np.save(folder / "segment_rows.npy", np.arange(len(rows)))
    np.save(folder / "indices.npy", indices)
    owner = np.array([log.owners[r.account_id] for r in log.requests])
    before = Labels(np.full(len(owner), -1), np.full(len(owner), -1))
    members = [[log.owners[name] for name in ("a", "b") if name in log.owners], [log.owners["b"]]]
    ranked = [
        ScoredCampaign(cast("Suspect", None), np.array([n]), np.array(own), alert=True) for n, own in enumerate(members)
    ]
    out = label_rewordings(before, ranked, root / "requests", folder, root / "templates", owner, CONFIG)
    assert (before.templates < 0).all()
    return {
        request.request_id: (int(template), int(campaign))
        for request, template, campaign in zip(log.requests, out.templates, out.campaigns, strict=True)
    }


def test_a_members_rewording_is_labelled_and_nobody_elses(tmp_path: Path) -> None:
    found = labelled(
        tmp_path, [("a", REWORDED), ("b", CHAT[0]), ("c", REWORDED)], {REWORDED: [*WRAPPER[:3], CHAT[1]]}
    )  # fmt: skip
    assert found[f"a: {REWORDED}"] == (0, 0)
    assert found[f"c: {REWORDED}"] == (-1, -1)
    assert found[f"b: {CHAT[0]}"] == (-1, -1)


def test_half_of_the_neighbours_are_no_majority(tmp_path: Path) -> None:
    near = {REWORDED: [*WRAPPER[:2], *CHAT[:2]]}
    assert labelled(tmp_path, [("a", REWORDED), ("b", CHAT[0])], near)[f"a: {REWORDED}"] == (-1, -1)


def test_absent_neighbours_vote_for_nothing(tmp_path: Path) -> None:
    near = {REWORDED: WRAPPER[:2]}
    assert labelled(tmp_path, [("a", REWORDED), ("b", CHAT[0])], near)[f"a: {REWORDED}"] == (-1, -1)


def test_the_first_campaign_that_a_request_fits_has_it(tmp_path: Path) -> None:
    near = {REWORDED: WRAPPER, MIXED: [*OTHER[:3], WRAPPER[0]]}
    found = labelled(tmp_path, [("b", REWORDED), ("b", MIXED), ("a", MIXED)], near)
    assert found[f"b: {REWORDED}"] == (0, 0)
    assert found[f"b: {MIXED}"] == (1, 1)
    assert found[f"a: {MIXED}"] == (-1, -1)


def test_a_few_words_reword_nothing(tmp_path: Path) -> None:
    assert len(SHORT.split()) < CONFIG.min_words
    assert labelled(tmp_path, [("a", SHORT), ("b", CHAT[0])], {SHORT: WRAPPER})[f"a: {SHORT}"] == (-1, -1)


def test_labels_that_stand_are_kept_and_no_neighbours_change_none(tmp_path: Path) -> None:
    assert set(labelled(tmp_path, [("a", REWORDED), ("b", CHAT[0])], {}).values()) == {(-1, -1)}


@pytest.mark.slow
def test_the_samples_labels_are_those_of_a_slow_count(small_run: SmallRun) -> None:
    """On a whole run: whoever is a member and reworded a template, request by request, and nobody else."""
    run = small_run.run
    rows = {
        name: pq.read_table(run / "campaigns" / f"{name}.parquet").to_pylist()
        for name in ("campaigns", "members", "request_campaigns")
    }
    uses: dict[int, set[int]] = defaultdict(set)
    for use in pq.read_table(run / "templates" / "request_templates.parquet").to_pylist():
        uses[use["request_row"]].add(use["template_id"])
    segments = defaultdict(set)
    accounts: dict[int, int] = {}
    for path in sorted((run / "requests").glob("request*/day=*/*.parquet")):
        for row in pq.ParquetFile(path).read().to_pylist():
            if "segment_row" in row:
                segments[row["request_row"]].add(row["segment_row"])
            else:
                accounts[row["request_row"]] = row["account_row"]
    held = defaultdict(set)
    for row in pq.read_table(run / "templates" / "template_segments.parquet").to_pylist():
        held[row["segment_row"]].add(row["template_id"])
    words = pq.read_table(run / "requests" / "segments.parquet")["words"].to_pylist()
    near = open_neighbours(run / "neighbours")
    members = {(row["campaign_id"], row["account_row"]) for row in rows["members"]}
    for label in rows["request_campaigns"]:
        request = label["request_row"]
        number = label["campaign_id"]
        if number is None or uses[request] & set(rows["campaigns"][number]["templates"]):
            continue
        assert (number, accounts[request]) in members
        templates = set(rows["campaigns"][number]["templates"])
        long = np.array(sorted(s for s in segments[request] if words[s] >= CONFIG.min_words))
        shares = []
        for place in near.places(long).tolist():
            neighbours = near.segment_rows[near.indices[place]].tolist()
            votes = Counter(min(held[s] & templates) for s in neighbours if held[s] & templates)
            shares.append(sum(votes.values()) / len(neighbours))
        assert max(shares) > CONFIG.reworded_share
        assert label["template_id"] in templates
