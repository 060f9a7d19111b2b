"""The terminals the simulated bank serves, and the signature that only a terminal's owner and the bank can make."""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """`fiscalization`: an online cash register is connected, so every Init must carry a receipt."""

    key: str
    password: str
    name: str = "Тестовый магазин"
    sbp: bool = True
    fiscalization: bool = False
    notification_url: str = ""
    """Where notifications of payments go whose Init names no address."""


def parse_terminal(text: str) -> Terminal:
    """A terminal from `key:password`; ValueError when either half is missing."""
    key, colon, password = text.partition(":")
    if not (key and colon and password):
        raise ValueError(f"a terminal is written key:password, not {key!r} alone")
    return Terminal(key=key, password=password)


DEFAULT_TERMINAL = parse_terminal("1234567890123DEMO:test_password")


class TerminalTable:
    """The terminals given at start; never grows."""

    def __init__(self, terminals: Iterable[Terminal]) -> None:
        self._terminals = {terminal.key: terminal for terminal in terminals}
        if not self._terminals:
            raise ValueError("the simulator needs at least one terminal")

    def __getitem__(self, key: str) -> Terminal:
        return self._terminals[key]

    def get(self, key: object) -> Terminal | None:
        """The terminal of that key, if there is one."""
        return self._terminals.get(key) if isinstance(key, str) else None


def sign(message: Mapping[str, object], password: str) -> str:
    """The Token of a message: the values of its scalars and the password, in the order of their names, hashed."""
    pieces = [("Password", password)]
    for name, value in message.items():
        if name == "Token" or value is None or isinstance(value, dict | list):
            continue
        pieces.append((name, str(value).lower() if isinstance(value, bool) else str(value)))
    whole = "".join(value for _, value in sorted(pieces))
    return hashlib.sha256(whole.encode()).hexdigest()


def is_signed(message: Mapping[str, object], password: str) -> bool:
    """Whether the message carries the Token of this password."""
    given = message.get("Token")
    try:
        return isinstance(given, str) and hmac.compare_digest(given.encode(), sign(message, password).encode())
    except UnicodeEncodeError:  # half a surrogate pair: JSON can say it, but no bytes of it can be hashed
        return False
