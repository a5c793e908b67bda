"""Whole logs with planted templates, ingested and mined."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from refrain.artifacts import Store
from refrain.config import MineConfig
from refrain.progress import NoProgress
from refrain.requests import ingest_logs
from refrain.settings import load_settings
from refrain.templates import mine_templates

CONFIG = load_settings(overrides=["ingest.turns=all"]).config  # some of the stories are in the history
MINE = replace(CONFIG.mine, min_owners=3)
START = datetime(2026, 1, 1, tzinfo=UTC)
SUBJECTS = [
    f"{a}{b}" for a in ("river", "winter", "kernel", "garden", "violin") for b in ("bank", "song", "case", "work")
]
VERBS = ["explain", "describe", "compare", "translate", "fix", "sketch", "rank", "shorten"]


def task(i: int) -> str:
    """A sentence of which no other task has six words in a row."""
    draw = random.Random(i)
    return " ".join([draw.choice(VERBS), *draw.sample(SUBJECTS, 7), f"plan{chr(97 + i % 26)}{chr(97 + i // 26)}"]) + "."


@dataclass(frozen=True)
class Said:
    """One request: who, what, under which system prompt, minutes after the start, and in which conversation."""

    account: str
    prompt: str
    system: str | None = None
    at: int | None = None
    history: tuple[str, ...] = ()  # what the user said before in this conversation
    conversation: str | None = None
    template: object = None  # what the log gives as the prompt's template


class Mined:
    """The tables that ingest and mine leave for a log."""

    def __init__(
        self, folder: Path, said: Sequence[Said], clusters: dict[str, int] | None = None, config: MineConfig = MINE
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        rows = [
            {
                "request_id": f"r{i:04}",
                "account_id": one.account,
                "timestamp": (START + timedelta(minutes=i if one.at is None else one.at)).isoformat(),
                "prompt": one.prompt,
                "system_prompt": one.system,
                "conversation_id": one.conversation,
                **({} if one.template is None else {"prompt_template": one.template}),
                "messages": [{"role": "user", "content": text} for text in (*one.history, one.prompt)],
            }
            for i, one in enumerate(said)
        ]
        (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        requests, grouped, self.out = folder / "requests", folder / "clusters", folder / "templates"
        for path in (requests, grouped, self.out):
            path.mkdir()
        store = Store(folder / "store")
        ingest_logs([str(folder / "log.jsonl")], requests, CONFIG.ingest, store=store, progress=NoProgress())
        self.segments = pq.read_table(requests / "segments.parquet")["text"].to_pylist()
        ids = [(clusters or {}).get(text, -1) for text in self.segments]
        pq.write_table(
            pa.table({"segment_row": np.arange(len(ids)), "cluster_id": pa.array(ids, pa.int64())}),
            grouped / "segment_clusters.parquet",
        )
        self.counts = mine_templates(requests, grouped, self.out, config, store=store, progress=NoProgress())
        ids_in_order = [path.read("request_id") for path in map(_Ids, sorted((requests / "requests").glob("*/*")))]
        self.request_ids = [name for some in ids_in_order for name in some]

    def rows(self, name: str) -> list[dict[str, Any]]:
        return list(pq.read_table(self.out / f"{name}.parquet").to_pylist())

    @property
    def templates(self) -> list[dict[str, Any]]:
        return self.rows("templates")

    @property
    def uses(self) -> dict[int, list[str]]:
        """The requests of each template."""
        out: dict[int, list[str]] = {row["template_id"]: [] for row in self.templates}
        for row in self.rows("request_templates"):
            out[row["template_id"]].append(self.request_ids[row["request_row"]])
        return out

    @property
    def labels(self) -> dict[str, int]:
        """The best frame of each request that has one: what labels it outside a campaign."""
        out: dict[str, int] = {}
        for row in self.rows("request_templates"):
            name = self.request_ids[row["request_row"]]
            out[name] = min(row["template_id"], out.get(name, row["template_id"]))
        return out

    @property
    def texts(self) -> dict[int, set[str]]:
        """The normalised segments of each template."""
        out: dict[int, set[str]] = {row["template_id"]: set() for row in self.templates}
        for row in self.rows("template_segments"):
            out[row["template_id"]].add(self.segments[row["segment_row"]])
        return out


@dataclass(frozen=True)
class _Ids:
    path: Path

    def read(self, name: str) -> list[str]:
        return list(pq.ParquetFile(self.path).read(columns=[name])[name].to_pylist())


WRAPPER = "You are a strict teacher. Show your full working.\nTask: {task}\nEnd with the final answer alone."


def wrapped(count: int, **more: Any) -> list[Said]:
    return [Said(f"a{i}", WRAPPER.format(task=task(i)), **more) for i in range(count)]
