"""The waterfall of a finding: from its tests to the families, what benign hypotheses take off, and what is left.

It is computed again from the tables of the score stage, so that a reader can follow every step to the p-value by which
the finding was decided.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from refrain.coordination.combine import cauchy_combination, partial_conjunction
from refrain.figures import counted
from refrain.thresholds import Decision

Row = dict[str, Any]


@dataclass(frozen=True)
class Evidence:
    """What one finding was decided on: p-values by test and the tests of each family, as the score stage ordered them,
    and the tests that each benign hypothesis explains, for those that hold and those that do not."""

    p_values: Mapping[str, float]
    families: Mapping[str, tuple[str, ...]]
    holding: Mapping[str, frozenset[str]]
    refused: Mapping[str, frozenset[str]]

    @property
    def explained(self) -> frozenset[str]:
        """The tests that a hypothesis that holds explains."""
        return frozenset().union(*self.holding.values())


@dataclass(frozen=True)
class Combined:
    """The p-value of each family that has a test left, and the partial conjunction of them all."""

    families: Mapping[str, float]
    p_value: float


def evidence_of(tests: Sequence[Row], hypotheses: Sequence[Row], decision: Decision) -> Evidence:
    """The evidence in a finding's rows of the tables of tests and of benign hypotheses."""
    made = [row for row in tests if row["p_value"] is not None and row["family"] in decision.families]
    families: dict[str, tuple[str, ...]] = {}
    for family in decision.families:
        keys = tuple(key_of(row) for row in made if row["family"] == family)
        if keys:
            families[family] = keys
    explains = {row["hypothesis"]: (row["holds"], frozenset(row["explains"])) for row in hypotheses}
    return Evidence(
        {key_of(row): row["p_value"] for row in made},
        families,
        {name: keys for name, (holds, keys) in explains.items() if holds},
        {name: keys for name, (holds, keys) in explains.items() if not holds},
    )


def key_of(row: Row) -> str:
    """Family and name of a test, as hypotheses name it."""
    return f"{row['family']}_{row['test']}"


def combine(evidence: Evidence, without: Collection[str], decision: Decision) -> Combined:
    """The evidence combined without some tests. A family of which no test is left stays in the count, as one that says
    nothing."""
    left = {
        family: [evidence.p_values[key] for key in keys if key not in without]
        for family, keys in evidence.families.items()
    }
    families = {family: cauchy_combination(values) for family, values in left.items() if values}
    said = [families.get(family, 1.0) for family in left]
    return Combined(families, partial_conjunction(said, decision.needed))


def waterfall(finding: Row, tests: Sequence[Row], hypotheses: Sequence[Row], decision: Decision) -> Row:
    """The steps in their order: each family's tests, its p-value of all of them and of the unexplained ones; the
    partial conjunction of both; the q-value against the rate."""
    evidence = evidence_of(tests, hypotheses, decision)
    everything = combine(evidence, (), decision)
    left = combine(evidence, evidence.explained, decision)
    by_family: dict[str, list[Row]] = {}
    for row in tests:
        by = [name for name, keys in evidence.holding.items() if key_of(row) in keys]
        shown = {name: row[name] for name in ("test", "observed", "expected", "p_value", "off", "text")}
        by_family.setdefault(row["family"], []).append({**shown, "explained_by": by})
    families = [
        {
            "family": family,
            "looked_at": family in decision.families,
            "tests": rows,
            "p_value": everything.families.get(family),
            "unexplained": left.families.get(family),
            "speaks": left.families.get(family, 1.0) <= decision.silent_p,
        }
        for family, rows in by_family.items()
    ]
    return {
        "families": families,
        "families_needed": decision.needed,
        "p_value_of_all": everything.p_value if evidence.families else None,
        "p_value": left.p_value if evidence.families else None,
        "alert_p": decision.alert_p,
        "q_value": finding["q_value"],
        "false_discovery_rate": decision.rate,
        "alert": finding["alert"],
    }


def steps(fall: Row) -> list[Row]:
    """The waterfall as lines for a person: what is combined, its p-value, and what it is of. Texts are as they came."""
    out: list[Row] = []
    for row in fall["families"]:
        made = [test for test in row["tests"] if test["p_value"] is not None]
        if not made or not row["looked_at"]:
            continue
        out.append({"step": row["family"], "p_value": row["p_value"], "text": f"{counted(len(made), 'test')} combined"})
        gone = [test for test in made if test["explained_by"]]
        if gone:
            names = sorted({name for test in gone for name in test["explained_by"]})
            tests = ", ".join(test["test"] for test in gone)
            left = f"without {tests}: {', '.join(names)}"
            out.append({"step": f"{row['family']}, unexplained", "p_value": row["unexplained"], "text": left})
    if fall["p_value"] is None:
        return out
    needed = f"at least {fall['families_needed']} families"
    if fall["p_value_of_all"] != fall["p_value"]:
        out.append({"step": needed, "p_value": fall["p_value_of_all"], "text": "benign explanations left aside"})
    limit = f"of what is unexplained; {fall['alert_p']:.2g} or less alerts"
    out.append({"step": needed, "p_value": fall["p_value"], "text": limit})
    rate = f"over all candidates; {fall['false_discovery_rate']:.2g} or less alerts"
    out.append({"step": "false discovery rate", "p_value": fall["q_value"], "text": rate})
    return out
