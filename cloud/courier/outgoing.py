"""Commands on their way from the outbox to a machine: claimed, settled, and tried again when nobody can have them.

Over MQTT and over the Tmetr API alike; how a command is sent, and what its answer means, is the sender's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from cloud.database.transaction import Transaction
from cloud.orders import making, order_tasks, outbox, unpaid
from cloud.orders.locked_order import lock_order
from cloud.orders.models import MakeCommand, Order
from cloud.orders.outbox import Lease, OutboxRow
from cloud.orders.tasks import Lane, Task

LEASE_S = 30.0
"""Longer than the slowest call of either sender (5 s to connect, 10 s to answer): nobody judges one under way."""
AGAIN_S = 2.0
"""Nobody can have it now; the machine or the API may be back before the deadline."""


@dataclass(frozen=True)
class OutgoingCommand:
    """One row of the outbox and the command it is to send."""

    row: OutboxRow
    command: MakeCommand
    order: Order

    @property
    def is_wanted_drink(self) -> bool:
        """Somebody still waits for the drink it asks for, and its machine has not taken it."""
        return self.row.task == Task.MAKE and self.command.live and self.command.accepted_at is None

    def log_fields(self) -> dict[str, object]:
        """Everything the command asks for."""
        return making.parameters(self.command, self.order) | {"task": self.row.task}


def command_of(session: Session, row: OutboxRow) -> OutgoingCommand:
    """Return the command of a row. Locks nothing: the holder of an outbox row must not wait for its order."""
    return OutgoingCommand(row, session.get_one(MakeCommand, row.subject), session.get_one(Order, row.order_id))


class OutgoingCommands:
    """The rows of one lane, for one sender; `owner` names its leases."""

    def __init__(self, lane: Lane, owner: str) -> None:
        self._lane = lane
        self._owner = owner

    def claim(self, tx: Transaction, now: datetime, limit: int = 50) -> Sequence[OutboxRow]:
        """Take due rows that nobody holds."""
        return outbox.claim(tx, self._lane, now, Lease(self._owner, LEASE_S, limit))

    def next_due(self, session: Session) -> datetime | None:
        """When the next row wants to be taken."""
        return outbox.next_due(session, self._lane)

    def settle(self, tx: Transaction, row: OutboxRow, verdict: str, now: datetime) -> bool:
        """Its end is known. False when the lease was lost."""
        return order_tasks.settle_task(lock_order(tx, row.order_id), row.key, self._owner, verdict, now)

    def reschedule_undelivered(
        self, tx: Transaction, row: OutboxRow, why: str, now: datetime, wait_s: float = AGAIN_S
    ) -> None:
        """Certainly nobody has it: again after `wait_s`, if its drink is still paid for."""
        locked = lock_order(tx, row.order_id)
        order_tasks.mark_no_effect(locked, row.key)
        if row.task == Task.MAKE:
            unpaid.stop_what_nobody_pays_for(locked, now)
        order_tasks.reschedule(locked, row.key, self._owner, now + timedelta(seconds=wait_s), why)
