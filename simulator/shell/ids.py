"""Ids and bank references that look like the provider's, drawn from a seed and a counter. Reads no clock."""

import hashlib
from datetime import UTC, datetime
from itertools import count

# The first eight hex digits of a real object id are the seconds since this moment (observed, undocumented).
ID_EPOCH = datetime(2000, 1, 1, 12, tzinfo=UTC)
PAYMENT_GROUP = "000f"
REFUND_GROUP = "0015"


class IdSource:
    """Every draw differs from every other; two sources with one seed give the same sequence."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._numbers = count()

    def payment(self, now: datetime) -> str:
        return self._object_id(PAYMENT_GROUP, now)

    def refund(self, now: datetime) -> str:
        return self._object_id(REFUND_GROUP, now)

    def error(self) -> str:
        """The id a caller would quote to the provider's support."""
        digits = self._hex()
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:32]))

    def receipt(self) -> str:
        return f"rt-{self.error()}"

    def digits(self, length: int) -> str:
        """Decimal digits, as in a bank's reference number (RRN) or an authorization code."""
        return str(int(self._hex(), 16))[-length:].zfill(length)

    def sbp_operation(self) -> str:
        return self._hex()[:32].upper()

    def chance(self) -> float:
        """A number in [0, 1) for switches that strike by probability."""
        return float(int(self._hex()[:13], 16) / 16**13)

    def _object_id(self, group: str, now: datetime) -> str:
        second = int((now - ID_EPOCH).total_seconds()) & 0xFFFFFFFF
        digits = self._hex()
        variant = "89ab"[int(digits[0], 16) % 4]
        return f"{second:08x}-{group}-5000-{variant}000-{digits[1:13]}"

    def _hex(self) -> str:
        drawn = f"{self._seed}:{next(self._numbers)}".encode()
        return hashlib.blake2b(drawn, digest_size=24).hexdigest()
