"""Which findings are known: those whose template is public, and those that somebody dismissed and that stayed the same.

A known finding keeps every test, p-value, member and its alert; its score counts for less, and so its rank. The rule
stands in docs/method.md.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from refrain.artifacts import Store
from refrain.config import ScoreConfig
from refrain.counting import Ints
from refrain.known import KnownLists
from refrain.shingles import ShingleIndex
from refrain.suppressions import Standing, member_digest, reopened
from refrain.tables import column

KNOWN = pa.schema([
    ("campaign_id", pa.int64()), ("name", pa.string()), ("source", pa.string()), ("similarity", pa.float64()),
    ("known", pa.bool_()), ("suppressed", pa.bool_()), ("note", pa.string()),
])  # fmt: skip
"""The columns of known.parquet."""


@dataclass(frozen=True)
class Facts:
    """What is recognised of a finding: the template of each of its requests, its accounts by row, what speaks."""

    templates: Ints
    accounts: Ints
    families: frozenset[str]
    tests: dict[str, float]
    benign: frozenset[str]


@dataclass(frozen=True)
class Recognition:
    """What a finding's score is multiplied by, and its rows of known.parquet without the campaign's number."""

    factor: float
    rows: list[dict[str, Any]]


@dataclass(frozen=True)
class _Likeness:
    """How near the templates of a finding are to one known text: the largest cosine, and the share of the finding's
    requests whose template is near enough."""

    similarity: float
    share: float


class Recogniser:
    """The lists, ready to be asked about findings of one log."""

    def __init__(self, lists: KnownLists, requests: Path, templates: Path, config: ScoreConfig, store: Store) -> None:
        self._lists, self._config, self._store = lists, config, store
        texts = [(number, text) for number, entry in enumerate(lists.suppressions) for text in entry.texts]
        self._entry_of_text = [number for number, _ in texts]
        self._public = ShingleIndex([entry.text for entry in lists.templates], config.known_shingle_words)
        self._dismissed = ShingleIndex([text for _, text in texts], config.known_shingle_words)
        self._skeletons: list[str] = []
        self._account_ids: list[str] = []
        if lists.templates or lists.suppressions:
            self._skeletons = column(templates / "templates.parquet", "skeleton").tolist()
        if lists.suppressions:
            self._account_ids = column(requests / "accounts.parquet", "account_id").tolist()

    def recognise(self, facts: Facts) -> Recognition:
        """What the lists know of a finding; nothing, and the factor 1, where they know none of its templates."""
        if not self._skeletons or not len(facts.templates):
            return Recognition(1.0, [])
        known, rows = self._public_rows(facts)
        suppressed, more = self._suppressed_rows(facts)
        factors = [1.0]
        if known:
            factors.append(self._config.known_factor)
        if suppressed:
            factors.append(self._config.suppressed_factor)
        return Recognition(min(factors), more + rows)

    def _public_rows(self, facts: Facts) -> tuple[bool, list[dict[str, Any]]]:
        """Whether the template of most requests is public, and the nearest public templates, the nearest first."""
        entries = self._lists.templates
        near, known_share = self._likenesses(facts, self._public, list(range(len(entries))))
        known = known_share > self._config.known_share
        rows: list[dict[str, Any]] = [
            {
                "name": entries[number].name,
                "source": entries[number].source,
                "similarity": found.similarity,
                "known": known and found.similarity >= self._config.known_similarity,
                "suppressed": False,
                "note": "",
            }
            for number, found in near.items()
            if found.similarity >= self._config.known_shown
        ]
        rows.sort(key=lambda row: (-row["similarity"], row["name"]))
        return known, rows[: self._config.known_nearest]

    def _suppressed_rows(self, facts: Facts) -> tuple[bool, list[dict[str, Any]]]:
        """Whether a suppression of this finding holds, and a row for every suppression of its templates."""
        near, _ = self._likenesses(facts, self._dismissed, self._entry_of_text)
        now = None
        rows: list[dict[str, Any]] = []
        for number, found in near.items():
            if found.share <= self._config.known_share:
                continue
            entry = self._lists.suppressions[number]
            now = now or self._standing(facts)
            config = self._config
            why = reopened(entry, now, stay=config.suppressed_members, speaks_p=config.watch_p)
            rows.append({
                "name": entry.name,
                "source": f"suppressed by {entry.by}, {entry.when}",
                "similarity": found.similarity,
                "known": not why,
                "suppressed": not why,
                "note": f"reopened: {why}" if why else entry.reason,
            })  # fmt: skip
        rows.sort(key=lambda row: (not row["suppressed"], -row["similarity"], row["name"]))
        return any(row["suppressed"] for row in rows), rows

    def _likenesses(
        self, facts: Facts, index: ShingleIndex, entry_of_text: list[int]
    ) -> tuple[dict[int, _Likeness], float]:
        """The likeness with each entry that shares a shingle, and the share of requests whose template is near any."""
        templates, counts = np.unique(facts.templates, return_counts=True)
        best: dict[int, float] = {}
        requests: dict[int, int] = {}
        known = 0
        for template, count in zip(templates.tolist(), counts.tolist(), strict=True):
            own: dict[int, float] = {}
            for text, similarity in index.similarities(self._skeletons[template] or "").items():
                entry = entry_of_text[text]
                own[entry] = max(similarity, own.get(entry, 0.0))
            for entry, similarity in own.items():
                best[entry] = max(similarity, best.get(entry, 0.0))
                if similarity >= self._config.known_similarity:
                    requests[entry] = requests.get(entry, 0) + count
            if any(similarity >= self._config.known_similarity for similarity in own.values()):
                known += count
        total = len(facts.templates)
        return {n: _Likeness(best[n], requests.get(n, 0) / total) for n in sorted(best)}, known / total

    def _standing(self, facts: Facts) -> Standing:
        key = self._store.key
        members = frozenset(member_digest(key, self._account_ids[row]) for row in np.unique(facts.accounts).tolist())
        return Standing(members, facts.families, facts.tests, facts.benign)
