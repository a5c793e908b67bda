"""How fast texts become vectors: our encoders beside sentence-transformers' `encode`, as JSON in benchmarks/results/.

    .venv/bin/python benchmarks/encode.py outputs/runs/RUN/requests
    .venv/bin/python benchmarks/encode.py outputs/runs/RUN/requests --count 200 --rounds 1 --out /tmp/trial

Random distinct segments (segments.parquet) and random distinct prompts (texts.parquet) of a run's `requests` folder:

- `static` and `transformer`: the two tiers, as `embeddings.tiers.open_encoders` opens them
- `plain`: `SentenceTransformer(the same model).encode(texts)` with nothing else said

Each in a process of its own with a few texts to warm up, all of them in every round, in an order that turns from round
to round: others use the machine too, so only ratios within a run mean something. Counted: texts a second at the median
of the rounds, and the median over rounds of the ratio to `plain`; the cosine of our transformer's vectors with
sentence-transformers' (float32); and which part of a text's ten nearest by transformer are among those by static.
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from measuring import Vectors, alone, parser, say, write_result

from refrain.settings import load_settings

PLAIN = "plain"
ENCODERS = ("static", "transformer", PLAIN)
TABLES = {"segments": "segments.parquet", "prompts": "texts.parquet"}
NEAREST = 10
BLOCK_ROWS = 1024
WARM_UP = 64
WARM_PART = 10  # of many texts, the part that warms up: a GPU meets every shape of batch once


def sample(requests: Path, kind: str, count: int, seed: int) -> list[str]:
    """Random distinct texts that hold a letter, `count` or all there are."""
    return _drawn(pq.read_table(requests / TABLES[kind], columns=["text"])["text"], count, seed, _has_letter)


def _has_letter(text: str) -> bool:
    return any(map(str.isalpha, text))


def _drawn(texts: pa.ChunkedArray, count: int, seed: int, wanted: Callable[[str], bool]) -> list[str]:
    drawn: list[str] = []
    for row in np.random.default_rng(seed).permutation(len(texts)).tolist():
        if len(drawn) == count:
            break
        text = texts[row].as_py()
        if wanted(text):
            drawn.append(text)
    return drawn


def speeds(
    encoder: str, requests: str, count: int, seed: int, encoders: str, out: str | None, kinds: list[str]
) -> dict[str, Any]:
    """Seconds to load one of ENCODERS and to encode each kind of text; the vectors lie in `out` where it is named."""
    samples = {kind: sample(Path(requests), kind, count, seed) for kind in kinds}
    start = time.perf_counter()
    encode = _opened(encoder, encoders)
    figures: dict[str, Any] = {"load_seconds": round(time.perf_counter() - start, 2)}
    for kind, texts in samples.items():
        vectors, seconds = _timed(encode, texts)
        characters = sum(map(len, texts)) / max(1, len(texts))
        figures[kind] = {"texts": len(texts), "characters": round(characters, 1), "seconds": round(seconds, 4)}
        if out is not None:
            np.save(Path(out) / f"{encoder}-{kind}.npy", vectors)
    return figures


def _timed(encode: Callable[[list[str]], Vectors], texts: list[str]) -> tuple[Vectors, float]:
    """The vectors, and the seconds that they took once warm."""
    encode(texts[: max(WARM_UP, len(texts) // WARM_PART)])
    start = time.perf_counter()
    vectors = encode(texts)
    return vectors, time.perf_counter() - start


def _opened(encoder: str, encoders: str) -> Callable[[list[str]], Vectors]:
    """A function from texts to vectors."""
    config = load_settings().config.embed
    if encoder == PLAIN:
        from sentence_transformers import SentenceTransformer

        from embeddings.encoder import model_folder

        plain: Callable[[list[str]], Vectors] = SentenceTransformer(str(model_folder(config.model))).encode
        return plain
    from embeddings.tiers import open_encoders

    tier = "transformer" if encoder == "transformer" else "static"
    return open_encoders(replace(config, tier=tier), Path(encoders))[0].encode


def nearest_rows(vectors: Vectors) -> Any:
    """The rows of the nearest of each of the unit vectors (n, NEAREST at most), itself left out."""
    k = min(NEAREST, len(vectors) - 1)
    nearest = []
    for start in range(0, len(vectors), BLOCK_ROWS):
        similarities = vectors[start : start + BLOCK_ROWS] @ vectors.T
        rows = np.arange(len(similarities))
        similarities[rows, start + rows] = -np.inf
        nearest.append(np.argpartition(-similarities, k - 1, axis=1)[:, :k])
    return np.concatenate(nearest)


def agreement(folder: Path, kind: str) -> dict[str, float]:
    """The cosine of our transformer with the plain one, and the overlap of the tiers' nearest."""
    plain, transformer, static = (
        np.load(folder / f"{name}-{kind}.npy") for name in (PLAIN, "transformer", "static")
    )  # fmt: skip
    plain = plain / np.linalg.norm(plain, axis=1, keepdims=True)
    cosines = np.einsum("id,id->i", plain.astype(np.float64), transformer.astype(np.float64))
    left, right = nearest_rows(static), nearest_rows(transformer)
    shared = (left[:, :, None] == right[:, None, :]).any(axis=2).mean()
    return {
        "cosine_mean": round(float(cosines.mean()), 6),
        "cosine_first_percentile": round(float(np.percentile(cosines, 1)), 6),
        f"static_overlap_at_{NEAREST}": round(float(shared), 4),
    }


def main() -> None:
    """Nothing; the result file then holds the figures."""
    arguments_parser = parser("encode", __doc__)
    arguments_parser.add_argument("requests", type=Path, help="the requests folder of a run")
    arguments_parser.add_argument("--count", type=int, default=2000, help="texts of each kind, default 2000")
    arguments_parser.add_argument("--rounds", type=int, default=3, help="default 3")
    arguments_parser.add_argument("--encoders", type=Path, help="folder of distilled encoders, kept")
    arguments = arguments_parser.parse_args()
    rounds: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        encoders = arguments.encoders or Path(temporary) / "encoders"
        for turn in range(arguments.rounds):
            at = turn % len(ENCODERS)
            figures = {}
            for encoder in (*ENCODERS[at:], *ENCODERS[:at]):
                outcome = alone("encode", "speeds", {
                    "encoder": encoder, "requests": str(arguments.requests), "count": arguments.count,
                    "seed": arguments.seed, "encoders": str(encoders), "out": temporary,
                    "kinds": list(TABLES),
                })  # fmt: skip
                figures[encoder] = outcome.needed(encoder)
                say(f"round {turn + 1}, {encoder}: {figures[encoder]}")
            rounds.append(figures)
        figures = {kind: {**_table(rounds, kind), **agreement(Path(temporary), kind)} for kind in TABLES}
    write_result(arguments, {**figures, "rounds": rounds})
    for kind in TABLES:
        say(f"{kind}: {figures[kind]}")


def _table(rounds: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """Texts a second of each encoder and how many times as fast as the plain one it is."""
    out = {}
    for encoder in ENCODERS:
        if kind not in rounds[0][encoder]:
            continue
        here = [turn[encoder][kind] for turn in rounds]
        ratios = [turn[PLAIN][kind]["seconds"] / turn[encoder][kind]["seconds"] for turn in rounds]
        out[encoder] = {
            "texts_per_second": round(median(row["texts"] / row["seconds"] for row in here), 1),
            "times_plain": round(median(ratios), 2),
            "peak_mib": max(turn[encoder]["peak_mib"] for turn in rounds),
        }
    return out


if __name__ == "__main__":
    main()
