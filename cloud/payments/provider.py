"""The interface of every payment provider: calls prepared before they are sent, typed outcomes of sending them.

No I/O here. The caller stores a PreparedCall, then sends it: the same bytes under the same key, however often.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from cloud.payments.admission import Gate
from cloud.payments.facts import Page, PaymentFacts, RefundFacts, ShopFacts
from cloud.payments.outcomes import Outcome


class InvalidRequest(ValueError):
    """A call the provider would certainly refuse, found before it was sent. `parameter` is what is wrong."""

    def __init__(self, parameter: str, why: str) -> None:
        super().__init__(f"{parameter}: {why}")
        self.parameter = parameter


class CaptureMode(enum.Enum):
    """When money is taken: on the machine's `done` (a hold until then), or as soon as the buyer pays."""

    ON_DISPENSE = "on_dispense"
    IMMEDIATE = "immediate"


@dataclass(frozen=True)
class Shop:
    """One merchant's credential at one provider. The secret never shows in a repr."""

    account_id: str
    secret_key: str = field(repr=False)
    capture: CaptureMode = CaptureMode.ON_DISPENSE


class Operation(enum.Enum):
    """What a prepared call does."""

    CREATE = "create"
    CAPTURE = "capture"
    CANCEL = "cancel"
    REFUND = "refund"


@dataclass(frozen=True)
class PreparedCall:
    """A call ready to be stored before it is sent, and sent again byte for byte after a restart."""

    operation: Operation
    path: str
    key: str
    body: bytes = field(repr=False)
    held_until: datetime | None = None
    """From then on another process may send it; None for an opening, whose lease is renewed meanwhile."""

    def is_ours_at(self, moment: datetime) -> bool:
        """Whether no other process can have taken it over by then."""
        return self.held_until is None or moment < self.held_until


@dataclass(frozen=True)
class FiscalReceipt:
    """What the receipt of `amount` kopecks, paid or returned, is to say of one drink, and to whom it goes (54-FZ)."""

    terms: Mapping[str, object]
    amount: int
    email: str = field(repr=False)


@dataclass(frozen=True)
class NewPayment:
    """One attempt to pay one order. `payment` is our own payment id; how to pay is the buyer's choice.

    `receipt` is for merchants who fiscalize through the provider.
    """

    order_id: str
    device_uuid: str
    payment: str
    amount: int
    description: str
    return_url: str
    receipt: FiscalReceipt | None = None
    drink_no: str = ""
    size: int | None = None

    def metadata(self) -> dict[str, str]:
        """What comes back with every answer, so that a payment whose create answer was lost can be adopted."""
        marks = {"order_id": self.order_id, "device_uuid": self.device_uuid, "payment": self.payment}
        drink = {"drink_no": self.drink_no, "size": str(self.size)} if self.drink_no and self.size is not None else {}
        return marks | drink


class Provider(Protocol):
    """One merchant's credential at one provider. Every method may be called from any thread.

    `prepare_*` are pure and raise InvalidRequest; store what they give, then `send` it. No sending or asking raises
    for anything the provider or the network does: all of that is an Outcome.
    """

    @property
    def shop(self) -> Shop: ...

    @property
    def gate(self) -> Gate: ...

    def prepare_create(self, payment: NewPayment, key: str) -> PreparedCall: ...

    def prepare_capture(self, provider_payment_id: str, key: str) -> PreparedCall: ...

    def prepare_cancel(self, provider_payment_id: str, key: str) -> PreparedCall: ...

    def prepare_refund(
        self,
        provider_payment_id: str,
        amount: int,
        key: str,
        description: str | None = None,
        receipt: FiscalReceipt | None = None,
    ) -> PreparedCall: ...

    def send(self, call: PreparedCall) -> Outcome[PaymentFacts] | Outcome[RefundFacts]: ...

    def fetch(self, provider_payment_id: str) -> Outcome[PaymentFacts]: ...

    def fetch_refund(self, refund_id: str) -> Outcome[RefundFacts]: ...

    def list_payments(
        self, created_gte: datetime, created_lt: datetime, cursor: str | None = None, payment: str | None = None
    ) -> Outcome[Page[PaymentFacts]]:
        """Payments opened in a time. Of `payment` alone, by our id of it, where the provider can be asked for one."""
        ...

    def list_refunds(
        self,
        provider_payment_id: str | None = None,
        created_gte: datetime | None = None,
        created_lt: datetime | None = None,
        cursor: str | None = None,
    ) -> Outcome[Page[RefundFacts]]: ...

    def me(self) -> Outcome[ShopFacts]: ...

    def close(self) -> None: ...
