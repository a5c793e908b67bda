"""What an analyst asks for between nights: a part of the log clustered again, two runs compared, a text looked up."""

import json
from typing import Annotated, Any

import typer

from refrain import stages
from refrain.cli.given import check_one_stdin, given_day, given_ids, given_text
from refrain.cli.jobs import run_as_json, say
from refrain.cli.options import (
    Accounts,
    AsJson,
    ConfigFile,
    FirstDay,
    LastDay,
    Logs,
    Matching,
    Models,
    Outputs,
    Overrides,
    Quiet,
    RunName,
    SliceName,
    complete_run,
    settings_for_run,
    settings_of,
)
from refrain.errors import InputError
from refrain.progress import progress_for
from refrain.runs import LATEST, REPORT, open_run, store_of

# Static vectors: of 375,079 distinct segments in 200,000 requests of the benchmark's, 15 have 0.7 to "explain your
# reasoning" and nearly all of them ask for reasons; 239 have 0.6, and half of these share a word with it and no more.
_LIKE_COSINE = 0.7
_TOP, _MOST_TOP = 20, 1000  # a screen; beyond the other, exports are the way
_ACCOUNTS = 5  # named for each segment: enough to begin with

RunOption = Annotated[
    str, typer.Option("--run", metavar="RUN", help="A run id, or 'latest'.", autocompletion=complete_run)
]


def add_to(app: typer.Typer) -> None:
    """Nothing; `app` then has the commands of this module."""
    app.command(
        "recluster",
        epilog=(
            "Examples:\n\nrefrain recluster logs/ --from 2026-09-01 --to 2026-09-03 --set cluster.min_owners=3\n\n"
            "refrain recluster logs/ --accounts ids.txt --like 'explain your reasoning'\n\n"
            "refrain recluster logs/ --model large-2 --matching @text.txt --run-id pivot"
        ),
    )(recluster)
    app.command(
        "compare",
        epilog="Examples:\n\nrefrain compare nightly-2026-09-01 nightly-2026-09-02\n\nrefrain compare a latest",
    )(compare)
    app.command(
        "search",
        epilog="Examples:\n\nrefrain search 'explain your reasoning'\n\nrefrain search - --top 5 --json < text.txt",
    )(search)


def recluster(
    logs: Logs,
    first: FirstDay = None,
    last: LastDay = None,
    accounts: Accounts = None,
    models: Models = None,
    matching: Matching = None,
    like: Annotated[
        str | None,
        typer.Option(
            "--like",
            metavar="TEXT|@FILE|-",
            help="A text that one segment must be near, in its words. '-' reads stdin.",
        ),
    ] = None,
    like_cosine: Annotated[
        float, typer.Option("--like-cosine", metavar="X", help="How near, from above 0 to 1.")
    ] = _LIKE_COSINE,
    slice_name: SliceName = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    outputs: Outputs = None,
    run_id: Annotated[
        str | None,
        typer.Option("--run-id", metavar="ID", help="Name of the run, led by recluster-. Default: from all the above."),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Run all stages on a part of a log, or with other settings, into a run of its own.

    Every condition narrows the part; days are those of nights.timezone. Neither the nightly runs nor 'latest' are
    touched. Each finding is printed with the stable id of the last night's campaign that it matches.
    """
    from rich.console import Console

    from refrain.recluster import Like
    from refrain.recluster import recluster as run_on_part
    from refrain.report import write_report
    from refrain.show import findings, render_findings
    from refrain.slices import Slice, load_slice, make_slice
    from refrain.stable_ids import stable_ids

    settings, folder = settings_of(config, overrides, outputs)
    check_one_stdin({"--accounts": accounts, "--matching": matching, "--like": like})
    said: dict[str, Any] = {
        "accounts": given_ids(accounts),
        "models": models or (),
        "matching": given_text(matching, "--matching") or "",
    }
    if slice_name and any(said.values()):
        raise InputError("--slice has its own accounts, models and text", hint="days and --like narrow it further")
    named = load_slice(folder, slice_name) if slice_name else make_slice(**said) if any(said.values()) else Slice()
    text = given_text(like, "--like")
    results: list[stages.Result] = []

    def report(result: stages.Result) -> None:
        results.append(result)
        say(result, silent=as_json or quiet)

    done = run_on_part(
        logs,
        settings.config,
        folder,
        part=named.within(given_day(first), given_day(last), settings.config.nights.timezone),
        like=None if text is None else Like(text, like_cosine),
        run_id=run_id,
        progress=progress_for(quiet=quiet or as_json),
        report=report,
    )
    page = done.folder / REPORT
    if results[-1].computed or not page.exists():
        write_report(done.folder, page)
    found, known = findings(done.folder), stable_ids(done)
    for row in found:
        row["identity"] = known.get(row["campaign_id"])
    if as_json:
        places = {"report": str(page), "exports": str(done.result("exports"))}
        typer.echo(json.dumps({**run_as_json(done, results[-len(stages.NOUNS) :]), "findings": found, **places}))
        return
    render_findings(found, Console())
    typer.echo(f"run      {done.name}\nreport   {page}\nexports  {done.result('exports')}")


def compare(first: RunName, second: RunName, outputs: Outputs = None, as_json: AsJson = False) -> None:
    """Say what changed between two runs: campaigns by their members, alerts, settings, and how far labels agree.

    A campaign is the same, grew, shrank, split, was merged, is new or gone.
    """
    from rich.console import Console

    from refrain.comparison import compare as compare_runs
    from refrain.search_view import render_comparison

    folder = settings_of(None, None, outputs)[1]
    found = compare_runs(open_run(folder, first), open_run(folder, second))
    if as_json:
        typer.echo(json.dumps(found.plain()))
    else:
        render_comparison(found, Console())


def search(
    text: Annotated[
        str,
        typer.Argument(metavar="TEXT|@FILE|-", help="What to look for; '-' reads it from stdin.", show_default=False),
    ],
    run: RunOption = LATEST,
    top: Annotated[int, typer.Option("--top", help="How many segments.", min=1, max=_MOST_TOP)] = _TOP,
    accounts: Annotated[int, typer.Option("--accounts", help="Accounts named for each segment.", min=0)] = _ACCOUNTS,
    outputs: Outputs = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Find the segments of a run nearest to a text, with the templates, campaigns and accounts they belong to.

    A text of several sentences is cut as the log's are, and a segment near any of them is found. Nothing is written.
    """
    from rich.console import Console

    from refrain.search_view import render_search

    settings, opened = settings_for_run(run, None, None, outputs)
    progress = progress_for(quiet=quiet or as_json)
    with progress.task("looking through vectors", None):
        found = _search(opened.name, given_text(text, "TEXT") or "", opened, settings.config, top, accounts)
    if as_json:
        typer.echo(json.dumps(found))
        return
    render_search(found, Console())


def _search(name: str, text: str, opened: Any, config: Any, top: int, accounts: int) -> dict[str, Any]:
    """What a run has nearest to a text."""
    from embeddings.querying import open_query_encoder, open_stored
    from refrain.search import describe_hits, read_query
    from refrain.stable_ids import stable_ids

    query = read_query(text, config.ingest)
    vectors, store = opened.result("vectors"), store_of(opened.outputs)
    opened.result("requests")
    stored = open_stored(vectors, store)
    near = stored.nearest(open_query_encoder(vectors, config.embed, store.encoders).encode(query.segments), top)
    found = describe_hits(opened.folder, near.segment_rows, near.cosines, accounts=accounts)
    known = stable_ids(opened)
    for row in found["campaigns"]:
        row["identity"] = known.get(row["campaign_id"])
    for hit, asked in zip(found["hits"], near.queries.tolist(), strict=True):
        hit["query_segment"] = asked
    return {
        "run": name,
        "segments": len(stored.segment_rows),
        "query_segments": len(query.segments),
        "query_segments_left_out": query.left_out,
        **found,
    }
