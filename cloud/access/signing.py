"""Signatures by which anybody can tell that a file or a seal is ours and unchanged: Ed25519, a key of our secret."""

import base64
from functools import cached_property

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cloud.fleet.vault import derive


class Signer:
    """Signs with the present secret key; takes what an old one has signed."""

    def __init__(self, secret_key: str, old_secret_keys: tuple[str, ...] = ()) -> None:
        self._private = [_private(key) for key in (secret_key, *old_secret_keys)]

    def sign(self, message: bytes) -> str:
        """The signature, as text."""
        return base64.b64encode(self._private[0].sign(message)).decode("ascii")

    def fits(self, message: bytes, signature: str) -> bool:
        """Whether one of our keys has signed exactly this."""
        return any(_fits(key.public_key(), message, signature) for key in self._private)

    @cached_property
    def public_key(self) -> str:
        """What others check the signature with, as text."""
        raw = self._private[0].public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return base64.b64encode(raw).decode("ascii")


def _private(secret_key: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(base64.urlsafe_b64decode(derive(secret_key, b"signing")))


def _fits(key: Ed25519PublicKey, message: bytes, signature: str) -> bool:
    try:
        key.verify(base64.b64decode(signature, validate=True), message)
    except (InvalidSignature, ValueError):
        return False
    return True
