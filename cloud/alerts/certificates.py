"""Certificates that end soon: those that buyers and machines are shown, our own, and the authorities machines trust."""

import socket
import ssl
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509

from cloud.alerts.incident import Condition, fingerprint
from cloud.alerts.kinds import PLATFORM, Kind
from cloud.settings import Settings

ENDING_WITHIN = timedelta(days=14)
"""Automatic renewal comes 30 days before the end: less than this is left only when it fails."""
WITHIN_S = 5.0
HTTPS, MQTTS = "https", "mqtts"
_PORTS = {HTTPS: 443, MQTTS: 8883}


@dataclass(frozen=True)
class CertificateCheck:
    """What a look at all certificates saw."""

    soon: Sequence[Condition] = ()
    unread: Collection[str] = ()
    """Fingerprints of those it could not read, so that what was said of them is neither true nor over."""


def watched(settings: Settings, now: datetime) -> CertificateCheck:
    """The certificates of an installation: those the site and the brokers show, and those in our own files."""
    addresses = ",".join((settings.public_url, settings.mqtt_url, settings.machines_mqtt_url)).split(",")
    return ending(addresses, (settings.mqtt_cert,), (settings.mqtt_ca, settings.machines_mqtt_ca), now)


def ending(addresses: Iterable[str], own: Iterable[str], trusted: Iterable[str], now: datetime) -> CertificateCheck:
    """Those that end within two weeks. One that cannot be read, or an address that does not answer, says nothing new.

    `own` and `trusted` are files: of ours the first in each counts, of authorities the one that lasts longest.
    """
    ends = {file: _end_of(file, lambda each: each[0]) for file in own if file}
    ends |= {file: _end_of(file, max) for file in trusted if file}
    for parts in dict.fromkeys(urlsplit(address.strip()) for address in addresses):
        if parts.scheme in _PORTS and parts.hostname:
            port = parts.port or _PORTS[parts.scheme]
            name = parts.hostname if parts.scheme == HTTPS else f"{parts.hostname}:{port}"
            ends[name] = _end_at(parts.hostname, port)
    soon = [
        Condition(
            Kind.CERTIFICATE_ENDING, PLATFORM, name[-128:], end - ENDING_WITHIN, {"last_day": end.date().isoformat()}
        )
        for name, end in ends.items()
        if end is not None and end - now <= ENDING_WITHIN
    ]
    unread = [name for name, end in ends.items() if end is None]
    return CertificateCheck(soon, [fingerprint(PLATFORM, Kind.CERTIFICATE_ENDING, name[-128:]) for name in unread])


def _end_of(file: str, chosen: Callable[[list[datetime]], datetime]) -> datetime | None:
    try:
        return chosen([each.not_valid_after_utc for each in x509.load_pem_x509_certificates(Path(file).read_bytes())])
    except (OSError, ValueError):
        return None


def _end_at(host: str, port: int) -> datetime | None:
    """Fetch it without verifying it: a certificate that is over has an end too."""
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
