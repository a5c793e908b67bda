"""Opening the ledger of a store: found or made, brought up to date, and known to be this store's."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from refrain.config import LedgerConfig
from refrain.errors import NoLedgerError
from refrain.key import key_id, load_key
from refrain.ledger.database import connect
from refrain.ledger.ledger import Ledger
from refrain.ledger.schema import bring_up_to_date


@contextmanager
def open_ledger(outputs: Path, config: LedgerConfig, *, create: bool = True) -> Iterator[Ledger]:
    """The ledger of the store in `outputs`, made or migrated where that is needed.

    LedgerError (a StoreError) where it cannot be reached, is of a newer refrain or of another store, or, with `create`
    False, where no night was ever recorded. ConfigError for a URL that names no database.
    """
    database = connect(outputs, config.url, create=create)
    try:
        bring_up_to_date(database, create=create)
        key = key_id(load_key(outputs / "store"))
        ledger = Ledger(database, key=key, signature_nights=config.signature_nights)
        ledger.check_owner()
        yield ledger
    finally:
        database.close()


@contextmanager
def find_ledger(outputs: Path, config: LedgerConfig) -> Iterator[Ledger | None]:
    """The ledger of the store in `outputs` as `open_ledger` gives it; None where there never was one."""
    with ExitStack() as stack:
        ledger = None
        with suppress(NoLedgerError):
            ledger = stack.enter_context(open_ledger(outputs, config, create=False))
        yield ledger
