"""A provider small enough to be seen through: keeps its word about keys and money, loses what it is told to lose."""

import itertools
import json
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cloud.payments.admission import Gate
from cloud.payments.budget import ShopBudget
from cloud.payments.facts import Cancellation, Page, PaymentFacts, ProviderStatus, RefundFacts, RefundStatus
from cloud.payments.outcomes import NotOurs, NotSent, Ok, Outcome, Rejected, Unknown
from cloud.payments.provider import NewPayment, Operation, PreparedCall, Shop
from cloud.payments.rate import CircuitBreaker, TokenBucket

LOST = {"lost_before", "not_sent"}
"""Faults after which certainly nothing was done."""


@dataclass
class Purse:
    """One payment as the provider knows it; kopecks."""

    id: str
    amount: int
    hold: bool
    metadata: dict[str, str]
    state: str = "pending"
    captured: int = 0
    refunded: int = 0
    refunding: int = 0

    @property
    def net(self) -> int:
        """What the buyer is out of pocket for good, or for now."""
        return self.captured - self.refunded


@dataclass
class SmallProvider:
    """Implements `Provider` as far as call worker and status poller use it. `faults` strike the next calls in turn."""

    shop: Shop
    hold: bool
    clock: Any
    purses: dict[str, Purse] = field(default_factory=dict)
    refunds: dict[str, RefundFacts] = field(default_factory=dict)
    faults: deque[str] = field(default_factory=deque)
    refunds_end_as: RefundStatus = RefundStatus.SUCCEEDED

    def __post_init__(self) -> None:
        self.gate = Gate(ShopBudget(TokenBucket(1e6, 1e6), CircuitBreaker(10**6)), lambda: 0.0)
        self._answers: dict[str, tuple[bytes, str]] = {}
        self._ids = itertools.count(1)

    # What the buyer, time and people in the cabinet do

    def open_purses(self) -> list[Purse]:
        return [purse for purse in self.purses.values() if purse.state == "pending"]

    def pay(self, purse: Purse) -> None:
        if purse.hold:
            purse.state = "held"
        else:
            purse.state, purse.captured = "captured", purse.amount

    def refund_in_cabinet(self, purse: Purse) -> None:
        left = purse.captured - purse.refunded - purse.refunding
        if purse.state == "captured" and left > 0:
            self._open_refund(purse, left, RefundStatus.SUCCEEDED)

    def settle_refunds(self, how: RefundStatus) -> None:
        """Refunds that were under way end."""
        for refund in list(self.refunds.values()):
            if refund.status is RefundStatus.PENDING:
                self._end_refund(refund, how)

    # The interface

    def prepare_create(self, payment: NewPayment, key: str) -> PreparedCall:
        body = {"amount": payment.amount, "metadata": payment.metadata()}
        return PreparedCall(Operation.CREATE, "/payments", key, json.dumps(body).encode())

    def prepare_capture(
        self, payment_id: str, key: str, amount: int | None = None, receipt: Any = None
    ) -> PreparedCall:
        return PreparedCall(Operation.CAPTURE, payment_id, key, b"{}")

    def prepare_cancel(self, payment_id: str, key: str) -> PreparedCall:
        return PreparedCall(Operation.CANCEL, payment_id, key, b"{}")

    def prepare_refund(
        self, payment_id: str, amount: int, key: str, description: str | None = None, receipt: Any = None
    ) -> PreparedCall:
        body = {"payment_id": payment_id, "amount": amount}
        return PreparedCall(Operation.REFUND, "/refunds", key, json.dumps(body).encode())

    def send(self, call: PreparedCall) -> Outcome[Any]:
        fault = self.faults.popleft() if self.faults else ""
        if fault == "not_sent":
            return NotSent("circuit open")
        if fault == "lost_before":
            return Unknown("timeout")
        done = self._once(call)
        return Unknown("reset") if fault == "lost_after" else done

    def fetch(self, payment_id: str) -> Outcome[PaymentFacts]:
        if self.faults and self.faults.popleft():
            return Unknown("timeout")
        purse = self.purses.get(payment_id)
        return Ok(self._facts(purse)) if purse else NotOurs()

    def fetch_refund(self, refund_id: str) -> Outcome[RefundFacts]:
        if self.faults and self.faults.popleft():
            return Unknown("timeout")
        return Ok(self.refunds[refund_id])

    def list_refunds(self, payment_id: str | None = None, **_: Any) -> Outcome[Page[RefundFacts]]:
        found = [refund for refund in self.refunds.values() if refund.provider_payment_id == payment_id]
        return Ok(Page(tuple(reversed(found)), None))

    def close(self) -> None:
        """Nothing to close."""

    def _once(self, call: PreparedCall) -> Outcome[Any]:
        known = self._answers.get(call.key)
        if known is not None:
            assert known[0] == call.body, "the same key with other bytes"
            return self._told(call.operation, known[1])
        refusal_or_id = self._act(call)
        if isinstance(refusal_or_id, Rejected):
            return refusal_or_id
        self._answers[call.key] = call.body, refusal_or_id
        return self._told(call.operation, refusal_or_id)

    def _act(self, call: PreparedCall) -> str | Rejected:
        told = json.loads(call.body)
        if call.operation is Operation.CREATE:
            purse = Purse(f"yk-{next(self._ids)}", told["amount"], self.hold, told["metadata"])
            self.purses[purse.id] = purse
            return purse.id
        purse = self.purses[told.get("payment_id", call.path)]
        if call.operation is Operation.REFUND:
            left = purse.captured - purse.refunded - purse.refunding
            if purse.state != "captured" or told["amount"] > left:
                return Rejected(400, "invalid_request", "amount")
            return self._open_refund(purse, told["amount"], self.refunds_end_as)
        if purse.state != "held":
            return Rejected(400, "invalid_request")
        if call.operation is Operation.CAPTURE:
            purse.state, purse.captured = "captured", purse.amount
        else:
            purse.state = "canceled"
        return purse.id

    def _open_refund(self, purse: Purse, amount: int, ends_as: RefundStatus) -> str:
        refund = RefundFacts(f"rf-{next(self._ids)}", purse.id, RefundStatus.PENDING, amount, "RUB")
        self.refunds[refund.provider_refund_id] = refund
        purse.refunding += amount
        if ends_as is not RefundStatus.PENDING:
            self._end_refund(refund, ends_as)
        return refund.provider_refund_id

    def _end_refund(self, refund: RefundFacts, how: RefundStatus) -> None:
        purse = self.purses[refund.provider_payment_id]
        purse.refunding -= refund.amount
        if how is RefundStatus.SUCCEEDED:
            purse.refunded += refund.amount
        self.refunds[refund.provider_refund_id] = RefundFacts(
            refund.provider_refund_id, purse.id, how, refund.amount, "RUB"
        )

    def _told(self, operation: Operation, made: str) -> Outcome[Any]:
        return Ok(self.refunds[made] if operation is Operation.REFUND else self._facts(self.purses[made]))

    def _facts(self, purse: Purse) -> PaymentFacts:
        status = {"captured": "succeeded"}.get(purse.state, purse.state)
        now: datetime = self.clock()
        return PaymentFacts(
            provider_payment_id=purse.id,
            status=ProviderStatus(status),
            amount=purse.amount,
            currency="RUB",
            captured=purse.captured,
            refunded=purse.refunded,
            method="bank_card",
            account_id=self.shop.account_id,
            metadata=purse.metadata,
            confirmation_url=f"https://pay.example.org/{purse.id}" if purse.state == "pending" else None,
            created_at=now,
            cancellation=Cancellation("provider", "general_decline") if purse.state == "canceled" else None,
        )
