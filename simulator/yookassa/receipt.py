"""Checks a 54-FZ receipt inside a create, capture or refund body: its recipient, its items, and that it adds up.

"Чеки от ЮKassa" (`YOO_RECEIPT`) ask for more than a partner's online register does.
"""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

from simulator.yookassa import problems
from simulator.yookassa.money import CURRENCY, parse_value
from simulator.yookassa.problems import Rejected
from simulator.yookassa.shops import YOO_RECEIPT

Receipt = Mapping[str, object]

MAX_ITEMS = 100
MAX_ITEMS_YOO = 80
MAX_ITEM_NAME = 128
MAX_FULL_NAME = 256
MAX_QUANTITY = Decimal("99999.999")
QUANTITY_DECIMALS_YOO = 3
VAT_CODES = range(1, 13)
TAX_SYSTEMS = range(1, 7)
TIMEZONES = range(1, 12)
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
MEASURES = frozenset((
    "piece", "gram", "kilogram", "ton", "centimeter", "decimeter", "meter", "square_centimeter",
    "square_decimeter", "square_meter", "milliliter", "liter", "cubic_meter", "kilowatt_hour", "gigacalorie",
    "day", "hour", "minute", "second", "kilobyte", "megabyte", "gigabyte", "terabyte", "another",
))
# fmt: on
_EMAIL = re.compile(r"[^\s@<>]{1,64}@[^\s@<>]+\.[^\s@<>]+")
_PHONE = re.compile(r"[0-9]{4,15}", re.ASCII)
_INN = re.compile(r"[0-9]{10}|[0-9]{12}", re.ASCII)


def checked_receipt(receipt: object, amount: int, register: str) -> Receipt:
    """The receipt; the provider's refusal unless it is whole and its items sum to `amount` kopecks.

    `register` prints it: `YOO_RECEIPT`, a partner's name, or "" for a shop that has none.
    """
    if not isinstance(receipt, dict):
        raise Rejected(problems.RECEIPT_MISSING)
    check_customer(receipt.get("customer"), register)
    if items_total(receipt.get("items"), register) != amount:
        raise Rejected(problems.RECEIPT_MISSING)
    if not isinstance(receipt.get("internet", True), bool):
        raise Rejected(problems.invalid_value("receipt.internet"))
    _check_number(receipt, "timezone", TIMEZONES)
    _check_number(receipt, "tax_system_code", TAX_SYSTEMS)
    return receipt


def check_customer(customer: object, register: str) -> None:
    """YooKassa's own receipts go by e-mail only; a partner's register also takes a phone, digits alone."""
    if not isinstance(customer, dict):
        raise Rejected(problems.RECEIPT_MISSING)
    email, phone = customer.get("email"), customer.get("phone")
    by_email = isinstance(email, str) and _EMAIL.fullmatch(email) is not None
    by_phone = isinstance(phone, str) and _PHONE.fullmatch(phone) is not None
    if email is not None and not by_email:
        raise Rejected(problems.invalid_value("receipt.customer.email"))
    if not by_email and (register == YOO_RECEIPT or not by_phone):
        raise Rejected(problems.RECEIPT_MISSING)
    if phone is not None and not by_phone:
        raise Rejected(problems.invalid_value("receipt.customer.phone"))
    _check_who(customer)


def items_total(items: object, register: str) -> Decimal:
    """Kopecks of all items together; refuses the first that is wrong."""
    limit = MAX_ITEMS_YOO if register == YOO_RECEIPT else MAX_ITEMS
    if not isinstance(items, list) or not 0 < len(items) <= limit:
        raise Rejected(problems.RECEIPT_MISSING)
    return sum((_item_total(item, register) for item in items), Decimal(0))


def _check_who(customer: dict[str, object]) -> None:
    name, inn = customer.get("full_name"), customer.get("inn")
    if name is not None and not (isinstance(name, str) and len(name) <= MAX_FULL_NAME):
        raise Rejected(problems.invalid_value("receipt.customer.full_name"))
    if inn is not None and not (isinstance(inn, str) and _INN.fullmatch(inn)):
        raise Rejected(problems.invalid_value("receipt.customer.inn"))


def _item_total(item: object, register: str) -> Decimal:
    if not isinstance(item, dict):
        raise Rejected(problems.RECEIPT_MISSING)
    name = item.get("description")
    if not isinstance(name, str) or not 0 < len(name) <= MAX_ITEM_NAME:
        raise Rejected(problems.invalid_value("receipt.items.description"))
    if _whole_number(item.get("vat_code")) not in VAT_CODES:
        raise Rejected(problems.invalid_value("receipt.items.vat_code"))
    _check_word(item, "payment_subject", PAYMENT_SUBJECTS)
    _check_word(item, "payment_mode", PAYMENT_MODES)
    _check_word(item, "measure", MEASURES, required=register == YOO_RECEIPT)
    return _unit_price(item.get("amount")) * _quantity(item.get("quantity"), register)


def _unit_price(price: object) -> int:
    kopecks = parse_value(price.get("value")) if isinstance(price, dict) else None
    if kopecks is None or not isinstance(price, dict):
        raise Rejected(problems.invalid_value("receipt.items.amount"))
    if price.get("currency") != CURRENCY:
        raise Rejected(problems.CURRENCIES_DIFFER)
    return kopecks


def _check_word(item: dict[str, object], name: str, known: frozenset[str], *, required: bool = False) -> None:
    word = item.get(name)
    if word is None and not required:
        return
    if not isinstance(word, str) or word not in known:
        raise Rejected(problems.invalid_value(f"receipt.items.{name}"))


def _check_number(receipt: dict[str, object], name: str, allowed: range) -> None:
    if receipt.get(name) is not None and _whole_number(receipt[name]) not in allowed:
        raise Rejected(problems.invalid_value(f"receipt.{name}"))


def _quantity(value: object, register: str) -> Decimal:
    # Older pages write quantity and vat_code as text, the specification as numbers; both are met in the field.
    try:
        quantity = Decimal(str(value))
    except InvalidOperation:
        raise Rejected(problems.invalid_value("receipt.items.quantity")) from None
    if not quantity.is_finite() or not 0 < quantity <= MAX_QUANTITY:
        raise Rejected(problems.invalid_value("receipt.items.quantity"))
    if register == YOO_RECEIPT and quantity != round(quantity, QUANTITY_DECIMALS_YOO):
        raise Rejected(problems.invalid_value("receipt.items.quantity"))
    return quantity


def _whole_number(value: object) -> int:
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 0
