"""Five hundred damaged records over all formats: none raises, none is lost, the counts add up."""

import json
import random

import pytest
from mutated_logs import CONFIG, MUTATIONS, READING, check, fixtures, mutated, run

from refrain.dialects import BUILT_IN
from refrain.intake import Intake


def test_damaged_records_of_every_format_are_read_or_refused_and_counted() -> None:
    found = run(500, seed=1)
    assert list(found) == list(BUILT_IN)
    assert sum(outcome.mutations for outcome in found.values()) == 500
    for name, outcome in found.items():
        # The damage is real, and not all of it is: both must occur.
        assert outcome.refused.total() > 0 and outcome.requests > 0, name
        assert outcome.refused["unparsable record"] > 0, name


@pytest.mark.parametrize("kind", MUTATIONS)
def test_each_kind_of_damage_damages(kind: str) -> None:
    records = [record for own in fixtures().values() for record in own]
    dice = random.Random(7)
    lines = {mutated(records[0], records, dice) for _ in range(200)}
    assert kind in {name for name, _ in lines}


@pytest.mark.parametrize("name", BUILT_IN)
def test_records_as_they_are_pass(name: str) -> None:
    lines = [json.dumps(record) for record in fixtures()[name]]
    outcome = check(name, lines, Intake(CONFIG, READING.clock, bytes(32)))
    assert outcome.refused["unparsable record"] == 0
