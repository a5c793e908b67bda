"""The network that an address lies in."""

from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

_OCTET_VALUES = {str(value): value for value in range(256)}
_OCTETS = 4


@lru_cache(maxsize=1 << 16)
def exit_network(address: str | None, ipv4_prefix: int, ipv6_prefix: int) -> str | None:
    """The network that an address lies in, as text; None for none.

    What is no address (a hash, a host's name) stands for itself: equal words are one place, and no more is known.
    """
    if address is None:
        return None
    octets = address.split(".")
    if len(octets) == _OCTETS and all(octet in _OCTET_VALUES for octet in octets):
        high, middle, low, last = (_OCTET_VALUES[octet] for octet in octets)
        kept = (high << 24 | middle << 16 | low << 8 | last) >> (32 - ipv4_prefix) << (32 - ipv4_prefix)
        return f"{kept >> 24}.{kept >> 16 & 255}.{kept >> 8 & 255}.{kept & 255}/{ipv4_prefix}"
    try:
        parsed = ip_address(address.strip())
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is None:
            return str(ip_network((int(parsed), ipv6_prefix), strict=False))
        parsed = parsed.ipv4_mapped
    return str(ip_network((int(parsed), ipv4_prefix), strict=False))
