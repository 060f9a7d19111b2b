"""What a phone has scanned: a signed cookie, the capability that a buyer's acts need. Pure; nothing of it is stored.

Whoever only knows an order's id has none (docs/SECURITY.md, docs/qr-codes.md).
"""

import hashlib
import hmac
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from cloud.fleet.vault import derive
from cloud.orders.order_ids import SIGNED as BY_MACHINE

COOKIE = "coffee_scans"
KEPT_FOR = timedelta(days=30)
"""An order lives for minutes; what its buyer says is wrong with it, and the answer, take days."""
PRESENT_FOR = timedelta(minutes=15)
"""So long a scan says that somebody stands at the machine; an order lives as long."""
NOWHERE, SCANNED, SIGNED = 0, 1, 2
"""What proves the phone near a machine: nothing; a code that anybody could write; a code that the machine has signed.
"""
NOT_YOURS, NOT_HERE = "not_yours", "not_here"
MOST_ORDERS, MOST_MACHINES = 30, 8
"""Remembered; the oldest are forgotten. An order counts whether it was paid or not: one a day, for as long as kept."""
LONGEST = 2000
_PURPOSE = b"buyer scans"
_DIGITS = 32


@dataclass(frozen=True)
class Scanned:
    """One order, or one machine, whose code was scanned."""

    name: str
    """A hash of its id."""
    at: datetime
    is_signed: bool


@dataclass(frozen=True)
class Capability:
    """Everything one phone has scanned lately, newest last."""

    orders: tuple[Scanned, ...] = ()
    machines: tuple[Scanned, ...] = ()

    def of_order(self, order_id: str) -> Scanned | None:
        """How this phone came by the order; None when it never scanned it."""
        return _found(self.orders, order_id)

    def presence(self, device_uuid: str, now: datetime) -> int:
        """How near to the machine: `NOWHERE`, `SCANNED` or `SIGNED`."""
        seen = _found(self.machines, device_uuid)
        if seen is None or abs(now - seen.at) >= PRESENT_FOR:
            return NOWHERE
        return SIGNED if seen.is_signed else SCANNED

    def at_machine(self, device_uuid: str, now: datetime, *, is_signed: bool) -> "Capability":
        """A code of this machine was scanned now. One without a signature does not undo a fresh one with it."""
        if not is_signed and self.presence(device_uuid, now) == SIGNED:
            return self
        return replace(self, machines=_with(self.machines, Scanned(_name(device_uuid), now, is_signed), MOST_MACHINES))

    def holding(self, order_id: str, now: datetime, *, is_signed: bool) -> "Capability":
        """This order's code was scanned now. When it was first scanned stays known."""
        before = self.of_order(order_id)
        at = before.at if before is not None else now
        signed = is_signed or (before is not None and before.is_signed)
        return replace(self, orders=_with(self.orders, Scanned(_name(order_id), at, signed), MOST_ORDERS))


NOTHING = Capability()


def why_no_pour(proof: Scanned | None, presence: int, opened_by: str | None, paid_at: datetime | None) -> str:
    """Why a phone may not have a late-paid drink poured: `not_yours`, `not_here`, or "" when it may.

    It must have scanned the order and stand at the machine. Without the machine's signature anybody may write a code,
    so there the order must have been scanned before it was paid: what is learnt of it later gives no right.
    """
    if proof is None:
        return NOT_YOURS
    if presence == NOWHERE or (opened_by == BY_MACHINE and presence != SIGNED):
        return NOT_HERE
    is_late = opened_by is not None and _is_late(proof, paid_at)
    return NOT_YOURS if is_late and presence != SIGNED else ""


def may_speak(proof: Scanned | None, opened_by: str | None, paid_at: datetime | None) -> bool:
    """Whether a phone may read and write what its buyer and support say of an order.

    A code that anybody can make up from the id alone must have been scanned before the payment.
    """
    return proof is not None and not (opened_by in {None, ""} and _is_late(proof, paid_at))


def _is_late(proof: Scanned, paid_at: datetime | None) -> bool:
    return paid_at is not None and proof.at >= paid_at


class Seal:
    """Writes capabilities so that nobody else can. Those of old secret keys are read while they are listed."""

    def __init__(self, secret_key: str, old_secret_keys: tuple[str, ...] = ()) -> None:
        self._keys = tuple(derive(key, _PURPOSE) for key in (secret_key, *old_secret_keys))

    def write(self, held: Capability) -> str:
        """The cookie."""
        parts = [_written("o", scan) for scan in held.orders] + [_written("m", scan) for scan in held.machines]
        text = "1." + ".".join(parts)
        return f"{text}.{_mac(self._keys[0], text)}"

    def read(self, cookie: str) -> Capability:
        """What it says; nothing for what we did not write."""
        text, _, mac = cookie.rpartition(".")
        if len(cookie) > LONGEST or not any(_fits(key, text, mac) for key in self._keys):
            return NOTHING
        scans = [part.split("_") for part in text.split(".")[1:] if part]
        return Capability(
            tuple(_read(scan) for scan in scans if scan[0] == "o"),
            tuple(_read(scan) for scan in scans if scan[0] == "m"),
        )


def _fits(key: bytes, text: str, mac: str) -> bool:
    return hmac.compare_digest(_mac(key, text).encode(), mac.encode(errors="replace"))


def _mac(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode(errors="replace"), hashlib.sha256).hexdigest()[:_DIGITS]


def _written(kind: str, scan: Scanned) -> str:
    since = round(scan.at.timestamp() * 1000)
    return f"{kind}_{scan.name}_{since}_{int(scan.is_signed)}"


def _read(parts: list[str]) -> Scanned:
    _, name, since, is_signed = parts
    return Scanned(name, datetime.fromtimestamp(int(since) / 1000, UTC), is_signed == "1")


def _name(told: str) -> str:
    return hashlib.blake2b(told.encode(errors="replace"), digest_size=10).hexdigest()


def _found(scans: tuple[Scanned, ...], told: str) -> Scanned | None:
    name = _name(told)
    return next((scan for scan in scans if hmac.compare_digest(scan.name, name)), None)


def _with(scans: tuple[Scanned, ...], new: Scanned, most: int) -> tuple[Scanned, ...]:
    return (*(scan for scan in scans if scan.name != new.name), new)[-most:]
