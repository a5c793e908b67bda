"""Logs as tables: requests, the segments in them, accounts, owners, distinct texts, and what could not be used.

`ingest_logs` reads what was not read before (refrain.staged_files) and then numbers, merges and counts over the whole
log in SQL that spills to disk, so that memory grows with accounts and not with requests.

Duplicates. Two records with one request_id and equal content are one request, counted once (`merged`). With different
content the first by (file name, record) stays and the others are quarantined. A record without a request_id gets the
keyed digest of its content, so identical records of the same microsecond are one request.
"""

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from refrain.artifacts import Store
from refrain.config import IngestConfig
from refrain.detection import Formats, find_formats
from refrain.errors import InputError, NoRequestsError
from refrain.logs import discover
from refrain.numbering import write_tables
from refrain.progress import Progress
from refrain.quarantine import Quarantine
from refrain.queries import database
from refrain.slices import Slice, choose_files, moments_of
from refrain.staged_files import Staged, stage_files
from refrain.staged_views import view_staged
from refrain.tombstones import Tombstones, load_tombstones

logger = logging.getLogger(__name__)


def ingest_logs(
    sources: Sequence[str],
    out: Path,
    config: IngestConfig,
    *,
    store: Store,
    progress: Progress,
    part: Slice | None = None,
    digests: Mapping[str, str] | None = None,
    formats: Formats | None = None,
    stones: Tombstones | None = None,
) -> dict[str, int]:
    """Counts of what was read, kept, merged, quarantined, purged and passed over (read is their sum), and of what `out`
    then holds.

    `out` gets requests/, request_segments/, segments, accounts, owners, texts and quarantine.parquet and counts.json.
    With `part` only its requests are read; the others are counted as `outside`, and what cannot be used is quarantined
    whether or not it would have belonged. `digests` and `formats` are those of the files, where they are known.
    `stones` are the store's tombstones, where they were read already. `reused_files`, where there are any, counts files
    whose staged tables the store had; it tells of this computation alone and stands in no file.

    InputError where there is no record, no usable one, a torn file (unless the config keeps those), or too large a
    share of structurally broken records.
    """
    stones = load_tombstones(store.root, store.key) if stones is None else stones
    work = out / ".work"
    work.mkdir()
    try:
        files = discover(sources) if part is None else choose_files(discover(sources), part)
        formats = find_formats(files, config) if formats is None else formats
        found = stage_files(
            files, work, config, store=store, progress=progress, part=part, digests=digests, formats=formats,
            stones=stones,
        )  # fmt: skip
        with database(config.memory_limit_mib, work) as connection:
            days = None if part is None else moments_of(part)
            within = view_staged(connection, found.rows, found.refused, days) if found.tally.staged else 0
            whole = days is None or not stones.excludes(days[0])
            counts = _counts(found, within, len(files), config, whole=whole) | formats.counts()
            counts |= write_tables(connection, out, config, counts, progress)
    finally:
        shutil.rmtree(work)
    (out / "counts.json").write_text(json.dumps(counts, sort_keys=True, indent=1) + "\n", encoding="ascii")
    logger.info("%s", ", ".join(f"{name} {counts[name]:,}" for name in ("read", "kept", "merged", "quarantined")))
    return {**counts, **({"reused_files": found.reused} if found.reused else {})}


def _counts(found: Staged, within: int, files: int, config: IngestConfig, *, whole: bool) -> dict[str, int]:
    """What was read, where `within` of the staged records belong to the slice; it may hold expired ones if `whole`."""
    refused = Quarantine(config.quarantine_content_characters)
    refused.reasons.update(found.tally.refused)
    purged = found.tally.purged + (found.tally.expired if whole else 0)
    passed = found.tally.passed
    read = within + refused.total + purged + passed
    outside = found.tally.outside + found.tally.staged - within + (0 if whole else found.tally.expired)
    seen = read + outside
    if not seen:
        raise InputError("the log is empty: its files hold no record", hint=f"files read: {files}")
    refused.check(seen, config.max_structural_error_share)
    if not within and outside:
        raise NoRequestsError(f"none of the {seen:,} records belongs to the slice")
    if not within and passed == read:
        raise InputError(f"none of the {read:,} records is a request to a model", hint="refrain inspect LOG says more")
    if not within and purged:
        raise InputError(f"nothing is left of the log: {purged:,} of its {read:,} records were purged")
    if not within:
        raise InputError(f"none of the {read:,} records can be used: {refused.summary()}")
    return {
        "read": read,
        "quarantined": refused.total,
        "structural_errors": refused.structural,
        "naive_times": found.tally.naive_times,
        "files": files,
        "torn_files": found.torn,
        # Not at zero: a slice that leaves nothing out leaves the very files of the whole log.
        **({"outside": outside} if outside else {}),
        **({"hash_key_version": config.hash_key_version} if config.hash else {}),
        **({"purged": purged} if purged else {}),
        **({"passed": passed} if passed else {}),
    }
