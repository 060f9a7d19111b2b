"""Fiscal receipts (54-FZ) as YooKassa takes them: built and checked before anything is sent. Pure.

Whatever it would refuse, or register wrongly, is InvalidRequest here. One drink, one item.
"""

from collections.abc import Container, Mapping

from cloud.fleet import receipt_terms
from cloud.fleet.receipt_email import is_email
from cloud.payments.facts import CURRENCY
from cloud.payments.provider import InvalidRequest
from cloud.payments.yookassa.objects import amount_text

MAX_ITEM_NAME = 128


def receipt_object(terms: Mapping[str, object], amount: int, email: str) -> dict[str, object]:
    """The receipt of `amount` kopecks paid or returned for the drink that `terms` describe. Raises InvalidRequest.

    A part that is captured or returned has its own receipt, of that part alone (docs/receipts.md).
    """
    if not is_email(email):
        raise InvalidRequest("receipt.customer.email", "no address a receipt can be sent to")
    receipt: dict[str, object] = {"customer": {"email": email}, "items": [_item(terms, amount)]}
    if "tax_system_code" in terms:
        receipt["tax_system_code"] = _whole(terms, "tax_system_code", receipt_terms.TAX_SYSTEMS, "receipt")
    if "internet" in terms:
        if not isinstance(terms["internet"], bool):
            raise InvalidRequest("receipt.internet", "neither true nor false")
        receipt["internet"] = terms["internet"]
    if "timezone" in terms:
        receipt["timezone"] = _whole(terms, "timezone", receipt_terms.TIMEZONES, "receipt")
    return receipt


def _item(terms: Mapping[str, object], amount: int) -> dict[str, object]:
    name = terms.get("description")
    if not isinstance(name, str) or not name.strip():
        raise InvalidRequest("receipt.items.description", "is missing")
    if amount <= 0:
        raise InvalidRequest("receipt.items.amount", "is nothing")
    return {
        "description": name[:MAX_ITEM_NAME],
        "quantity": 1,
        "amount": {"value": amount_text(amount), "currency": CURRENCY},
        "vat_code": _whole(terms, "vat_code", receipt_terms.VAT_CODES),
        "payment_subject": _word(terms, "payment_subject", receipt_terms.PAYMENT_SUBJECTS),
        "payment_mode": _word(terms, "payment_mode", receipt_terms.PAYMENT_MODES),
        "measure": _word(terms, "measure", receipt_terms.MEASURES),
    }


def _whole(terms: Mapping[str, object], name: str, allowed: range, where: str = "receipt.items") -> int:
    value = terms.get(name)
    if type(value) is not int or value not in allowed:
        raise InvalidRequest(f"{where}.{name}", f"not a number from {allowed[0]} to {allowed[-1]}")
    return value


def _word(terms: Mapping[str, object], name: str, allowed: Container[object]) -> str:
    value = terms.get(name)
    if not isinstance(value, str) or value not in allowed:
        raise InvalidRequest(f"receipt.items.{name}", "not a word the provider knows")
    return value


def setup_problem(scenario: str, terms: Mapping[str, object] | None, fiscalization: bool | None) -> str:
    """Why payments of this account would be refused, or stay without a registered receipt; "" when all fits.

    `fiscalization` is what the provider says of the shop; None when it does not say.
    """
    if scenario not in receipt_terms.WITH_RECEIPT:
        words = f"the shop sends fiscal receipts, but {scenario} opens payments without one: use YookassaReceipt"
        return words if fiscalization else ""
    try:
        receipt_object(receipt_terms.terms_of(terms, None) | {"description": "-"}, 100, "buyer@example.org")
    except InvalidRequest as wrong:
        return f"its receipts would be refused ({wrong}): apply the fleet file with receipt = {{ ... }}"
    return "payments carry receipts, but the shop registers none: its cabinet" if fiscalization is False else ""
