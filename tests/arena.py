"""A small log, three ways to run over it, and kills: what the tests and the benchmark of kills share."""

import random
import shutil
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

from aftermath import check_published, check_tidy, exports
from crashing import Done, Job, Nursery

from refrain.doctor import examine
from refrain.progress import NoProgress
from refrain.simulate import write_sample

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Scenario:
    """Outputs before the run that is killed, that run, how it ends undisturbed, and what it leaves then."""

    name: str
    before: Path | None
    job: Job
    whole: Done
    expected: dict[str, bytes]


class Arena:
    """A small log, three ways to run over it, and the nursery that runs."""

    def __init__(self, root: Path, nursery: Nursery) -> None:
        self.root, self.nursery = root, nursery
        write_sample(root / "sample", seed=3, requests=300, days=3)
        log = root / "sample" / "requests"
        last = max(date.fromisoformat(path.name.removeprefix("day=")) for path in log.iterdir())
        earlier = Job(log, root / "earlier", "night", last - DAY)
        # Outputs made once, and copied: the night before, under its own name and under the one that comes again.
        assert nursery.run(earlier).error == ""
        jobs = {
            "fresh": (None, Job(log, root / "whole-fresh", "fresh")),
            "next night": (earlier.outputs, Job(log, root / "whole-next", "next", last)),
            "same run anew": (earlier.outputs, Job(log, root / "whole-same", "night", last)),
        }
        self.scenarios = [self._scenario(name, before, job) for name, (before, job) in jobs.items()]

    def _scenario(self, name: str, before: Path | None, job: Job) -> Scenario:
        if before is not None:
            shutil.copytree(before, job.outputs, symlinks=True)
        whole = self.nursery.run(job)
        assert whole.error == ""
        check_published(job.outputs)
        check_tidy(job.outputs)
        return Scenario(name, before, job, whole, exports(job.outputs, job.run_id))

    def attempt(
        self, scenario: Scenario, number: int, dice: random.Random, *, by_time: bool, times: int = 1
    ) -> list[Done]:
        """How the kills went; after them the run was completed and compared with the undisturbed one."""
        outputs = self.root / f"attempt-{number}"
        if scenario.before is not None:
            shutil.copytree(scenario.before, outputs, symlinks=True)
        job = replace(scenario.job, outputs=outputs)
        deaths = []
        for _ in range(times):
            if by_time:
                death = replace(job, kill_after=dice.uniform(0, scenario.whole.seconds))
            else:
                death = replace(job, kill_at=dice.randint(1, scenario.whole.changes))
            deaths.append(self.nursery.run(death))
            check_published(outputs)
        done = self.nursery.run(job)
        assert (done.killed, done.error) == (0, ""), done
        check_published(outputs)
        check_tidy(outputs)
        assert not examine(outputs, repair=False, progress=NoProgress()).faults
        assert exports(outputs, job.run_id) == scenario.expected
        shutil.rmtree(outputs)
        return deaths
