"""Was this QR code made by the machine it names, for this very drink, and not long ago? Pure (`docs/qr-codes.md`).

The machine's own `salt` has no secret in it: it tells a damaged link, never a forged one, and decides nothing.
"""

import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256

LONGEST_LIFE_S = 24 * 3600
"""A code valid for longer than a day is a code for ever: anybody can photograph it."""
_SIG = re.compile(r"[0-9a-f]{64}")
_EXP = re.compile(r"[0-9]{1,12}")


class Signature(StrEnum):
    """What a code's signature is worth."""

    NONE = "none"
    GOOD = "good"
    STALE = "stale"
    """Made by the machine, and its time is over."""
    WRONG = "wrong"
    """Altered, made for another machine or with another key, or good for absurdly long."""


@dataclass(frozen=True)
class QrCode:
    """What a code says of itself beside the ids. `salt_fits` None: it has no checksum."""

    exp: str = ""
    """Unix seconds, as written."""
    sig: str = ""
    salt_fits: bool | None = None
    marks: str = ""
    """The random part of an unsigned code: only its machine, and a person who saw the code, can know it."""

    def evidence(self, signature: Signature) -> dict[str, str]:
        """For the order's history."""
        salt = {True: "fits", False: "differs", None: "none"}[self.salt_fits]
        return {"signature": signature.value, "salt": salt}


def signed_text(device_uuid: str, drink_no: str, size: int, order_id: str, exp: str) -> bytes:
    """What is signed: one line each. None of the ids can hold a line's end (`buyer/qr.py`)."""
    return "\n".join(("coffee-qr-1", device_uuid, drink_no, str(size), order_id, exp)).encode()


def sign(key: bytes, text: bytes) -> str:
    """HMAC-SHA256 in lower-case hex."""
    return hmac.new(key, text, sha256).hexdigest()


def judge(code: QrCode, text: bytes, keys: Iterable[bytes], now: datetime) -> Signature:
    """What the signature under `text` is worth, `keys` being those the machine may use."""
    if not code.sig:
        return Signature.NONE
    if not _SIG.fullmatch(code.sig) or not _EXP.fullmatch(code.exp):
        return Signature.WRONG
    if not any(hmac.compare_digest(sign(key, text), code.sig) for key in keys):
        return Signature.WRONG
    left_s = int(code.exp) - now.timestamp()
    if left_s > LONGEST_LIFE_S:
        return Signature.WRONG
    return Signature.GOOD if left_s >= 0 else Signature.STALE
