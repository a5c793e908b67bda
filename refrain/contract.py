"""The schemas of the exports: what other tools may rely on. outputs/README.md says what each column means.

A column that may be empty is nullable here and in the file. A change that breaks a reader (a column gone, a type or a
meaning changed) raises the version; a new column does not.
"""

import pyarrow as pa

VERSION = "1"
# The key under which every exported file names the version in its schema metadata.
METADATA_KEY = b"refrain.contract"
# How a slot is written inside a skeleton.
SLOT = "{slot}"
# The campaigns table has one p-value column for each test that the scoring knows, named `test_<family>_<test>`.
TEST_PREFIX = "test_"

_TIME = pa.timestamp("us", tz="UTC")
_IDS, _TEXTS = pa.list_(pa.int64()), pa.list_(pa.string())


def _schema(*columns: tuple[str, pa.DataType], null: tuple[str, ...] = ()) -> pa.Schema:
    fields = [pa.field(name, kind, nullable=name in null) for name, kind in columns]
    return pa.schema(fields, metadata={METADATA_KEY: VERSION.encode()})


LABELS = _schema(
    ("request_id", pa.string()),
    ("account_id", pa.string()),
    ("cluster_id", pa.int64()),
    ("strength", pa.float64()),
    ("template_id", pa.int64()),
    ("campaign_id", pa.int64()),
    null=("template_id", "campaign_id"),
)
REQUEST_SEGMENTS = _schema(
    ("request_id", pa.string()),
    ("position", pa.int32()),
    ("role", pa.string()),
    ("cluster_id", pa.int64()),
    ("template_id", pa.int64()),
    ("templates", _IDS),
    null=("template_id",),
)
CLUSTERS = _schema(
    ("cluster_id", pa.int64()),
    ("segments", pa.int64()),
    ("requests", pa.int64()),
    ("accounts", pa.int64()),
    ("owners", pa.int64()),
    ("first_seen", _TIME),
    ("last_seen", _TIME),
    ("stability", pa.float64()),
    ("exemplar", pa.string()),
)
TEMPLATES = _schema(
    ("template_id", pa.int64()),
    ("skeleton", pa.string()),
    ("kind", pa.string()),
    ("words", pa.int64()),
    ("requests", pa.int64()),
    ("accounts", pa.int64()),
    ("owners", pa.int64()),
    ("first_seen", _TIME),
    ("last_seen", _TIME),
    ("fillings", pa.int64()),
    ("examples", _TEXTS),
    ("campaigns", _IDS),
)
# Without the columns of the tests, which `campaigns_schema` adds.
CAMPAIGNS = _schema(
    ("campaign_id", pa.int64()),
    ("score", pa.float64()),
    ("p_value", pa.float64()),
    ("q_value", pa.float64()),
    ("alert", pa.bool_()),
    ("accounts", pa.int64()),
    ("owners", pa.int64()),
    ("requests", pa.int64()),
    ("first_seen", _TIME),
    ("last_seen", _TIME),
    ("templates", _IDS),
    ("signal_tags", _TEXTS),
    ("signal_similarities", pa.list_(pa.float64())),
    ("benign", _TEXTS),
    ("families", _TEXTS),
    null=("p_value", "q_value"),
)
ACCOUNTS = _schema(
    ("account_id", pa.string()),
    ("campaign_id", pa.int64()),
    ("owner", pa.int64()),
    ("requests", pa.int64()),
    ("account_requests", pa.int64()),
    ("share", pa.float64()),
    ("first_use", _TIME),
    ("evidence", pa.float64()),
    ("reasons", _TEXTS),
)

# File name without its ending -> schema, in the order in which they are written and documented.
TABLES: dict[str, pa.Schema] = {
    "labels": LABELS,
    "request_segments": REQUEST_SEGMENTS,
    "clusters": CLUSTERS,
    "templates": TEMPLATES,
    "campaigns": CAMPAIGNS,
    "accounts": ACCOUNTS,
}


def campaigns_schema(tests: list[str]) -> pa.Schema:
    """The schema of campaigns.parquet with a nullable p-value column for each name in `tests` (`<family>_<test>`)."""
    columns = [pa.field(f"{TEST_PREFIX}{name}", pa.float64(), nullable=True) for name in tests]
    return pa.schema([*CAMPAIGNS, *columns], metadata=CAMPAIGNS.metadata)
