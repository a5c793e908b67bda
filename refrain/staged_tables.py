"""The tables in which the records of a task wait on disk to be numbered, merged and counted over the whole log.

A task's tables refer to one another by row: a record's place is its row in `rows`, a text and a form are named by
their rows in `texts` and `forms`. So they mean the same wherever they are joined, and whoever staged them.
"""

import pyarrow as pa

from refrain import passages, quarantine
from refrain.columns import COUNTS, LABELS
from refrain.passages import DIGEST

ROWS = pa.schema(
    [
        ("file", pa.string()),
        ("row", pa.int64()),
        ("request_id", pa.string()),
        ("account_id", pa.string()),
        ("time", pa.int64()),  # microseconds since 1970
        *((name, pa.string()) for name in LABELS),
        ("exit_network", pa.string()),  # as the log gives it, else that of the address
        *((name, pa.int64()) for name in COUNTS),
        ("created", pa.int64()),
        ("closed", pa.int64()),
        ("prompt", pa.int32()),  # row in `texts`
        ("system", pa.int32()),
        ("cut", pa.bool_()),
        ("repaired", pa.bool_()),
        ("content", DIGEST),  # of all but request_id and asn: equal content is the same request
    ]
)
OCCURRENCES = pa.schema(
    [
        ("record", pa.int32()),  # row in `rows`
        ("position", pa.int32()),
        ("role", pa.int8()),  # place in refrain.turns.PARTS
        ("turn", pa.int32()),
        ("form", pa.int32()),  # row in `forms`
        ("first", pa.bool_()),  # whether the record has the form's normalised text here for the first time
    ]
)
TABLES = {
    "rows": ROWS,
    "occurrences": OCCURRENCES,
    "forms": passages.FORMS,
    "texts": passages.TEXTS,
    "refused": quarantine.SCHEMA,
}
