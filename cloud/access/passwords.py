"""Passwords: what one must be like, and argon2's hash of it. Costs tens of milliseconds: never inside a transaction."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

SHORTEST, LONGEST = 10, 200
AT_ONCE = 2
"""Hashes one process makes at a time: each takes 64 MiB and all of a processor, and anybody can ask for one."""
PATIENCE_S = 1.0
"""So long the next waits for its turn."""
_hasher = PasswordHasher()
_turns = threading.BoundedSemaphore(AT_ONCE)


class Busy(Exception):
    """So many passwords are being hashed that this one is not looked at now."""


def problem(password: str, email: str) -> str:
    """What is wrong with a new password, as a sentence's name; "" when it is good."""
    if len(password) < SHORTEST:
        return "short"
    if len(password) > LONGEST:
        return "long"
    if len(set(password)) < 5 or password.lower() in {email.lower(), email.lower().partition("@")[0]}:
        return "easy"
    return ""


def hash_of(password: str) -> str:
    """What is stored of it. Raises `Busy`."""
    with _turn():
        return _hasher.hash(password)


def fits(password: str, stored: str) -> bool:
    """Tell whether it is this password. Raises `Busy`.

    Where none is stored it takes as long, so that nobody learns which accounts exist.
    """
    with _turn():
        try:
            _hasher.verify(stored or _of_nobody(), password[:LONGEST])
        except (VerifyMismatchError, VerificationError, InvalidHashError):
            return False
        return bool(stored)


@contextmanager
def _turn() -> Iterator[None]:
    if not _turns.acquire(timeout=PATIENCE_S):
        raise Busy
    try:
        yield
    finally:
        _turns.release()


@cache
def _of_nobody() -> str:
    return _hasher.hash("nobody has this password")
