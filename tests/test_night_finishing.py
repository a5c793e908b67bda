"""What follows from a published night is done once more where it was left undone, and not where it was done."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from night_arena import DAYS, LAST, NEXT_NIGHT, NightArena, config_of, published, rows_of
from typer.testing import CliRunner
from webhooks import Hook, hook

from refrain.cli import app
from refrain.config import Config
from refrain.ledger import open_ledger
from refrain.ledger.rows import KINDS
from refrain.lineage_table import DONE, FOLDER, read_done
from refrain.locks import writer_lock
from refrain.night_plan import Plan, plan_night
from refrain.nights import plan_nights, run_name
from refrain.runs import REPORT, store_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

AFTER = LAST + timedelta(days=1)
RUN = Path("runs") / run_name(LAST)


@pytest.fixture(scope="module")
def whole(night_arena: NightArena, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Outputs of three published nights, which nobody was told of."""
    given = night_arena.situations[NEXT_NIGHT]
    outputs = given.copy(tmp_path_factory.mktemp("finishing") / "outputs")
    night_arena.night(given.log, outputs, LAST)
    return outputs


@pytest.fixture
def outputs(whole: Path, tmp_path: Path) -> Path:
    """A copy of them."""
    shutil.copytree(whole, tmp_path / "outputs", symlinks=True)
    return tmp_path / "outputs"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A webhook that does not answer is tried once."""
    monkeypatch.setattr("refrain.alerts._PAUSES", (0.0,))


def plan(outputs: Path, config: Config, day: Any = AFTER) -> Plan:
    """What would be run for the night of a day, after what was left undone was done."""
    return plan_nights(outputs, config, lambda nights, torn: plan_night(nights, day, catch_up=7, torn=torn))


def told(found: Hook) -> list[str]:
    """The days of the nights that a webhook heard of."""
    return [one["day"] for one in found.heard if one["event"] == "night"]


def test_a_night_that_is_done_is_not_done_again(outputs: Path) -> None:
    before = published(outputs)
    times = {path: path.stat().st_mtime_ns for path in (outputs / RUN / FOLDER).iterdir()}
    with hook(200) as found:
        assert plan(outputs, config_of(f"alerts.webhook={found.url}")) == Plan((AFTER,))
    assert found.heard == []
    assert published(outputs) == before
    assert {path: path.stat().st_mtime_ns for path in (outputs / RUN / FOLDER).iterdir()} == times


def test_a_night_that_died_after_its_map_is_reported_and_told(outputs: Path) -> None:
    """As when the last night is run again: the pointer shows there already, and the map was all that was written."""
    whole = published(outputs)
    (outputs / RUN / FOLDER / DONE).unlink()
    (outputs / RUN / REPORT).write_text("of before")
    with hook(200) as found:
        config = config_of(f"alerts.webhook={found.url}")
        assert plan(outputs, config) == Plan((AFTER,))
        assert plan(outputs, config) == Plan((AFTER,))
    assert told(found) == [str(LAST)]
    assert published(outputs) == whole


def test_a_night_that_the_ledger_has_otherwise_than_the_map_is_done_again(outputs: Path) -> None:
    """The same exports under another row: the night was run again with other counts, and died in the ledger."""
    whole = published(outputs)
    with open_ledger(outputs, config_of().ledger) as ledger:
        row = ledger.nights()[-1]
        counts = {**row.counts, "merged": row.counts["merged"] + 1}
        known = [one for kind in KINDS for one in ledger.identities(kind)]
        sightings, events = ledger.sightings(day=LAST), ledger.events(day=LAST)
        ledger.record_night(replace(row, counts=counts), known, sightings, events)
    with hook(200) as found:
        plan(outputs, config_of(f"alerts.webhook={found.url}"))
    assert told(found) == [str(LAST)]
    assert found.heard[0]["counts"]["merged"] == counts["merged"]
    after = published(outputs)
    assert after[DONE] != whole[DONE]
    assert {name: after[name] for name in after if name != DONE} == {
        name: whole[name] for name in whole if name != DONE
    }


def test_a_webhook_that_did_not_answer_hears_of_the_night_with_the_next_one(outputs: Path) -> None:
    (outputs / RUN / FOLDER / DONE).unlink()
    with hook(500, 500, 200) as found:
        config = config_of(f"alerts.webhook={found.url}")
        plan(outputs, config)
        done = read_done(outputs / RUN)
        assert done is not None
        assert not done[1]
        plan(outputs, config)  # it still does not answer, and the plan goes on
        assert told(found) == []
        plan(outputs, config)
        assert told(found) == [str(LAST)]
        assert read_done(outputs / RUN) == (done[0], True)
        plan(outputs, config)
    assert told(found) == [str(LAST)]


def test_several_untold_nights_are_told_in_order_until_the_webhook_takes_none(outputs: Path) -> None:
    for day in DAYS[1:]:
        path = outputs / "runs" / run_name(day) / FOLDER / DONE
        path.write_text(json.dumps({**json.loads(path.read_text()), "told": False}))
    with hook(200, 500, 200) as found:
        config = config_of(f"alerts.webhook={found.url}")
        plan(outputs, config)
        assert found.tries == 2
        plan(outputs, config)
    heard = told(found)
    assert heard[0] == str(DAYS[1])
    assert heard == sorted(set(heard))  # each once
    assert heard[-1] == str(LAST)


def test_a_night_without_news_is_told_to_nobody_and_is_done(outputs: Path) -> None:
    with open_ledger(outputs, config_of().ledger) as ledger:
        new = [row.identity for row in ledger.sightings(day=LAST) if row.alert]
        for identity in new:
            ledger.decide(identity, "dismissed", by="lea", when=ledger.nights()[-1].recorded, why="a course")
    (outputs / RUN / FOLDER / DONE).unlink()
    with hook(500) as found:
        plan(outputs, config_of(f"alerts.webhook={found.url}", "alerts.noise_change=1.0", "alerts.volume_factor=1e9"))
    assert found.tries == 0
    done = read_done(outputs / RUN)
    assert done is not None
    assert done[1]


HOLD = (
    "import sys\nfrom pathlib import Path\nfrom refrain.locks import writer_lock\n"
    "with writer_lock(Path(sys.argv[1])):\n    print('held', flush=True)\n    sys.stdin.read()\n"
)


@contextmanager
def holder(outputs: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that writes to the outputs until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(store_of(outputs).root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def nightly(log: Path, outputs: Path, *arguments: str) -> Any:
    """What `refrain nightly` says, which finds nothing to run: there is no such log."""
    sets = [part for setting in ("nights.days=2",) for part in ("--set", setting)]
    return CliRunner().invoke(
        app, ["nightly", str(log), "--day", str(LAST), "--outputs", str(outputs), *sets, *arguments]
    )


def test_a_second_night_is_told_who_writes_or_waits_for_it_and_a_dead_holder_holds_nothing(
    outputs: Path, tmp_path: Path
) -> None:
    before = rows_of(outputs, config_of())
    absent = tmp_path / "absent"
    with holder(outputs) as process:
        refused = nightly(absent, outputs)
        assert refused.exit_code == 1
        assert f"process {process.pid} is writing to" in " ".join(refused.stderr.split())
        waited = nightly(absent, outputs, "--wait", "0.1")
        assert f"waiting: process {process.pid} is writing to" in " ".join(waited.stderr.split())
        assert waited.exit_code == 1
        process.send_signal(signal.SIGKILL)
        process.wait()
        with writer_lock(store_of(outputs).root) as first:
            assert first
    gone_on = nightly(absent, outputs, "--wait", "60")
    assert gone_on.exit_code == 2  # it came to the log, which is not there
    assert "absent" in gone_on.stderr
    assert "waiting" not in gone_on.stderr
    assert rows_of(outputs, config_of()) == before
