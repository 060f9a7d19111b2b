"""Certificates that end soon: the one buyers meet at our public address, and our own at the broker."""

import socket
import ssl
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509

from cloud.alerts.incident import Condition
from cloud.alerts.kinds import PLATFORM, Kind

ENDING_WITHIN = timedelta(days=14)
"""Automatic renewal comes 30 days before the end: less than this is left only when it fails."""
WITHIN_S = 5.0


def ending(public_url: str, files: Iterable[str], now: datetime) -> list[Condition]:
    """Those that end within two weeks. One that cannot be read, or an address that does not answer, says nothing."""
    ends = {name: _end_of(name) for name in files if name}
    parts = urlsplit(public_url)
    if parts.scheme == "https" and parts.hostname:
        ends[parts.hostname] = _end_at(parts.hostname, parts.port or 443)
    return [
        Condition(
            Kind.CERTIFICATE_ENDING, PLATFORM, name[-128:], end - ENDING_WITHIN, {"last_day": end.date().isoformat()}
        )
        for name, end in ends.items()
        if end is not None and end - now <= ENDING_WITHIN
    ]


def _end_of(file: str) -> datetime | None:
    try:
        return x509.load_pem_x509_certificate(Path(file).read_bytes()).not_valid_after_utc
    except (OSError, ValueError):
        return None


def _end_at(host: str, port: int) -> datetime | None:
    """Asked without judging it: a certificate that is over has an end too."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection((host, port), WITHIN_S) as plain:
            plain.settimeout(WITHIN_S)
            with context.wrap_socket(plain, server_hostname=host) as secure:
                shown = secure.getpeercert(binary_form=True)
    except (OSError, ValueError):
        return None
    return x509.load_der_x509_certificate(shown).not_valid_after_utc.astimezone(UTC) if shown else None
