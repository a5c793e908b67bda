"""Nights over a simulated log: ids that hold, late rows, missed nights, and nothing half published."""

import json
import shutil
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from refrain.artifacts import MANIFEST, read_manifest
from refrain.cli import app
from refrain.config import Config
from refrain.errors import InputError, LedgerError, NoRequestsError
from refrain.ledger import Ledger, open_ledger
from refrain.ledger.rows import KINDS
from refrain.lineage_table import FILE, FOLDER, STORIES, read_names, stable_ids
from refrain.night_lookup import matching_ids
from refrain.night_plan import Plan, plan_night
from refrain.night_publishing import new_campaigns, publish_night
from refrain.nights import choose_day, plan_nights, run_nights
from refrain.progress import NoProgress
from refrain.runs import LATEST_NIGHT, REPORT, open_run, run_all
from refrain.settings import load_settings
from refrain.simulate import write_sample
from refrain.slices import night
from refrain.stories import list_stories, story

pytestmark = pytest.mark.slow

DAYS = [date(2026, 5, 11) + timedelta(days=at) for at in range(4)]
WINDOW = 2
# A small sample of the log is read by the transformer, which takes most of a small run's time.
SETTINGS = [f"nights.days={WINDOW}", "embed.probe_sample=60"]
CONFIG = load_settings(overrides=SETTINGS).config
LATE = 5  # rows of the second day that come after its night


def call(*arguments: object, code: int = 0) -> Result:
    """What `refrain` says to these arguments; its exit code must be `code`."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


def sets() -> list[str]:
    """SETTINGS as arguments."""
    return [part for setting in SETTINGS for part in ("--set", setting)]


def nightly(log: Path, outputs: Path, *arguments: object, code: int = 0) -> dict[str, Any]:
    """What `refrain nightly --json` says, an error as well."""
    done = call("nightly", log, *sets(), "--outputs", outputs, "--json", *arguments, code=code)
    told: dict[str, Any] = json.loads(done.stderr if code else done.stdout)
    return told


@contextmanager
def _ledger(outputs: Path) -> Any:
    with open_ledger(outputs, CONFIG.ledger, create=False) as ledger:
        yield ledger


@dataclass(frozen=True)
class Nights:
    """Three nights: that of the second day, then those of the third and fourth in one go after late rows had come.
    Tests read them and leave them as they are."""

    log: Path
    outputs: Path
    first: dict[str, Any]
    rest: dict[str, Any]

    def copy(self, tmp_path: Path) -> Path:
        """The outputs, for a test that changes them."""
        shutil.copytree(self.outputs, tmp_path / "outputs", symlinks=True)
        return tmp_path / "outputs"


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Nights:
    """The nights of a small sample, with the real encoder."""
    root = tmp_path_factory.mktemp("nights")
    write_sample(root / "sample", seed=7, requests=6000, days=len(DAYS))
    log, outputs = root / "sample" / "requests", root / "outputs"
    place = log / f"day={DAYS[1]}"
    rows = pq.ParquetFile(place / "part-0.parquet").read()
    pq.write_table(rows.slice(0, len(rows) - LATE), place / "part-0.parquet")
    first = nightly(log, outputs, "--day", DAYS[1])
    pq.write_table(rows.slice(len(rows) - LATE), place / "part-1.parquet")
    rest = nightly(log, outputs, "--day", DAYS[3])
    return Nights(log, outputs, first, rest)


def test_a_missed_night_is_caught_up_in_order(nights: Nights) -> None:
    assert [one["day"] for one in nights.first["nights"]] == [str(DAYS[1])]
    assert [one["day"] for one in nights.rest["nights"]] == [str(DAYS[2]), str(DAYS[3])]
    with _ledger(nights.outputs) as ledger:
        assert [row.day for row in ledger.nights()] == DAYS[1:]
        assert all(row.first_day == row.day - timedelta(days=WINDOW - 1) for row in ledger.nights())


def test_late_rows_revise_the_next_night_and_are_told(nights: Nights) -> None:
    first, after = nights.first["nights"][0]["counts"], nights.rest["nights"][0]["counts"]
    assert (first["late_rows"], after["late_rows"], after["late_days"]) == (0, LATE, 1)
    assert after[f"requests {DAYS[1]}"] == first[f"requests {DAYS[1]}"] + LATE
    assert nights.rest["nights"][1]["counts"]["late_rows"] == 0


def test_campaigns_keep_their_ids_over_the_nights(nights: Nights) -> None:
    """A large campaign of two nights shares requests; its id must be one."""
    found: list[dict[str, set[str]]] = []
    for day in DAYS[1:]:
        run = open_run(nights.outputs, f"nightly-{day}").folder
        ids = stable_ids(run)
        campaigns = pq.read_table(run / "exports/campaigns.parquet")["campaign_id"].to_pylist()
        assert set(ids) <= set(campaigns)
        assert len(set(ids.values())) == len(ids)
        labels = pq.read_table(run / "exports/labels.parquet", columns=["request_id", "campaign_id"]).to_pylist()
        requests: dict[str, set[str]] = {}
        for label in labels:
            if label["campaign_id"] in ids:
                requests.setdefault(ids[label["campaign_id"]], set()).add(label["request_id"])
        found.append(requests)
    same = 0
    for before, after in pairwise(found):
        for identity, sent in after.items():
            earlier = {other: len(sent & own) for other, own in before.items() if sent & own}
            most = max(earlier, key=lambda other: (earlier[other], other), default=None)
            if most is not None and earlier[most] > 0.5 * len(before[most]):
                assert identity == most
                same += 1
    assert same >= 2


def test_an_incremental_night_is_a_fresh_one_byte_for_byte(nights: Nights, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir(parents=True)
    shutil.copy2(nights.outputs / "store/key", tmp_path / "store/key")
    fresh = run_all(
        [str(nights.log)],
        CONFIG,
        tmp_path,
        run_id=f"nightly-{DAYS[3]}",
        part=night(DAYS[3], WINDOW),
        progress=NoProgress(),
    )
    exports = open_run(nights.outputs, f"nightly-{DAYS[3]}").result("exports")
    names = sorted(path.name for path in exports.iterdir())
    assert names == sorted(path.name for path in fresh.result("exports").iterdir())
    for name in names:
        assert (exports / name).read_bytes() == (fresh.result("exports") / name).read_bytes()


def test_the_map_is_in_the_run_and_in_the_report(nights: Nights) -> None:
    run = open_run(nights.outputs, LATEST_NIGHT)
    assert run.name == f"nightly-{DAYS[3]}"
    names = read_names(run.folder)
    assert names
    page = (run.folder / REPORT).read_text()
    shown = json.loads(call("show", run.name, "--outputs", nights.outputs, "--json").stdout)
    for number, row in enumerate(shown):
        assert row["identity"] == names.get(number, {"identity": None})["identity"]
        if row["identity"]:
            assert row["identity"] in page
    stories = [json.loads(line) for line in (run.folder / FOLDER / STORIES).read_text().splitlines()]
    assert {told["id"] for told in stories} == {row["identity"] for row in names.values()}


def test_a_map_of_other_exports_names_nothing(nights: Nights, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(nights.outputs / "runs" / f"nightly-{DAYS[3]}", run)
    assert stable_ids(run)
    shutil.rmtree(run / "exports")
    shutil.copytree(nights.outputs / "runs" / f"nightly-{DAYS[2]}" / "exports", run / "exports")
    assert not stable_ids(run)


def test_a_run_that_is_no_night_is_named_by_what_the_nights_know(nights: Nights, tmp_path: Path) -> None:
    outputs = nights.copy(tmp_path)
    window = night(DAYS[3], WINDOW)
    run = run_all([str(nights.log)], CONFIG, outputs, run_id="plain", part=window, progress=NoProgress())
    assert not stable_ids(run.folder)
    with _ledger(outputs) as ledger:
        before = rows_of(ledger)
    found = matching_ids(run, CONFIG)
    assert found == stable_ids(outputs / "runs" / f"nightly-{DAYS[3]}")
    with _ledger(outputs) as ledger:
        assert rows_of(ledger) == before
    (outputs / "ledger.sqlite").unlink()
    assert matching_ids(run, CONFIG) == {}


def test_lineage_tells_a_campaign_by_its_id_its_beginning_or_its_number(nights: Nights) -> None:
    listed = json.loads(call("lineage", "--outputs", nights.outputs, "--json").stdout)["campaigns"]
    held = next(row for row in listed if row["nights"] == len(DAYS) - 1)
    number = next(
        number
        for number, identity in stable_ids(open_run(nights.outputs, LATEST_NIGHT).folder).items()
        if identity == held["id"]
    )
    told = json.loads(call("lineage", held["id"], "--outputs", nights.outputs, "--json").stdout)
    assert told == json.loads(call("lineage", number, "--outputs", nights.outputs, "--json").stdout)
    assert [row["day"] for row in told["nights"]] == [str(day) for day in DAYS[1:]]
    assert "born" in {event["event"] for event in told["nights"][0]["events"]}
    said = call("lineage", held["id"], "--outputs", nights.outputs).stdout
    assert held["id"] in said
    assert f"{DAYS[1]}  born" in said
    assert held["id"] in call("lineage", "--outputs", nights.outputs).stdout
    call("lineage", "c-000000000000", "--outputs", nights.outputs, code=2)


def test_no_account_and_no_prompt_is_in_the_ledger(nights: Nights) -> None:
    run = open_run(nights.outputs, LATEST_NIGHT).folder
    raw = b"".join(path.read_bytes() for path in nights.outputs.glob("ledger.sqlite*"))
    assert raw
    accounts = pq.read_table(run / "exports/accounts.parquet")["account_id"].to_pylist()
    skeletons = pq.read_table(run / "exports/templates.parquet")["skeleton"].to_pylist()
    words = [text.split("{slot}")[0].strip()[:40] for text in skeletons]
    for secret in [*accounts, *(text for text in words if len(text) > 20)]:
        assert secret.encode() not in raw


def rows_of(ledger: Ledger) -> tuple[Any, ...]:
    """All that a ledger holds, but for when it was written."""
    recorded = datetime(2026, 1, 1, tzinfo=UTC)
    return (
        [replace(row, recorded=recorded) for row in ledger.nights()],
        [ledger.identities(kind) for kind in KINDS],
        ledger.sightings(),
        ledger.events(),
    )


def test_the_last_night_again_changes_nothing_where_the_log_is_the_same(nights: Nights, tmp_path: Path) -> None:
    outputs = nights.copy(tmp_path)
    lineage = outputs / "runs" / f"nightly-{DAYS[3]}" / FOLDER / FILE
    with _ledger(outputs) as ledger:
        before, map_before = rows_of(ledger), lineage.read_bytes()
    assert len(nightly(nights.log, outputs, "--day", DAYS[3])["nights"]) == 1
    with _ledger(outputs) as ledger:
        assert rows_of(ledger) == before
    assert lineage.read_bytes() == map_before


def test_an_earlier_night_is_refused_unless_all_from_there_on_is_run_anew(nights: Nights, tmp_path: Path) -> None:
    outputs = nights.copy(tmp_path)
    told = nightly(nights.log, outputs, "--day", DAYS[2], code=2)["error"]
    assert str(DAYS[3]) in told["message"]
    assert "--again" in told["hint"]
    with _ledger(outputs) as ledger:
        before = rows_of(ledger)
    done = nightly(nights.log, outputs, "--day", DAYS[2], "--again")
    assert [one["day"] for one in done["nights"]] == [str(day) for day in DAYS[2:]]
    with _ledger(outputs) as ledger:
        assert rows_of(ledger) == before  # the same log, so the same nights


def test_a_slightly_changed_log_run_again_keeps_ids_and_decisions(nights: Nights, tmp_path: Path) -> None:
    outputs, log = nights.copy(tmp_path), tmp_path / "log"
    shutil.copytree(nights.log, log)
    with _ledger(outputs) as ledger:
        born = [row for row in ledger.identities("campaign") if row.born == DAYS[1]]
        held = {row.identity for row in ledger.sightings(day=DAYS[3], kind="campaign")} & {row.id for row in born}
        assert held
        for identity in sorted(held):
            ledger.decide(identity, "watching", by="lea", when=datetime(2026, 6, 1, tzinfo=UTC), why="so")
    # The last rows of each day are gone, so no campaign of the first night has the requests that it was born with.
    for path in sorted(log.glob("day=*/part-0.parquet")):
        rows = pq.ParquetFile(path).read()
        pq.write_table(rows.slice(0, len(rows) - len(rows) // 50), path)
    nightly(log, outputs, "--day", DAYS[1], "--again")
    with _ledger(outputs) as ledger:
        now = {row.identity for row in ledger.sightings(kind="campaign")}
        kept = held & now
        assert len(kept) >= 0.8 * len(held)
        gone = {name for name, retired in ledger.aside().items() if retired and name.startswith("c-")}
        assert held - now <= gone
        assert not gone & now
        assert {row.identity for row in ledger.decisions()} == held
    told = json.loads(call("decisions", "--outputs", outputs, "--json").stdout)["decisions"]
    assert {row["identity"] for row in told if row["gone"] == "retired"} == held - now


def test_a_backfill_runs_what_is_not_there(nights: Nights, tmp_path: Path) -> None:
    outputs = nights.copy(tmp_path)
    arguments = ("backfill", nights.log, DAYS[1], DAYS[3], *sets(), "--outputs", outputs)
    assert f"published already, not run again: {DAYS[1]} to {DAYS[3]}" in call(*arguments).stdout
    told = json.loads(call(*arguments, "--json").stdout)
    assert told["nights"] == []
    call("backfill", nights.log, DAYS[0], DAYS[3], *sets(), "--outputs", outputs, code=2)
    call("backfill", nights.log, DAYS[3], DAYS[0], "--outputs", outputs, code=2)


def plan_of(outputs: Path, day: date = DAYS[3]) -> Plan:
    """What would be run for the night of `day`."""
    return plan_nights(outputs, CONFIG, lambda nights, torn: plan_night(nights, day, catch_up=7, torn=torn))


def test_what_a_dead_night_left_undone_is_done_by_the_next(nights: Nights, tmp_path: Path) -> None:
    """It died after the ledger took it: without its map, with the old report and pointer."""
    outputs = nights.copy(tmp_path)
    run = outputs / "runs" / f"nightly-{DAYS[3]}"
    whole = {name: (run / name).read_bytes() for name in (f"{FOLDER}/{FILE}", f"{FOLDER}/{STORIES}", REPORT)}
    shutil.rmtree(run / FOLDER)
    (run / REPORT).write_text("old")
    (outputs / "runs" / LATEST_NIGHT).unlink()
    (outputs / "runs" / LATEST_NIGHT).symlink_to(f"nightly-{DAYS[2]}")
    assert plan_of(outputs) == Plan((DAYS[3],))
    assert {name: (run / name).read_bytes() for name in whole} == whole
    assert open_run(outputs, LATEST_NIGHT).name == run.name


def test_a_night_that_died_before_it_was_published_is_run_again_before_the_next(nights: Nights, tmp_path: Path) -> None:
    outputs = nights.copy(tmp_path)
    with _ledger(outputs) as ledger:
        last = ledger.last_night()
        kinds = ("campaign", "template", "cluster")
        known = [row for kind in kinds for row in ledger.identities(kind)]
        ledger.record_night(
            replace(last, content="0" * 32),
            [row for row in known if row.last_seen == last.day],
            ledger.sightings(day=last.day),
            ledger.events(day=last.day),
        )
    assert plan_of(outputs, DAYS[3] + timedelta(days=1)).days == (DAYS[3], DAYS[3] + timedelta(days=1))


def test_a_night_begun_again_and_left_half_way_is_run_again_before_the_next(nights: Nights, tmp_path: Path) -> None:
    outputs, after = nights.copy(tmp_path), DAYS[3] + timedelta(days=1)
    run = outputs / "runs" / f"nightly-{DAYS[3]}"
    manifest = json.loads((run / MANIFEST).read_text())
    del manifest["stages"]["exports"]
    (run / MANIFEST).unlink()
    (run / MANIFEST).write_text(json.dumps(manifest))
    assert plan_of(outputs, after).days == (DAYS[3], after)
    (run / MANIFEST).write_text("torn")
    assert plan_of(outputs, after).days == (DAYS[3], after)
    shutil.rmtree(run)  # old runs may be removed
    assert plan_of(outputs, after).days == (after,)


def test_a_ledger_that_another_night_changed_meanwhile_takes_nothing(
    nights: Nights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = nights.copy(tmp_path)
    run = open_run(outputs, f"nightly-{DAYS[3]}")
    stale = Ledger.generation

    def generation(ledger: Ledger) -> int:
        return stale(ledger) - 1

    monkeypatch.setattr(Ledger, "generation", generation)
    with _ledger(outputs) as ledger:
        before = rows_of(ledger)
    with pytest.raises(LedgerError, match="another night"):
        publish_night(run, DAYS[3], CONFIG)
    with _ledger(outputs) as ledger:
        assert rows_of(ledger) == before


def test_a_failed_night_is_told_and_leaves_the_ledger_as_it_was(
    nights: Nights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = nights.copy(tmp_path)
    told: list[tuple[date | None, str]] = []

    def hear(config: object, day: date | None, error: BaseException) -> bool:
        told.append((day, type(error).__name__))
        return True

    monkeypatch.setattr("refrain.nights.tell_failure", hear)
    after = DAYS[3] + timedelta(days=3)

    def run(plan: Plan, log: Path = nights.log) -> None:
        run_nights([str(log)], CONFIG, outputs, lambda nights, torn: plan, progress=NoProgress())

    with _ledger(outputs) as ledger:
        before = rows_of(ledger)
    with pytest.raises(NoRequestsError):
        run(Plan((after,)))
    with pytest.raises(InputError, match="absent"):
        run(Plan((after,)), tmp_path / "absent")

    def refuse(nights: Sequence[date], torn: date | None) -> Plan:
        raise InputError("mistyped")

    with pytest.raises(InputError, match="mistyped"):
        run_nights([str(nights.log)], CONFIG, outputs, refuse, progress=NoProgress())
    assert told == [(after, "NoRequestsError"), (after, "InputError")]
    with _ledger(outputs) as ledger:
        assert rows_of(ledger) == before


def test_dismissed_campaigns_are_no_news(nights: Nights, tmp_path: Path) -> None:
    outputs = nights.copy(tmp_path)
    new = nights.first["nights"][0]["new_campaigns"]
    assert new
    with _ledger(outputs) as ledger:
        assert {row["id"] for row in list_stories(ledger) if row["alerts"]} >= set(new)
        ledger.decide(new[0], "dismissed", by="lea", when=datetime(2026, 6, 1, tzinfo=UTC), why="a course")
        assert story(ledger, new[0])["decisions"][0]["verdict"] == "dismissed"
        assert set(new_campaigns(ledger, DAYS[1], ledger.sightings(day=DAYS[1]))) == set(new[1:])
        later = new_campaigns(ledger, DAYS[3], ledger.sightings(day=DAYS[3]))
        assert not set(new) & set(later)  # what alerted before is no news


def test_the_default_day_is_the_last_that_is_over_for_the_watermark() -> None:
    def config(**values: Any) -> Config:
        return replace(CONFIG, nights=replace(CONFIG.nights, **values))

    now = datetime(2026, 5, 12, 1, 30, tzinfo=UTC)
    assert choose_day(None, config(watermark_hours=2.0), now) == date(2026, 5, 10)
    assert choose_day(None, config(watermark_hours=1.0), now) == date(2026, 5, 11)
    assert choose_day(None, config(watermark_hours=1.0, timezone="America/New_York"), now) == date(2026, 5, 10)
    assert choose_day(date(2026, 5, 3), config(), now) == date(2026, 5, 3)
    with pytest.raises(InputError, match="last day that is, is 2026-05-10"):
        choose_day(date(2026, 5, 12), config(watermark_hours=2.0), now)


def test_whoever_only_looks_makes_no_ledger(tmp_path: Path) -> None:
    told = call("lineage", "--outputs", tmp_path, "--json", code=1)
    assert "nightly" in json.loads(told.stderr)["error"]["hint"]
    assert not list(tmp_path.iterdir())


def test_the_content_of_a_night_is_that_of_its_exports(nights: Nights) -> None:
    with _ledger(nights.outputs) as ledger:
        for row in ledger.nights():
            manifest = read_manifest(open_run(nights.outputs, row.run_id).result("exports"))
            assert manifest is not None
            assert row.content == manifest.content


def test_evaluate_wants_a_run_or_the_nights(nights: Nights) -> None:
    truth = nights.log.parent / "truth.parquet"
    call("evaluate", truth, "--outputs", nights.outputs, code=2)
    call("evaluate", truth, "latest", "--nights", "--outputs", nights.outputs, code=2)
    told = call("evaluate", nights.log.parent, "--nights", "--outputs", nights.outputs, "--json", code=2)
    assert "nights.parquet" in json.loads(told.stderr)["error"]["message"]
