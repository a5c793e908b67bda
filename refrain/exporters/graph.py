"""Who used which template, as a bipartite graph: accounts on one side, templates on the other.

An edge's weight is the number of the account's requests that are labelled with the template. Texts are as XML can hold
them (refrain.exporters.escapes). Nodes and edges come in order of their ids, so equal runs give equal files.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import networkx as nx
import pyarrow.parquet as pq

from refrain.contract import ACCOUNTS
from refrain.errors import InputError
from refrain.exporters.escapes import for_xml
from refrain.exporters.exporter import Options
from refrain.printable import printable
from refrain.queries import database

ACCOUNT, TEMPLATE = "account", "template"
MEMBERS, ALL = CHOICES = ("members", "all")
_LABEL = 80  # characters of a node's label: more covers the drawing
_MEMORY_MIB = 512

_OF_TEMPLATES = ["template_id", "skeleton", "requests", "campaigns"]

_USES = """
SELECT account_id, template_id, count(*) AS requests
FROM read_parquet($labels)
WHERE template_id IS NOT NULL {where}
GROUP BY account_id, template_id
ORDER BY account_id, template_id
"""


def account_graph(exports: Path, options: Options) -> nx.Graph:
    """The graph of the accounts that are a campaign's members, or under --option accounts=all of all that used a
    template, with the templates that they used."""
    chosen = options.more.get("accounts", MEMBERS)
    if chosen not in CHOICES:
        raise InputError(f"--option accounts is one of {' and '.join(CHOICES)}")
    where = "AND account_id IN (SELECT account_id FROM read_parquet($accounts))" if chosen == MEMBERS else ""
    files: dict[str, Any] = {"labels": [str(exports / "labels.parquet")]}
    if where:
        files["accounts"] = [str(exports / "accounts.parquet")]
    with database(_MEMORY_MIB) as connection:
        uses = connection.execute(_USES.format(where=where), files).fetchall()
    graph = nx.Graph()
    members = _members(exports)
    for account in sorted({row[0] for row in uses} | (members.keys() if where else set())):
        graph.add_node(_account(account), **_of_account(account, members.get(account, []), options))
    used = {row[1] for row in uses}
    for row in pq.read_table(exports / "templates.parquet", columns=_OF_TEMPLATES).to_pylist():
        if row["template_id"] in used:
            graph.add_node(_template(row["template_id"]), **_of_template(row))
    graph.add_weighted_edges_from((_account(account), _template(template), count) for account, template, count in uses)
    return graph


def _members(exports: Path) -> dict[str, list[dict[str, Any]]]:
    """The memberships of each account, by campaign."""
    found: dict[str, list[dict[str, Any]]] = {}
    names = [name for name in pq.read_schema(exports / "accounts.parquet").names if name in ACCOUNTS.names]
    for row in pq.read_table(exports / "accounts.parquet", columns=names).to_pylist():
        found.setdefault(row["account_id"], []).append(row)
    return found


def _account(account_id: str) -> str:
    return f"a:{for_xml(account_id)}"


def _template(template_id: int) -> str:
    return f"t:{template_id}"


def _of_account(account: str, rows: list[dict[str, Any]], options: Options) -> dict[str, Any]:
    """The attributes of an account; no list among them: neither format has any."""
    first = rows[0] if rows else {}
    names = [options.identities.get(row["campaign_id"], "") for row in rows]
    return {
        "kind": ACCOUNT,
        "label": printable(account, _LABEL),
        "name": for_xml(account),
        "campaigns": _joined(row["campaign_id"] for row in rows),
        "identities": _joined(name for name in names if name),
        "owner": -1 if first.get("owner") is None else first["owner"],
        "requests": sum(row["requests"] or 0 for row in rows),
        "evidence": max((row["evidence"] or 0.0 for row in rows), default=0.0),
    }


def _of_template(row: dict[str, Any]) -> dict[str, Any]:
    skeleton = row.get("skeleton") or ""
    return {
        "kind": TEMPLATE,
        "label": printable(skeleton, _LABEL),
        "name": for_xml(skeleton),
        "campaigns": _joined(row.get("campaigns") or []),
        "identities": "",
        "owner": -1,
        "requests": row.get("requests") or 0,
        "evidence": 0.0,
    }


def _joined(values: Iterable[object]) -> str:
    return ",".join(map(str, values))
