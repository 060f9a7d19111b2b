"""The order as JSON (docs/http.md): the keys existing integrations read, and those added since."""

from hashlib import blake2b
from typing import Any

import msgspec

from cloud.buyer.order_view import OrderView
from cloud.buyer.texts import Language, Texts

DEVICE_NOTES = (
    *("client_info", "client_info_pending", "client_info_paid", "client_info_not_paid"),
    *("client_info_make_pending", "client_info_manual_make", "client_info_successful", "client_info_make_failed"),
)


_encode = msgspec.json.Encoder().encode


def encoded(view: OrderView, language: Language) -> bytes:
    """The answer to a program, and the data of an event."""
    return _encode(as_json(view, language))


def tag_of(version: int, body: bytes) -> str:
    """Names this very answer (`ETag`): a return, a receipt, a machine's note and the language change it too."""
    return f'W/"{version}-{blake2b(body, digest_size=9).hexdigest()}"'


def is_known(tag: str, told: str) -> bool:
    """Tell whether the caller has this answer: its tag is among those told (`If-None-Match`)."""
    return tag[2:] in told


def as_json(view: OrderView, language: Language) -> dict[str, Any]:
    """Money in roubles, times in ISO 8601 with their zone, the size in words, notes as clean HTML. No time is left in
    it that runs by itself.
    """
    return {
        "order_id": view.order_id,
        "status": view.status.value,
        "drink_name": view.drink_name,
        "drink_size": str(Texts(language).size(view.size)),
        "price": _roubles(view.price),
        "expires_at": view.expires_at.isoformat(),
        "payment_scenario": view.payment_scenario,
        "is_receipt_mandatory": view.needs_email,
        "device": {
            "location": view.device.location,
            "logo_url": view.device.logo_url,
            **{name: view.device.notes[name] for name in DEVICE_NOTES},
        },
        "version": view.version,
        "stage": view.stage or None,
        "reason": view.reason or None,
        "progress": view.progress,
        "return": _money_back(view),
        "receipt": {"status": view.receipt.state or None} if view.receipt is not None else None,
    }


def _money_back(view: OrderView) -> dict[str, Any] | None:
    back = view.money_back
    if back is None:
        return None
    by = back.expected_by.isoformat() if back.expected_by is not None else None
    return {"status": back.status, "amount": _roubles(back.amount), "expected_by": by}


def _roubles(kopecks: int) -> float:
    return kopecks / 100
