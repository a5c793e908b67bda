"""GraphML and GEXF as networkx reads them: the nodes and the weights of the run, and the same bytes again."""

import stat
from collections import Counter
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
from exported import IDENTITIES, make_run, options_for, tables
from tables import FORMULA_ACCOUNT, HOSTILE

from refrain.errors import InputError
from refrain.exporters.escapes import unescaped
from refrain.exporters.exporter import Options
from refrain.exporters.registry import export_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("run"))


def load(path: Path, form: str) -> Any:
    """The graph as the library of the other side reads it."""
    return nx.read_graphml(path) if form == "graphml" else nx.read_gexf(path)


@pytest.mark.parametrize("chosen", ["members", "all"])
@pytest.mark.parametrize("form", ["graphml", "gexf"])
def test_nodes_and_weights_are_those_of_the_run(run: Path, tmp_path: Path, form: str, chosen: str) -> None:
    path = tmp_path / f"run.{form}"
    counts = export_run(run, path, form, options_for(run, more={"accounts": chosen}))
    graph = load(path, form)
    told = tables(run)
    members = {row["account_id"] for row in told["accounts"]}
    uses = Counter(
        (row["account_id"], row["template_id"])
        for row in told["labels"]
        if row["template_id"] is not None and (chosen == "all" or row["account_id"] in members)
    )
    found = {}
    for left, right, data in graph.edges(data=True):
        account, template = sorted((left, right))
        assert account.startswith("a:")
        found[unescaped(account[2:]), int(template[2:])] = data["weight"]
    assert found == dict(uses)
    nodes = dict(graph.nodes(data=True))
    accounts = {unescaped(data["name"]) for data in nodes.values() if data["kind"] == "account"}
    assert accounts == {account for account, _ in uses} | (members if chosen == "members" else set())
    skeletons = {row["template_id"]: row["skeleton"] for row in told["templates"]}
    for node, data in nodes.items():
        if data["kind"] == "template":
            assert unescaped(data["name"]) == skeletons[int(node[2:])]
    assert counts == {"accounts": len(accounts), "templates": len({t for _, t in uses}), "uses": len(uses)}
    assert nx.is_bipartite(graph)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("form", ["graphml", "gexf"])
def test_attributes_of_a_member_and_of_a_template(run: Path, tmp_path: Path, form: str) -> None:
    path = tmp_path / f"run.{form}"
    export_run(run, path, form, options_for(run, more={"accounts": "all"}))
    nodes = dict(load(path, form).nodes(data=True))
    [row] = [row for row in tables(run)["accounts"] if row["account_id"] == FORMULA_ACCOUNT]
    member = nodes[f"a:{FORMULA_ACCOUNT}"]
    assert (member["campaigns"], member["identities"], member["owner"]) == ("0", IDENTITIES[0], row["owner"])
    assert (member["requests"], member["evidence"]) == (row["requests"], row["evidence"])
    template = nodes["t:1"]
    assert (template["campaigns"], template["owner"]) == ("0", -1)
    hostile = nodes["t:2"]
    assert unescaped(hostile["name"]) == f"{HOSTILE}{{slot}}"
    assert "\x1b" not in hostile["label"]
    assert "\u202e" not in hostile["label"]
    outsider = nodes["a:person-1"]
    assert (outsider["campaigns"], outsider["requests"]) == ("", 0)


@pytest.mark.parametrize("form", ["graphml", "gexf"])
def test_the_same_run_is_the_same_file_on_any_day(run: Path, tmp_path: Path, form: str) -> None:
    for name in ("one", "two"):
        export_run(run, tmp_path / name, form, options_for(run))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert b"lastmodifieddate" not in (tmp_path / "one").read_bytes()


def test_what_is_not_meant_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="members and all"):
        export_run(run, tmp_path / "x", "gexf", options_for(run, more={"accounts": "everybody"}))
    with pytest.raises(InputError, match="no option 'acounts'"):
        export_run(run, tmp_path / "x", "gexf", options_for(run, more={"acounts": "all"}))
    with pytest.raises(InputError, match="is a folder"):
        export_run(run, tmp_path, "graphml", Options(run=run.name))
    assert list(tmp_path.iterdir()) == []
