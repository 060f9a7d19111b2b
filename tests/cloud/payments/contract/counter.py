"""One order after another paid at a provider by hand: what the contract's tests do, said once."""

import itertools
from dataclasses import replace
from typing import TypeVar

from cloud.payments.facts import Expected, PaymentFacts, ProviderStatus, RefundFacts, RefundStatus
from cloud.payments.outcomes import Ok, Outcome
from cloud.payments.provider import CaptureMode, NewPayment, PreparedCall, Provider, Shop
from tests.cloud.payments.contract.rig import ProviderRig

PRICE = 15000
A_DAY_S = 2 * 86400.0

T = TypeVar("T")


def fact(outcome: Outcome[T]) -> T:
    """What the provider said for certain."""
    assert isinstance(outcome, Ok), outcome
    return outcome.value


def paid(outcome: object) -> PaymentFacts:
    """What the provider said for certain of a payment."""
    assert isinstance(outcome, Ok), outcome
    assert isinstance(outcome.value, PaymentFacts)
    return outcome.value


def refunded(outcome: object) -> RefundFacts:
    """What the provider said for certain of a return."""
    assert isinstance(outcome, Ok), outcome
    assert isinstance(outcome.value, RefundFacts)
    return outcome.value


class Counter:
    """`hold` takes the money in two steps, `at_once` in one."""

    def __init__(self, rig: ProviderRig) -> None:
        self.rig = rig
        self.hold: Provider = rig.connect(rig.shop)
        self.at_once: Provider = rig.connect(replace(rig.shop, capture=CaptureMode.IMMEDIATE))
        self._numbers = itertools.count(1)

    def hasty(self, shop: Shop | None = None) -> Provider:
        """A client that soon gives up waiting."""
        return self.rig.connect(shop or self.rig.shop, patience_s=0.4)

    def order(self, amount: int = PRICE) -> NewPayment:
        """A coffee to be paid, known to our books."""
        number = next(self._numbers)
        url = f"https://coffee.example.org/v1/order-status-page?order_id=ord-{number}"
        payment = NewPayment(f"ord-{number}", "m-001", f"pay-{number}", amount, "Капучино 200 мл", url)
        self.rig.booked(payment)
        return payment

    def expected(self, payment: NewPayment) -> Expected:
        marks = {"order_id": payment.order_id, "payment": payment.payment}
        return Expected(self.rig.shop.account_id, payment.amount, marks)

    def create_call(self, payment: NewPayment, client: Provider | None = None) -> PreparedCall:
        return (client or self.hold).prepare_create(payment, f"pay-{payment.payment}")

    def opened(self, client: Provider | None = None, payment: NewPayment | None = None) -> PaymentFacts:
        client = client or self.hold
        return paid(client.send(self.create_call(payment or self.order(), client)))

    def held(self) -> str:
        """A payment whose money is held."""
        provider_payment_id = self.opened().provider_payment_id
        self.rig.buyer_pays(provider_payment_id)
        assert fact(self.hold.fetch(provider_payment_id)).status is ProviderStatus.HELD
        return provider_payment_id

    def taken(self) -> str:
        """A payment taken in one step."""
        provider_payment_id = self.opened(self.at_once).provider_payment_id
        self.rig.buyer_pays(provider_payment_id)
        assert fact(self.at_once.fetch(provider_payment_id)).status is ProviderStatus.SUCCEEDED
        return provider_payment_id

    def refunded(self, provider_payment_id: str, amount: int, key: str) -> RefundFacts:
        """A refund followed to its end, and written into our books."""
        return self.settled(refunded(self.hold.send(self.hold.prepare_refund(provider_payment_id, amount, key))))

    def settled(self, refund: RefundFacts) -> RefundFacts:
        if refund.status is RefundStatus.PENDING:
            self.rig.time_passes(A_DAY_S)
            refund = fact(self.hold.fetch_refund(refund.provider_refund_id))
        assert refund.status is RefundStatus.SUCCEEDED, refund
        self.rig.returned(refund)
        return refund
