"""An order that may have been poured since the backup of a restored database: ask its machine before money moves.

The clock alone returns nothing: the agent's word decides, else a person, else the hold that closes.
"""

from datetime import datetime

from cloud.database.plain_rows import fresh
from cloud.database.transaction import Transaction
from cloud.orders import making, order_tasks, restores
from cloud.orders.carriers import lane_of_command
from cloud.orders.locked_order import LockedOrder
from cloud.orders.models import MakeCommand
from cloud.orders.order_limits import OrderLimits
from cloud.orders.owed_tasks import is_paid_for, settle_money
from cloud.orders.states import Event, Status
from cloud.orders.status_change import apply_event
from cloud.orders.tasks import RETURNS, Lane, Task

RESTORED = "restored"
"""Reason of an order whose end a restored database has forgotten."""


def mark_uncertain(locked: LockedOrder, rules: OrderLimits, now: datetime) -> None:
    """Make a paid order uncertain that may have been poured since the backup, and ask its machine."""
    if locked.order.status != Status.MAKE_FAILED and not apply_event(locked, Event.RESTORED, "clock", now, RESTORED):
        return
    ask_machine(locked, rules, now)


def ask_machine(locked: LockedOrder, rules: OrderLimits, now: datetime) -> None:
    """Ask the machine about a `make_failed` order; what was to go back waits for its word.

    Where all of it is back already, nothing waits for a person.
    """
    order = locked.order
    order.uncertain, order.return_after, order.stage = True, None, ""
    order.waits_for_person = is_paid_for(locked)
    order_tasks.withdraw_tasks(locked, RETURNS, now)
    if not locked.commands:
        locked.add(_presumed_command(locked, now))
    for command in locked.commands:
        if lane_of_command(locked, command) is Lane.MQTT:
            order_tasks.add_task(locked, Task.QUERY, f"asked-{command.id}-{order.version}"[:64], command.id, now)
    settle_money(locked, now)
    apply_unclaimed(locked.tx, order.id, order.device_uuid, rules, now)


def apply_unclaimed(tx: Transaction, order_id: str, device_uuid: str, rules: OrderLimits, now: datetime) -> None:
    """Apply the outcomes that came while nobody knew the order."""
    for said in restores.take_unclaimed(tx, order_id, device_uuid):
        making.record_outcome(tx, device_uuid, said, rules, now)


def _presumed_command(locked: LockedOrder, now: datetime) -> MakeCommand:
    """The command that the paid order may have got: its id follows from the order's, even if our row of it is lost."""
    order = locked.order
    begun = min((payment.started_at for payment in locked.payments), default=order.created_at)
    return fresh(
        MakeCommand, id=making.derived_command_id(order.id, 1), order_id=order.id, device_uuid=order.device_uuid,
        attempt=1, issued_at=begun, deadline_at=now, live=False, published_at=begun,
    )  # fmt: skip
