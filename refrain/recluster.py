"""The main job on a part of a log, beside the nightly runs: its own run, and neither `latest` nor a night is touched.

What is like a text is found in two steps. The part without that condition is ingested and embedded (of a night's days
that costs next to nothing: staged tables and vectors are kept), and the segments near the text become a condition on
requests, by their digests. Then the stages run on what is left, as they would on any slice.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from refrain import stages
from refrain.config import Config
from refrain.errors import InputError
from refrain.locks import writer_lock
from refrain.progress import Progress
from refrain.runs import ASIDE, Run, check_run_id, run_all, store_of
from refrain.search import read_query
from refrain.slices import Slice


@dataclass(frozen=True)
class Like:
    """Requests of which a segment has at least this `cosine` to a segment of the `text`, by the run's encoder."""

    text: str
    cosine: float

    def __post_init__(self) -> None:
        if not 0 < self.cosine <= 1:
            raise InputError("a cosine must lie above 0 and not above 1")


def recluster(
    sources: Sequence[str],
    config: Config,
    outputs: Path,
    *,
    part: Slice,
    like: Like | None = None,
    run_id: str | None = None,
    progress: Progress,
    report: Callable[[stages.Result], None] = lambda result: None,
) -> Run:
    """The finished run of all stages over a part of the log, under `recluster-` and its name.

    InputError where nothing is left of the log.
    """
    name = None if run_id is None else aside_id(run_id)
    with writer_lock(store_of(outputs).root):
        if like is not None:
            part = near_part(sources, config, outputs, part, like, progress=progress, report=report)
        return run_all(
            sources,
            config,
            outputs,
            run_id=name,
            part=None if part.empty else part,
            kind=ASIDE,
            progress=progress,
            report=report,
        )


def aside_id(run_id: str) -> str:
    """The name of a run of this kind: what is asked for, led by `recluster-`, so that it replaces no other run."""
    return check_run_id(run_id if run_id.startswith(f"{ASIDE}-") else f"{ASIDE}-{run_id}")


def near_part(
    sources: Sequence[str],
    config: Config,
    outputs: Path,
    part: Slice,
    like: Like,
    *,
    progress: Progress,
    report: Callable[[stages.Result], None] = lambda result: None,
) -> Slice:
    """The part of which requests hold a segment near a text; InputError, saying how near the log comes, where none
    does. `report` hears of the stages that had to be run for it."""
    query = read_query(like.text, config.ingest)
    store = store_of(outputs)
    with writer_lock(store.root):
        told = None if part.empty else part
        requests = stages.ingest(sources, config, store=store, progress=progress, part=told)
        report(requests)
        vectors = stages.embed(requests.folder, config, store=store, progress=progress)
        report(vectors)
        near, largest = stages.near_segments(
            requests.folder, vectors.folder, query.segments, like.cosine, config, store=store
        )
    if not near:
        raise InputError(
            f"no segment of that part of the log has a cosine of {like.cosine:g} to the text",
            hint=f"the nearest has {largest:.3f}; another --like-cosine asks for less",
        )
    return replace(part, near=near)
