"""Decide which order a scan leads to when its id is already taken. Pure (docs/qr-codes.md).

Machines make ids from the time and a short text: they can be guessed, so an id alone proves nothing.
"""

import hashlib
import re
from dataclasses import dataclass
from enum import Enum, auto

from cloud.orders.qr_signature import QrCode, Signature
from cloud.orders.states import Status

SIGNED = "signed"
"""The tag of every code its machine has signed: each is that machine's own word."""
LONGEST = 255
_DIGITS = 12
_AGAIN = re.compile("again-[0-9a-f]{20}")


@dataclass(frozen=True)
class Opened:
    """The order that has the id already."""

    by: str | None
    """The tag of the code that opened it; None for an order older than tags."""
    status: Status
    was_paid: bool
    is_here: bool
    """At the machine whose code is scanned: the key of another machine can sign any id for that one."""


class ScanResult(Enum):
    """What a scan of a taken id leads to."""

    SAME = auto()
    """The order that is there."""
    TAKEN_OVER = auto()
    """That order, changed to what the machine signed; nobody has begun to pay it."""
    SUBSTITUTE_ID = auto()
    """Another buyer has the id: this scan gets a substitute."""
    CONFLICT = auto()
    """The machine, or this very phone, has used the id for another drink."""


def tag_of(code: QrCode, *, is_signed: bool) -> str:
    """What tells codes of one id apart: the signature, else the machine's random part; "" for a code with neither."""
    if is_signed:
        return SIGNED
    return hashlib.blake2b(code.marks.encode(errors="replace"), digest_size=12).hexdigest() if code.marks else ""


def may_have_opened(by: str | None, tag: str, signature: Signature) -> bool:
    """Whether this code may have opened an order; it may have been good then and be over now."""
    return by in {None, tag} or (by == SIGNED and signature is Signature.STALE)


def resolve_taken_id(order: Opened, tag: str, *, same_drink: bool, is_holder: bool) -> ScanResult:
    """Decide between order and scan. `tag`: the scanned code's; `is_holder`: this phone scanned the order before."""
    if not order.is_here:
        return ScanResult.CONFLICT if is_holder else ScanResult.SUBSTITUTE_ID
    is_known = order.by is None or order.by == tag
    if same_drink and (is_known or order.by == SIGNED):
        return ScanResult.SAME
    if order.by == SIGNED:
        return ScanResult.CONFLICT
    if tag == SIGNED and order.status == Status.CREATED:
        return ScanResult.TAKEN_OVER
    if same_drink and (is_holder or order.was_paid):
        return ScanResult.SAME
    return ScanResult.CONFLICT if is_holder else ScanResult.SUBSTITUTE_ID


def again_order_id(order_id: str, number: int) -> str:
    """The id of the order's n-th free drink (`pour_again.py`): always the same, and short enough for any frame."""
    return "again-" + hashlib.sha256(f"{number}\n{order_id}".encode()).hexdigest()[:20]


def is_kept_for_free_drinks(order_id: str) -> bool:
    """Whether no code may open an order of this id: a stranger who knows an order could scan its free drink first."""
    return _AGAIN.fullmatch(order_id) is not None


def substitute_id(order_id: str, device_uuid: str, drink_no: str, size: int, tag: str) -> str:
    """The id in place of a taken one: the same for the same code, so that scanning it again finds the same order."""
    text = "\n".join((order_id, device_uuid, drink_no, str(size), tag))
    digest = hashlib.blake2b(text.encode(errors="replace"), digest_size=_DIGITS // 2).hexdigest()
    return f"{order_id[: LONGEST - _DIGITS - 1]}-{digest}"
