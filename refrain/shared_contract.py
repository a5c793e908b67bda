"""The schemas of a shared copy: those of the contract without the columns that hold texts of a log.

`account_id` and `request_id` are hashes under the key that providers share. docs/sharing.md says what each column is.
"""

from collections.abc import Mapping

import pyarrow as pa

from refrain.contract import TABLES, TEST_PREFIX

VERSION = "1"
# In the schema metadata of every shared file: the version of this form, the name of the key, the fewest accounts.
REDACTED_KEY, KEY_NAME_KEY, MIN_ACCOUNTS_KEY = b"refrain.redacted", b"refrain.share_key", b"refrain.share_min_accounts"
# Examples and exemplars are prompts; reasons quote addresses, cards and clients.
DROPPED: Mapping[str, tuple[str, ...]] = {
    "clusters": ("exemplar",),
    "templates": ("examples",),
    "accounts": ("reasons",),
}


def shared_schema(table: str, original: pa.Schema, marks: Mapping[bytes, bytes]) -> pa.Schema:
    """The schema of a table of the shared copy: columns of the contract alone, in its order, and for campaigns those
    of its tests. A column that a later version or somebody else added is not shared before it stands here."""
    fields = [field for field in TABLES[table] if field.name not in DROPPED.get(table, ())]
    if table == "campaigns":
        fields += [field for field in original if field.name.startswith(TEST_PREFIX)]
    return pa.schema(fields, metadata={**(original.metadata or {}), **marks})
