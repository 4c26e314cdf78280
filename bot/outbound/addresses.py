"""Tells addresses of the public internet from those of this machine, its network, and ways around to them."""

import ipaddress
from collections.abc import Iterator

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# IANA special-purpose networks that `ipaddress` in older Python releases does not know.
_SPECIAL_NETWORKS = tuple(
    map(
        ipaddress.ip_network,
        ("192.0.0.0/24", "192.88.99.0/24", "64:ff9b:1::/48", "2001::/23", "3fff::/20", "5f00::/16"),
    )
)


def is_public(text: str) -> bool:
    """Whether a text is a public internet address; an IPv6 address is judged by the IPv4 addresses it embeds, if
    any."""
    try:
        given = ipaddress.ip_address(text)
    except ValueError:
        return False
    carried = tuple(_extract_embedded(given))
    return all(_is_global(inner) for inner in carried) if carried else _is_global(given)


def _extract_embedded(address: IpAddress) -> Iterator[ipaddress.IPv4Address]:
    """The IPv4 addresses embedded in an IPv6 address (mapped, 6to4, NAT64)."""
    if isinstance(address, ipaddress.IPv4Address):
        return
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    if address.sixtofour is not None:
        yield address.sixtofour
    if address in _NAT64:
        yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)


def _is_global(address: IpAddress) -> bool:
    """Whether it is global by `is_global`, and none of the special addresses that this lets through (multicast, …)."""
    return address.is_global and not (
        address.is_multicast
        or address.is_reserved
        or address.is_unspecified
        or address.is_link_local
        or address.is_loopback
        or (isinstance(address, ipaddress.IPv6Address) and address.is_site_local)
        or any(address in network for network in _SPECIAL_NETWORKS)
    )
