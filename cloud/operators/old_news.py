"""Notifications of providers whose term is over: removed, once they were handled.

The callbacks of a merchant's own page stay where money came: without a status address they are our only word of it.
Of these goes what may tell of the buyer.
"""

from collections.abc import Collection
from datetime import datetime
from itertools import takewhile

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from cloud.database.transaction import Transaction
from cloud.fleet.custom_account import CUSTOM
from cloud.orders.archive import ArchivedOrder, ArchivedPayment
from cloud.orders.models import Payment
from cloud.orders.money import PaymentState
from cloud.payments.custom.objects import Unreadable, without_words
from cloud.payments.models import StoredNotification


def let_go(tx: Transaction, place: int, before: datetime, limit: int) -> tuple[int, int]:
    """Look at the next `limit` after `place` that came before a moment: how far that went, and how many are gone.

    What stays is passed once, not with each look: there may be many.
    """
    found = select(StoredNotification).where(StoredNotification.id > place).order_by(StoredNotification.id)
    oldest = tx.session.scalars(found.limit(limit).with_for_update(skip_locked=True))
    old = list(takewhile(lambda told: told.received_at < before, oldest))
    over = [told for told in old if told.handled_at is not None]
    named = _with_money(tx.session, {told.provider_payment_id for told in over if told.provider == CUSTOM})
    gone = 0
    for told in over:
        if told.provider == CUSTOM and told.provider_payment_id in named:
            told.body = _without_words(told.body)
        else:
            tx.session.delete(told)
            gone += 1
    return old[-1].id if old else place, gone


def _with_money(session: Session, names: Collection[str]) -> set[str]:
    """Those of these payments of merchants' own pages that brought money, be they at rest."""
    if not names:
        return set()
    has_money = or_(Payment.captured > 0, Payment.state == PaymentState.HELD.value)
    living = select(Payment.provider_payment_id).where(Payment.scenario == CUSTOM, has_money)
    its_order = ArchivedOrder.order_id == ArchivedPayment.order_id
    resting = select(ArchivedPayment.provider_payment_id).join(ArchivedOrder, its_order)
    asked = (
        living.where(Payment.provider_payment_id.in_(names)),
        resting.where(ArchivedPayment.provider_payment_id.in_(names), ArchivedOrder.captured > 0),
    )
    return {name for found in asked for name in session.scalars(found) if name}


def _without_words(body: str) -> str:
    try:
        return without_words(body)
    except Unreadable:  # erased when its buyer was forgotten, by a program that kept nothing
        return body
