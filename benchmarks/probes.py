"""Which prompts the probes tag that nobody had seen who wrote them, as JSON in benchmarks/results/.

    .venv/bin/python benchmarks/probes.py outputs/runs/RUN
    .venv/bin/python benchmarks/probes.py outputs/runs/RUN --probes mine.toml --out /tmp/trial
    .venv/bin/python benchmarks/probes.py outputs/runs/RUN --set embed.probe_margin=0

blind_prompts.json holds 296 sentences by class of configs/probes.toml, "none" for what everybody asks for. Somebody
wrote them who had not read the probes. RUN is a finished run: its log's sample says what is rarely near a probe. Told
are, by class, how many sentences have their class's tag and how many any, and the share of tags that are right. Then
what should have none: "none", and the log's sample, most of which is ordinary.
"""

import json
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from measuring import ROOT, parser, say, write_result

from embeddings.encoder import open_transformer
from embeddings.reading import probe_rule, texts_of
from embeddings.sampling import SAMPLE
from refrain.probes import nearness, rare_levels, read_probes, tag_segments
from refrain.settings import config_file, load_settings
from refrain.tables import column
from refrain.text import normalise

BLIND = ROOT / "benchmarks" / "blind_prompts.json"
NONE = "none"


def main() -> None:
    """Nothing; benchmarks/results/probes.json then holds the figures."""
    made = parser("probes", __doc__)
    made.add_argument("run", type=Path, help="folder of a finished run")
    made.add_argument("--probes", help="a file of probes; default: that of the settings")
    made.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting")
    arguments = made.parse_args()
    config = load_settings(None, arguments.set).config.embed
    probes = read_probes(config_file(arguments.probes or config.probes))
    rule = probe_rule(config)
    encoder = open_transformer(config)
    blind = json.loads(BLIND.read_text(encoding="utf-8"))
    sample = texts_of(arguments.run / "requests", column(arguments.run / "vectors" / SAMPLE, "segment_row"))
    common = nearness(sample, encoder.encode, probes, rule)
    levels = rare_levels(common, rule.rarest_share)
    asked = nearness([normalise(one["text"]) for one in blind], encoder.encode, probes, rule)
    tags = tag_segments(asked, levels, rule)
    of_text = defaultdict(set)
    for position, number in zip(tags.positions.tolist(), tags.classes.tolist(), strict=True):
        of_text[position].add(probes.names[number])
    rows: dict[str, Counter[str]] = defaultdict(Counter)
    for position, one in enumerate(blind):
        found = of_text[position]
        rows[one["class"]].update(texts=1, right=one["class"] in found, tagged=bool(found), tags=len(found))
    told = {name: dict(row) for name, row in rows.items()}
    harvest = sum((row for name, row in rows.items() if name != NONE), Counter[str]())
    figures: dict[str, Any] = {
        "recall": round(harvest["right"] / harvest["texts"], 3),
        "any_tag": round(harvest["tagged"] / harvest["texts"], 3),
        "tags_right": round(harvest["right"] / max(harvest["tags"], 1), 3),
        "none_tagged": round(rows[NONE]["tagged"] / rows[NONE]["texts"], 3),
        "sample_tagged": round(len(set(tag_segments(common, levels, rule).positions.tolist())) / len(sample), 3),
    }
    say(json.dumps(figures))
    write_result(arguments, {"figures": figures, "classes": told})


if __name__ == "__main__":
    sys.exit(main())
