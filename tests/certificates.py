"""A certificate authority of a test's own, and what it signs, as PEM files."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_PEM = serialization.Encoding.PEM


class Authority:
    """`ca` is its certificate's file, without a key usage; `sign` makes a certificate and a key beside it."""

    def __init__(self, folder: Path, name: str = "authority", lasts: timedelta = timedelta(hours=1)) -> None:
        self._folder, self._lasts = folder, lasts
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        self.ca = folder / f"{name}.crt"
        self._write(self.ca, self._build(self._name, self._key.public_key(), is_ca=True))

    def sign(self, name: str, address: str = "127.0.0.1") -> tuple[Path, Path]:
        """For a server at this address, or a client with this name."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate, key_file = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        self._write(certificate, self._build(_named(name), key.public_key(), address=address))
        plain = serialization.NoEncryption()
        key_file.write_bytes(key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, plain))
        return certificate, key_file

    def _build(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, address: str = "", is_ca: bool = False
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        built = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + self._lasts)
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        )
        if address:
            names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))])
            built = built.add_extension(names, critical=False)
        return built.sign(self._key, hashes.SHA256())

    def _write(self, file: Path, certificate: x509.Certificate) -> None:
        file.write_bytes(certificate.public_bytes(_PEM))


def be_as_strict_as_newer_pythons(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every default context judge certificates as Python 3.13 does."""
    usual = ssl.create_default_context

    def strict(*args: Any, **options: Any) -> ssl.SSLContext:
        context = usual(*args, **options)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr(ssl, "create_default_context", strict)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
