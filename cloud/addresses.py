"""Network addresses: parsing lists of them, and who really sent a request that came through our proxies. Pure."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

ANYONE = "*"
MAX_HOPS = 16
"""More proxies than anybody has; what stands further left in X-Forwarded-For was written by the sender."""


def parse_networks(text: str) -> tuple[Network, ...]:
    """Comma-separated addresses and CIDRs; ValueError names the entry that is neither."""
    return tuple(ip_network(entry) for entry in (part.strip() for part in text.split(",")) if entry)


def parse_senders(text: str) -> tuple[Network, ...] | None:
    """Like `parse_networks`; None when the text is `*`: the sender check is switched off."""
    return None if text.strip() == ANYONE else parse_networks(text)


def client_address(
    remote_address: str | None, forwarded_for: str | None, trusted_proxies: Sequence[Network]
) -> Address | None:
    """Who really sent the request: the rightmost hop that is not our own proxy. None when nobody can say.

    `X-Forwarded-For` counts only as far as trusted proxies wrote it; each writes the address it saw at the right end.
    """
    address = _address(remote_address or "")
    hops = (forwarded_for or "").rsplit(",", MAX_HOPS)[-MAX_HOPS:] if forwarded_for else []
    for hop in reversed(hops):
        if address is None or not within(address, trusted_proxies):
            break
        address = _address(hop)
    return address


def within(address: Address, networks: Sequence[Network]) -> bool:
    """Whether the address is in any of the networks."""
    return any(address in network for network in networks)


def _address(text: str) -> Address | None:
    """An address as proxies write it: perhaps in brackets, perhaps with a port, perhaps IPv4 inside IPv6."""
    bare = text.strip()
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        address = ip_address(bare)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
