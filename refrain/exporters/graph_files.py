"""The account-template graph as GraphML and as GEXF, both of which Gephi opens.

GraphML: http://graphml.graphdrawing.org/specification.html; GEXF 1.2: https://gexf.net/schema.html.
"""

from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path

import networkx as nx
from networkx.readwrite.gexf import GEXFWriter

from refrain.exporters.exporter import Exporter, Options
from refrain.exporters.graph import ACCOUNT, TEMPLATE, account_graph
from refrain.exporters.whole_files import write_whole


def _graphml(graph: nx.Graph) -> bytes:
    out = BytesIO()
    nx.write_graphml_xml(graph, out)  # not lxml's, which may be there or not and writes other bytes
    return out.getvalue()


def _gexf(graph: nx.Graph) -> bytes:
    writer = GEXFWriter(encoding="utf-8", prettyprint=True, version="1.2draft")
    writer.add_graph(graph)
    for element in writer.xml.iter():
        element.attrib.pop("lastmodifieddate", None)  # today: the same run would be another file tomorrow
    out = BytesIO()
    writer.write(out)
    return out.getvalue()


def _write(form: Callable[[nx.Graph], bytes], exports: Path, to: str, options: Options) -> dict[str, int]:
    """The numbers of accounts, templates and uses (edges) in the graph."""
    with options.progress.task("drawing the graph", None):
        graph = account_graph(exports, options)
        write_whole(Path(to), [form(graph)])
    kinds = [kind for _, kind in graph.nodes(data="kind")]
    return {"accounts": kinds.count(ACCOUNT), "templates": kinds.count(TEMPLATE), "uses": graph.number_of_edges()}


_SETTINGS = {"accounts": "members of campaigns (members, the default) or all that used a template (all)"}
GRAPHML = Exporter("graphml", "GraphML of accounts and templates", partial(_write, _graphml), settings=_SETTINGS)
GEXF = Exporter("gexf", "GEXF of accounts and templates", partial(_write, _gexf), settings=_SETTINGS)
