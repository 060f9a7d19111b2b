"""Whose is an order's number when another code shows the same? Pure (docs/qr-codes.md).

Machines make numbers from the time and a short text: they can be guessed, so a number alone proves nothing.
"""

import hashlib
import re
from dataclasses import dataclass
from enum import Enum, auto

from cloud.orders.qr_signature import QrCode, Signature
from cloud.orders.states import Status

SIGNED = "signed"
"""The tag of every code its machine has signed: they are all that machine's own word."""
LONGEST = 255
_DIGITS = 12
_AGAIN = re.compile("again-[0-9a-f]{20}")


@dataclass(frozen=True)
class Opened:
    """The order that has the number already."""

    by: str | None
    """The tag of the code that opened it; None for an order older than tags."""
    status: Status
    was_paid: bool
    is_here: bool
    """At the machine whose code is scanned: whoever has another's key can sign any number for that one."""


class Whose(Enum):
    """What a scan's number leads to."""

    SAME = auto()
    """The order that is there."""
    TAKEN_OVER = auto()
    """That order, made into what the machine's signature says; nobody has begun to pay it."""
    OTHER_NUMBER = auto()
    """Somebody else's: this scan gets a number of its own."""
    CONFLICT = auto()
    """The machine, or this very phone, has used it for another drink."""


def tag_of(code: QrCode, *, is_signed: bool) -> str:
    """Tells codes of one number apart: signed, or by what the machine threw the dice for; "" for one with neither."""
    if is_signed:
        return SIGNED
    return hashlib.blake2b(code.marks.encode(errors="replace"), digest_size=12).hexdigest() if code.marks else ""


def may_have_opened(by: str | None, tag: str, signature: Signature) -> bool:
    """Whether an order may be of this code, which may have been good then and be over now."""
    return by in {None, tag} or (by == SIGNED and signature is Signature.STALE)


def whose(order: Opened, tag: str, *, same_drink: bool, is_holder: bool) -> Whose:
    """`tag` is the scanned code's; `is_holder`: this phone scanned the order before."""
    if not order.is_here:
        return Whose.CONFLICT if is_holder else Whose.OTHER_NUMBER
    is_known = order.by is None or order.by == tag
    if same_drink and (is_known or order.by == SIGNED):
        return Whose.SAME
    if order.by == SIGNED:
        return Whose.CONFLICT
    if tag == SIGNED and order.status == Status.CREATED:
        return Whose.TAKEN_OVER
    if same_drink and (is_holder or order.was_paid):
        return Whose.SAME
    return Whose.CONFLICT if is_holder else Whose.OTHER_NUMBER


def again_order_id(order_id: str, number: int) -> str:
    """Of the order's free drink of this number (`pour_again.py`): always the same, and short enough for any frame."""
    return "again-" + hashlib.sha256(f"{number}\n{order_id}".encode()).hexdigest()[:20]


def is_kept_for_free_drinks(order_id: str) -> bool:
    """No code opens an order of such a number: whoever knows an order's could keep its buyer from a free drink."""
    return _AGAIN.fullmatch(order_id) is not None


def other_number(order_id: str, device_uuid: str, drink_no: str, size: int, tag: str) -> str:
    """The same for the same code, so that scanning it again finds the same order."""
    text = "\n".join((order_id, device_uuid, drink_no, str(size), tag))
    digest = hashlib.blake2b(text.encode(errors="replace"), digest_size=_DIGITS // 2).hexdigest()
    return f"{order_id[: LONGEST - _DIGITS - 1]}-{digest}"
