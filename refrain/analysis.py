"""A run from Python: its exported tables as Arrow or pandas, and a finding as plain typed values.

    from refrain import open_run

    run = open_run("latest")
    run.campaigns.to_pylist()[0]["score"]
    run.campaign(0).members[0].account_id

Nothing is read before it is asked for. Texts and ids are as they stood in the log: hostile, and people's. Escape them
before you show them, and keep them out of names, logs and errors.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from refrain.contract import METADATA_KEY, TABLES, TEST_PREFIX, VERSION
from refrain.errors import InputError, StoreError
from refrain.packet_lines import read_packet
from refrain.queries import ROW_GROUP_ROWS
from refrain.runs import LATEST, Run
from refrain.runs import open_run as _open_run
from refrain.stable_ids import stable_ids

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Outcome:
    """What came of one test of a finding. `p_value` is None where it could not run; `off` then says why."""

    family: str
    name: str
    p_value: float | None
    observed: float | None = None
    expected: float | None = None
    off: str | None = None
    text: str = field(default="", repr=False)


@dataclass(frozen=True)
class Member:
    """One account of a campaign: a row of the accounts table, where each field is explained (outputs/README.md)."""

    account_id: str
    owner: int
    requests: int
    account_requests: int
    share: float
    first_use: datetime
    evidence: float
    reasons: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True)
class Template:
    """One template: a row of the templates table."""

    template_id: int
    skeleton: str = field(repr=False)
    kind: str
    words: int
    requests: int
    accounts: int
    owners: int
    first_seen: datetime
    last_seen: datetime
    fillings: int
    examples: tuple[str, ...] = field(repr=False)
    campaigns: tuple[int, ...]


@dataclass(frozen=True)
class Campaign:
    """One finding: a row of the campaigns table, with its members (most evidence first), tests and templates as values.

    `identity` is the id that it keeps from night to night, None where no night knows it.
    """

    campaign_id: int
    score: float
    p_value: float | None
    q_value: float | None
    alert: bool
    accounts: int
    owners: int
    requests: int
    first_seen: datetime
    last_seen: datetime
    signal_tags: tuple[str, ...]
    signal_similarities: tuple[float, ...]
    benign: tuple[str, ...]
    families: tuple[str, ...]
    identity: str | None
    templates: tuple[Template, ...] = field(repr=False)
    members: tuple[Member, ...] = field(repr=False)
    tests: tuple[Outcome, ...] = field(repr=False)


class RunView:
    """The exports of one run. A table is read when it is first asked for and then kept; `batches` keeps nothing."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._folder = run.result("exports")

    def __repr__(self) -> str:
        return f"<refrain run {self.name}: {', '.join(TABLES)}>"

    @property
    def name(self) -> str:
        """The run id."""
        return self._run.name

    @property
    def folder(self) -> Path:
        """The folder of the exported tables."""
        return self._folder

    @cached_property
    def campaigns(self) -> pa.Table:
        """A row a finding, by rank."""
        return self.table("campaigns")

    @cached_property
    def accounts(self) -> pa.Table:
        """A row a member of a campaign."""
        return self.table("accounts")

    @cached_property
    def templates(self) -> pa.Table:
        """A row a template."""
        return self.table("templates")

    @cached_property
    def clusters(self) -> pa.Table:
        """A row a segment cluster."""
        return self.table("clusters")

    @cached_property
    def labels(self) -> pa.Table:
        """A row a request. `batches("labels")` goes through it in little memory."""
        return self.table("labels")

    @cached_property
    def request_segments(self) -> pa.Table:
        """A row a segment of a request; the longest table."""
        return self.table("request_segments")

    @cached_property
    def identities(self) -> dict[int, str]:
        """The stable id of each campaign that a night knows, by its number in this run."""
        return stable_ids(self._run)

    def table(self, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        """A table of the contract, or some columns of it; InputError for another name, StoreError where a file is gone
        or of another version of the contract."""
        return self._file(name, columns).read(columns=None if columns is None else list(columns))

    def batches(
        self, name: str, columns: Sequence[str] | None = None, *, rows: int = ROW_GROUP_ROWS
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a table in their order, at most `rows` at a time; errors as `table`."""
        file = self._file(name, columns)
        return iter(file.iter_batches(batch_size=rows, columns=None if columns is None else list(columns)))

    def to_pandas(self, name: str, columns: Sequence[str] | None = None) -> "pd.DataFrame":
        """A table as a pandas frame, whole numbers that may be missing as Int64; InputError where pandas is not
        installed, and errors as `table`."""
        try:
            import pandas as pd
        except ImportError:
            raise InputError("pandas is not installed here", hint="pip install pandas") from None
        # Without this a column of numbers with one missing becomes one of floats.
        kinds: dict[Any, Any] = {pa.int64(): pd.Int64Dtype(), pa.int32(): pd.Int32Dtype()}
        frame: pd.DataFrame = self.table(name, columns).to_pandas(types_mapper=kinds.get)
        return frame

    def campaign(self, campaign_id: int) -> Campaign:
        """One finding with its members, tests and templates; InputError where the run has none of that number."""
        found = _equal(self.campaigns, "campaign_id", campaign_id).to_pylist()
        if not found:
            many = self.campaigns.num_rows
            raise InputError(f"the run {self.name} has no campaign {campaign_id}", hint=f"it has {many}, from 0")
        [row] = found
        numbers = pa.array(row["templates"], pa.int64())
        theirs = self.templates.filter(pc.is_in(self.templates["template_id"], numbers)).to_pylist()
        by_number = {other["template_id"]: other for other in theirs}
        members = _equal(self.accounts, "campaign_id", campaign_id).to_pylist()
        own = {
            "templates": tuple(
                _value(Template, by_number[number]) for number in row["templates"] if number in by_number
            ),
            "members": tuple(_value(Member, member) for member in members),
            "tests": self._tests(row),
            "identity": self.identities.get(campaign_id),
        }
        whole: Campaign = _value(Campaign, {**row, **own})
        return whole

    def packet(self, campaign_id: int) -> dict[str, Any]:
        """The evidence packet of a finding (outputs/README.md); InputError where there is none."""
        return read_packet(self._folder, campaign_id)

    def _tests(self, row: dict[str, Any]) -> tuple[Outcome, ...]:
        """The tests as the packet tells them; from the columns of p-values alone where there is no packet."""
        try:
            families = self.packet(row["campaign_id"])["waterfall"]["families"]
        except InputError:
            named = [(name.removeprefix(TEST_PREFIX), value) for name, value in row.items()]
            tests = [(*name.partition("_"), value) for name, value in named if f"{TEST_PREFIX}{name}" in row]
            return tuple(Outcome(family, name, value) for family, _, name, value in tests)
        return tuple(
            Outcome(family["family"], **{"name" if key == "test" else key: test[key] for key in _TOLD})
            for family in families
            for test in family["tests"]
        )

    def _file(self, name: str, columns: Sequence[str] | None) -> pq.ParquetFile:
        if name not in TABLES:
            raise InputError(f"there is no table {name!r}", hint=f"there are {', '.join(TABLES)}")
        path = self._folder / f"{name}.parquet"
        try:
            file = pq.ParquetFile(path, memory_map=True)
        except (OSError, pa.ArrowInvalid):
            hint = f"refrain export {self.name} writes it again"
            raise StoreError(f"{path} cannot be read", hint=hint) from None
        written = (file.schema_arrow.metadata or {}).get(METADATA_KEY, b"").decode("ascii", "replace")
        if written != VERSION:
            raise StoreError(f"{path} is not of version {VERSION} of the contract", hint=f"refrain export {self.name}")
        missing = [column for column in columns or () if column not in file.schema_arrow.names]
        if missing:
            raise InputError(
                f"{name} has no column {missing[0]!r}", hint=f"it has {', '.join(file.schema_arrow.names)}"
            )
        return file


_TOLD = ("test", "p_value", "observed", "expected", "off", "text")


def open_run(name: str = LATEST, outputs: str | PathLike[str] = "outputs") -> RunView:
    """The exports of a run (`latest`, `latest-night` or a run id) of an outputs folder; StoreError where it has none
    of this name."""
    return RunView(_open_run(Path(outputs), name))


def _equal(table: pa.Table, column: str, number: int) -> pa.Table:
    return table.filter(pc.equal(table[column], number))


def _value(kind: Any, row: dict[str, Any]) -> Any:
    """A row as a dataclass that has some of its columns as fields; lists become tuples."""
    chosen = {one.name: row[one.name] for one in fields(kind)}
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in chosen.items()})
