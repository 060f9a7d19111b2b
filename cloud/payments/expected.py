"""What our ledger says a payment must look like when its provider is asked."""

from cloud.orders.models import Payment
from cloud.payments.facts import Expected


def expected_of(payment: Payment) -> Expected:
    """Carries the marks that the payment was opened with."""
    return Expected(payment.account_id, payment.amount, {"order_id": payment.order_id, "payment": payment.id})
