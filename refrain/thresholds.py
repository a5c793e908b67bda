"""What decided that a finding alerts: the settings and the p-value that they come to, kept beside the findings."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from refrain.config import ScoreConfig
from refrain.tables import write_columns

_TABLE = "decision.parquet"


@dataclass(frozen=True)
class Decision:
    """How findings were decided: `families` are those looked at, of which `needed` must speak, each with at most
    `silent_p`; a finding alerts with a p-value of at most `alert_p`, which is the false discovery `rate`."""

    rate: float
    alert_p: float
    needed: int
    families: tuple[str, ...]
    silent_p: float
    ipv4_prefix: int  # bits of an address that name its network
    ipv6_prefix: int


def write_decision(folder: Path, config: ScoreConfig, alert_p: float) -> None:
    """Nothing; the folder of the campaigns then holds the decision, a table of one row."""
    values = (
        config.false_discovery_rate, alert_p, config.min_families, config.families, config.silent_p,
        config.ipv4_prefix, config.ipv6_prefix,
    )  # fmt: skip
    write_columns(folder / _TABLE, _DECISION, {n: [v] for n, v in zip(_DECISION.names, values, strict=True)})


def read_decision(folder: Path) -> Decision:
    """The decision that the folder of the campaigns holds."""
    [row] = pq.read_table(folder / _TABLE).to_pylist()
    return Decision(**{**row, "families": tuple(row["families"])})


_DECISION = pa.schema([
    ("rate", pa.float64()), ("alert_p", pa.float64()), ("needed", pa.int64()), ("families", pa.list_(pa.string())),
    ("silent_p", pa.float64()), ("ipv4_prefix", pa.int64()), ("ipv6_prefix", pa.int64()),
])  # fmt: skip
