"""What refrain finds in scenarios of other wordings and pools than the team's, as JSON in benchmarks/results/.

    .venv/bin/python benchmarks/unseen.py                       # scenarios 20 to 29, with and without their campaigns
    .venv/bin/python benchmarks/unseen.py --first 30 --many 5 --work /tmp/unseen

Needs ../shared/bench beside the checkout, whose traffic.py fills the wrappers with real prompts. unseen_texts.json
holds 20 wrappers and 22 benign groups, all ours. A scenario draws 12 and 15 of them, and for each campaign how many
accounts, how busy, and how careful: *sloppy* shares cards and networks and is new, *careful* has ages, homes and hours
as people have them, *middling* is between. The same scenario without campaigns counts false alarms alone. Twenty that
were drawn in the same way led to a change (docs/log.md); those of these numbers were seen by nobody before. Defaults of
configs/default.toml, empty lists.
"""

import json
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from detection import BENCH, make_traffic, measure
from measuring import ROOT, parser, say, write_result

TEXTS = ROOT / "benchmarks" / "unseen_texts.json"
CAMPAIGNS, BENIGN = 12, 15
TOLD = (
    "detected", "missed", "account_precision", "account_recall", "account_f1", "innocents", "request_f1", "alerts",
    "false_alerts", "ap",
)  # fmt: skip


def scenario(number: int) -> dict[str, Any]:
    """The scenario of this number, as traffic.py reads it."""
    lot = random.Random(number)
    texts = json.loads(TEXTS.read_text(encoding="utf-8"))
    campaigns = [
        {
            **wrapper,
            "accounts": lot.choice([18, 25, 35, 50, 70, 100]),
            "per_account": lot.choice([2, 4, 6, 8, 12]),
            "innocents": lot.choice([0, 1, 2]),
            **pool(lot),
        }
        for wrapper in lot.sample(texts["wrappers"], CAMPAIGNS)
    ]
    benign = []
    for place, group in enumerate(lot.sample(texts["benign"], BENIGN)):
        size = {} if group["style"] == "app" else {"accounts": lot.choice([30, 45, 60, 90, 140])}
        use = {"per_account": lot.choice([2, 3, 4]), "active": lot.choice([0.4, 0.5, 0.7])}
        benign.append({"id": f"{group['style']}_{place}", **size, **use, **group})
    runs = lot.choice([12, 24, 36])
    return {"name": f"unseen{number}", "eval_runs": runs, "campaigns": campaigns, "benign": benign}


def pool(lot: random.Random) -> dict[str, Any]:
    """How careful a campaign is, and what follows from that."""
    care = lot.choice(["sloppy", "middling", "careful"])
    chosen: dict[str, list[Any]] = {
        "sloppy": {
            "rhythm": ["flat", "sync"], "age": ["fresh"], "shared_payment": [0.3, 0.5], "ip": ["datacenter", "gateway"],
            "same_agent": [0.5], "cover": [0.1],
        },
        "middling": {
            "rhythm": ["flat", "own"], "age": ["fresh", "mixed"], "shared_payment": [0.1, 0.2, 0.3],
            "ip": ["datacenter", "residential", "rotating"], "same_agent": [0.2, 0.3, 0.4], "cover": [0.2, 0.5],
        },
        "careful": {
            "rhythm": ["own", "human"], "age": ["mixed", "aged"], "shared_payment": [0, 0.1],
            "ip": ["residential", "rotating"], "same_agent": [0.1, 0.2, 0.3], "cover": [0.5, 1.0],
        },
    }[care]  # fmt: skip
    return {"technique": care, **{name: lot.choice(values) for name, values in chosen.items()}}


def row(number: int, drawn: dict[str, Any], work: Path, per_day: int) -> dict[str, Any]:
    """The figures of one log of a scenario; `by_care` has detected and all campaigns by how careful they are."""
    folder = work / f"{drawn['name']}{'' if drawn['campaigns'] else '-clean'}"
    if not (folder / "truth.parquet").exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "scenario.json").write_text(json.dumps(drawn), encoding="utf-8")
        make_traffic(folder / "scenario.json", folder, {"--seed": number, "--per-day": per_day})
    figures = measure(folder / "requests", folder / "truth.parquet", work / "outputs", [])["figures"]
    care = Counter(c["technique"] for c in drawn["campaigns"])
    missed = Counter(c["technique"] for c in drawn["campaigns"] if c["id"] in figures["missed"])
    told = {name: figures[name] for name in TOLD}
    return {"scenario": number, **told, "by_care": {c: [n - missed[c], n] for c, n in sorted(care.items())}}


def main() -> None:
    """Nothing; benchmarks/results/unseen.json then holds the figures of every log."""
    made = parser("unseen", __doc__)
    made.add_argument("--first", type=int, default=20, help="number of the first scenario, default 20")
    made.add_argument("--many", type=int, default=10, help="scenarios, default 10")
    made.add_argument("--per-day", type=int, default=20000)
    made.add_argument("--work", type=Path, help="folder for traffic and runs, kept")
    arguments = made.parse_args()
    if not BENCH.is_dir():
        sys.exit(f"{BENCH} is not there: the prompts are not part of this repository")
    hostile, clean = [], []
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        for number in range(arguments.first, arguments.first + arguments.many):
            drawn = scenario(number)
            hostile.append(row(number, drawn, work, arguments.per_day))
            clean.append(row(number, {**drawn, "campaigns": []}, work, arguments.per_day))
            say(f"{json.dumps(hostile[-1])} clean: {clean[-1]['alerts']} alerts")
    care: dict[str, list[int]] = {}
    for one in hostile:
        for name, counts in one["by_care"].items():
            care[name] = [a + b for a, b in zip(care.get(name, [0, 0]), counts, strict=True)]
    figures = {
        "by_care": care,
        **{name: round(sum(one[name] or 0 for one in hostile) / len(hostile), 4) for name in
           ("detected", "account_precision", "account_recall", "account_f1", "request_f1", "ap")},
        **{name: sum(one[name] for one in hostile) for name in ("innocents", "alerts", "false_alerts")},
        "clean_alerts": sum(one["alerts"] for one in clean),
    }  # fmt: skip
    say(json.dumps(figures))
    write_result(arguments, {"figures": figures, "campaigns": hostile, "clean": clean})


if __name__ == "__main__":
    main()
