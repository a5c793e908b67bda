"""The errors that people are meant to read: one sentence, a hint, an exit code, never a line of a log."""


class RefrainError(Exception):
    """Something went wrong that a person can act on; printed without a traceback."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "", exit_code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if exit_code is not None:
            self.exit_code = exit_code


class InputError(RefrainError):
    """A log, a file or an argument that cannot be used."""

    exit_code = 2


class ConfigError(RefrainError):
    """A setting that does not exist, has the wrong type or is out of range."""

    exit_code = 2


class StoreError(RefrainError):
    """The outputs folder is locked, damaged, or lacks what was asked for."""
