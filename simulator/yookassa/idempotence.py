"""What the provider remembers of Idempotence-Keys: per shop, 24 hours, the request behind each and what it made.

"The same data" is judged by the exact bytes: the strictest reading of the contract, so that a lax client shows.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

MAX_KEY_LENGTH = 64
MAX_KEYS = 100_000  # beyond it the oldest is forgotten: two keys for every payment the books keep


class KeyEmpty(Exception):
    """The request carried no key."""


class KeyTooLong(Exception):
    """The key has more than 64 characters."""


class KeyDuplicated(Exception):
    """The key was already used for a different request."""


@dataclass(slots=True)
class _Memory:
    fingerprint: bytes
    until: datetime
    made: str | None = None


class IdempotenceTable:
    """Not thread-safe: the caller's lock covers recall, the operation and remember as one."""

    def __init__(self, memory: timedelta) -> None:
        self._memory = memory
        self._keys: dict[tuple[str, str], _Memory] = {}

    def recall(self, shop_id: str, key: str, request: bytes, now: datetime) -> str | None:
        """The id this very request made before, or None; a request under a used key raises KeyDuplicated.

        The key is tied to the request from here on, even if the operation is then refused: after a
        refusal the documented way is a new key.
        """
        if not key:
            raise KeyEmpty
        if len(key) > MAX_KEY_LENGTH:
            raise KeyTooLong
        self._forget_old(now)
        fingerprint = hashlib.sha256(request).digest()
        known = self._keys.setdefault((shop_id, key), _Memory(fingerprint, now + self._memory))
        if known.fingerprint != fingerprint:
            raise KeyDuplicated
        return known.made

    def remember(self, shop_id: str, key: str, made: str) -> None:
        self._keys[shop_id, key].made = made

    def _forget_old(self, now: datetime) -> None:
        # Insertion order is order of age, so only the front can be stale.
        while self._keys:
            oldest = next(iter(self._keys))
            if self._keys[oldest].until > now and len(self._keys) < MAX_KEYS:
                return
            del self._keys[oldest]
