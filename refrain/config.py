"""The shape of the configuration: one frozen section a stage. Values and reasons stand in configs/default.toml.

No field has a default here, so that default.toml is the only place to look. A section may refuse a value by raising
ValueError in `__post_init__`. A field made with `content()` names a file whose bytes, not whose name, are part of
the identity of what is computed with it.
"""

from dataclasses import dataclass, field, fields
from typing import Any

CONTENT = "content"


def content() -> Any:
    """A dataclass field for the name of a file in configs/ (or a path) whose content counts as the setting."""
    return field(metadata={CONTENT: True})


def content_fields(section: object) -> tuple[str, ...]:
    """The names of a section's fields that were made with `content()`."""
    return tuple(f.name for f in fields(section) if f.metadata.get(CONTENT))  # type: ignore[arg-type]


@dataclass(frozen=True)
class OutputsConfig:
    """Where results lie; no part of any identity."""

    path: str


@dataclass(frozen=True)
class IngestConfig:
    """How logs are read."""

    columns: dict[str, str]
    batch_rows: int
    max_text_characters: int
    max_structural_error_share: float
    quarantine_content_characters: int
    memory_limit_mib: int


@dataclass(frozen=True)
class EmbedConfig:
    """Which encoder turns segments into vectors, and in what portions."""

    model: str
    batch_size: int
    shard_rows: int


@dataclass(frozen=True)
class IndexConfig:
    """How nearest neighbours are found."""

    neighbours: int
    exact_below: int


@dataclass(frozen=True)
class ClusterConfig:
    """How segments become clusters."""

    min_owners: int
    max_distance: float
    seed: int


@dataclass(frozen=True)
class MineConfig:
    """How recurrent segments become templates."""

    min_owners: int
    examples: int
    example_characters: int


@dataclass(frozen=True)
class ScoreConfig:
    """How templates become campaigns and accounts members."""

    false_discovery_rate: float
    min_families: int
    seed: int


@dataclass(frozen=True)
class ExportConfig:
    """What the exports hold, and the memory that writing them takes."""

    examples: int
    memory_limit_mib: int


@dataclass(frozen=True)
class Config:
    """Every setting of a run."""

    outputs: OutputsConfig
    ingest: IngestConfig
    embed: EmbedConfig
    index: IndexConfig
    cluster: ClusterConfig
    mine: MineConfig
    score: ScoreConfig
    export: ExportConfig
