"""Receipts at /receipts: those that payments and refunds carry, and separate ones. Prints no fiscal document.

A separate receipt is "payment first, receipt later": it names its payment or refund and how it was settled.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from simulator.yookassa import problems
from simulator.yookassa.money import parse_value
from simulator.yookassa.problems import Rejected
from simulator.yookassa.receipt import Receipt, check_customer, items_total
from simulator.yookassa.refunds import Refund
from simulator.yookassa.shops import Shop
from simulator.yookassa.state import Payment, Status
from simulator.yookassa.validation import Body

MAX_RECEIPTS = 1_000  # separate ones; the oldest is forgotten
MAX_OF_ONE = 50  # separate receipts of one payment or refund
SETTLEMENTS = frozenset(("cashless", "prepayment", "postpayment", "consideration"))


@dataclass(frozen=True, slots=True, kw_only=True)
class FiscalReceipt:
    """One receipt of a `payment` or a `refund` (`kind`): what the shop said in it, and how its registration stands."""

    id: str
    shop_id: str
    kind: str
    subject_id: str
    status: Status
    created_at: datetime
    said: Receipt
    registered_at: datetime | None = None


class SeparateReceipts:
    """Not thread-safe: the provider holds its lock."""

    def __init__(self) -> None:
        self._made: dict[str, FiscalReceipt] = {}

    def get(self, receipt_id: str) -> FiscalReceipt | None:
        return self._made.get(receipt_id)

    def newest(self) -> Iterator[FiscalReceipt]:
        return reversed(self._made.values())

    def add(self, receipt: FiscalReceipt) -> FiscalReceipt:
        """Raise Rejected when its payment or refund has as many as it may have."""
        of_one = sum(one.subject_id == receipt.subject_id for one in self._made.values())
        if of_one >= MAX_OF_ONE:
            raise Rejected(problems.invalid_value(f"{receipt.kind}_id"))
        if len(self._made) >= MAX_RECEIPTS:
            self._made.pop(next(iter(self._made)))
        self._made[receipt.id] = receipt
        return receipt


def subject_of(body: Body) -> tuple[str, str]:
    """What a separate receipt is of: `payment` or `refund`, and its id."""
    kind = body.get("type")
    if kind not in ("payment", "refund"):
        raise Rejected(problems.invalid_value("type"))
    return str(kind), str(body.get(f"{kind}_id", ""))


def check_separate(body: Body, shop: Shop) -> None:
    """A separate receipt is sent to a known buyer, and its settlements pay for all its items."""
    if body.get("send") is not True:
        raise Rejected(problems.invalid_value("send"))
    check_customer(body.get("customer"), shop.register)
    settlements = body.get("settlements")
    if not isinstance(settlements, list) or not settlements:
        raise Rejected(problems.invalid_value("settlements"))
    if sum((_settled(part) for part in settlements), Decimal(0)) != items_total(body.get("items"), shop.register):
        raise Rejected(problems.invalid_value("settlements"))


def carried_by_payments(payments: Iterable[Payment]) -> Iterator[FiscalReceipt]:
    """The receipts that go to be registered because money was taken."""
    for payment in payments:
        if payment.receipt is not None and payment.captured_at is not None:
            yield _carried("payment", payment, payment.receipt, payment.captured_at, payment.sent_receipt)


def carried_by_refunds(refunds: Iterable[tuple[Refund, Payment | None]]) -> Iterator[FiscalReceipt]:
    """The same because money went back. A whole refund says what its payment's receipt said."""
    for refund, payment in refunds:
        if refund.receipt is not None:
            said = refund.request.receipt or (payment.sent_receipt if payment else None)
            yield _carried("refund", refund, refund.receipt, refund.created_at, said)


def _carried(
    kind: str, subject: Payment | Refund, status: Status, moved_at: datetime, said: Receipt | None
) -> FiscalReceipt:
    return FiscalReceipt(
        id=f"rt-{subject.id}",
        shop_id=subject.shop_id,
        kind=kind,
        subject_id=subject.id,
        status=status,
        created_at=moved_at,
        said=said or {},
        registered_at=moved_at if status is Status.SUCCEEDED else None,
    )


def _settled(part: object) -> Decimal:
    amount = part.get("amount") if isinstance(part, dict) else None
    kopecks = parse_value(amount.get("value")) if isinstance(amount, dict) else None
    if kopecks is None or not isinstance(part, dict) or part.get("type") not in SETTLEMENTS:
        raise Rejected(problems.invalid_value("settlements"))
    return Decimal(kopecks)
