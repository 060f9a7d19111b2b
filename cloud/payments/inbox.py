"""The inbox of all providers' notifications: stores them, counts repeats, has the payments they name asked about.

Believes nothing. The endpoints authenticate, parse and answer; `unplaced` looks at what names no payment we know.
"""

import enum
import logging
from collections.abc import Callable, Iterator
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cloud.database.database import Database
from cloud.database.plain_rows import insert_if_new
from cloud.database.transaction import Transaction
from cloud.orders.models import Payment
from cloud.orders.money import PaymentState
from cloud.payments.ask_at_once import ask_at_once, store_and_mark
from cloud.payments.models import StoredNotification
from cloud.payments.notification import Notification
from cloud.payments.status_poller import NEWS
from cloud.payments.unplaced import ADOPTED, has_payment

log = logging.getLogger("cloud.payments.inbox")

MAX_UNPLACED = 10_000
"""Notifications of one provider, of payments we do not know, that wait to be looked at. More are refused: they come
again.
"""
_PLACING = ("account_id", "our_payment", "body", "look_at")
"""Of what cannot be placed, what counts as it came last."""
_OVER = {PaymentState.CANCELED, PaymentState.REFUSED}


class Reception(enum.Enum):
    """What became of a notification. The endpoint answers in its provider's words."""

    STORED = "stored"
    NO_ROOM = "no room"
    KEY_USED = "key used"


def take_in(database: Database, notification: Notification, now: datetime) -> Reception:
    """Keep a notification and have its payment asked about at once.

    On PostgreSQL the usual one, the first of its kind about a payment we know, needs one trip there instead of four.
    """
    if notification.provider_payment_id:
        kept = store_and_mark(database, notification, _row(notification, now, "asked", now), now)
        if kept is not None:
            payment, ask = kept
            for say, words, facts in _lines(notification, payment):
                say(words, extra=facts)
            ask()
            return Reception.STORED
    return database.transact(receive, notification, now)


def receive(tx: Transaction, notification: Notification, now: datetime) -> Reception:
    """Do so for any notification, in a transaction.

    A repeat is counted, and asks again: its key could have been forged ahead of the real one.
    """
    payment = ask_at_once(tx, notification, now) if notification.provider_payment_id else None
    is_unplaced = bool(notification.provider_payment_id) and payment is None
    ours = notification.our_payment if is_unplaced and has_payment(tx.session, notification.our_payment) else ""
    if is_unplaced and not ours and _is_full_for(tx.session, notification):
        return Reception.NO_ROOM
    if is_unplaced:
        tx.notify(NEWS)
    row = _row(notification, now, "asked" if payment is not None else "", None if is_unplaced else now, ours)
    if insert_if_new(tx.connection, StoredNotification, row):
        for say, words, facts in _lines(notification, payment):
            tx.log_after_commit(say, words, extra=facts)
        return Reception.STORED
    return _repeat(tx.session, notification, {name: row[name] for name in _PLACING} if is_unplaced else {})


def _row(
    notification: Notification, now: datetime, verdict: str, handled_at: datetime | None, ours: str = ""
) -> dict[str, object]:
    """What is kept of it when it comes for the first time."""
    return {
        "provider": notification.provider, "dedupe_key": notification.dedupe_key,
        "provider_payment_id": notification.provider_payment_id, "account_id": notification.account_id,
        "our_payment": ours, "body": notification.body, "received_at": now, "times": 1, "look_at": now,
        "handled_at": handled_at, "verdict": verdict,
    }  # fmt: skip


def _repeat(session: Session, notification: Notification, placing: dict[str, object]) -> Reception:
    """Count it; what still cannot be placed is looked at again, as it came last."""
    same = select(StoredNotification).where(StoredNotification.dedupe_key == notification.dedupe_key)
    stored = session.scalars(same.with_for_update()).one()
    if notification.is_key_theirs and stored.body != notification.body:
        return Reception.KEY_USED
    stored.times += 1
    if placing and stored.verdict != ADOPTED:
        stored.handled_at = None
        for name, value in placing.items():
            setattr(stored, name, value)
    return Reception.STORED


def _is_full_for(session: Session, notification: Notification) -> bool:
    """No room for one more that nobody can place; a repeat takes none."""
    kept = StoredNotification
    waiting = select(func.count()).where(kept.handled_at.is_(None), kept.provider == notification.provider)
    if int(session.scalar(waiting) or 0) < MAX_UNPLACED:
        return False
    return session.scalar(select(kept.id).where(kept.dedupe_key == notification.dedupe_key)) is None


def _lines(
    notification: Notification, payment: Payment | None
) -> Iterator[tuple[Callable[..., None], str, dict[str, str]]]:
    """What is logged of one that is kept: by whom, the words, the facts."""
    order = {"order_id": payment.order_id} if payment is not None else {}
    facts = {"event": notification.event, "provider_payment": notification.provider_payment_id} | order
    yield log.info, "notification stored", facts
    if notification.says_paid and payment is not None and payment.state in _OVER:
        yield log.error, "money was taken for a payment that was over, a person must look", order
