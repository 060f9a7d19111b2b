"""Checks a 54-FZ receipt inside a create, capture or refund body: who gets it, what is on it, and that it adds up."""

import re
from decimal import Decimal, InvalidOperation

from simulator.yookassa import problems
from simulator.yookassa.money import parse_value
from simulator.yookassa.problems import Rejected

MAX_ITEMS = 100
MAX_ITEM_NAME = 128
MAX_QUANTITY = Decimal("99999.999")
VAT_CODES = range(1, 13)
# fmt: off
PAYMENT_MODES = frozenset((
    "full_prepayment", "partial_prepayment", "advance", "full_payment", "partial_payment", "credit",
    "credit_payment",
))
PAYMENT_SUBJECTS = frozenset((
    "commodity", "excise", "job", "service", "gambling_bet", "gambling_prize", "lottery", "lottery_prize",
    "intellectual_activity", "payment", "agent_commission", "property_right", "non_operating_gain",
    "insurance_premium", "sales_tax", "resort_fee", "composite", "another", "fine", "tax", "lien", "cost",
    "pension_insurance_without_payouts", "pension_insurance_with_payouts", "health_insurance_without_payouts",
    "health_insurance_with_payouts", "health_insurance", "casino", "agent_withdrawals", "non_marked_excise",
    "marked_excise", "marked", "non_marked",
))
# fmt: on
_PHONE = re.compile(r"[0-9]{4,15}", re.ASCII)


def check_receipt(receipt: object, amount: int) -> None:
    """Raise the provider's answer unless the receipt is whole and its items sum to `amount` kopecks."""
    if not isinstance(receipt, dict) or not _reaches_somebody(receipt):
        raise Rejected(problems.RECEIPT_MISSING)
    items = receipt.get("items")
    if not isinstance(items, list) or not 0 < len(items) <= MAX_ITEMS:
        raise Rejected(problems.RECEIPT_MISSING)
    if sum(_item_total(item) for item in items) != amount:
        raise Rejected(problems.RECEIPT_MISSING)


def _reaches_somebody(receipt: dict[str, object]) -> bool:
    customer = receipt.get("customer")
    if not isinstance(customer, dict):
        return False
    email, phone = customer.get("email"), customer.get("phone")
    if isinstance(email, str) and "@" in email:
        return True
    return isinstance(phone, str) and _PHONE.fullmatch(phone) is not None


def _item_total(item: object) -> Decimal:
    if not isinstance(item, dict):
        raise Rejected(problems.RECEIPT_MISSING)
    name, price = item.get("description"), item.get("amount")
    if not isinstance(name, str) or not 0 < len(name) <= MAX_ITEM_NAME:
        raise Rejected(problems.invalid_value("receipt.items.description"))
    kopecks = parse_value(price.get("value")) if isinstance(price, dict) else None
    if kopecks is None:
        raise Rejected(problems.invalid_value("receipt.items.amount"))
    if _whole_number(item.get("vat_code")) not in VAT_CODES:
        raise Rejected(problems.invalid_value("receipt.items.vat_code"))
    if item.get("payment_subject", "commodity") not in PAYMENT_SUBJECTS:
        raise Rejected(problems.invalid_value("receipt.items.payment_subject"))
    if item.get("payment_mode", "full_payment") not in PAYMENT_MODES:
        raise Rejected(problems.invalid_value("receipt.items.payment_mode"))
    return kopecks * _quantity(item.get("quantity"))


def _quantity(value: object) -> Decimal:
    # Older pages write quantity and vat_code as text, the specification as numbers; both are met in the field.
    try:
        quantity = Decimal(str(value))
    except InvalidOperation:
        raise Rejected(problems.invalid_value("receipt.items.quantity")) from None
    if not quantity.is_finite() or not 0 < quantity <= MAX_QUANTITY:
        raise Rejected(problems.invalid_value("receipt.items.quantity"))
    return quantity


def _whole_number(value: object) -> int:
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 0
