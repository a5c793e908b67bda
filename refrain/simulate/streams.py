"""Random streams that are named, so that what one knob changes is all that changes.

Every decision draws from its own stream: seeded by the world's seed and the decision's name (family, account, day,
purpose). Turning one campaign's card share leaves its texts and times, and everybody else's, exactly as they were.
"""

from __future__ import annotations

import hashlib
import math
from random import Random

# Knuth's product of uniforms underflows for large means; a sum of two halves does not.
_KNUTH_MEAN_LIMIT = 30.0
_STREAM_BYTES = 16
_ID_BYTES = 8


def _named(seed: int, names: tuple[str | int, ...], size: int) -> bytes:
    return hashlib.blake2b("\x1f".join(map(str, (seed, *names))).encode(), digest_size=size).digest()


def stream(seed: int, *names: str | int) -> Random:
    """A generator of its own for this seed and name."""
    return Random(int.from_bytes(_named(seed, names, _STREAM_BYTES)))


def opaque(seed: int, *names: str | int) -> str:
    """Sixteen hexadecimal digits that stand for a name and do not show it."""
    return _named(seed, names, _ID_BYTES).hex()


def poisson(rng: Random, mean: float) -> int:
    """A Poisson count (Knuth, The Art of Computer Programming 2, 3.4.1); 0 for a mean of 0."""
    if mean > _KNUTH_MEAN_LIMIT:
        return poisson(rng, mean / 2) + poisson(rng, mean / 2)
    floor, product, count = math.exp(-mean), rng.random(), 0
    while product > floor:
        product *= rng.random()
        count += 1
    return count
