"""`coffee-cloud forget ORDER`: erases what a buyer gave or said, and what he was answered, as he may ask.

The order, its money and that its receipts were registered stay: books and fiscal records are kept by law.

Backups keep it as long as they are kept.
"""

from datetime import datetime

from sqlalchemy import select, update

from cloud.access.journal import Author, Entry, Subject, record
from cloud.database.transaction import Transaction
from cloud.fleet.custom_account import CUSTOM
from cloud.orders import receipts
from cloud.orders.claims import Claim, ClaimMessage, open_claim
from cloud.orders.locked_order import lock_order
from cloud.orders.status_change import add_note
from cloud.payments.custom.objects import without_words
from cloud.payments.models import ERASED, StoredNotification

NO_WORDS = "—"
"""Stands where the words of a claim were, the answers too: they address the buyer."""


class NotForgettable(Exception):
    """Somebody still needs it; for a person."""


def forget_buyer(tx: Transaction, order_id: str, by: str, why: str, now: datetime) -> None:
    """Erase the address, the buyer's words and what the provider sent. Raises `UnknownOrder`, `NotForgettable`."""
    locked = lock_order(tx, order_id)
    if not receipts.is_at_rest(locked, now):
        raise NotForgettable("its money or its receipt is on its way: try again when it is over")
    if open_claim(tx.session, order_id) is not None:
        raise NotForgettable("its claim is open: answer and close it first")
    receipts.forget(tx, order_id)
    theirs = select(Claim.id).where(Claim.order_id == order_id)
    tx.session.execute(update(ClaimMessage).where(ClaimMessage.claim_id.in_(theirs)).values(words=NO_WORDS))
    numbers = [payment.provider_payment_id for payment in locked.payments if payment.provider_payment_id]
    for heard in tx.session.scalars(
        select(StoredNotification).where(StoredNotification.provider_payment_id.in_(numbers))
    ):
        heard.body = _forgotten(heard)
    add_note(locked, "buyer_forgotten", by[:64], now, why[:128])
    record(
        tx,
        Entry(
            "forget_buyer", Author(by), Subject("order", order_id, locked.order.merchant_id, locked.order.device_uuid),
            why,
        ),
        now,
    )  # fmt: skip


def _forgotten(heard: StoredNotification) -> str:
    """What stays of it: the callbacks of a merchant's own page are our only word of its money."""
    return without_words(heard.body) if heard.provider == CUSTOM and heard.body != ERASED else ERASED
