"""A drink on its way whose money has gone back past us: in the provider's cabinet, or with a hold that was let go.

What was never sent is withdrawn, what may have been is cancelled at the agent; no other command follows either way.
"""

from datetime import datetime

from cloud.orders import order_tasks
from cloud.orders.locked_order import Docket
from cloud.orders.making import ON_ITS_WAY, RETURNED, lane_of, parameters
from cloud.orders.models import MakeCommand
from cloud.orders.owed_tasks import is_paid_for, settle_money
from cloud.orders.states import Event, Status
from cloud.orders.status_change import log, move, note, tell
from cloud.orders.tasks import Lane, Task


def stop_what_nobody_pays_for(docket: Docket, now: datetime) -> None:
    """Called when money has gone, and when an attempt to send has certainly done nothing. Calling it again is well."""
    order = docket.order
    if order.status not in ON_ITS_WAY | {Status.MANUAL_MAKE} or is_paid_for(docket):
        return
    issued = docket.live_command
    if issued is None or order_tasks.stop(docket, Task.MAKE, issued.id, now):
        _end(docket, issued, now)
    elif lane_of(docket) is Lane.MQTT:
        _take_back(docket, issued, now)


def _end(docket: Docket, issued: MakeCommand | None, now: datetime) -> None:
    """No byte of a command has left us."""
    if issued is not None:
        issued.live, issued.finished_at, issued.code = False, now, RETURNED
    if move(docket, Event.MONEY_RETURNED, "provider", now, RETURNED):
        docket.order.stage = ""
        settle_money(docket, now)


def _take_back(docket: Docket, issued: MakeCommand, now: datetime) -> None:
    """The machine may have it: its agent says what became of it, and the order waits for that as it did before."""
    key = f"cancel-{issued.id}"
    if any(row.key == key for row in docket.promises):
        return
    order_tasks.promise(docket, Task.CANCEL_MAKE, key, issued.id, now)
    note(docket, Event.MONEY_RETURNED, "provider", now, "cancel_asked")
    tell(
        docket.session, log.warning, "its money is back: the drink is cancelled", extra=parameters(issued, docket.order)
    )
