"""Which receipt a payment or its refund carries: from what was frozen with the payment, in the caller's transaction.

The provider's `prepare_*` builds it. Scenarios without receipts carry none.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from cloud.database.transaction import Transaction
from cloud.fleet import accounts
from cloud.fleet.models import Credential, Drink
from cloud.fleet.receipt_email import is_email
from cloud.fleet.receipt_terms import WITH_RECEIPT, EmailRule, email_rule, terms_of
from cloud.orders import receipts as followed
from cloud.orders.locked_order import lock_order_of_payment
from cloud.orders.models import Order, Payment
from cloud.payments.provider import FiscalReceipt


class EmailMissing(Exception):
    """This merchant's buyers must say where the receipt goes, and this one did not."""


class EmailMalformed(Exception):
    """No receipt can be sent to what was given."""


def begin(tx: Transaction, order: Order, payment: Payment, credential: Credential, email: str, now: datetime) -> None:
    """Freeze what the new payment's receipts will say, and to whom. Raises EmailMissing, EmailMalformed.

    An address given for an earlier payment of the order is remembered.
    """
    if credential.scenario not in WITH_RECEIPT:
        return
    if email and not is_email(email):
        raise EmailMalformed
    address = email or followed.remembered_email(tx.session, order.id)
    if not address and email_rule(credential.receipt) is EmailRule.REQUIRED:
        raise EmailMissing
    followed.begin(tx, payment, _terms(tx.session, order, credential), address, now)


def adopt(tx: Transaction, payment_id: str, now: datetime) -> None:
    """A payment that was forgotten carries one too: what it said is not known, so what it would say now, to nobody."""
    locked, payment = lock_order_of_payment(tx, payment_id)
    if payment.scenario not in WITH_RECEIPT or followed.of_payment(tx.connection, payment_id) is not None:
        return
    its = (payment.merchant_id, payment.scenario, payment.account_id)
    account = next((one for one in accounts.known(tx.session) if accounts.of(one) == its), None)
    followed.begin(tx, payment, _terms(tx.session, locked.order, account), "", now)


def _terms(session: Session, order: Order, account: accounts.Known | None) -> dict[str, Any]:
    drink = session.get(Drink, (order.device_uuid, order.drink_no))
    terms = terms_of(account.receipt if account is not None else None, drink.receipt if drink is not None else None)
    return terms | {"description": order.drink_name}


def for_payment(connection: Connection, payment: Payment) -> FiscalReceipt | None:
    """The receipt this payment is created with; None when it carries none."""
    return _of(connection, payment, payment.amount)


def for_refund(connection: Connection, payment: Payment, amount: int) -> FiscalReceipt | None:
    """The receipt a refund is asked for with. A whole refund needs none: the provider has the payment's."""
    return _of(connection, payment, amount) if amount != payment.captured else None


def _of(connection: Connection, payment: Payment, amount: int) -> FiscalReceipt | None:
    receipt = followed.of_payment(connection, payment.id) if payment.scenario in WITH_RECEIPT else None
    if receipt is None:
        return None
    return FiscalReceipt(receipt.terms, amount, followed.receiver(connection, receipt, payment))
