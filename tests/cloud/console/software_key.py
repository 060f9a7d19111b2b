"""An authenticator in software: makes a key and signs as a phone would, and lies where it is told to."""

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

PRESENT, VERIFIED, HAS_KEY = 0x01, 0x04, 0x40


def text_of(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@dataclass
class SoftwareKey:
    """One key. What it says of itself can be changed between two uses."""

    origin: str
    rp_id: str
    name: bytes = b"key-1"
    count: int = 0
    step: int = 1
    """0: it does not count."""
    flags: int = PRESENT | VERIFIED
    crosses_origins: bool = False
    handle: bytes = b""
    private: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def make(self, options: dict[str, Any]) -> str:
        """What `navigator.credentials.create()` brings."""
        self.handle = base64.urlsafe_b64decode(options["user"]["id"] + "==")
        numbers = self.private.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32), -3: numbers.y.to_bytes(32)}
        about = bytes(16) + len(self.name).to_bytes(2) + self.name + cbor2.dumps(cose)
        attestation = {"fmt": "none", "attStmt": {}, "authData": self._data(HAS_KEY) + about}
        return self._told(
            {
                "clientDataJSON": text_of(self._client("webauthn.create", options["challenge"])),
                "attestationObject": text_of(cbor2.dumps(attestation)),
                "transports": ["internal", "telepathy"],
            }
        )

    def show(self, options: dict[str, Any]) -> str:
        """What `navigator.credentials.get()` brings."""
        self.count += self.step
        data, client = self._data(0), self._client("webauthn.get", options["challenge"])
        signature = self.private.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(SHA256()))
        return self._told(
            {
                "clientDataJSON": text_of(client),
                "authenticatorData": text_of(data),
                "signature": text_of(signature),
                "userHandle": text_of(self.handle),
            }
        )

    def _data(self, more: int) -> bytes:
        return hashlib.sha256(self.rp_id.encode()).digest() + bytes([self.flags | more]) + self.count.to_bytes(4)

    def _client(self, kind: str, challenge: str) -> bytes:
        told = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": self.crosses_origins}
        return json.dumps(told).encode()

    def _told(self, response: dict[str, Any]) -> str:
        named = {"id": text_of(self.name), "rawId": text_of(self.name), "type": "public-key"}
        return json.dumps({**named, "response": response})
