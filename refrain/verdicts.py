"""What would change the verdict on a finding: every single thing that an analyst may learn, and where it would lead.

An alert is weighed with one test, family or hypothesis explained after the other; what does not alert, with its
hypotheses refuted and its quiet families speaking. Each is computed from the finding's own p-values, as it was decided.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from refrain.thresholds import Decision
from refrain.waterfall import Combined, Evidence, combine, evidence_of, key_of

Row = dict[str, Any]
# The columns of a log that a test cannot do without beside account and time.
NEEDED_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "identity_young": ("account_created_at",),
    "identity_client": ("user_agent",),
    "identity_card": ("payment_hash",),
    "identity_network": ("ip",),
    "identity_addresses": ("ip",),
    "identity_systems": ("asn",),
}
# What the accounts have in common where a test speaks of values: the value itself is what an analyst can look up.
_VALUES = {"identity_client": "client", "identity_card": "card", "identity_network": "network"}


def missing_tests(tests: Sequence[Row], absent: frozenset[str]) -> list[Row]:
    """The tests that were off: the reason, and which columns that the log lacks would switch them on."""
    return [
        {
            "family": row["family"],
            "test": row["test"],
            "reason": row["off"],
            "columns": [name for name in NEEDED_COLUMNS.get(key_of(row), ()) if name in absent],
        }
        for row in tests
        if row["off"] is not None
    ]


def would_change(
    finding: Row,
    tests: Sequence[Row],
    hypotheses: Sequence[Row],
    shared: Sequence[Row],
    missing: Sequence[Row],
    decision: Decision,
) -> Row:
    """A sentence for all, and the changes, those that turn the verdict first.

    A change has `kind`, `name`, the `tests` that it takes away or brings back, `value` (what the accounts share, where
    the test is of that), the `p_value` that would come of it, `alert` at that p-value, and a sentence. A change of the
    kind family or column of a finding that does not alert has `p_needed` instead: what that family would have to reach.
    """
    evidence = evidence_of(tests, hypotheses, decision)
    if finding["alert"]:
        values = {row["what"]: row for row in reversed(shared)}  # the most shared is the first
        changes = _explained(evidence, values, decision)
        changes.sort(key=lambda row: (-row["p_value"], row["kind"], row["name"]))
        ending = [row for row in changes if not row["alert"]]
    else:
        changes = _refuted(evidence, decision)
        ending = [row for row in changes if row["alert"]]
        changes = ending + [row for row in changes if not row["alert"]] + _speaking(evidence, missing, decision)
    return {"text": _summary(finding["alert"], ending, changes), "changes": changes}


def p_needed(others: Sequence[float], decision: Decision) -> float:
    """The largest p-value of one more family with which the partial conjunction alerts; 0 where none would do.

    By Simes' form at least s families must lie at or below the s-th step of the threshold, for some s.
    """
    spare = len(others) + 1 - decision.needed + 1
    steps = [(s, decision.alert_p * (s - decision.needed + 1) / spare) for s in range(decision.needed, len(others) + 2)]
    return max((step for s, step in steps if sum(p <= step for p in others) >= s - 1), default=0.0)


def _explained(evidence: Evidence, values: Mapping[str, Row], decision: Decision) -> list[Row]:
    """An alert with each thing explained that speaks for it."""
    gone = evidence.explained
    left = combine(evidence, gone, decision)
    speaking = [key for key, p in evidence.p_values.items() if p <= decision.silent_p and key not in gone]
    out = []
    for key in speaking:
        after = combine(evidence, gone | {key}, decision)
        value = values.get(_VALUES.get(key, ""))
        subject = f"what {_said(key)} shows"
        if value is not None:
            subject += f", as the {value['what']} that {value['owners']} owners share,"
        text = f"If {subject} had an innocent reason"
        out.append(_change("test", key, [key], after, decision, text, value["value"] if value else None))
    for family, keys in evidence.families.items():
        if left.families.get(family, 1.0) <= decision.silent_p:
            tests = [key for key in keys if key not in gone]
            after = combine(evidence, gone | set(tests), decision)
            text = f"If all that speaks in {family} had an innocent reason"
            out.append(_change("family", family, tests, after, decision, text))
    for name, innocent in evidence.refused.items():
        tests = [key for key in speaking if key in innocent]
        if tests:
            after = combine(evidence, gone | innocent, decision)
            out.append(_change("hypothesis", name, tests, after, decision, f"If it were after all: {name}"))
    return out


def _refuted(evidence: Evidence, decision: Decision) -> list[Row]:
    """What does not alert with each of the hypotheses refuted that hold, and with all of them."""
    out = []
    for name, keys in evidence.holding.items():
        others: frozenset[str] = frozenset().union(
            *(evidence.holding[other] for other in evidence.holding.keys() - {name})
        )
        after = combine(evidence, others, decision)
        back = sorted(keys - others & evidence.p_values.keys())
        out.append(_change("hypothesis", name, back, after, decision, f"If it were refuted: {name}"))
    if len(out) > 1:
        after = combine(evidence, (), decision)
        back = sorted(evidence.explained & evidence.p_values.keys())
        out.append(_change("hypotheses", "all", back, after, decision, "If every hypothesis that holds were refuted"))
    return out


def _speaking(evidence: Evidence, missing: Sequence[Row], decision: Decision) -> list[Row]:
    """What each family would have to reach for an alert, and the columns of the log that could bring it there."""
    left = combine(evidence, evidence.explained, decision)
    out = []
    for family in decision.families:
        said = [left.families.get(other, 1.0) for other in evidence.families if other != family]
        needed = p_needed(said, decision)
        if left.families.get(family, 1.0) <= needed:
            continue
        now = left.families.get(family)
        text = (
            f"If {family} reached a p-value of {needed:.2g} (now {_p(now)}), it would alert."
            if needed
            else f"No evidence of {family} alone would make it alert: another family must speak too."
        )
        own = {"tests": list(evidence.families.get(family, ())), "value": None, "p_value": now, "alert": False}
        out.append({"kind": "family", "name": family, **own, "p_needed": needed, "text": text})
        for column in sorted({name for row in missing if row["family"] == family for name in row["columns"]}):
            tests = [key_of(row) for row in missing if column in row["columns"] and row["family"] == family]
            text = f"The log has no {column}: with it {_list(tests)} could be tested, for which {family} " + (
                f"would have to reach {needed:.2g}." if needed else "would still not be enough alone."
            )
            own = {"tests": tests, "value": None, "p_value": None, "alert": False}
            out.append({"kind": "column", "name": column, **own, "p_needed": needed, "text": text})
    return out


def _change(
    kind: str, name: str, tests: Sequence[str], after: Combined, decision: Decision, text: str, value: str | None = None
) -> Row:
    alert = after.p_value <= decision.alert_p
    outcome = f"{'it alerts' if alert else 'no alert'}, which takes {decision.alert_p:.2g} or less"
    return {
        "kind": kind,
        "name": name,
        "tests": list(tests),
        "value": value,
        "p_value": after.p_value,
        "alert": alert,
        "p_needed": None,
        "text": f"{text}, p would be {after.p_value:.2g}: {outcome}.",
    }


def _summary(alert: bool, turning: Sequence[Row], changes: Sequence[Row]) -> str:
    if alert and turning:
        return f"{len(turning)} of {len(changes)} single explanations would end the alert, the first ones below."
    if alert:
        return f"None of {len(changes)} single explanations would end the alert: at least two must be found."
    if turning:
        return "It would alert without a benign hypothesis that holds: look whether it does."
    return "No benign hypothesis keeps it from alerting: evidence of another family is missing."


def _said(key: str) -> str:
    return key.replace("_", " ", 1)


def _list(keys: Sequence[str]) -> str:
    return " and ".join(_said(key) for key in keys)


def _p(value: float | None) -> str:
    return "none" if value is None else f"{value:.2g}"
