"""Prefect flows over the stages of refrain: names, retries, schedules and progress, never arithmetic."""
