"""The /receipts stub: lists the receipts of payments and refunds, takes separate ones. Prints no fiscal document."""

import threading
from collections.abc import Mapping

from simulator.yookassa import problems
from simulator.yookassa.objects import Json, list_object
from simulator.yookassa.problems import Rejected
from simulator.yookassa.provider import Call, Provider
from simulator.yookassa.shops import Shop
from simulator.yookassa.state import Status
from simulator.yookassa.validation import parse_body

MAX_RECEIPTS = 1_000  # a stub's worth; the oldest is forgotten


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
        self._status(call.shop, kind, subject_id)
        drawn: Json = {"id": self._provider.ids.receipt(), "type": kind, field: subject_id, "status": "succeeded"}
        with self._lock:
            if len(self._made) >= MAX_RECEIPTS:
                self._made.pop(next(iter(self._made)))
            return self._made.setdefault((call.shop.id, call.key), drawn)

    def list(self, shop: Shop, query: Mapping[str, str]) -> Json:
        """All receipts of the payment or refund that is asked for."""
        kind = "refund" if "refund_id" in query else "payment"
        field = f"{kind}_id"
        subject_id = query.get(field, "")
        status = self._status(shop, kind, subject_id)
        with self._lock:
            found = [r for (owner, _), r in self._made.items() if owner == shop.id and r.get(field) == subject_id]
        if status is not None:
            found.insert(0, {"id": f"rt-{subject_id}", "type": kind, field: subject_id, "status": status})
        return list_object(found, None)

    def _status(self, shop: Shop, kind: str, subject_id: str) -> Status | None:
        if kind == "refund":
            return self._provider.get_refund(shop, subject_id).receipt
        return self._provider.get_payment(shop, subject_id).receipt
