"""The report: one HTML file that shows a run's findings to a person, needs no network and runs no script.

All that came from a log goes through `printable` and then through Jinja's escaping. A content security policy in the
file forbids every request and every script, and admits the one style sheet by its hash.
"""

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from refrain.artifacts import write_text
from refrain.charts import BARS_WIDTH, CELL, MAP_BOX, Bars, bars, cluster_map, overlap
from refrain.evidence import evidence
from refrain.figures import counted, moment, number_text, p_text, period
from refrain.findings import Hours, Row, details, excerpt, findings, hours_of
from refrain.formats import plain
from refrain.lineage_table import name_rows, read_stories
from refrain.printable import printable
from refrain.singers import clusters_of, of_clusters, of_templates
from refrain.waterfall import steps

# What a page can hold and a person can read; the exports hold the rest, and the page says how much that is.
_ALERTS_IN_FULL, _QUIET_IN_FULL, _ROWS, _MEMBERS, _TEMPLATES, _EXAMPLES, _NIGHTS = 40, 10, 400, 200, 8, 3, 40
_OPEN = 3  # findings unfolded when the page opens
_POINTS, _MATRIX = 140, 28
# Characters shown of a skeleton, of an example, of a sentence, of a name.
LIMITS = {"skeleton": 4000, "example": 1200, "sentence": 400, "name": 80, "excerpt": 160}
_COLOURS = 8
_BARS_HEIGHT, _SMALL_BARS_HEIGHT = 120.0, 56.0


def write_report(run: Path, out: Path) -> None:
    """Nothing; the report of the run's folder stands in the file `out`, which appears whole or not at all.

    Needs the stage folders requests, clusters, templates and campaigns. Raises InputError where one is missing.
    """
    write_text(out, _environment().get_template("report.html.j2").render(**_context(run)))


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("refrain", "templates_html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "shown": lambda text, kind: printable(text or "", LIMITS[kind], lines=kind in ("skeleton", "example")),
        "line": lambda text, kind: printable(" ".join((text or "").split()), LIMITS[kind]),
        "name": lambda text: printable(text.replace("_", " "), LIMITS["name"]),
        "p": p_text,
        "number": number_text,
        "moment": moment,
        "count": lambda value: f"{value:,}",
        "percent": lambda value: f"{value:.0%}",
        "evidence": evidence,
    }
    environment.globals |= {
        "counted": counted,
        "limits": LIMITS,
        "box": MAP_BOX,
        "cell": CELL,
        "bars_width": BARS_WIDTH,
    }
    return environment


def _context(run: Path) -> dict[str, Any]:
    """What the template fills in. Texts are still as they came; the template's filters make them fit."""
    rows = name_rows(run, findings(run))
    stories = read_stories(run)
    alerts = [row for row in rows if row["alert"]]
    full = alerts[:_ALERTS_IN_FULL] + [row for row in rows if not row["alert"]][:_QUIET_IN_FULL]
    hours = hours_of(run)
    whole = hours.timeline()
    found = name_rows(run, details(run, [row["campaign_id"] for row in full], hours))
    colours = {row["campaign_id"]: position % _COLOURS for position, row in enumerate(found)}
    campaign_bars = bars(
        _campaigns_timeline(hours, [row["campaign_id"] for row in alerts]), _BARS_HEIGHT, max(whole.counts)
    )
    style, policy = _style()
    return {
        "style": style,
        "policy": policy,
        "run": run.name,
        "facts": _facts(run),
        "rows": [{**row, "excerpt": excerpt(row["skeleton"], LIMITS["excerpt"])} for row in rows[:_ROWS]],
        "total": len(rows),
        "alerts": len(alerts),
        "alerts_in_full": min(len(alerts), _ALERTS_IN_FULL),
        "findings": [
            {**_finding(row, position, hours, colours), "story": _story(stories.get(row["identity"] or ""))}
            for position, row in enumerate(found)
        ],
        "colours": colours,
        "bars": bars(whole, _BARS_HEIGHT),
        "campaign_bars": campaign_bars,
        "period": period(whole.bin_hours),
        "map": _map(run, found),
        "overlap": _overlap(run, found),
    }


def _finding(row: Row, position: int, hours: Hours, colours: dict[int, int]) -> Row:
    """A detail cut to what the page holds, with its drawings."""
    timeline = hours.timeline(row["campaign_id"])
    drawn: Bars = bars(timeline, _SMALL_BARS_HEIGHT)
    families: dict[str, list[Row]] = {}
    for test in row["tests"]:
        families.setdefault(test["family"], []).append(test)
    return {
        **row,
        "open": position < _OPEN and row["alert"],
        "colour": colours[row["campaign_id"]],
        "bars": drawn,
        "steps": steps(row["packet"]["waterfall"]) if row["packet"] else [],
        "tests_by_family": families,
        "templates": row["templates"][:_TEMPLATES],
        "templates_left": max(len(row["templates"]) - _TEMPLATES, 0),
        "examples_shown": _EXAMPLES,
        "members": row["members"][:_MEMBERS],
        "members_left": max(len(row["members"]) - _MEMBERS, 0),
    }


def _story(told: Row | None) -> Row | None:
    """A campaign's story without nights on which it only went on, but for the last."""
    if told is None:
        return None
    nights = [
        night
        for at, night in enumerate(told["nights"], 1)
        if at == len(told["nights"]) or any(event["event"] != "continued" for event in night["events"])
    ]
    return {**told, "nights": nights[-_NIGHTS:], "nights_seen": len(told["nights"])}


def _campaigns_timeline(hours: Hours, campaign_ids: Sequence[int]) -> Any:
    """The requests of some campaigns together, on the axis of the whole log."""
    together: dict[int, int] = {}
    for number in campaign_ids:
        for hour, requests in hours.campaigns.get(number, {}).items():
            together[hour] = together.get(hour, 0) + requests
    return Hours(hours.all, {0: together}).timeline(0)


def _facts(run: Path) -> dict[str, Any]:
    """The size of the log and the time that it spans."""
    accounts = pq.read_table(run / "requests" / "accounts.parquet", columns=["requests", "first_seen", "last_seen"])
    owners = pq.read_metadata(run / "requests" / "owners.parquet").num_rows
    first, last = pc.min(accounts["first_seen"]).as_py(), pc.max(accounts["last_seen"]).as_py()
    return {
        "requests": pc.sum(accounts["requests"]).as_py() or 0,
        "accounts": accounts.num_rows,
        "owners": owners,
        "segments": pq.read_metadata(run / "requests" / "segments.parquet").num_rows,
        "clusters": pq.read_metadata(run / "clusters" / "clusters.parquet").num_rows,
        "templates": pq.read_metadata(run / "templates" / "templates.parquet").num_rows,
        "quarantined": pq.read_metadata(run / "requests" / "quarantine.parquet").num_rows,
        "first_seen": plain(first) if first else "",
        "last_seen": plain(last) if last else "",
    }


def _map(run: Path, found: Sequence[Row]) -> dict[str, Any]:
    """The map of the findings' clusters and of the largest others, with each cluster's exemplar."""
    parts = clusters_of(run, [template["template_id"] for row in found for template in row["templates"]])
    campaigns: dict[int, int] = {}
    for row in found:
        for template in row["templates"]:
            for cluster in parts[template["template_id"]]:
                campaigns.setdefault(cluster, row["campaign_id"])
    table = pq.read_table(
        run / "clusters" / "clusters.parquet", columns=["cluster_id", "owners", "exemplar_segment_row"]
    )
    by_size = table.sort_by([("owners", "descending"), ("cluster_id", "ascending")]).to_pylist()
    sung = [row for row in by_size if row["cluster_id"] in campaigns][: _POINTS // 2]
    others = [row for row in by_size if row["cluster_id"] not in campaigns][: _POINTS - len(sung)]
    chosen = sung + others
    drawn = cluster_map(
        of_clusters(run, [row["cluster_id"] for row in chosen]), [row["owners"] for row in chosen], campaigns
    )
    texts = pq.read_table(
        run / "requests" / "segments.parquet",
        columns=["segment_row", "raw"],
        filters=pc.field("segment_row").isin([row["exemplar_segment_row"] for row in chosen]),
    ).to_pylist()
    raw = {row["segment_row"]: row["raw"] for row in texts}
    exemplars = {row["cluster_id"]: raw[row["exemplar_segment_row"]] for row in chosen}
    return {"points": drawn.points, "links": drawn.links, "exemplars": exemplars, "left": table.num_rows - len(chosen)}


def _overlap(run: Path, found: Sequence[Row]) -> Any:
    """The overlap of accounts between the templates of the findings, one campaign after the other."""
    campaigns: dict[int, int] = {}
    for row in found:
        for template in row["templates"]:
            campaigns.setdefault(template["template_id"], row["campaign_id"])
    return overlap(of_templates(run, list(campaigns)[:_MATRIX]), campaigns)


def _style() -> tuple[Markup, str]:
    """The style sheet, and the policy that admits it and nothing else."""
    loader = PackageLoader("refrain", "templates_html")
    text = loader.get_source(Environment(autoescape=True), "report.css")[0]
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return Markup(text), policy
