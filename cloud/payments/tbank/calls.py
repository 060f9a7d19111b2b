"""T-Bank's changing calls, prepared: checked, serialized once, ready to be stored. Pure.

What is stored holds neither TerminalKey nor Token: a call is signed anew each time it is sent, so that a changed
password does not strand it, and nothing made from the password lies in the database.
"""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import quote, urlsplit

from cloud.payments.provider import (
    CaptureMode,
    FiscalReceipt,
    InvalidRequest,
    NewPayment,
    Operation,
    PreparedCall,
    Shop,
)
from cloud.payments.tbank.signature import TOKEN, token

MIN_AMOUNT = 100
MAX_DESCRIPTION = 140
MAX_URL = 2048
MAX_DATA_VALUE = 100
MAX_KEY = 64

_ORDER_ID = re.compile(r"[0-9A-Za-z_.-]{1,50}")
_KEY = re.compile(rf"[0-9A-Za-z_.-]{{1,{MAX_KEY}}}")
_ID = re.compile(r"[0-9]{1,20}")


def is_provider_payment_id(text: str) -> bool:
    """Whether this can be a PaymentId of T-Bank's at all."""
    return _ID.fullmatch(text) is not None


def prepare_create(
    shop: Shop, payment: NewPayment, key: str, pay_until: datetime, notification_url: str
) -> PreparedCall:
    """`Init`. Our payment id is the OrderId: it is all that T-Bank gives back, and what an unanswered Init is found by.

    `pay_until` ends the link's life (T-Bank's own default is a day); `notification_url` is where notifications go.
    """
    _check_amount(payment.amount)
    if _ORDER_ID.fullmatch(payment.payment) is None:
        raise InvalidRequest("OrderId", "1-50 letters, digits, dots, dashes and underscores")
    if len(payment.description) > MAX_DESCRIPTION:
        raise InvalidRequest("Description", f"longer than {MAX_DESCRIPTION} characters")
    for name, url in (("SuccessURL", payment.return_url), ("NotificationURL", notification_url)):
        _check_url(name, url)
    body: dict[str, object] = {
        "Amount": payment.amount,
        "OrderId": payment.payment,
        "Description": payment.description,
        "PayType": "T" if shop.capture is CaptureMode.ON_DISPENSE else "O",
        "SuccessURL": payment.return_url,
        "FailURL": payment.return_url,
        "NotificationURL": notification_url,
        "RedirectDueDate": pay_until.isoformat(timespec="seconds"),
        "DATA": _data(payment),
    }
    return _prepared(Operation.CREATE, "/Init", key, body, payment.receipt)


def prepare_capture(provider_payment_id: str, key: str) -> PreparedCall:
    """`Confirm`: take a held payment, all of it."""
    return _prepared(Operation.CAPTURE, "/Confirm", key, {"PaymentId": _checked_id(provider_payment_id)}, None)


def prepare_cancel(provider_payment_id: str, key: str) -> PreparedCall:
    """`Cancel` of a payment not taken yet. The same call refunds a taken one: the client asks before it sends."""
    body: dict[str, object] = {"PaymentId": _checked_id(provider_payment_id), "ExternalRequestId": key}
    return _prepared(Operation.CANCEL, "/Cancel", key, body, None)


def prepare_refund(
    provider_payment_id: str, amount: int, key: str, receipt: FiscalReceipt | None = None
) -> PreparedCall:
    """`Cancel` of a taken payment: give `amount` kopecks back."""
    _check_amount(amount)
    body: dict[str, object] = {
        "PaymentId": _checked_id(provider_payment_id), "Amount": amount, "ExternalRequestId": key,
    }  # fmt: skip
    return _prepared(Operation.REFUND, "/Cancel", key, body, receipt)


def signed(message: Mapping[str, object], shop: Shop) -> bytes:
    """The message as it leaves: with the shop's TerminalKey and a Token."""
    whole = {"TerminalKey": shop.account_id, **message}
    whole[TOKEN] = token(whole, shop.secret_key)
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _prepared(
    operation: Operation,
    path: str,
    key: str,
    body: dict[str, object],
    receipt: FiscalReceipt | None,
) -> PreparedCall:
    if _KEY.fullmatch(key) is None:
        raise InvalidRequest("key", f"1-{MAX_KEY} letters, digits, dots, dashes and underscores")
    if receipt is not None:
        raise InvalidRequest("Receipt", "this terminal's receipts are not made here")
    try:
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError):
        raise InvalidRequest("body", "holds what JSON cannot say") from None
    return PreparedCall(operation, path, key, text)


def _data(payment: NewPayment) -> dict[str, str]:
    """For people in the bank's cabinet; what is too long is left out. T-Bank never tells us these again."""
    marks = {"order_id": payment.order_id, "device_uuid": payment.device_uuid}
    quoted = {name: quote(text, safe="") for name, text in marks.items()}
    return {name: text for name, text in quoted.items() if len(text) <= MAX_DATA_VALUE}


def _check_amount(kopecks: int) -> None:
    if kopecks < MIN_AMOUNT:
        raise InvalidRequest("Amount", f"below {MIN_AMOUNT} kopecks")


def _check_url(name: str, url: str) -> None:
    try:
        parts = urlsplit(url)
    except ValueError:
        raise InvalidRequest(name, "not a URL") from None
    if parts.scheme not in {"http", "https"} or not parts.netloc or not url.isascii() or " " in url:
        raise InvalidRequest(name, "not an encoded http or https URL")
    if len(url) > MAX_URL:
        raise InvalidRequest(name, f"longer than {MAX_URL} characters")


def _checked_id(provider_payment_id: str) -> str:
    if not is_provider_payment_id(provider_payment_id):
        raise InvalidRequest("PaymentId", "not an id of this provider")
    return provider_payment_id
