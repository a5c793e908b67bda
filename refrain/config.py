"""The shape of the configuration: one frozen section a stage. Values and reasons stand in configs/default.toml.

No field has a default here, so that default.toml is the only place to look. A section may refuse a value by raising
ValueError in `__post_init__`. A field of the type ContentFile names a file, one of the type ContentFolder a folder of
lists, whose bytes, not whose name, are part of the identity of what is computed with it; one of the type Speed has no
part in it.
"""

from dataclasses import dataclass
from typing import Annotated, get_type_hints
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from refrain.columns import ACCOUNTS, COLUMNS, HASHABLE
from refrain.dialects import AUTO, BUILT_IN, OWN, names

FAMILIES = ("identity", "time", "use")  # of evidence
_CONTENT = "content"
ContentFile = Annotated[str, _CONTENT]
"""The name of a file in configs/, or a path, whose content counts as the setting; "" stands for none where that may
be."""
_FOLDER = "content of a folder"
ContentFolder = Annotated[str, _FOLDER]
"""The name of a folder in configs/, or a path, whose `*.toml` count as the setting; "" stands for none."""

_SPEED = "speed alone"
Speed = Annotated[int, _SPEED]
"""A number on which no byte of a stage's result depends; no part of its identity."""
SpeedSwitch = Annotated[bool, _SPEED]
"""The same, on or off."""


def content_fields(section: object) -> tuple[str, ...]:
    """The names of a section's fields of the type ContentFile."""
    return _marked(section, _CONTENT)


def content_folders(section: object) -> tuple[str, ...]:
    """The names of a section's fields of the type ContentFolder."""
    return _marked(section, _FOLDER)


def speed_fields(section: object) -> tuple[str, ...]:
    """The names of a section's fields of the types Speed and SpeedSwitch."""
    return _marked(section, _SPEED)


def _marked(section: object, mark: str) -> tuple[str, ...]:
    hints = get_type_hints(type(section), include_extras=True)
    return tuple(name for name, kind in hints.items() if mark in getattr(kind, "__metadata__", ()))


@dataclass(frozen=True)
class OutputsConfig:
    """Where results lie; no part of any identity."""

    path: str


@dataclass(frozen=True)
class IngestConfig:
    """How logs are read, cut into segments, and grouped into owners."""

    source: str
    format: str
    turns: str
    account: tuple[str, ...]
    columns: dict[str, str]
    hash: tuple[str, ...]
    hash_key_version: int
    timezone: str
    earliest_year: int
    latest_year: int
    csv_delimiter: str
    torn_files: str
    max_structural_error_share: float
    batch_rows: int
    batch_mib: int
    max_record_mib: int
    max_text_characters: int
    max_request_characters: int
    max_turns: int
    max_field_characters: int
    quarantine_content_characters: int
    segment_max_words: int
    segment_window_words: int
    max_segments: int
    owners: tuple[str, ...]
    ipv4_prefix: int
    ipv6_prefix: int
    asn_table: ContentFile
    workers: Speed
    worker_mib: Speed
    keep_staged: SpeedSwitch
    staged_mib: Speed
    staged_unit_kib: Speed
    memory_limit_mib: int

    def __post_init__(self) -> None:
        for name in self.columns:
            _one_of("columns", name, COLUMNS)
        for name in self.account:
            _one_of("account", name, ACCOUNTS)
        for name in self.hash:
            _one_of("hash", name, HASHABLE)
        if not set(self.hash).isdisjoint(self.account) and not set(self.account) <= set(self.hash):
            raise ValueError("hash must name every column of account, or none of them")
        if self.hash_key_version < 1:
            raise ValueError("hash_key_version must be at least 1")
        for name in self.owners:
            _one_of("owners", name, ("organisation", "payment_network"))
        _one_of("torn_files", self.torn_files, ("stop", "keep"))
        _one_of("turns", self.turns, ("last", "all"))
        _known_format(self.format)
        if self.columns and self.format not in (AUTO, OWN):
            raise ValueError(f"columns name those of a log with our own columns: format must be {AUTO!r} or {OWN!r}")
        if not self.account:
            raise ValueError("account must name at least one column")
        if not 1971 <= self.earliest_year <= self.latest_year <= 2200:  # noqa: PLR2004
            # Outside, a number of seconds could as well be one of milliseconds.
            raise ValueError("earliest_year and latest_year must lie in order between 1971 and 2200")
        if min(self.workers, self.worker_mib, self.staged_mib) < 0 or self.staged_unit_kib < 1:
            raise ValueError("workers, worker_mib and staged_mib must be at least 0, staged_unit_kib at least 1")
        if len(self.csv_delimiter) != 1:
            raise ValueError("csv_delimiter must be one character")
        if not 0 < self.segment_window_words < self.segment_max_words:
            raise ValueError("segment_window_words must be at least 1 and below segment_max_words")
        _known_zone(self.timezone)


def _known_format(name: str) -> None:
    """Nothing; ValueError where no format of logs has this name."""
    if name not in (AUTO, OWN, *BUILT_IN):
        _one_of("format", name, (AUTO, OWN, *names()))


def _known_zone(name: str) -> None:
    """Nothing; ValueError where there is no time zone of this name."""
    try:
        if name != "UTC":  # known even where there is no tz database
            ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"timezone {name!r} is unknown here") from error


def _one_of(setting: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{setting}: {value!r} is none of {', '.join(known)}")


@dataclass(frozen=True)
class PlacesConfig:
    """How buckets and databases are reached; no part of any identity, and no secret."""

    s3_endpoint: str
    s3_region: str
    gs_endpoint: str
    azure_endpoint: str
    anonymous: bool
    attempts: int
    connect_seconds: float
    request_seconds: float
    fetch_rows: int
    fetch_mib: int

    def __post_init__(self) -> None:
        for name in ("s3_endpoint", "gs_endpoint", "azure_endpoint"):
            value = getattr(self, name)
            if value and (not value.startswith(("http://", "https://")) or "@" in value or "?" in value):
                # Without the value: it may hold a secret.
                raise ValueError(f"{name} must be http(s)://HOST[:PORT], without user and query")
        if self.attempts < 1 or min(self.connect_seconds, self.request_seconds) <= 0:
            raise ValueError("attempts must be at least 1, connect_seconds and request_seconds above 0")
        if min(self.fetch_rows, self.fetch_mib) < 1:
            raise ValueError("fetch_rows and fetch_mib must be at least 1")


@dataclass(frozen=True)
class EmbedConfig:
    """Which encoder turns segments into vectors, and in what portions."""

    tier: str
    model: str
    static_dimensions: int
    static_frequency: float
    device: str
    max_tokens: int
    padded_tokens: tuple[int, ...]
    batch_tokens: int
    cuda_batch_tokens: int
    shard_rows: int
    memory_limit_mib: int
    probes: ContentFile
    probe_sample: int
    probe_min_cosine: float
    probe_min_ngram_cosine: float
    probe_rarest_share: float
    probe_margin: float
    probe_ngrams: tuple[int, ...]
    probe_unspaced_ngrams: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.tier not in ("static", "transformer"):
            raise ValueError(f'tier must be "static" or "transformer", not {self.tier!r}')
        if not (self.static_dimensions >= 1 and self.static_frequency > 0):
            raise ValueError("static_dimensions must be at least 1 and static_frequency above 0")
        if self.device not in ("auto", "cpu", "cuda"):
            raise ValueError(f'device must be "auto", "cpu" or "cuda", not {self.device!r}')
        batches = (self.batch_tokens, self.cuda_batch_tokens, self.shard_rows)
        if min(*batches, self.max_tokens, self.memory_limit_mib, self.probe_sample, *self.padded_tokens) < 1:
            raise ValueError("every size must be at least 1")


@dataclass(frozen=True)
class IndexConfig:
    """How nearest neighbours are found."""

    neighbours: int
    exact_below: int
    cells_per_root: float
    training_rows_per_cell: int
    training_rounds: int
    probes: int
    fetched: int
    rounds: int
    crossing_probes_per_root: float
    crossing_rounds: int
    window_rounds: int
    spare_neighbours: int
    block_rows: int
    seed: int

    def __post_init__(self) -> None:
        at_least_one = (
            "neighbours", "training_rows_per_cell", "training_rounds", "probes", "fetched", "block_rows",
        )  # fmt: skip
        for name in at_least_one:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        if (
            min(self.cells_per_root, self.crossing_probes_per_root) <= 0
            or min(self.spare_neighbours, self.rounds, self.crossing_rounds, self.window_rounds) < 0
        ):
            raise ValueError(
                "cells_per_root and crossing_probes_per_root must be above 0, spare_neighbours and rounds at least 0"
            )


@dataclass(frozen=True)
class ClusterConfig:
    """How segments become clusters."""

    min_owners: int
    min_samples: int
    max_distance: float
    same_distance: float
    max_share: float
    max_share_from: int

    def __post_init__(self) -> None:
        if self.min_owners <= 1 or self.min_samples < 1:
            raise ValueError("min_owners must be above 1, min_samples at least 1")
        if not 0 < self.same_distance < self.max_distance:
            raise ValueError("same_distance must lie between 0 and max_distance")
        if not 0 < self.max_share <= 1:
            raise ValueError("max_share must lie above 0 and not above 1")


@dataclass(frozen=True)
class MineConfig:
    """How recurrent segments become templates."""

    min_owners: int
    span_words: int
    span_min_ratio: float
    span_min_part: float
    span_whole_part: float
    near_units: int
    together: float
    held_part: float
    sentence_words: int
    skeleton_requests: int
    skeleton_characters: int
    examples: int
    example_characters: int


@dataclass(frozen=True)
class ScoreConfig:
    """How templates become campaigns and accounts members."""

    false_discovery_rate: float
    families: tuple[str, ...]
    min_families: int
    min_owners: int
    min_members: int
    min_words: int
    join_jaccard: float
    join_p: float
    join_owners: int
    activity_bins: int
    stratum_owners: int
    matched_bias: float
    draws: int
    screening_draws: int
    screening_p: float
    silent_p: float
    refuting_p: float
    watch_p: float
    listed_p: float
    ipv4_prefix: int
    ipv6_prefix: int
    systems_share: float
    rhythm_controls: int
    rhythm_min_requests: int
    rhythm_max_requests: int
    rhythm_min_owners: int
    succession_hours: int
    succession_step_hours: int
    minute_bins: int
    shift_hours: int
    product_client_share: float
    place_share: float
    place_concentration: float
    customer_card_share: float
    viral_once_share: float
    run_owners_share: float
    run_owners: int
    service_share: float
    gateway_factor: float
    prior_bystanders: float
    prior_regulars: float
    prior_members: float
    member_shrink_users: float
    member_max_weight: float
    member_rounds: int
    member_start_parts: tuple[float, ...]
    member_posterior: float
    reason_weight: float
    attach_share: float
    attach_new_share: float
    reworded_share: float
    signal_segments: int
    known: ContentFolder
    known_shingle_words: int
    known_similarity: float
    known_share: float
    known_factor: float
    suppressed_factor: float
    suppressed_members: float
    known_nearest: int
    known_shown: float
    seed: int

    def __post_init__(self) -> None:
        for name in self.families:
            _one_of("families", name, FAMILIES)
        if not 1 <= self.min_families <= len(set(self.families)):
            raise ValueError("min_families must be at least 1 and at most the number of families")
        for name in ("known_shingle_words", "signal_segments"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        if not 0 < self.systems_share <= 1:
            raise ValueError("systems_share must lie above 0 and be at most 1")
        if self.matched_bias < 1:
            raise ValueError("matched_bias must be at least 1: a factor of odds, and 1 is a perfect match")
        for name in ("known_factor", "suppressed_factor"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie between 0 and 1: a known template lowers a rank")


@dataclass(frozen=True)
class ExportConfig:
    """What the exports hold, and the memory that writing them takes."""

    examples: int
    packet_accounts: int
    packet_templates: int
    packet_slots: int
    packet_slot_requests: int
    packet_samples: int
    packet_messages: int
    packet_values: int
    packet_characters: int
    packet_sample_characters: int
    packet_read_characters: int
    memory_limit_mib: int
    share_min_accounts: Speed  # shapes copies that leave the house, no byte of a run

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < (0 if name == "examples" else 1):
                raise ValueError(f"{name} must be at least {0 if name == 'examples' else 1}")


@dataclass(frozen=True)
class NightsConfig:
    """What a night is, and which are caught up."""

    days: int
    timezone: str
    watermark_hours: float
    catch_up: int

    def __post_init__(self) -> None:
        if not (self.days >= 1 and self.watermark_hours >= 0 and self.catch_up >= 0):
            raise ValueError("days must be at least 1, watermark_hours and catch_up at least 0")
        _known_zone(self.timezone)


@dataclass(frozen=True)
class AlertsConfig:
    """Whom a night tells of new campaigns, and when it looks wrong."""

    webhook: str
    volume_factor: float
    noise_change: float

    def __post_init__(self) -> None:
        if self.webhook and not self.webhook.startswith(("http://", "https://")):
            raise ValueError("webhook must begin with http:// or https://")  # without it: an address can be a secret
        if self.volume_factor <= 1 or not 0 < self.noise_change <= 1:
            raise ValueError("volume_factor must be above 1, noise_change above 0 and not above 1")


@dataclass(frozen=True)
class LedgerConfig:
    """Where the ledger of nights, identities and decisions is kept; no part of any identity."""

    url: str
    signature_nights: int

    def __post_init__(self) -> None:
        if self.signature_nights < 1:
            raise ValueError("signature_nights must be at least 1")


IN_OUTPUTS = LedgerConfig(url="", signature_nights=1)
"""The ledger in the outputs folder, for whoever has no settings and records no night."""


@dataclass(frozen=True)
class LineageConfig:
    """When something is the same as on an earlier night, and what is said of it; no part of a run's identity."""

    recent_days: int
    ended_days: int
    request_weight: float
    account_weight: float
    text_weight: float
    request_prior: float
    continued: float
    part: float
    split_share: float
    merge_share: float
    merge_nights: int
    succession_text: float
    succession_accounts: float
    succession_crossing: float
    succession_held: float
    size_factor: float
    min_accounts: int
    pivot_share: float
    pivot_factor: float
    pivot_requests: int
    followed: int
    campaign_members: int
    other_members: int
    shingle_words: int

    def __post_init__(self) -> None:
        counts = (
            "recent_days", "ended_days", "merge_nights", "min_accounts", "pivot_requests", "campaign_members",
            "other_members", "shingle_words",
        )  # fmt: skip
        for name in counts:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        if min(self.request_weight, self.request_prior, self.followed) < 0:
            raise ValueError("request_weight, request_prior and followed must be at least 0")
        if min(self.account_weight, self.text_weight) <= 0:
            raise ValueError("account_weight and text_weight must be above 0")
        shares = (
            "continued", "part", "split_share", "merge_share", "succession_text", "succession_accounts",
            "succession_crossing", "succession_held", "pivot_share",
        )  # fmt: skip
        for name in shares:
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie above 0 and not above 1")
        if min(self.size_factor, self.pivot_factor) <= 1:
            raise ValueError("size_factor and pivot_factor must be above 1")
        if self.ended_days <= self.recent_days:
            raise ValueError("ended_days must be above recent_days: what ends was dormant before")


@dataclass(frozen=True)
class RetentionConfig:
    """What `refrain purge --retention` and every night keep; no part of any identity."""

    days: int
    runs: int

    def __post_init__(self) -> None:
        if min(self.days, self.runs) < 0:
            raise ValueError("days and runs must be at least 0, which keeps all")

    @property
    def keeps_all(self) -> bool:
        """Whether nothing ever goes."""
        return not (self.days or self.runs)


@dataclass(frozen=True)
class Config:
    """Every setting of a run."""

    outputs: OutputsConfig
    places: PlacesConfig
    ingest: IngestConfig
    embed: EmbedConfig
    index: IndexConfig
    cluster: ClusterConfig
    mine: MineConfig
    score: ScoreConfig
    export: ExportConfig
    nights: NightsConfig
    alerts: AlertsConfig
    ledger: LedgerConfig
    lineage: LineageConfig
    retention: RetentionConfig
