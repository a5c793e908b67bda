"""Tables of autonomous systems: both shapes value for value, the longest prefix by a plain loop, bad rows named."""

import gzip
import ipaddress
import pickle
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.errors import InputError
from refrain.system_tables import SystemTable, read_system_table

GEOLITE = """\
network,autonomous_system_number,autonomous_system_organization
1.0.0.0/24,13335,"Some, Inc."
1.0.4.0/22,38803,Other
203.0.113.0/25,64500,"He said ""hi"" once"
203.0.113.128/25,,
2001:db8::/32,64501,Six
2001:db8:1::/48,4200000123,Inside
"""
IPTOASN = (
    '1.0.0.0\t1.0.0.255\t13335\tUS\tSOME "NET\n'
    "1.0.1.0\t1.0.3.255\t0\tNone\tNot routed\n"
    "1.0.4.0\t1.0.7.255\t38803\tAU\tOTHER\n"
    "203.0.113.0\t203.0.113.127\t64500\tXX\tX\n"
    "2001:db8::\t2001:db8:0:ffff:ffff:ffff:ffff:ffff\t64501\tXX\tSIX\n"
    "2001:db8:1::\t2001:db8:1:ffff:ffff:ffff:ffff:ffff\t4200000123\tXX\tINSIDE\n"
    "2001:db8:2::\t2001:db8:ffff:ffff:ffff:ffff:ffff:ffff\t64501\tXX\tSIX\n"
)
EXPECTED = {
    "1.0.0.0": 13335, "1.0.0.255": 13335, "1.0.1.0": 0, "1.0.3.255": 0, "1.0.4.0": 38803, "1.0.7.255": 38803,
    "1.0.8.0": 0, "0.0.0.0": 0, "255.255.255.255": 0, "203.0.113.127": 64500, "203.0.113.128": 0,
    "::ffff:1.0.0.7": 13335, "2001:db8::": 64501, "2001:db8:0:ffff:ffff:ffff:ffff:ffff": 64501,
    "2001:db8:1::": 4200000123, "2001:db8:1:ffff::": 4200000123, "2001:db8:2::": 64501,
    "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff": 64501, "2001:db9::": 0, "::": 0,
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": 0, " 1.0.0.1 ": 13335, "h1:00": 0, "": 0, "1.0.0": 0, "x" * 9999: 0,
}  # fmt: skip


def written(folder: Path, text: str, name: str = "table.csv") -> Path:
    (folder / name).write_text(text, "utf-8")
    return folder / name


def numbers_of(table: SystemTable) -> dict[str, int]:
    return dict(zip(EXPECTED, table.numbers(list(EXPECTED)), strict=True))


@pytest.mark.parametrize("text", [GEOLITE, IPTOASN, IPTOASN.replace("\t", ","), "\ufeff" + GEOLITE])
def test_both_shapes_value_for_value(text: str, tmp_path: Path) -> None:
    table = read_system_table(written(tmp_path, text))
    assert numbers_of(table) == EXPECTED
    packed = tmp_path / "table.csv.gz"
    packed.write_bytes(gzip.compress(text.encode()))
    assert numbers_of(read_system_table(packed)) == EXPECTED
    assert numbers_of(pickle.loads(pickle.dumps(table))) == EXPECTED  # noqa: S301 (as a worker process gets it)
    assert table.numbers([]) == []


def test_files_of_both_versions_one_after_the_other(tmp_path: Path) -> None:
    head, *lines = GEOLITE.splitlines(keepends=True)
    text = head + "".join(lines[4:]) + head + "".join(lines[:4])
    assert numbers_of(read_system_table(written(tmp_path, text))) == EXPECTED
    other = "network,country,asn\n" + "".join(f"{line.split(',')[0]},XX,AS{line.split(',')[1]}\n" for line in lines)
    other = other.replace("XX,AS\n", "XX,\n")
    assert numbers_of(read_system_table(written(tmp_path, other))) == EXPECTED


def test_the_first_of_equal_prefixes_counts(tmp_path: Path) -> None:
    text = "network,asn\n10.0.0.0/8,1\n10.0.0.0/8,2\n10.1.0.0/16,3\n10.1.0.0/16,4\n"
    table = read_system_table(written(tmp_path, text))
    assert table.numbers(["10.0.0.1", "10.1.0.1", "10.2.0.1", "11.0.0.0"]) == [1, 3, 1, 0]


@given(
    st.lists(st.tuples(st.integers(0, 255), st.integers(24, 32), st.integers(0, 9)), min_size=1, max_size=20),
    st.booleans(),
)
def test_the_longest_prefix_against_a_plain_loop(rows: list[tuple[int, int, int]], six: bool) -> None:
    base, more = ("2001:db8::", 96) if six else ("192.0.2.0", 0)
    first = int(ipaddress.ip_address(base))
    networks = [
        (ipaddress.ip_network((first + at, length + more), strict=False), number) for at, length, number in rows
    ]
    with tempfile.TemporaryDirectory() as folder:
        text = "network,asn\n" + "".join(f"{network},{number}\n" for network, number in networks)
        table = read_system_table(written(Path(folder), text))
    addresses = [ipaddress.ip_address(first + at) for at in range(-1, 257)]
    expected = []
    for address in addresses:
        holding = [(network.prefixlen, number) for network, number in networks if address in network]
        longest = max((length for length, _ in holding), default=0)
        expected.append(next((number for length, number in holding if length == longest), 0))
    assert table.numbers(list(map(str, addresses))) == expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (GEOLITE + "1.2.3/24,5,x\n", "row 8: the field network is no prefix"),
        (GEOLITE + "1.2.3.0,5,x\n", "row 8: the field network has no length of 0 to 32"),
        (GEOLITE + "1.2.3.0/33,5,x\n", "row 8: the field network has no length of 0 to 32"),
        (GEOLITE + "2001::/00000000129,5,x\n", "row 8: the field network has no length of 0 to 128"),
        (GEOLITE + "1.2.3.4/24,5,x\n", "row 8: the field network has bits beyond its length"),
        (GEOLITE + "1.2.3.0/24,secret,x\n", "row 8: the field autonomous_system_number is no number"),
        (GEOLITE + "1.2.3.0/24,4294967296,x\n", "row 8: the field autonomous_system_number is no number"),
        (GEOLITE + "1.2.3.0/24\n", "row 8: the field autonomous_system_number is missing"),
        (IPTOASN + "1.2.3.4\tsecret\t5\tXX\tx\n", "row 8: the field last address is no address"),
        (IPTOASN + "secret\t1.2.3.4\t5\tXX\tx\n", "row 8: the field first address is no address"),
        (IPTOASN + "1.2.3.4\t1.2.3.3\t5\tXX\tx\n", "row 8: the field last address lies before the first"),
        (IPTOASN + "1.2.3.4\t::1\t5\tXX\tx\n", "row 8: the field last address is of the other version"),
        (IPTOASN + "1.2.3.4\t1.2.3.5\n", "row 8: the field number is missing"),
        (IPTOASN + "1.2.3.4\n", "row 8: the field last address is no address"),
        (IPTOASN + "1.0.5.0\t1.0.9.0\t5\tXX\tx\n", "row 8: the field last address lies beyond that of row 3"),
        ("geoname_id,network\n1,1.0.0.0/24\n", "row 1: neither a header"),
        ("secret\n", "row 1: neither a header"),
        ("", "has no rows"),
        ("network,asn\n", "has no rows"),
    ],
)
def test_a_bad_row_is_named_and_not_shown(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=told) as refused:
        read_system_table(written(tmp_path, text))
    assert "table.csv" in refused.value.message
    for shown in ("secret", "1.2.3", "4294967296"):
        assert shown not in f"{refused.value}{refused.value.hint}"


def test_a_file_that_ends_early_is_an_error(tmp_path: Path) -> None:
    whole = gzip.compress((GEOLITE * 500).encode())
    (tmp_path / "table.csv.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "table.bin").write_bytes(b"network,asn\n\xff\xfe\x00")
    for name in ("table.csv.gz", "table.bin"):
        with pytest.raises(InputError, match="cannot be read to its end"):
            read_system_table(tmp_path / name)
