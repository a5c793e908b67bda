"""The addresses of a log in the networks of campaigns: each looked at one by one as oracle."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from refrain.labelled import _load_places
from refrain.networks import exit_network
from refrain.queries import database
from refrain.thresholds import Decision

LOG = [
    "10.1.2.3", "10.1.2.77", "10.1.3.4", "10.200.0.1", "101.2.3.4", "10.1.2", "010.1.2.3", "10.1.2.300", " 10.1.2.9",
    "::ffff:10.1.2.8", "2001:db8::1", "2001:db8::2", "2001:db9::1", "a hash", "another", "", None,
]  # fmt: skip
OWN = ["10.1.2.3", "2001:db8::1", "a hash", "010.1.2.3", None]


@pytest.mark.parametrize("bits", [0, 7, 8, 12, 16, 24, 31, 32])
def test_places_are_the_addresses_in_their_networks(tmp_path: Path, bits: int) -> None:
    pq.write_table(pa.table({"ip": pa.array(LOG, pa.string())}), tmp_path / "requests.parquet")
    decision = Decision(0.1, 0.1, 2, (), 0.5, bits, 64)
    with database(64, tmp_path) as connection:
        connection.register("given", pa.table({"ip": pa.array(OWN, pa.string())}))
        connection.execute("CREATE TEMP TABLE own AS SELECT * FROM given")
        _load_places(connection, [str(tmp_path / "requests.parquet")], decision)
        found = connection.execute("SELECT ip, network FROM places ORDER BY ip").fetchall()
    theirs = {exit_network(ip, bits, 64) or "" for ip in OWN if ip is not None}
    named = {ip: exit_network(ip, bits, 64) or "" for ip in LOG if ip is not None}
    assert found == sorted((ip, name) for ip, name in named.items() if name in theirs)
