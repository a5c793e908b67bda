"""Slices: what they keep, what they leave, and that their file is its owner's alone."""

import json
import stat
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from typer.testing import CliRunner

from refrain.artifacts import Store
from refrain.cli import app
from refrain.errors import InputError, StoreError
from refrain.logs import discover
from refrain.progress import NoProgress
from refrain.settings import load_settings
from refrain.slices import (
    Sieve,
    Slice,
    choose_files,
    day_starts,
    last_day_over,
    list_slices,
    load_slice,
    make_slice,
    moments_of,
    night,
    save_slice,
)
from refrain.stages import ingest

CONFIG = load_settings().config
NAMES = st.text(max_size=8)
DAYS = st.none() | st.dates(date(2000, 1, 1), date(2100, 1, 1))


def row(at: int, day: str, **more: object) -> dict[str, object]:
    """A record of the log; its account is one of three."""
    told = {"request_id": f"r{at}", "account_id": f"a{at % 3}", "timestamp": f"{day}T12:00:00Z", "model": f"m{at % 2}"}
    return {**told, "prompt": f"Sort the list of {at} names.", **more}


def write(folder: Path, rows: list[dict[str, object]]) -> Path:
    """A log of one file."""
    folder.mkdir(parents=True)
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def ids(folder: Path) -> set[str]:
    """The request ids in a folder of requests."""
    return set(pq.read_table(folder / "requests")["request_id"].to_pylist())


@given(
    DAYS,
    DAYS,
    st.lists(NAMES),
    st.lists(NAMES),
    st.sampled_from(["", "Grade A", "\u0413\u0440\u0430\u0434  12", "<b>\x1b"]),
)
def test_what_is_written_reads_equal_and_order_and_repeats_change_nothing(
    first: date | None, last: date | None, accounts: list[str], models: list[str], text: str
) -> None:
    if first and last:
        first, last = min(first, last), max(first, last)
    assume(any((first, last, accounts, models, text)))
    one = make_slice(first=first, last=last, accounts=accounts, models=models, matching=text)
    two = make_slice(
        first=first, last=last, accounts=accounts[::-1] + accounts, models=models[::-1] * 2, matching=text.upper()
    )
    assert Slice.from_json(one.to_json()) == one == two
    assert one.digest(b"k") == two.digest(b"k")
    assert one.digest(b"k") != one.digest(b"other")


@pytest.mark.parametrize(
    ("part", "kept"),
    [
        (Slice(first=date(2026, 5, 2)), {"r1", "r2", "r3"}),
        (Slice(last=date(2026, 5, 1)), {"r0"}),
        (Slice(first=date(2026, 5, 2), last=date(2026, 5, 2)), {"r1"}),
        (Slice(accounts=("a0", "absent")), {"r0", "r3"}),
        (Slice(models=("m1",)), {"r1", "r3"}),
        (make_slice(matching="LIST  of 77 names"), {"r0", "r1", "r3"}),  # numbers and case make no difference
        (make_slice(matching="names", accounts=["a1"], first=date(2026, 5, 1)), {"r1"}),
    ],
)
def test_ingest_reads_the_slice_and_nothing_else(tmp_path: Path, part: Slice, kept: set[str]) -> None:
    rows = [row(at, f"2026-05-0{at + 1}") for at in range(4)]
    rows[2]["prompt"] = "Translate this."
    log = write(tmp_path / "log", rows)
    result = ingest([str(log)], CONFIG, store=Store(tmp_path / "store"), progress=NoProgress(), part=part)
    assert ids(result.folder) == kept
    assert result.counts["kept"] == result.counts["read"] == len(kept)
    assert result.counts.get("outside", 0) == len(rows) - len(kept)


def test_a_slice_by_the_digests_of_segments_keeps_who_says_one_of_them(tmp_path: Path) -> None:
    rows = [row(at, "2026-05-01") for at in range(4)]
    rows[1]["prompt"] = "Hello.  sort THE list of 12 names. Thanks"  # one of its segments
    rows[2]["prompt"] = "Sort the list of names."  # another segment
    rows[3]["prompt"] = "Hi"
    rows[3]["messages"] = [{"role": "system", "content": "Thanks"}, {"role": "user", "content": "Hi"}]
    log = write(tmp_path / "log", rows)
    store = Store(tmp_path / "store")
    whole = ingest([str(log)], CONFIG, store=store, progress=NoProgress())
    segments = pq.read_table(whole.folder / "segments.parquet").to_pylist()
    digests = {segment["text"]: segment["digest"].hex() for segment in segments}
    kept = {"sort the list of 0 names.": {"r0", "r1"}, "thanks": {"r1", "r3"}}
    for text, wanted in kept.items():
        found = ingest([str(log)], CONFIG, store=store, progress=NoProgress(), part=Slice(near=(digests[text],)))
        assert ids(found.folder) == wanted
    both = Slice(near=tuple(sorted(digests[text] for text in kept)), accounts=("a1",))
    assert ids(ingest([str(log)], CONFIG, store=store, progress=NoProgress(), part=both).folder) == {"r1"}
    with pytest.raises(InputError, match="none of the 4 records"):
        ingest([str(log)], CONFIG, store=store, progress=NoProgress(), part=Slice(near=("00" * 16,)))


def test_a_slice_without_segments_is_written_as_before_there_were_any() -> None:
    part = Slice(models=("m",))
    assert "near" not in json.loads(part.to_json())
    near = Slice(models=("m",), near=("00" * 16,))
    assert Slice.from_json(near.to_json()) == near
    assert near.digest(b"k") != part.digest(b"k")
    with pytest.raises(ValueError, match="digests of segments"):
        Sieve(near)


def test_a_slice_of_everything_leaves_the_files_of_the_whole_log(tmp_path: Path) -> None:
    log = write(tmp_path / "log", [row(at, "2026-05-01") for at in range(5)])
    store = Store(tmp_path / "store")
    whole = ingest([str(log)], CONFIG, store=store, progress=NoProgress())
    part = ingest([str(log)], CONFIG, store=store, progress=NoProgress(), part=Slice(first=date(2026, 1, 1)))
    assert part.manifest.address != whole.manifest.address
    assert part.manifest.content == whole.manifest.content
    again = ingest([str(log)], CONFIG, store=store, progress=NoProgress(), part=Slice(first=date(2026, 1, 1)))
    assert not again.computed


def test_folders_of_other_days_are_not_opened(tmp_path: Path) -> None:
    for day in ("2026-05-01", "2026-05-02"):
        write(tmp_path / "log" / f"day={day}", [row(0, day, request_id=day)])
    (tmp_path / "log/day=2026-05-03").mkdir()
    (tmp_path / "log/day=2026-05-03/log.jsonl").write_text("half a rec")  # today's is still being written
    (tmp_path / "log/undated.jsonl").write_text(json.dumps(row(1, "2026-05-02")) + "\n")
    store = Store(tmp_path / "store")
    part = night(date(2026, 5, 2), 1)
    result = ingest([str(tmp_path / "log")], CONFIG, store=store, progress=NoProgress(), part=part)
    assert ids(result.folder) == {"2026-05-02", "r1"}
    chosen = choose_files(discover([str(tmp_path / "log")]), part)
    assert [log.name for log in chosen] == ["day=2026-05-02/log.jsonl", "undated.jsonl"]


def test_a_slice_that_leaves_nothing_is_an_error_that_names_no_account(tmp_path: Path) -> None:
    log = write(tmp_path / "log" / "day=2026-05-01", [row(0, "2026-05-01")])
    store = Store(tmp_path / "store")
    with pytest.raises(InputError) as caught:
        ingest([str(log)], CONFIG, store=store, progress=NoProgress(), part=Slice(accounts=("quokka",)))
    assert "quokka" not in caught.value.message + caught.value.hint
    with pytest.raises(InputError, match="2026-06-01"):
        ingest([str(log.parent)], CONFIG, store=store, progress=NoProgress(), part=Slice(first=date(2026, 6, 1)))


@given(st.dates(date(2000, 1, 1), date(2100, 1, 1)), st.integers(1, 400))
def test_a_night_is_that_many_days_and_the_last_is_its_day(day: date, days: int) -> None:
    part = night(day, days)
    assert part.last == day
    assert part.first is not None
    assert (day - part.first).days + 1 == days
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    over = day - timedelta(days=1)
    assert last_day_over(midnight) == over == last_day_over(midnight + timedelta(hours=23, minutes=59))
    assert last_day_over(midnight, "UTC", 2.0) == over - timedelta(days=1)
    assert last_day_over(midnight + timedelta(hours=2), "UTC", 2.0) == over
    micros = int(midnight.timestamp()) * 10**6
    last = micros + 86_400 * 10**6 - 1
    sieve = Sieve(part)
    assert sieve.keeps("a", micros, None, ())
    assert sieve.keeps("a", last, None, ())
    assert not sieve.keeps("a", last + 1, None, ())


def test_days_of_a_zone_begin_at_its_midnight_and_have_as_many_hours_as_its_clock_says() -> None:
    day = date(2026, 3, 29)  # Berlin leaves out an hour
    part = night(day, 1, "Europe/Berlin")
    hour = 3600 * 10**6
    first, after = moments_of(part) or (0, 0)
    assert datetime.fromtimestamp(first / 10**6, UTC) == datetime(2026, 3, 28, 23, tzinfo=UTC)
    assert after - first == 23 * hour
    assert day_starts(day, day, "Europe/Berlin") == [first, after]
    assert last_day_over(datetime(2026, 3, 29, 22, tzinfo=UTC), "Europe/Berlin") == day
    assert last_day_over(datetime(2026, 3, 29, 21, 59, tzinfo=UTC), "Europe/Berlin") == day - timedelta(days=1)


def test_a_zone_enters_the_identity_of_a_slice_where_it_says_something_and_only_there() -> None:
    key, day = bytes(32), date(2026, 3, 29)
    assert night(day, 2, "Asia/Tokyo").digest(key) != night(day, 2).digest(key)
    assert Slice.from_json(night(day, 2, "Asia/Tokyo").to_json()) == night(day, 2, "Asia/Tokyo")
    assert "zone" not in night(day, 2).to_json()
    assert Slice(accounts=("a",), zone="Asia/Tokyo") == Slice(accounts=("a",))
    with pytest.raises(ValueError, match="slice"):
        Slice.from_json(night(day, 2, "Asia/Tokyo").to_json().replace("Tokyo", "Nowhere"))
    with pytest.raises(InputError, match="zone"):
        night(day, 2, "Asia/Tokyo").within(day, day)


def test_a_night_of_another_zone_reads_the_folders_beside_its_own(tmp_path: Path) -> None:
    """Tokyo's day begins at 15:00 UTC of the day before; folders are named by UTC day here."""
    for name in ("2026-05-01", "2026-05-02", "2026-05-03"):
        rows = [row(at, name, request_id=f"{name} {at:02d}", timestamp=f"{name}T{at:02d}:30:00Z") for at in range(24)]
        write(tmp_path / "log" / f"day={name}", rows)
    done = ingest(
        [str(tmp_path / "log")],
        CONFIG,
        store=Store(tmp_path / "store"),
        progress=NoProgress(),
        part=night(date(2026, 5, 2), 1, "Asia/Tokyo"),
    )
    before = {f"2026-05-01 {hour:02d}" for hour in range(15, 24)}
    assert ids(done.folder) == before | {f"2026-05-02 {hour:02d}" for hour in range(15)}


def test_days_of_a_form_narrow_a_slice_and_never_widen_it() -> None:
    part = Slice(first=date(2026, 5, 2), last=date(2026, 5, 8), accounts=("a",))
    assert part.within(None, None) == part
    assert part.within(date(2026, 5, 1), date(2026, 5, 4)) == Slice(date(2026, 5, 2), date(2026, 5, 4), ("a",))
    with pytest.raises(InputError):
        part.within(date(2026, 6, 1), None)


def test_a_saved_slice_is_its_owners_alone_and_is_found_again(tmp_path: Path) -> None:
    part = make_slice(accounts=["b", "a"], matching="Grade A")
    path = save_slice(tmp_path, "suspects", part)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert load_slice(tmp_path, "suspects") == part
    save_slice(tmp_path, "suspects", Slice(models=("m",)))
    assert load_slice(tmp_path, "suspects") == Slice(models=("m",))
    assert list_slices(tmp_path) == ["suspects"]
    assert [found.name for found in path.parent.iterdir()] == ["suspects.json"]
    with pytest.raises(InputError) as caught:
        load_slice(tmp_path, "absent")
    assert "suspects" in caught.value.hint


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".x", "-x", "a b", "x" * 65, "a\n"])
def test_names_that_could_be_a_path_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError):
        save_slice(tmp_path, name, Slice(models=("m",)))
    with pytest.raises(InputError):
        load_slice(tmp_path, name)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 2}', '{"version": 1, "accounts": ["quokka"]}', "\x00"])
def test_a_damaged_slice_is_refused_and_not_quoted(tmp_path: Path, text: str) -> None:
    path = save_slice(tmp_path, "x", Slice(models=("m",)))
    path.write_text(text)
    with pytest.raises(StoreError) as caught:
        load_slice(tmp_path, "x")
    assert "quokka" not in caught.value.message


def call(*arguments: object, code: int = 0, stdin: str | None = None) -> str:
    """What `refrain` prints to these arguments."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)
    assert result.exit_code == code, result.output
    return result.output


def test_the_command_saves_what_the_job_then_reads(tmp_path: Path) -> None:
    log = write(tmp_path / "log", [row(at, "2026-05-01") for at in range(6)])
    (tmp_path / "ids.txt").write_text("a1\n\n a2 \na1\n")
    where = ("--outputs", tmp_path / "out")
    save = ("slice", "save", "suspects", *where)
    printed = call(
        *save, "--accounts", tmp_path / "ids.txt", "--from", "2026-05-01", "--matching", "-", stdin="the LIST\n"
    )
    assert "a1" not in printed.split("suspects.json")[-1]
    assert load_slice(tmp_path / "out", "suspects") == make_slice(
        first=date(2026, 5, 1), accounts=["a1", "a2"], matching="the list"
    )
    told = json.loads(call("ingest", log, *where, "--slice", "suspects", "--run-id", "s", "--json"))
    assert ids(Path(told["stages"][0]["folder"])) == {"r1", "r2", "r4", "r5"}
    assert call("ingest", log, *where, "--slice", "absent", code=2)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--from", "May"],
        ["--from", "2026-05-02", "--to", "2026-05-01"],
        ["--matching", " "],
        ["--accounts", "{tmp}/no"],
    ],
    ids=" ".join,
)
def test_a_slice_that_says_nothing_or_nonsense_is_code_2(tmp_path: Path, arguments: list[str]) -> None:
    call("slice", "save", "x", "--outputs", tmp_path, *(text.format(tmp=tmp_path) for text in arguments), code=2)
    assert list_slices(tmp_path) == []
