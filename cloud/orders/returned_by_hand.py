"""What went back of an order by no task of ours, read for the buyer's page. Writes nothing."""

from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud.orders.models import Movement
from cloud.orders.return_progress import Return, Returned, arrives_by, refunded
from cloud.orders.tasks import Task


def returned_by_hand(session: Session, payments: Mapping[str, Returned]) -> Return | None:
    """What a person returned in the provider's cabinet, by no task of ours: begun no later than we heard of it."""
    if not refunded(payments):
        return None
    heard = select(Movement).where(Movement.payment_id.in_(payments), Movement.kind == "refunded")
    last = session.scalars(heard.order_by(Movement.at.desc()).limit(1)).first()
    if last is None:  # the order went to the archive meanwhile
        return Return("done", refunded(payments), None, "")
    expected_by = arrives_by(Task.REFUND, payments[last.payment_id].method, last.at)
    return Return("done", refunded(payments), expected_by, last.payment_id)
