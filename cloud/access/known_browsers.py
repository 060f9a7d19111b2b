"""The browsers by which an account was entered: a signed cookie, so that strangers do not make its owner wait there.

It opens nothing and is stored nowhere: tries of such a browser are only counted apart (`throttle.py`). Pure.
"""

import hashlib
import hmac
import re
from collections.abc import Iterator

from cloud.fleet.vault import derive

MOST = 5
"""Accounts one browser is known to; the one entered longest ago is forgotten."""
_PURPOSE = b"known browsers"
_MARK = re.compile(r"([0-9a-f]{32})-([0-9a-f]{32})")


class KnownBrowsers:
    """Writes and reads the cookie. What was written with an old secret key counts while that is listed."""

    def __init__(self, secret_key: str, old_secret_keys: tuple[str, ...] = ()) -> None:
        self._keys = tuple(derive(key, _PURPOSE) for key in (secret_key, *old_secret_keys))

    def name(self, cookie: str, email: str) -> str:
        """Return this account's name for the browser; "" when the account was never entered by it."""
        return next((name for name, mac in _marks(cookie) if self._fits(name, mac, email)), "")

    def entered(self, cookie: str, email: str, name: str) -> str:
        """Return the cookie of a browser by which this account was entered now; `name` is the account's for it."""
        others = [f"{known}-{mac}" for known, mac in _marks(cookie) if not self._fits(known, mac, email)]
        return ".".join([f"{name}-{_mac(self._keys[0], name, email)}", *others][:MOST])

    def _fits(self, name: str, mac: str, email: str) -> bool:
        return any(hmac.compare_digest(_mac(key, name, email), mac) for key in self._keys)


def _marks(cookie: str) -> Iterator[tuple[str, str]]:
    for text in cookie.split(".")[:MOST]:
        if found := _MARK.fullmatch(text):
            yield found[1], found[2]


def _mac(key: bytes, name: str, email: str) -> str:
    text = f"{name} {email.strip().lower()}"
    return hmac.new(key, text.encode(errors="replace"), hashlib.sha256).hexdigest()[:32]
