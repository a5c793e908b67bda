"""What an exporter is, and what it is told beside the tables."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from refrain.config import PlacesConfig
from refrain.errors import InputError
from refrain.progress import NoProgress, Progress

# Rows held at a time, everywhere here: enough for speed, little beside the texts of a table of templates.
BATCH_ROWS = 8192
FILE, FOLDER, URL = "file", "folder", "url"


@dataclass(frozen=True)
class Standing:
    """What the nights know of a campaign: the ledger's state of it, and an analyst's last verdict; "" for none."""

    state: str = ""
    verdict: str = ""


@dataclass(frozen=True)
class Options:
    """What an exporter may use beside the tables; the plain constructor is enough for most."""

    run: str = ""
    """The run id, which keys what is written where several runs stand together."""
    folder: Path | None = None
    """The run's folder with all its stages; None where only the tables may be read, as under --redact."""
    identities: Mapping[int, str] = field(default_factory=dict)
    """Stable ids by campaign number; a campaign that no night knows is missing."""
    standings: Mapping[str, Standing] = field(default_factory=dict)
    """Of every campaign that the ledger knows, by stable id: those that this run has nothing of, too."""
    key: bytes = field(default=b"", repr=False)
    """The secret under which ids are hashed where a format has them hashed."""
    hashed: bool = False
    """Whether the ids of accounts in the tables are keyed hashes already."""
    with_text: bool = False
    """Whether prompts may be written by a format that leaves them out otherwise."""
    more: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The format's own settings, from --option KEY=VALUE."""
    places: PlacesConfig | None = None
    """How buckets are reached, where files go to one; None: as the defaults say."""
    progress: Progress = field(default_factory=NoProgress)

    def standing(self, campaign_id: int) -> Standing:
        """What the nights know of a campaign of the run."""
        return self.standings.get(self.identities.get(campaign_id, ""), Standing())


@dataclass(frozen=True)
class Exporter:
    """One format: `write` gives the rows written by table (or by what stands for one), whole or not at all.

    `write(exports, to, options)`: the folder of the tables as Parquet, the destination as it was given, the rest.
    """

    name: str
    title: str
    write: Callable[[Path, str, Options], dict[str, int]]
    kind: str = FILE
    """What the destination is: "file", "folder" or "url"."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """The keys of --option that `write` knows, and what each means."""
    place: Callable[[str, str], str] = lambda to, table: f"{table} in {to}"
    """Where a table was written, for people: from the shown destination and the table's name."""
    shown: Callable[[str], str] = lambda to: to
    """The destination as it may be printed, without what is secret in it."""

    def check(self, options: Options) -> None:
        """Nothing; InputError for a setting that this format does not have."""
        for name in options.more:
            if name not in self.settings:
                known = ", ".join(sorted(self.settings))
                raise InputError(
                    f"the format {self.name} has no option {name!r}", hint=f"it has {known}" if known else ""
                )
