"""An order of which a restored database cannot know whether it was poured: its machine is asked before money moves.

Nothing of it goes back by the clock alone: the agent's word decides, else a person, else the hold that closes.
"""

from datetime import datetime

from cloud.database.plain_rows import fresh
from cloud.database.transaction import Transaction
from cloud.orders import making, order_tasks, restores
from cloud.orders.carriers import lane_of_command
from cloud.orders.locked_order import LockedOrder
from cloud.orders.models import MakeCommand
from cloud.orders.owed_tasks import is_paid_for, settle_money
from cloud.orders.rules import Rules
from cloud.orders.states import Event, Status
from cloud.orders.status_change import apply_event
from cloud.orders.tasks import RETURNS, Lane, Task

RESTORED = "restored"
"""Reason of an order whose end a restored database has forgotten."""


def doubt(locked: LockedOrder, rules: Rules, now: datetime) -> None:
    """Its money has come, and it may have been poured since the backup: ask the machine what became of it."""
    if locked.order.status != Status.MAKE_FAILED and not apply_event(locked, Event.RESTORED, "clock", now, RESTORED):
        return
    ask_again(locked, rules, now)


def ask_again(locked: LockedOrder, rules: Rules, now: datetime) -> None:
    """Of an order that is `make_failed`: what was to go back waits for the machine's word, and that is asked for.

    Where all of it is back already, nobody is left to decide.
    """
    order = locked.order
    order.uncertain, order.return_after, order.stage = True, None, ""
    order.waits_for_person = is_paid_for(locked)
    order_tasks.withdraw_tasks(locked, RETURNS, now)
    if not locked.commands:
        locked.add(_perhaps_issued(locked, now))
    for command in locked.commands:
        if lane_of_command(locked, command) is Lane.MQTT:
            order_tasks.add_task(locked, Task.QUERY, f"asked-{command.id}-{order.version}"[:64], command.id, now)
    settle_money(locked, now)
    hear_what_was_said(locked.tx, order.id, order.device_uuid, rules, now)


def hear_what_was_said(tx: Transaction, order_id: str, device_uuid: str, rules: Rules, now: datetime) -> None:
    """Apply the outcomes that came while nobody knew the order."""
    for said in restores.take_unclaimed(tx, order_id, device_uuid):
        making.record_outcome(tx, device_uuid, said, rules, now)


def _perhaps_issued(locked: LockedOrder, now: datetime) -> MakeCommand:
    """The command that a paid order gets: its id follows from the order's, whether we remember it or not."""
    order = locked.order
    begun = min((payment.started_at for payment in locked.payments), default=order.created_at)
    return fresh(
        MakeCommand, id=making.command_id(order.id, 1), order_id=order.id, device_uuid=order.device_uuid, attempt=1,
        issued_at=begun, deadline_at=now, live=False, published_at=begun,
    )  # fmt: skip
