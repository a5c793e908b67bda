"""How well requests are grouped by template and how true the skeletons read, as JSON in benchmarks/results/.

    .venv/bin/python benchmarks/templates.py dev --seeds 0 1 --per-day 7000
    .venv/bin/python benchmarks/templates.py dev --name dev-now --finished RUN/requests RUN/exports TRUTH.parquet

Groups (`refrain.groupings`) over requests with a template in the truth, three times: all templates; those that at least
`mine.min_owners` owners sent, which are the ones that refrain looks for; and of these, templates with the same words
taken as one. Text over the same templates, where they have fixed words: the scenario file says them (template, system
prompt, injected span; {task}, {doc}, {rubric}, {n} and the slots of a grammar are none). Each true template is compared
with the found one that holds most of its requests, as words after folding, case and doubled letters: precision, recall
and F1 over words, macro-averaged, and the share that is equal word for word and in order (template accuracy of Khan et
al., ICSE 2022). The scenario file is read here and by nothing that is measured.
"""

import argparse
import json
import re
import sys
import tempfile
from collections import Counter, defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from detection import BENCH, RESULTS, traffic

from refrain.evaluation import read_truth
from refrain.groupings import NEAR, compare_groups
from refrain.progress import NoProgress
from refrain.runs import run_all
from refrain.segments import tokens
from refrain.settings import load_settings
from refrain.skeletons import JOIN, SLOT
from refrain.tables import column, read_columns, read_table
from refrain.text import normalise, squeezed

Words = tuple[str, ...]
SLOTS = ("{task}", "{doc}", "{rubric}", "{n}")


def words_of(text: str) -> Words:
    """The words of a text as refrain compares them."""
    return tuple(tokens(squeezed(normalise(text))))


def true_words(scenario: Path) -> dict[str, Words]:
    """The fixed words of each template of a scenario, in order."""
    out = {}
    data = json.loads(scenario.read_text(encoding="utf-8"))
    for family in [*data["campaigns"], *data["benign"]]:
        slots = [*SLOTS, *(f"<{name}>" for name in family.get("grammar", {}))]
        between = re.compile("|".join(map(re.escape, slots)))
        for number, template in enumerate(family.get("templates", [])):
            whole = "\n".join(filter(None, [family.get("system"), template, *family.get("inject", [])]))
            out[f"{family['id']}/{number}"] = tuple(w for part in between.split(whole) for w in words_of(part))
    return out


def shown_words(skeleton: str) -> Words:
    """The fixed words of one of our skeletons."""
    return tuple(w for part in skeleton.split(JOIN) if part != SLOT for w in words_of(part))


def compare_words(got: Words, want: Words) -> tuple[float, float, float, bool]:
    """Precision, recall and F1 over words, and whether they are the same in the same order."""
    both = sum((Counter(got) & Counter(want)).values())
    precision, recall = both / max(len(got), 1), both / max(len(want), 1)
    return precision, recall, 2 * both / max(len(got) + len(want), 1), got == want


def measure(requests: Path, exports: Path, truth: Path, scenario: Path) -> dict[str, Any]:
    """The figures of one run."""
    template_of = read_truth(truth).template
    labels = read_table(exports / "labels.parquet", ["request_id", "template_id"])
    label_of = dict(zip(labels["request_id"].to_pylist(), labels["template_id"].to_pylist(), strict=True))
    ids = read_table(requests / "requests", ["request_id"])["request_id"].to_pylist()
    accounts = read_columns(requests / "requests", ["account_row"])["account_row"]
    owners = column(requests / "accounts.parquet", "owner_row")[accounts].tolist()
    senders = defaultdict(set)
    for request, owner in zip(ids, owners, strict=True):
        senders[template_of[request]].add(owner)
    least = load_settings().config.mine.min_owners
    texts = true_words(scenario)
    every = [(t, label_of[r]) for r, t in template_of.items() if t is not None]
    recurrent = [(t, f) for t, f in every if len(senders[t]) >= least]
    same = [(texts.get(t) or t, f) for t, f in recurrent]
    by_template: dict[str, Counter[int | None]] = defaultdict(Counter)
    for true, found in recurrent:
        by_template[true][found] += 1
    sizes = Counter(found for _, found in recurrent)
    near, rows = {}, {}
    table = pq.read_table(exports / "templates.parquet", columns=["template_id", "skeleton"]).to_pydict()
    shown = dict(zip(table["template_id"], table["skeleton"], strict=True))
    for true, counts in sorted(by_template.items()):
        best = min((f for f in counts if f is not None), key=lambda f: (-counts[f], f), default=None)
        held = counts[best] if best is not None else 0
        near[true] = held / (counts.total() + sizes[best] - held) if held else 0.0
        if texts.get(true):
            rows[true] = compare_words(shown_words(shown.get(best, "")), texts[true])
    mean = [sum(row[i] for row in rows.values()) / max(len(rows), 1) for i in range(4)]
    return {
        "groups": {
            name: {k: round(v or 0.0, 4) for k, v in asdict(compare_groups(*zip(*some, strict=True))).items()}
            for name, some in {"all": every, "recurrent": recurrent, "same_words_as_one": same}.items()
        },
        "text": {
            "templates": len(rows),
            **{k: round(v, 4) for k, v in zip(("precision", "recall", "f1", "exact"), mean, strict=True)},
        },
        "not_near": {name: round(v, 3) for name, v in near.items() if v < NEAR},
        "text_not_equal": {name: round(row[2], 3) for name, row in rows.items() if not row[3]},
    }


def main() -> None:
    """Nothing; benchmarks/results/templates-NAME.json then holds the figures of every seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--days", type=int, default=3)
    parser.add_argument("--per-day", type=int, default=20000)
    parser.add_argument("--finished", type=Path, nargs=3, action="append", metavar=("REQUESTS", "EXPORTS", "TRUTH"))
    parser.add_argument("--name", help="of the result file; default: the scenario")
    parser.add_argument("--work", type=Path, help="folder for traffic and runs, kept")
    arguments = parser.parse_args()
    if not BENCH.is_dir():
        sys.exit(f"{BENCH} is not there: the labelled traffic is not part of this repository")
    scenario = BENCH / "scenarios" / f"{arguments.scenario}.json"
    with tempfile.TemporaryDirectory() as temporary:
        work, rows = arguments.work or Path(temporary), []
        for requests, exports, truth in arguments.finished or []:
            rows.append({"run": truth.parent.name, **measure(requests, exports, truth, scenario)})
        for seed in [] if arguments.finished else arguments.seeds:
            sizes = {"days": arguments.days, "per_day": arguments.per_day, "novel": 0.0, "hostile": 1.0}
            made = traffic(arguments.scenario, work, seed=seed, **sizes)
            config = load_settings().config
            run = run_all([str(made / "requests")], config, work / "outputs", progress=NoProgress())
            found = measure(run.result("requests"), run.result("exports"), made / "truth.parquet", scenario)
            rows.append({"run": made.name, **found})
    for row in rows:
        sys.stdout.write(json.dumps(row) + "\n")
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps({"command": " ".join(["benchmarks/templates.py", *sys.argv[1:]]), "rows": rows}, indent=1)
    (RESULTS / f"templates-{arguments.name or arguments.scenario}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
