"""An order whose money has gone back past us: in the provider's cabinet, or with a hold that was let go.

Of a drink on its way, what was never sent is withdrawn, what may have been is cancelled at the agent; no other command
follows either way. Of one that nobody knows about, nothing is left for a person to decide.
"""

from datetime import datetime

from cloud.orders import order_tasks
from cloud.orders.carriers import lane_of_command
from cloud.orders.locked_order import LockedOrder
from cloud.orders.making import RETURNED, parameters
from cloud.orders.models import MakeCommand
from cloud.orders.owed_tasks import money_is_gone, settle_money
from cloud.orders.states import ON_ITS_WAY, Event, Status
from cloud.orders.status_change import add_note, apply_event, log
from cloud.orders.tasks import Lane, Task


def stop_what_nobody_pays_for(locked: LockedOrder, now: datetime) -> None:
    """Called when money has gone, and when an attempt to send has certainly done nothing. Calling it again is well."""
    if not money_is_gone(locked):
        return
    if locked.order.status in ON_ITS_WAY | {Status.MANUAL_MAKE}:
        _stop(locked, now)
    elif locked.order.status == Status.MAKE_FAILED:
        _end_wait(locked, now)


def _end_wait(locked: LockedOrder, now: datetime) -> None:
    """Whatever became of the drink, its buyer has the money."""
    order = locked.order
    if order.waits_for_person:
        add_note(locked, "nothing_to_decide", "provider", now)
    order.waits_for_person, order.return_after = False, None


def _stop(locked: LockedOrder, now: datetime) -> None:
    issued = locked.live_command
    if issued is None or order_tasks.stop_task(locked, Task.MAKE, issued.id, now):
        _end(locked, issued, now)
    elif lane_of_command(locked, issued) is Lane.MQTT:
        _take_back(locked, issued, now)


def _end(locked: LockedOrder, issued: MakeCommand | None, now: datetime) -> None:
    """No byte of a command has left us."""
    if issued is not None:
        issued.live, issued.finished_at, issued.code = False, now, RETURNED
    if apply_event(locked, Event.MONEY_RETURNED, "provider", now, RETURNED):
        locked.order.stage = ""
        settle_money(locked, now)


def _take_back(locked: LockedOrder, issued: MakeCommand, now: datetime) -> None:
    """The machine may have it: its agent says what became of it, and the order waits for that as it did before."""
    key = f"cancel-{issued.id}"
    if any(row.key == key for row in locked.tasks):
        return
    order_tasks.add_task(locked, Task.CANCEL_MAKE, key, issued.id, now)
    add_note(locked, Event.MONEY_RETURNED, "provider", now, "cancel_asked")
    locked.tx.log_after_commit(
        log.warning, "its money is back: the drink is cancelled", extra=parameters(issued, locked.order)
    )
