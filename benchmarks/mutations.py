"""Damaged records of every format: fields dropped, types changed, texts cut, versions mixed, nested deeply.

    .venv/bin/python benchmarks/mutations.py                  # 10,000, about a minute
    .venv/bin/python benchmarks/mutations.py --mutations 500 --seed 3

Stops with the assertion where a record raises, is lost, or is counted twice. Writes benchmarks/results/mutations.json:
of each format the mutations, the requests that were still read, those passed over, and the refused by reason.
"""

import sys
import time
from pathlib import Path

from measuring import parser, say, write_result

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from mutated_logs import MUTATIONS, run


def main() -> None:
    """Nothing; the result file is written."""
    options = parser("mutations", __doc__)
    options.add_argument("--mutations", type=int, default=10_000, help="over all formats, default 10,000")
    arguments = options.parse_args()
    start = time.perf_counter()
    found = run(arguments.mutations, arguments.seed)
    formats = {
        name: {
            "mutations": outcome.mutations,
            "requests": outcome.requests,
            "passed": outcome.passed,
            "refused": dict(sorted(outcome.refused.items())),
        }
        for name, outcome in found.items()
    }
    for name, figures in formats.items():
        say(f"{name:<14} {figures}")
    total = sum(outcome.mutations for outcome in found.values())
    figures = {"mutations": total, "kinds": list(MUTATIONS), "crashed": 0, "formats": formats}
    write_result(arguments, {**figures, "seconds": round(time.perf_counter() - start, 1)})


if __name__ == "__main__":
    main()
