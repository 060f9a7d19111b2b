"""Which buyer stands first at a machine: orders it pours, and the short reservation of the one paying now.

One machine makes one drink at a time. A reservation ends by itself; it moves no order and no money. Whoever reserves
without paying keeps nobody away for long: each miss halves the next, and the same origin gets none.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Integer, String, and_, or_, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from cloud.buyer.brew_time_estimate import BrewTimeEstimates
from cloud.buyer.order_view import Queue
from cloud.database.base import Base
from cloud.database.due import is_due
from cloud.database.plain_rows import insert_if_new
from cloud.database.transaction import Transaction
from cloud.orders.models import MakeCommand, Order
from cloud.orders.outbox import SET_BACK
from cloud.orders.states import PAYABLE, Status
from protocol.reasons import DoubtCode

RESERVED_FOR = timedelta(seconds=60)
"""Most payments by phone are through by then; a buyer who changed their mind blocks nobody for longer."""
OPENING_FOR = timedelta(seconds=15)
"""A reservation whose payment has not been opened by then is of someone who went away."""
HELD_AT_LEAST = timedelta(seconds=5)
"""What has shrunk below this is no reservation any more: whoever presses pays, and drinks are poured in turn."""
DOUBLE_PRESS = timedelta(seconds=2)
MISSES_COUNT_FOR = timedelta(hours=1)
"""After so quiet a time a machine's reservations are whole again; a payment makes them whole at once."""
LATELY = timedelta(days=1)
"""No command is awaited for so long; older ones need not be looked at."""
POURS_UNSEEN_FOR = timedelta(seconds=90)
"""So long after it was sent a drink that counts as poured by trust may still be poured: its machine tells nothing.

As long as an agent leaves such a machine alone: the `max_brew` of `tmetr-legacy`.
"""


class Reservation(Base):
    """The last order somebody began to pay at a machine."""

    __tablename__ = "reservations"

    device_uuid: Mapped[str] = mapped_column(String(64), primary_key=True)
    order_id: Mapped[str] = mapped_column(String(255))
    taken_at: Mapped[datetime]
    until: Mapped[datetime]
    origin: Mapped[str] = mapped_column(String(64), default="", server_default="")
    """Where the press came from, as a hash; "" when nobody can tell."""
    presence: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    misses: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    """Reservations in a row that nobody paid."""


@dataclass(frozen=True)
class Presser:
    """The buyer who reserves: whence, and how well it is known that they stand at the machine (`capability.py`)."""

    origin: str = ""
    presence: int = 0
    holds: Callable[[Order], bool] = lambda _: False
    """Whether their phone has scanned this order: a reservation for it is their own."""


ANYBODY = Presser()


def reserved_until(
    session: Session, device_uuid: str, order_id: str, now: datetime, presser: Presser = ANYBODY
) -> datetime | None:
    """Return until when another buyer, as near to the machine, keeps it from this one; None when nobody does."""
    row = session.get(Reservation, device_uuid)
    if row is None or row.presence < presser.presence or _is_own(session, row, presser):
        return None
    return _until(session, row, order_id, now)


def reserve(
    tx: Transaction, device_uuid: str, order_id: str, now: datetime, presser: Presser = ANYBODY
) -> datetime | None:
    """Keep the machine for this order's buyer; else return until when another buyer, as near to it, has it."""
    new = {"device_uuid": device_uuid, "order_id": order_id, "taken_at": now, "until": now + RESERVED_FOR,
           "origin": presser.origin, "presence": presser.presence, "misses": 0}  # fmt: skip
    if insert_if_new(tx.connection, Reservation, new):
        return None
    row = tx.session.get_one(Reservation, device_uuid, with_for_update=True, populate_existing=True)
    taken = _until(tx.session, row, order_id, now)
    if taken is not None and _is_own(tx.session, row, presser):  # it goes along with them, and lasts no longer for it
        row.order_id, row.taken_at = order_id, now
        return None
    if taken is not None and presser.presence <= row.presence:
        return taken
    if row.order_id == order_id and timedelta(0) <= now - row.taken_at < DOUBLE_PRESS:
        return None
    _take(row, order_id, presser, now, lapsed=taken is None and not _was_paid(tx.session, row))
    return None


def _take(row: Reservation, order_id: str, presser: Presser, now: datetime, *, lapsed: bool) -> None:
    """`lapsed`: the one before ended without a payment. A buyer who gives way to a nearer one has missed nothing."""
    counts = abs(now - row.taken_at) < MISSES_COUNT_FOR
    is_same = counts and lapsed and presser.origin == row.origin != "" and presser.presence <= row.presence
    row.misses = min(row.misses + 1, 16) if counts and lapsed else 0
    held = RESERVED_FOR / 2**row.misses
    if held < HELD_AT_LEAST or (is_same and row.order_id != order_id):
        held = timedelta(0)
    row.order_id, row.taken_at, row.until = order_id, now, now + held
    row.origin, row.presence = presser.origin, presser.presence


def _is_own(session: Session, row: Reservation, presser: Presser) -> bool:
    holder = session.get(Order, row.order_id)
    return holder is not None and presser.holds(holder)


def _was_paid(session: Session, row: Reservation) -> bool:
    holder = session.get(Order, row.order_id)
    return holder is not None and holder.paid_at is not None


def queue_before(
    session: Session, order_id: str, device_uuid: str, brew_times: BrewTimeEstimates, now: datetime
) -> Queue:
    """What this order's machine still has to pour before it."""
    ahead = 0
    over_by: datetime | None = now
    for command, other in _commands_before(session, order_id, device_uuid, now):
        takes = brew_times.of(session, (other.device_uuid, other.drink_no, other.size), now)
        begun_at = command.accepted_at
        if not command.live:
            begun_at, takes = command.finished_at, min(takes or POURS_UNSEEN_FOR, POURS_UNSEEN_FOR)
            if begun_at is None or begun_at + takes <= now:
                continue
        ahead += 1
        if over_by is None or takes is None:
            over_by = None
            continue
        over_by = max(over_by, (begun_at or over_by) + takes)
    return Queue(ahead, over_by if ahead else None)


def _commands_before(
    session: Session, order_id: str, device_uuid: str, now: datetime
) -> Sequence[tuple[MakeCommand, Order]]:
    mine = session.scalar(
        select(MakeCommand.issued_at).where(MakeCommand.order_id == order_id, MakeCommand.live.is_(True))
    )
    unseen = and_(
        MakeCommand.code == DoubtCode.UNOBSERVABLE.value, MakeCommand.result.is_(None),  # an agent's machine says busy
        MakeCommand.finished_at > now - POURS_UNSEEN_FOR, MakeCommand.finished_at <= now + SET_BACK,
    )  # fmt: skip
    others = (
        select(MakeCommand, Order)
        .join(Order, Order.id == MakeCommand.order_id)
        .where(MakeCommand.device_uuid == device_uuid, MakeCommand.issued_at > now - LATELY)
        .where(or_(MakeCommand.live.is_(True), unseen), Order.id != order_id)
        .order_by(MakeCommand.live, MakeCommand.accepted_at.is_(None), MakeCommand.issued_at)
    )
    if mine is not None:
        others = others.where((MakeCommand.issued_at < mine) | MakeCommand.accepted_at.is_not(None))
    return [(command, other) for command, other in session.execute(others)]


def _until(session: Session, row: Reservation, order_id: str, now: datetime) -> datetime | None:
    if row.order_id == order_id or is_due(row.until, now, RESERVED_FOR):
        return None
    holder = session.get(Order, row.order_id)
    if holder is None:
        return None
    if Status(holder.status) in PAYABLE:  # the payment is being opened, or was declined
        ends = min(row.taken_at + OPENING_FOR, row.until)
        return ends if holder.status == Status.CREATED and not is_due(ends, now, OPENING_FOR) else None
    return row.until if holder.status == Status.PENDING else None
