"""Numbers and times as people read them, on the terminal and on the page."""

_HOURS_A_DAY = 24
_PLAIN_BELOW = 1000  # numbers above need no digits after the point


def p_text(value: float | None) -> str:
    """A p-value as people read it: `0.031`, `2e-07`, `-` where there is none."""
    if value is None:
        return "-"
    return f"{value:.2g}"


def number_text(value: float | None) -> str:
    """An observed or expected value in three digits, `-` where there is none."""
    if value is None:
        return "-"
    return f"{value:.3g}" if abs(value) < _PLAIN_BELOW else f"{value:,.0f}"


def counted(number: int, noun: str) -> str:
    """`1 alert`, `2,000 alerts`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def moment(iso: str) -> str:
    """An ISO time to the minute, in UTC."""
    return iso[:16].replace("T", " ")


def period(hours: int) -> str:
    """The width of a bin in words: `hour`, `6 hours`, `day`, `7 days`."""
    days, rest = divmod(hours, _HOURS_A_DAY)
    number, unit = (hours, "hour") if rest else (days, "day")
    return unit if number == 1 else f"{number} {unit}s"
