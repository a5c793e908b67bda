"""Exports at a bucket's URL: the files there are those that a path would have got, byte for byte."""

from pathlib import Path

import pytest
from exported import make_run, options_for
from s3 import Service

from refrain.errors import InputError
from refrain.exporters.elsewhere import shown_destination
from refrain.exporters.registry import export_tables, find_exporter


def test_a_folder_and_a_file_lie_in_the_bucket_as_they_lie_here(s3: Service, tmp_path: Path) -> None:
    bucket = s3.fill("labels", {"kept.txt": b"somebody's"})
    run = make_run(tmp_path)
    for name, target in (("csv", "tables"), ("parquet", "same"), ("graphml", "graph.graphml")):
        exporter, here = find_exporter(name), tmp_path / target
        options = options_for(run, places=s3.config)
        counts = export_tables(run / "exports", str(here), exporter, options)
        for _ in range(2):  # the second time over the first
            assert export_tables(run / "exports", f"{bucket}/{target}", exporter, options) == counts
        files = [here] if here.is_file() else sorted(path for path in here.rglob("*") if path.is_file())
        for path in files:
            key = target if path == here else f"{target}/{path.relative_to(here).as_posix()}"
            with s3.system().open_input_stream(f"labels/{key}") as stream:
                assert stream.read() == path.read_bytes()
    with s3.system().open_input_stream("labels/kept.txt") as stream:
        assert stream.read() == b"somebody's"


def test_a_url_that_carries_a_secret_is_refused_and_shown_without_it(s3: Service, tmp_path: Path) -> None:
    exporter, run = find_exporter("csv"), make_run(tmp_path)
    url = "s3://user:planted-secret@labels/tables"
    assert "planted-secret" not in shown_destination(exporter, url)
    with pytest.raises(InputError) as refused:
        export_tables(run / "exports", url, exporter, options_for(run, places=s3.config))
    assert "planted-secret" not in f"{refused.value}{refused.value.hint}"
