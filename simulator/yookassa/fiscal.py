"""The /receipts stub: lists the receipts of payments and refunds, takes separate ones. Prints no fiscal document.

A separate receipt is "payment first, receipt later": it names its payment or refund and how it was settled.
"""

import threading
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from decimal import Decimal

from simulator.yookassa import problems
from simulator.yookassa.money import parse_value
from simulator.yookassa.objects import Json, list_object
from simulator.yookassa.problems import Rejected
from simulator.yookassa.provider import Call, Provider
from simulator.yookassa.receipt import Receipt, check_customer, items_total
from simulator.yookassa.shops import Shop
from simulator.yookassa.state import Status
from simulator.yookassa.validation import Body, parse_body

MAX_RECEIPTS = 1_000  # a stub's worth; the oldest is forgotten
MAX_OF_ONE = 50  # separate receipts of one payment or refund
SETTLEMENTS = frozenset(("cashless", "prepayment", "postpayment", "consideration"))
MOSCOW = timezone(timedelta(hours=3))


class ReceiptDesk:
    """A separate receipt is known by its shop and key, so the same call gives the same receipt."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._made: dict[tuple[str, str], Json] = {}
        self._lock = threading.Lock()

    def create(self, call: Call) -> Json:
        if not call.key:
            raise Rejected(problems.KEY_EMPTY)
        body = parse_body(call.body)
        kind = body.get("type")
        if kind not in ("payment", "refund"):
            raise Rejected(problems.invalid_value("type"))
        field = f"{kind}_id"
        subject_id = str(body.get(field, ""))
        self._carried(call.shop, str(kind), subject_id)
        _check_separate(body, call.shop)
        drawn = _drawn(self._provider.ids.receipt(), str(kind), subject_id, Status.SUCCEEDED, body)
        with self._lock:
            known = self._made.get((call.shop.id, call.key))
            if known is not None:
                return known
            if sum(receipt.get(field) == subject_id for receipt in self._made.values()) >= MAX_OF_ONE:
                raise Rejected(problems.invalid_value(field))
            if len(self._made) >= MAX_RECEIPTS:
                self._made.pop(next(iter(self._made)))
            self._made[call.shop.id, call.key] = drawn
            return drawn

    def list(self, shop: Shop, query: Mapping[str, str]) -> Json:
        """All receipts of the payment or refund that is asked for, or those of them in one status."""
        kind = "refund" if "refund_id" in query else "payment"
        field = f"{kind}_id"
        subject_id = query.get(field, "")
        receipt, status, at = self._carried(shop, kind, subject_id)
        with self._lock:
            found = [r for (owner, _), r in self._made.items() if owner == shop.id and r.get(field) == subject_id]
        if status is not None:
            found.insert(0, _drawn(f"rt-{subject_id}", kind, subject_id, status, receipt or {}, at))
        wanted = query.get("status")
        return list_object([r for r in found if wanted in (None, r["status"])], None)

    def _carried(self, shop: Shop, kind: str, subject_id: str) -> tuple[Receipt | None, Status | None, datetime | None]:
        """The receipt the payment or refund itself carries, how its registration stands, and when money moved."""
        if kind == "payment":
            payment = self._provider.get_payment(shop, subject_id)
            return payment.sent_receipt, payment.receipt, payment.captured_at
        refund = self._provider.get_refund(shop, subject_id)
        receipt = refund.request.receipt or self._provider.get_payment(shop, refund.payment_id).sent_receipt
        return receipt, refund.receipt, refund.created_at


def _check_separate(body: Body, shop: Shop) -> None:
    if body.get("send") is not True:
        raise Rejected(problems.invalid_value("send"))
    check_customer(body.get("customer"), shop.register)
    settlements = body.get("settlements")
    if not isinstance(settlements, list) or not settlements:
        raise Rejected(problems.invalid_value("settlements"))
    if sum((_settled(part) for part in settlements), Decimal(0)) != items_total(body.get("items"), shop.register):
        raise Rejected(problems.invalid_value("settlements"))


def _settled(part: object) -> Decimal:
    amount = part.get("amount") if isinstance(part, dict) else None
    kopecks = parse_value(amount.get("value")) if isinstance(amount, dict) else None
    if kopecks is None or not isinstance(part, dict) or part.get("type") not in SETTLEMENTS:
        raise Rejected(problems.invalid_value("settlements"))
    return Decimal(kopecks)


def _drawn(receipt_id: str, kind: str, subject_id: str, status: Status, body: Body, at: datetime | None = None) -> Json:
    drawn: Json = {"id": receipt_id, "type": kind, f"{kind}_id": subject_id, "status": status}
    drawn |= {name: body[name] for name in ("tax_system_code", "items", "settlements") if name in body}
    if status is Status.SUCCEEDED and at is not None:
        drawn["registered_at"] = at.astimezone(MOSCOW).isoformat(timespec="milliseconds")
    return drawn
