"""Addresses: networks, the real sender of a request that came through our proxies, the one form of a URL. Pure."""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import quote, urlsplit, urlunsplit

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

ANYONE = "*"
MAX_HOPS = 16
"""More proxies than anybody has; what stands further left in X-Forwarded-For was written by the sender."""


_USUAL_PORTS = {"http": 80, "https": 443}
_ASCII_HOST = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
_READ_IN_TWO_WAYS = frozenset("ßς\u200c\u200d")
"""What the two editions of IDNA write differently: browsers follow the newer, Python's library the older."""


def normal_url(text: str) -> str:
    """An http or https URL as browsers and providers write it: the host in small letters and IDNA, no usual port.

    ValueError for what is none, or holds a user's name or a password.
    """
    parts = urlsplit(text)
    if parts.scheme not in _USUAL_PORTS or "@" in parts.netloc or parts.port == 0:
        raise ValueError("no web address")
    port = "" if parts.port in {None, _USUAL_PORTS[parts.scheme]} else f":{parts.port}"
    path = quote(parts.path, safe="/%:@!$&'()*+,;=~")
    return urlunsplit((parts.scheme, _ascii_host(parts.hostname or "") + port, path, parts.query, parts.fragment))


def origin_of(url: str) -> str:
    """What a browser calls the origin of a normal URL; "" of anything else."""
    try:
        parts = urlsplit(normal_url(url))
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}"


def _ascii_host(host: str) -> str:
    if ":" in host:
        return f"[{ip_address(host).compressed}]"
    if _READ_IN_TWO_WAYS & set(host):
        raise ValueError("a host to be written as xn--...")
    ascii_host = host.removesuffix(".").encode("idna").decode("ascii").lower()
    if not _ASCII_HOST.fullmatch(ascii_host):
        raise ValueError("no host")
    return ascii_host


def parse_networks(text: str) -> tuple[Network, ...]:
    """Comma-separated addresses and CIDRs; ValueError names the entry that is neither."""
    return tuple(ip_network(entry) for entry in (part.strip() for part in text.split(",")) if entry)


def parse_senders(text: str) -> tuple[Network, ...] | None:
    """Like `parse_networks`; None when the text is `*`: the sender check is switched off."""
    return None if text.strip() == ANYONE else parse_networks(text)


def client_address(
    remote_address: str | None, forwarded_for: str | None, trusted_proxies: Sequence[Network]
) -> Address | None:
    """Return the real sender of the request: the rightmost hop that is not our own proxy. None when nobody can say.

    `X-Forwarded-For` counts only as far as trusted proxies wrote it; each writes the address it saw at the right end.
    """
    address = _address(remote_address or "")
    hops = (forwarded_for or "").rsplit(",", MAX_HOPS)[-MAX_HOPS:] if forwarded_for else []
    for hop in reversed(hops):
        if address is None or not within(address, trusted_proxies):
            break
        address = _address(hop)
    return address


def home_of(address: str) -> str:
    """What counts as one address: of IPv6 the /64, which one household has whole."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:64]
    return str(ip_network((parsed, 64), strict=False)) if parsed.version == 6 else str(parsed)


def network_of(address: str) -> str:
    """The IPv6 network one customer may have whole, as one address; "" (no limit) of anything else."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return ""
    return str(ip_network((parsed, 48), strict=False).network_address) if parsed.version == 6 else ""


def is_public(address: str) -> bool:
    """Whether it is of the public net: no address of this host, of our own network, or of nobody."""
    try:
        return ip_address(address).is_global
    except ValueError:
        return False


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
