"""Encrypts merchants' provider secrets at rest (Fernet). The key comes from COFFEE_SECRET_KEY; old keys still read."""

import base64

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


class SecretUnreadable(Exception):
    """Stored under a key that is neither the present one nor among the old ones."""


class Vault:
    """Locks and opens secrets. The first key locks; every key opens."""

    def __init__(self, secret_key: str, old_secret_keys: tuple[str, ...] = ()) -> None:
        keys = [Fernet(derive(key, b"vault")) for key in (secret_key, *old_secret_keys)]
        self._present, self._fernet = keys[0], MultiFernet(keys)

    def lock(self, secret: str) -> str:
        """The secret as it may lie in a database."""
        return self._fernet.encrypt(secret.encode()).decode("ascii")

    def open(self, locked: str) -> str:
        """The secret itself; `SecretUnreadable` when no key fits."""
        try:
            return self._fernet.decrypt(locked.encode("ascii")).decode()
        except InvalidToken as error:
            raise SecretUnreadable("a stored secret fits none of COFFEE_SECRET_KEY, COFFEE_OLD_SECRET_KEYS") from error

    def is_present(self, locked: str) -> bool:
        """Whether it is locked with the present key."""
        try:
            self._present.decrypt(locked.encode("ascii"))
        except InvalidToken:
            return False
        return True

    def rotate(self, locked: str) -> str:
        """The same secret under the present key."""
        try:
            return self._fernet.rotate(locked.encode("ascii")).decode("ascii")
        except InvalidToken as error:
            raise SecretUnreadable("a stored secret fits none of the keys") from error


def derive(secret_key: str, purpose: bytes) -> bytes:
    """A key of its own for each purpose, so that one use never weakens another."""
    raw = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"coffee-relay " + purpose).derive(secret_key.encode())
    return base64.urlsafe_b64encode(raw)
