"""Which receipt a payment or its refund carries: from what was frozen with the payment, in the caller's transaction.

The provider's `prepare_*` builds it. Scenarios without receipts carry none.
"""

from datetime import datetime

from sqlalchemy import Connection

from cloud.database.transaction import Transaction
from cloud.fleet.models import Credential, Drink
from cloud.fleet.receipt_email import is_email
from cloud.fleet.receipt_terms import WITH_RECEIPT, EmailRule, email_rule, terms_of
from cloud.orders import receipts as followed
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
    drink = tx.session.get(Drink, (order.device_uuid, order.drink_no))
    terms = terms_of(credential.receipt, drink.receipt if drink is not None else None)
    followed.begin(tx, payment, terms | {"description": order.drink_name}, address, now)


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
