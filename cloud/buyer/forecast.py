"""When a drink is ready, and what is poured before it: only a page that is drawn needs it, no program that asks."""

from dataclasses import replace
from datetime import datetime

from cloud.buyer.brew_time_estimate import BrewTimeEstimates
from cloud.buyer.order_view import OrderView
from cloud.buyer.reservation import queue_before
from cloud.database.database import Database
from cloud.orders.states import SENT, Status


def with_forecast(database: Database, view: OrderView, brew_times: BrewTimeEstimates, now: datetime) -> OrderView:
    """The same order with its place in the queue, or once the machine has accepted it, with its time."""
    is_sent = view.status is Status.MAKE_PENDING
    if view.status is Status.PAID or (is_sent and view.stage in {"", SENT}):
        with database.read() as session:
            return replace(view, queue=queue_before(session, view.order_id, view.device.device_uuid, brew_times, now))
    if not is_sent or view.accepted_at is None:
        return view
    with database.read() as session:
        takes = brew_times.of(session, (view.device.device_uuid, view.drink_no, view.size), now)
    return view if takes is None else replace(view, ready_by=view.accepted_at + takes)
