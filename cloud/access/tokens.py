"""Secrets we hand out, and the hashes of them that we keep."""

import hashlib
import secrets

CODE_LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
"""Without those that are taken for one another."""


def new_token() -> str:
    """A secret nobody guesses, fit for an address and a cookie."""
    return secrets.token_urlsafe(32)


def new_id() -> str:
    return secrets.token_hex(16)


def new_code(length: int) -> str:
    """A secret a person can read out and type."""
    return "".join(secrets.choice(CODE_LETTERS) for _ in range(length))


def plain(code: str) -> str:
    """A code as it was made, however it was typed."""
    return "".join(letter for letter in code.upper() if letter.isalnum())


def hashed(secret: str) -> str:
    """What is stored of a secret that was made here: long and random, so that one plain hash is enough."""
    return hashlib.sha256(secret.encode()).hexdigest()
