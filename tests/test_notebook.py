"""docs/finding.ipynb runs from top to bottom on a finished run, and prints what the run says."""

import contextlib
import io
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from refrain.code import ROOT

if TYPE_CHECKING:
    from conftest import SmallRun

BOOK: dict[str, Any] = json.loads((ROOT / "docs" / "finding.ipynb").read_text(encoding="utf-8"))
CODE = [cell for cell in BOOK["cells"] if cell["cell_type"] == "code"]


def test_it_is_a_notebook_that_was_run_from_top_to_bottom() -> None:
    """The form of nbformat 4.5 (https://nbformat.readthedocs.io/en/latest/format_description.html)."""
    assert (BOOK["nbformat"], BOOK["nbformat_minor"]) == (4, 5)
    ids = [cell["id"] for cell in BOOK["cells"]]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-zA-Z0-9-_]{1,64}", name) for name in ids)
    assert [cell["execution_count"] for cell in CODE] == list(range(1, len(CODE) + 1))
    for cell in CODE:
        [output] = cell["outputs"]
        assert output["output_type"] == "stream"
        assert "".join(output["text"]).strip()
    for cell in BOOK["cells"]:
        if cell["cell_type"] == "markdown":
            links = re.findall(r"\]\(([^)#]+)", "".join(cell["source"]))
            assert all((ROOT / "docs" / link).exists() for link in links)


@pytest.mark.slow
def test_its_cells_say_what_the_run_says(
    small_run: "SmallRun", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "demo").symlink_to(small_run.outputs)
    monkeypatch.chdir(tmp_path / "docs")
    names: dict[str, Any] = {}
    said = []
    for cell in CODE:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
        said.append(out.getvalue())
    campaigns = pq.read_table(small_run.run / "exports" / "campaigns.parquet").to_pylist()
    assert [line[:3] for line in said[1].splitlines()] == [
        f"{row['campaign_id']:>2}{'!' if row['alert'] else ' '}" for row in campaigns
    ]
    first = campaigns[0]
    assert said[2].startswith(f"{first['accounts']} accounts, {first['requests']} requests, ")
    labels = pq.read_table(small_run.run / "exports" / "labels.parquet").to_pylist()
    mine = sum(row["campaign_id"] == 0 for row in labels)
    assert f"{mine} requests are labelled with it" in "".join(said)
