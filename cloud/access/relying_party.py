"""Our identity to browsers and authenticators: made of the public URL alone, whatever a request says. Pure."""

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from cloud.http.addresses import origin_of

NAME = "Coffee Relay"
LOCAL = "localhost"


@dataclass(frozen=True)
class RelyingParty:
    """What a passkey belongs to."""

    id: str
    """The host: a key made here answers nowhere else."""
    origin: str
    """Where the page must have been that asked."""


def relying_party(public_url: str) -> RelyingParty | None:
    """None where browsers make no passkeys: without TLS, or at an address that is no name."""
    parts = urlsplit(public_url)
    host = parts.hostname or ""
    is_local = host == LOCAL or host.endswith(f".{LOCAL}")
    if _is_number(host) or not (parts.scheme == "https" or is_local):
        return None
    return RelyingParty(host, origin_of(public_url))


def _is_number(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return not host
    return True
