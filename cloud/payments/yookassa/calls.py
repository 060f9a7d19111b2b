"""YooKassa's four changing calls, prepared: checked, serialized once, ready to be stored next to their keys. Pure.

What YooKassa would certainly refuse, InvalidRequest refuses here. `capture` is always said: its default is a hold.
"""

import json
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from cloud.payments.facts import CURRENCY
from cloud.payments.provider import (
    CaptureMode,
    FiscalReceipt,
    InvalidRequest,
    NewPayment,
    Operation,
    PreparedCall,
    Shop,
)
from cloud.payments.yookassa.objects import amount_text
from cloud.payments.yookassa.receipts import receipt_object

MIN_AMOUNT = 100
MAX_DESCRIPTION = 128
MAX_REFUND_DESCRIPTION = 250
MAX_RETURN_URL = 2048
MAX_METADATA_KEYS = 16
MAX_METADATA_KEY = 32
MAX_METADATA_VALUE = 512

_KEY = re.compile(r"[0-9A-Za-z_.-]{1,64}")
_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")


def is_object_id(text: str) -> bool:
    """Whether this can be an id of YooKassa's at all, and so may stand in a path."""
    return _ID.fullmatch(text) is not None


def prepare_create(shop: Shop, payment: NewPayment, key: str) -> PreparedCall:
    """A redirect payment, held or taken at once as the shop has it, by whichever method the buyer chooses there."""
    _check_amount(payment.amount)
    _check_text("description", payment.description, MAX_DESCRIPTION)
    _check_return_url(payment.return_url)
    metadata = payment.metadata()
    check_metadata(metadata)
    body: dict[str, object] = {
        "amount": _amount(payment.amount),
        "capture": shop.capture is CaptureMode.IMMEDIATE,
        "confirmation": {"type": "redirect", "return_url": payment.return_url},
        "description": payment.description,
        "metadata": metadata,
    }
    return _prepared(Operation.CREATE, "/payments", key, body, payment.receipt)


def prepare_capture(provider_payment_id: str, key: str) -> PreparedCall:
    """Take a held payment, all of it."""
    return _prepared(Operation.CAPTURE, f"/payments/{_checked_id(provider_payment_id)}/capture", key, {}, None)


def prepare_cancel(provider_payment_id: str, key: str) -> PreparedCall:
    """Let a held payment go. Only a hold can be cancelled: a pending payment cannot, a taken one is refunded."""
    return _prepared(Operation.CANCEL, f"/payments/{_checked_id(provider_payment_id)}/cancel", key, {}, None)


def prepare_refund(
    provider_payment_id: str,
    amount: int,
    key: str,
    description: str | None = None,
    receipt: FiscalReceipt | None = None,
) -> PreparedCall:
    """Give `amount` kopecks of a taken payment back."""
    _check_amount(amount)
    body: dict[str, object] = {"payment_id": _checked_id(provider_payment_id), "amount": _amount(amount)}
    if description is not None:
        _check_text("description", description, MAX_REFUND_DESCRIPTION)
        body["description"] = description
    return _prepared(Operation.REFUND, "/refunds", key, body, receipt)


def check_metadata(metadata: Mapping[str, str]) -> None:
    """YooKassa's limits on metadata; raises InvalidRequest."""
    if len(metadata) > MAX_METADATA_KEYS:
        raise InvalidRequest("metadata", f"more than {MAX_METADATA_KEYS} keys")
    for name, value in metadata.items():
        if not 1 <= len(name) <= MAX_METADATA_KEY:
            raise InvalidRequest("metadata", f"a key is empty or longer than {MAX_METADATA_KEY}")
        _check_text(f"metadata.{name}", value, MAX_METADATA_VALUE)


def _prepared(
    operation: Operation,
    path: str,
    key: str,
    body: dict[str, object],
    receipt: FiscalReceipt | None,
) -> PreparedCall:
    if _KEY.fullmatch(key) is None:
        raise InvalidRequest("Idempotence-Key", "1-64 letters, digits, dots, dashes and underscores")
    if receipt is not None:
        body["receipt"] = receipt_object(receipt.terms, receipt.amount, receipt.email)
    try:
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError):
        raise InvalidRequest("body", "holds what JSON cannot say") from None
    return PreparedCall(operation, path, key, text)


def _amount(kopecks: int) -> dict[str, str]:
    return {"value": amount_text(kopecks), "currency": CURRENCY}


def _check_amount(kopecks: int) -> None:
    if kopecks < MIN_AMOUNT:
        raise InvalidRequest("amount", f"below {amount_text(MIN_AMOUNT)} {CURRENCY}")


def _check_text(parameter: str, text: str, limit: int) -> None:
    if len(text) > limit:
        raise InvalidRequest(parameter, f"longer than {limit} characters")


def _check_return_url(url: str) -> None:
    if len(url) > MAX_RETURN_URL:
        raise InvalidRequest("return_url", f"longer than {MAX_RETURN_URL} characters")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise InvalidRequest("return_url", "not a URL") from None
    if parts.scheme not in {"http", "https"} or not parts.netloc or not url.isascii() or " " in url:
        raise InvalidRequest("return_url", "not an encoded http or https URL")


def _checked_id(provider_payment_id: str) -> str:
    if not is_object_id(provider_payment_id):
        raise InvalidRequest("payment_id", "not an id of this provider")
    return provider_payment_id
