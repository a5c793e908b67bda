"""Prefect flows over the stages of refrain: names, retries, schedules and progress, never arithmetic."""

import os

# Prefect reports its first uses from the moment it is imported, whatever its own settings say; this is the switch that
# it honours. Whoever wants to be counted sets it to 0.
os.environ.setdefault("DO_NOT_TRACK", "1")
