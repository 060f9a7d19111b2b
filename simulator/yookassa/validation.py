"""Checks the bodies of create, capture and refund against the published limits; answers with the published errors."""

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from protocol import json_text
from simulator.yookassa import problems
from simulator.yookassa.instruments import METHODS
from simulator.yookassa.money import CURRENCY, MIN_AMOUNT, parse_value
from simulator.yookassa.problems import Rejected
from simulator.yookassa.receipt import Receipt, checked_receipt
from simulator.yookassa.refunds import RefundRequest
from simulator.yookassa.shops import Shop
from simulator.yookassa.state import Confirmation, PaymentRequest

MAX_DESCRIPTION = 128
MAX_REFUND_DESCRIPTION = 250
MAX_METADATA_KEYS = 16
MAX_METADATA_KEY = 32
MAX_METADATA_VALUE = 512
MAX_RETURN_URL = 2048
MAX_CUSTOMER_ID = 200
CONFIRMATION_TYPES = ("redirect", "qr", "external", "embedded", "mobile_application")
METHOD_FIELDS = ("payment_token", "payment_method_id", "payment_method_data")

Body = Mapping[str, object]


def parse_body(raw: bytes) -> Body:
    """The JSON object in a request body; an empty body is an empty object."""
    if not raw.strip():
        return {}
    try:
        return json_text.decode(raw, dict[str, object])
    except json_text.NotJson:
        raise Rejected(problems.BAD_JSON) from None


def payment_request(body: Body, shop: Shop) -> PaymentRequest:
    amount = _amount(body)
    if body.get("save_payment_method") is True:
        raise Rejected(problems.NO_RECURRING)
    capture = _bool(body, "capture")
    method = _method(body, shop)
    if amount > (METHODS[method].max_amount if method else max(METHODS[m].max_amount for m in shop.methods)):
        raise Rejected(problems.invalid_value("amount.value"))
    if method and not capture and not METHODS[method].hold:
        raise Rejected(problems.invalid_value("capture"))
    _check_client_ip(body)
    receipt = _receipt(body, shop, amount, required=True)
    return PaymentRequest(
        amount=amount,
        capture=capture,
        method=method,
        confirmation=_confirmation(body),
        description=_text(body, "description", MAX_DESCRIPTION),
        metadata=_metadata(body),
        receipt=receipt,
        merchant_customer_id=_text(body, "merchant_customer_id", MAX_CUSTOMER_ID),
    )


def capture_request(body: Body, shop: Shop, whole: int) -> tuple[int | None, Receipt | None]:
    """How much to capture, and its receipt: None for all of it, which needs no receipt of its own."""
    if body.get("amount") is None:
        return None, None
    amount = _amount(body)
    return amount, _receipt(body, shop, amount, required=amount != whole)


def refund_request(body: Body) -> RefundRequest:
    payment_id = body.get("payment_id")
    if not isinstance(payment_id, str) or not payment_id:
        raise Rejected(problems.invalid_value("payment_id"))
    receipt = body.get("receipt")
    return RefundRequest(
        payment_id=payment_id,
        amount=_amount(body),
        description=_text(body, "description", MAX_REFUND_DESCRIPTION),
        metadata=_metadata(body),
        receipt=receipt if isinstance(receipt, dict) else None,
    )


def check_refund_receipt(body: Body, shop: Shop, amount: int, whole: int) -> None:
    """In a shop with receipts a partial refund needs one for the returned part; a full one uses the payment's."""
    _receipt(body, shop, amount, required=amount != whole)


def _amount(body: Body) -> int:
    amount = body.get("amount")
    if not isinstance(amount, dict):
        raise Rejected(problems.invalid_value("amount"))
    kopecks = parse_value(amount.get("value"))
    if kopecks is None or kopecks < MIN_AMOUNT:
        raise Rejected(problems.invalid_value("amount.value"))
    if not isinstance(amount.get("currency"), str):
        raise Rejected(problems.invalid_value("amount.currency"))
    if amount["currency"] != CURRENCY:
        raise Rejected(problems.CURRENCIES_DIFFER)
    return kopecks


def _bool(body: Body, name: str) -> bool:
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise Rejected(problems.invalid_value(name))
    return value


def _text(body: Body, name: str, limit: int) -> str | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise Rejected(problems.invalid_value(name))
    if len(value) > limit:
        too_long = problems.description_too_long(limit)
        raise Rejected(too_long if name == "description" else problems.invalid_value(name))
    return value


def _method(body: Body, shop: Shop) -> str | None:
    given = [name for name in METHOD_FIELDS if body.get(name) is not None]
    if not given:
        return None
    if given != ["payment_method_data"]:
        raise Rejected(problems.invalid_value(given[0]))
    data = body["payment_method_data"]
    method = data.get("type") if isinstance(data, dict) else None
    if not isinstance(method, str) or method not in shop.methods:
        raise Rejected(problems.invalid_value("payment_method_data.type"))
    return method


def _confirmation(body: Body) -> Confirmation | None:
    given = body.get("confirmation")
    if given is None:
        return None
    if not isinstance(given, dict) or given.get("type") not in CONFIRMATION_TYPES:
        raise Rejected(problems.invalid_value("confirmation.type"))
    if given.get("locale", "ru_RU") not in ("ru_RU", "en_US"):
        raise Rejected(problems.invalid_value("confirmation.locale"))
    return_url = given.get("return_url")
    if return_url is None and given["type"] in ("redirect", "mobile_application"):
        raise Rejected(problems.RETURN_URL_MISSING)
    if return_url is not None:
        _check_return_url(return_url, given["type"])
    return Confirmation(type=given["type"], return_url=return_url)


def _check_return_url(url: object, confirmation_type: str) -> None:
    if not isinstance(url, str) or not 0 < len(url) <= MAX_RETURN_URL or not url.isprintable() or " " in url:
        raise Rejected(problems.invalid_value("confirmation.return_url"))
    try:
        parts = urlsplit(url)
    except ValueError:
        raise Rejected(problems.invalid_value("confirmation.return_url")) from None
    deep_link = confirmation_type == "mobile_application" and parts.scheme not in ("", "javascript", "data")
    if not deep_link and (parts.scheme not in ("http", "https") or not parts.netloc):
        raise Rejected(problems.invalid_value("confirmation.return_url"))


def _metadata(body: Body) -> Mapping[str, str | None]:
    given = body.get("metadata")
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise Rejected(problems.invalid_value("metadata"))
    if len(given) > MAX_METADATA_KEYS:
        raise Rejected(problems.METADATA_TOO_MANY_KEYS)
    for name, value in given.items():
        if len(name) > MAX_METADATA_KEY:
            raise Rejected(problems.invalid_value("metadata"))
        if value is not None and not (isinstance(value, str) and len(value) <= MAX_METADATA_VALUE):
            raise Rejected(problems.invalid_value(f"metadata.{name}"))
    return given


def _check_client_ip(body: Body) -> None:
    address = body.get("client_ip")
    if address is None:
        return
    try:
        ipaddress.ip_address(address if isinstance(address, str) else "")
    except ValueError:
        raise Rejected(problems.invalid_value("client_ip")) from None


def _receipt(body: Body, shop: Shop, amount: int, *, required: bool) -> Receipt | None:
    receipt = body.get("receipt")
    if receipt is None:
        if shop.fiscalization and required:
            raise Rejected(problems.RECEIPT_MISSING)
        return None
    return checked_receipt(receipt, amount, shop.register)
