"""A drink whose outcome nobody can ever observe: charged for only where the merchant has said so for this machine.

`trust` ends the order as `successful` with the stage `unobserved`: never shown as ready, no word of a machine's in its
history. What may not have been sent at all is never trusted.
"""

from datetime import datetime

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from cloud.database.transaction import Transaction
from cloud.fleet.models import Device
from cloud.fleet.silence import TRUST
from cloud.orders.locked_order import LockedOrder, lock_order
from cloud.orders.models import Order
from cloud.orders.owed_tasks import settle_money
from cloud.orders.states import UNOBSERVED, Event, Status
from cloud.orders.status_change import apply_event
from protocol.messages import Outcome
from protocol.reasons import DoubtCode, Result

REASON = f"unknown:{DoubtCode.UNOBSERVABLE}"
"""Why such an order is `make_failed`: nothing went wrong that anybody knows of."""


def is_to_be_trusted(tx: Transaction, device_uuid: str, said: Outcome) -> bool:
    """The agent has sent it and its machine never tells an outcome; the doubt of one that usually does is another."""
    is_unobservable = said.result is Result.UNKNOWN and said.code == DoubtCode.UNOBSERVABLE
    return is_unobservable and _is_trusted(tx.session, device_uuid)


def forwarded(tx: Transaction, order_id: str, command_id: str, now: datetime) -> None:
    """The Tmetr API has taken a published command; no word will ever follow."""
    locked = lock_order(tx, order_id)
    issued = locked.command(command_id)
    if issued.live and issued.published_at is not None and _is_trusted(tx.session, issued.device_uuid):
        issued.live, issued.finished_at, issued.code = False, now, DoubtCode.UNOBSERVABLE.value
        trust(locked, now)


def trust(locked: LockedOrder, now: datetime) -> bool:
    """The merchant's word in place of the machine's; false when it comes too late to mean anything."""
    if not apply_event(locked, Event.OUTCOME_TRUSTED, "merchant", now, evidence={"unobserved": TRUST}):
        return False
    order = locked.order
    order.uncertain, order.return_after, order.stage = False, None, UNOBSERVED
    settle_money(locked, now)
    return True


def ended_by_trust(locked: LockedOrder) -> bool:
    """Whether the order ended by trust alone."""
    return locked.order.stage == UNOBSERVED


def came_to(session: Session, device_uuid: str, since: datetime) -> tuple[int, float]:
    """How many of its paid drinks since then ended without a word, and their roubles: returned or trusted."""
    unsaid = or_(Order.stage == UNOBSERVED, and_(Order.status == Status.MAKE_FAILED.value, Order.uncertain))
    asked = select(func.count(), func.coalesce(func.sum(Order.price), 0)).where(
        Order.device_uuid == device_uuid, Order.finished_at > since, unsaid
    )
    count, kopecks = session.execute(asked).one()
    return count, kopecks / 100


def _is_trusted(session: Session, device_uuid: str) -> bool:
    device = session.get(Device, device_uuid)
    return device is not None and device.unobserved == TRUST
