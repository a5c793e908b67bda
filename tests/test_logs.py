"""The files of a log: which, in what order, under what names."""

from pathlib import Path

import pytest

from refrain.errors import InputError
from refrain.logs import discover


def touch(folder: Path, *names: str) -> None:
    for name in names:
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("")


def test_a_folder_keeps_its_partitions_and_leaves_out_the_marks_of_other_programs(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "day=2026-01-02/part-0.parquet",
        "day=2026-01-01/part-0.parquet",
        "day=2026-01-01/_SUCCESS",
        "day=2026-01-01/.part-0.parquet.crc",
        "_temporary/part-1.parquet",
        ".hidden/a.jsonl",
        "readme.txt",
        "b.CSV.GZ",
    )
    logs = discover([str(tmp_path)])
    assert [log.name for log in logs] == ["b.CSV.GZ", "day=2026-01-01/part-0.parquet", "day=2026-01-02/part-0.parquet"]
    assert (logs[0].format, logs[0].compression) == (".csv", ".gz")


def test_names_are_relative_to_the_fixed_part_of_a_pattern(tmp_path: Path) -> None:
    touch(tmp_path, "a/x.jsonl", "b/x.jsonl.zst", "b/x.txt", "c/deep/y.csv")
    assert [log.name for log in discover([f"{tmp_path}/*/x.*"])] == ["a/x.jsonl", "b/x.jsonl.zst"]
    assert [log.name for log in discover([f"{tmp_path}/[bc]"])] == ["b/x.jsonl.zst", "c/deep/y.csv"]
    assert [log.name for log in discover([f"{tmp_path}/**/*.csv"])] == ["c/deep/y.csv"]


def test_a_file_that_two_sources_reach_counts_once_and_equal_names_stay_two(tmp_path: Path) -> None:
    touch(tmp_path, "a/x.jsonl", "b/x.jsonl")
    sources = [str(tmp_path / "a"), str(tmp_path / "a/x.jsonl"), str(tmp_path / "b/x.jsonl")]
    logs = discover(sources)
    assert [(log.name, log.path.parent.name) for log in logs] == [("3/x.jsonl", "b"), ("x.jsonl", "a")]


@pytest.mark.parametrize("name", ["nowhere.jsonl", "no*.jsonl", "empty", "notes.txt", "x.parquet.gz"])
def test_a_source_without_a_readable_file_is_an_error_that_names_it(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "notes.txt", "x.parquet.gz")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=name.replace("*", r"\*")) as caught:
        discover([str(tmp_path / name)])
    assert caught.value.exit_code == 2
