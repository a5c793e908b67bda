"""What a person wrote about an identity, as the ledger keeps it: on one line, printable, not too long."""

from refrain.printable import printable

WHY_CHARACTERS, WHO_CHARACTERS = 500, 64  # what a person writes on one line, and who that is


def one_line(text: str, limit: int) -> str | None:
    """The text on one line with everything unseen written as an escape; None where it is blank or longer than `limit`.

    What comes out comes out of it again unchanged.
    """
    line = printable(" ".join(text.split()), 2 * limit)
    return line if 0 < len(line) <= limit else None
