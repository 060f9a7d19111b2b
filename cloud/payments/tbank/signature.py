"""T-Bank's Token: SHA-256 over the values of the root scalars and the terminal's password, ordered by key. Pure."""

import hashlib
import hmac
from collections.abc import Mapping

TOKEN = "Token"  # noqa: S105  # the name of a field, no secret
PASSWORD = "Password"  # noqa: S105  # the name of a field, no secret


def token(message: Mapping[str, object], password: str) -> str:
    """The Token of a request or notification: nested objects, lists, nulls and a Token already there are left out."""
    signed = {name: text for name, value in message.items() if name != TOKEN and (text := _text(value)) is not None}
    signed[PASSWORD] = password
    joined = "".join(signed[name] for name in sorted(signed))
    return hashlib.sha256(joined.encode("utf-8", "replace")).hexdigest()


def is_signed(message: Mapping[str, object], password: str) -> bool:
    """Whether the message carries the Token that only the bank and the merchant can make. Constant in time."""
    given = message.get(TOKEN)
    if not isinstance(given, str):
        return False
    return hmac.compare_digest(given.encode("utf-8", "replace"), token(message, password).encode())


def _text(value: object) -> str | None:
    """A scalar as it is signed; `str(True)` would be Python's spelling."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else None
