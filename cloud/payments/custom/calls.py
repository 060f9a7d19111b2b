"""What is asked of a merchant's own payment page: checked, serialized once, ready to be stored next to its key. Pure.

Not signed yet: a signature is made at each sending, so that a call stored before the key was changed still counts.
"""

import json
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from cloud.payments.custom.objects import payment_name
from cloud.payments.custom.signature import query_of
from cloud.payments.facts import CURRENCY
from cloud.payments.provider import CaptureMode, InvalidRequest, NewPayment, Operation, PreparedCall, Shop

MIN_AMOUNT = 100
MAX_DESCRIPTION = 250
MAX_RETURN_URL = 2048

_KEY = re.compile(r"[0-9A-Za-z_.-]{1,64}")
_NAME = re.compile(r"[0-9A-Za-z_-]{1,48}\.[0-9]{1,12}")


def is_payment_name(text: str) -> bool:
    """Whether this can be the id of a payment between us and a merchant, and so may stand in a query."""
    return _NAME.fullmatch(text) is not None


def prepare_create(shop: Shop, payment: NewPayment, key: str, pay_until: int, callback_url: str) -> PreparedCall:
    """The parameters of the merchant's page, URL-encoded. `pay_until` is Unix seconds."""
    _check_key(key)
    _check_amount(payment.amount)
    if payment.receipt is not None:
        raise InvalidRequest("receipt", "the merchant's own page makes its own receipts")
    _check_url("return_url", payment.return_url)
    name = payment_name(payment.payment, pay_until)
    if not is_payment_name(name):
        raise InvalidRequest("payment", "not an id of ours")
    query = query_of((
        ("account", shop.account_id),
        ("payment", name),
        ("order", payment.order_id),
        ("amount", str(payment.amount)),
        ("currency", CURRENCY),
        ("capture", "later" if shop.capture is CaptureMode.ON_DISPENSE else "now"),
        ("description", payment.description[:MAX_DESCRIPTION]),
        ("return_url", payment.return_url),
        ("callback_url", callback_url),
    ))  # fmt: skip
    return PreparedCall(Operation.CREATE, "page", key, query.encode("ascii"))


def prepare_capture(shop: Shop, provider_payment_id: str, key: str) -> PreparedCall:
    """Take what is held, all of it."""
    return _action(shop, Operation.CAPTURE, provider_payment_id, key, {})


def prepare_cancel(shop: Shop, provider_payment_id: str, key: str) -> PreparedCall:
    """Let a hold go."""
    return _action(shop, Operation.CANCEL, provider_payment_id, key, {})


def prepare_refund(
    shop: Shop, provider_payment_id: str, amount: int, key: str, description: str | None
) -> PreparedCall:
    """Give `amount` kopecks of what was taken back."""
    _check_amount(amount)
    more = {"amount": amount, "currency": CURRENCY, "description": (description or "")[:MAX_DESCRIPTION]}
    return _action(shop, Operation.REFUND, provider_payment_id, key, more)


def _action(
    shop: Shop, operation: Operation, provider_payment_id: str, key: str, more: Mapping[str, object]
) -> PreparedCall:
    _check_key(key)
    if not is_payment_name(provider_payment_id):
        raise InvalidRequest("payment", "not an id of this merchant's page")
    told = {"account": shop.account_id, "action": operation.value, "payment": provider_payment_id, "key": key, **more}
    return PreparedCall(operation, "action", key, json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode())


def _check_key(key: str) -> None:
    if _KEY.fullmatch(key) is None:
        raise InvalidRequest("key", "1-64 letters, digits, dots, dashes and underscores")


def _check_amount(kopecks: int) -> None:
    if kopecks < MIN_AMOUNT:
        raise InvalidRequest("amount", f"below {MIN_AMOUNT} kopecks")


def _check_url(parameter: str, url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc or len(url) > MAX_RETURN_URL:
        raise InvalidRequest(parameter, "not an http or https URL")
