"""Passwords: what one must be like, and argon2's hash of it. Costs tens of milliseconds: never inside a transaction."""

from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

SHORTEST, LONGEST = 10, 200
_hasher = PasswordHasher()


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
    return _hasher.hash(password)


def fits(password: str, stored: str) -> bool:
    """Whether it is this password. Where none is stored it takes as long, so that nobody learns who has an account."""
    try:
        _hasher.verify(stored or _of_nobody(), password[:LONGEST])
    except (VerifyMismatchError, VerificationError, InvalidHashError):
        return False
    return bool(stored)


@cache
def _of_nobody() -> str:
    return _hasher.hash("nobody has this password")
