"""Snapshots of a database's query as folders of Parquet, a day each, which are a log like any other."""

from refrain.snapshots.days import Fetched, fetch_days

__all__ = ["Fetched", "fetch_days"]
