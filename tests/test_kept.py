"""What was staged before is not staged again, and nobody can see that in the result."""

import gzip
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain import stages
from refrain.artifacts import Store
from refrain.config import IngestConfig
from refrain.kept import cut_units
from refrain.logs import LogFile
from refrain.progress import NoProgress
from refrain.requests import ingest_logs
from refrain.settings import load_settings
from refrain.slices import Slice

# Every file of these tests has more than a KiB, so each is a unit.
CONFIG = replace(
    load_settings().config.ingest, staged_unit_kib=1, torn_files="keep", max_structural_error_share=0.5, batch_rows=8
)
KEY = b"k" * 32
DAYS = ("2026-05-01", "2026-05-02", "2026-05-03")
Row = dict[str, Any]


def row(at: int, count: int) -> Row:
    """A record of the day `at`; the ids of the last ten come again the next day."""
    return {
        "request_id": f"r{at * 20 + count}" if count % 7 else None,
        "account_id": f"a{count % 5}" if count != 3 else None,
        # The fourth is of the day before.
        "timestamp": f"{DAYS[at]}T12:{count:02}:00Z" if count != 4 else f"{DAYS[at]}T00:30:00+01:00",
        "prompt": f"Sort list {count % 4}. Then stop, and say {'no' if count % 9 else at}.\n- Bitte {count}: los!",
        "conversation_id": "c" if count % 5 == 0 else None,
        "org_id": f"o{at}" if count % 5 in (1, 2) else None,
        "model": f"m{count % 2}",
    }


def rows(day: str) -> list[Row]:
    """A day of traffic: ids that come again with equal and with other content, conversations that go on, records that
    cannot be used, and one of the day before."""
    at = DAYS.index(day)
    sent_again = [row(at - 1, 25)] if at else []
    return sent_again + [row(at, count) for count in range(30)]


def write(folder: Path, days: Sequence[str]) -> Path:
    """A log of one file a day; the second is torn after its records, the third has a line that is none."""
    for day in days:
        place = folder / f"day={day}" / "log.jsonl"
        place.parent.mkdir(parents=True)
        text = "".join(json.dumps(row) + "\n" for row in rows(day))
        if day == DAYS[1]:
            tail = random.Random(0).randbytes(1 << 20).hex()  # more than is read at once
            place.with_suffix(".jsonl.gz").write_bytes(gzip.compress((text + tail).encode(), 1, mtime=0)[:-1000])
        else:
            place.write_text(text + "{\n" * (day == DAYS[2]))
    return folder


@dataclass(frozen=True)
class Outcome:
    """The files of an ingest, its counts, and how many files of the log were reused."""

    files: dict[str, bytes]
    counts: dict[str, int]
    reused: int


def ingest(
    log: Path, root: Path, config: IngestConfig = CONFIG, part: Slice | None = None, key: bytes = KEY
) -> Outcome:
    """What an ingest with the store `root` gives."""
    root.mkdir(exist_ok=True)
    (root / "key").write_bytes(key)
    out = root / f"out{len(list(root.glob('out*')))}"
    out.mkdir()
    counts = ingest_logs([str(log)], out, config, store=Store(root), progress=NoProgress(), part=part)
    files = {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}
    reused = counts.pop("reused_files", 0)
    assert json.loads(files["counts.json"]) == counts
    return Outcome(files, counts, reused)


@pytest.mark.parametrize(
    "part",
    [
        None,
        Slice(first=date(2026, 5, 1), last=date(2026, 5, 3)),
        Slice(accounts=("a0", "a1")),
        Slice(first=date(2026, 5, 1), matching="list 0"),
    ],
    ids=["whole", "days", "accounts", "days and text"],
)
def test_a_log_of_which_parts_were_read_gives_what_an_empty_store_gives(tmp_path: Path, part: Slice | None) -> None:
    short, long = write(tmp_path / "short", DAYS[:2]), write(tmp_path / "long", DAYS)
    assert ingest(short, tmp_path / "warm", part=part).reused == 0
    warm = ingest(long, tmp_path / "warm", part=part)
    cold = ingest(long, tmp_path / "cold", replace(CONFIG, keep_staged=False), part)
    assert (warm.files, warm.reused, cold.reused) == (cold.files, 2, 0)
    assert not (tmp_path / "cold" / "staged").exists()
    if part is None:
        # What the log was made to hold is there.
        assert min(cold.counts[name] for name in ("conflicts", "merged", "torn_files", "structural_errors")) > 0
    if part is not None and part.first:
        assert cold.counts["outside"] > 0


def test_the_stage_tells_how_many_files_were_reused_and_its_result_does_not(tmp_path: Path) -> None:
    short, long = write(tmp_path / "short", DAYS[:2]), write(tmp_path / "long", DAYS)
    config = replace(load_settings().config, ingest=CONFIG)
    store = Store(tmp_path / "store")
    assert stages.ingest([str(short)], config, store=store, progress=NoProgress()).told == {}
    warm = stages.ingest([str(long)], config, store=store, progress=NoProgress())
    assert warm.told == {"reused_files": 2}
    assert warm.counts["reused_files"] == 2
    assert "reused_files" not in (warm.folder / "manifest.json").read_text()


def test_a_window_that_moves_on_reads_only_its_new_day(tmp_path: Path) -> None:
    log = write(tmp_path / "log", DAYS)
    windows = [Slice(first=date(2026, 5, day), last=date(2026, 5, day + 1)) for day in (1, 2)]
    assert ingest(log, tmp_path / "warm", part=windows[0]).reused == 0
    moved = ingest(log, tmp_path / "warm", part=windows[1])
    assert moved.reused == 1
    assert moved.files == ingest(log, tmp_path / "cold", part=windows[1]).files


def harm_bytes(path: Path) -> None:
    """Nothing; the file is as long as before and holds something else."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)


@pytest.mark.parametrize("harm", [harm_bytes, Path.unlink], ids=["bytes", "missing"])
@pytest.mark.parametrize("name", ["rows-*", "forms-*", "refused-*", "manifest.json"])
def test_kept_tables_that_are_damaged_are_made_again(tmp_path: Path, harm: Callable[[Path], None], name: str) -> None:
    log = write(tmp_path / "log", DAYS)
    whole = ingest(log, tmp_path / "store")
    harm(sorted((tmp_path / "store" / "staged").glob(f"*/{name}"))[0])
    mended = ingest(log, tmp_path / "store")
    # A letter of a manifest may be in a list of inputs that nobody needs: what counts is the result.
    assert mended.reused == 2 or (name == "manifest.json" and harm is harm_bytes)
    assert mended.files == whole.files
    assert ingest(log, tmp_path / "store").reused == 3


def test_other_settings_that_shape_the_tables_and_other_keys_reuse_nothing(tmp_path: Path) -> None:
    log = write(tmp_path / "log", DAYS)
    first = ingest(log, tmp_path / "store")
    for config in (replace(CONFIG, owners=("payment_network",)), replace(CONFIG, workers=2)):
        assert ingest(log, tmp_path / "store", config).reused == 3
    for config in (replace(CONFIG, max_turns=7), replace(CONFIG, source="eu"), replace(CONFIG, ipv4_prefix=16)):
        assert ingest(log, tmp_path / "store", config).reused == 0
    assert ingest(log, tmp_path / "store", part=Slice(models=("m0",))).reused == 0
    other = ingest(log, tmp_path / "store", key=b"x" * 32)
    assert other.reused == 0
    assert other.files["segments.parquet"] != first.files["segments.parquet"]


def test_a_file_of_another_name_or_content_is_read_again(tmp_path: Path) -> None:
    log = write(tmp_path / "log", DAYS)
    ingest(log, tmp_path / "store")
    (log / f"day={DAYS[0]}" / "log.jsonl").rename(log / f"day={DAYS[0]}" / "renamed.jsonl")
    with (log / f"day={DAYS[2]}" / "log.jsonl").open("a") as file:
        file.write(json.dumps({**rows(DAYS[2])[0], "request_id": "late"}) + "\n")
    again = ingest(log, tmp_path / "store")
    assert again.reused == 1
    assert again.files == ingest(log, tmp_path / "cold").files


def test_what_was_used_longest_ago_goes_first_and_what_is_used_stays(tmp_path: Path) -> None:
    one, all_days = write(tmp_path / "one", DAYS[:1]), write(tmp_path / "all", DAYS)
    tight = replace(CONFIG, staged_mib=0)
    ingest(all_days, tmp_path / "store", tight)
    assert ingest(all_days, tmp_path / "store", tight).reused == 3
    assert ingest(one, tmp_path / "store", tight).reused == 1  # and the others are gone
    assert ingest(all_days, tmp_path / "store", tight).reused == 1


FILES = st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 2**128 - 1)), min_size=1, max_size=60)


@given(FILES, st.integers(0, 59))
def test_units_hold_every_file_in_order_and_most_stay_when_the_window_moves(
    tmp_path_factory: pytest.TempPathFactory, given_files: list[tuple[int, int]], dropped: int
) -> None:
    folder = tmp_path_factory.mktemp("units")
    files, digests = [], {}
    for at, (size, digest) in enumerate(given_files):
        path = folder / f"{at:02}.jsonl"
        path.write_bytes(bytes(size))
        files.append(LogFile(path.name, path))
        digests[path.name] = f"{digest:032x}"
    units = list(cut_units(files, None, digests, 2000))
    assert [file for unit in units for file in unit.files] == files
    assert all(len(unit.files) == 1 for unit in units if any(file.size >= 2000 for file in unit.files))
    moved = list(cut_units(files[dropped:], None, digests, 2000))
    assert set(moved[1:]) <= set(units)
    assert len(list(cut_units(files, None, {}, 2000))) == 1
