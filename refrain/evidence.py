"""P-values as lengths: how far a test stands from chance, drawn alike on the terminal and on the page."""

import math

# Decades of a full bar: beyond 1 in 10^12 nobody tells two p-values apart.
_FULL_DECADES = 12
_EIGHTHS = " ▏▎▍▌▋▊▉"


def evidence(p_value: float | None) -> float:
    """-log10 p as a share of a full bar, in [0, 1]; 0 where there is no p-value."""
    if p_value is None or p_value >= 1:
        return 0.0
    return min(1.0, -math.log10(p_value) / _FULL_DECADES) if p_value > 0 else 1.0


def evidence_bar(p_value: float | None, width: int) -> str:
    """The bar in block characters, at most `width` of them."""
    eighths = round(evidence(p_value) * width * len(_EIGHTHS))
    whole, rest = divmod(eighths, len(_EIGHTHS))
    return "█" * whole + _EIGHTHS[rest].strip()
