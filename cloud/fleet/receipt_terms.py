"""What merchants and drinks say about fiscal receipts (54-FZ): which words are known, and the two put together. Pure.

The lists are YooKassa's; which of the words is right for a merchant is for its accountant to say.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from cloud.fleet.receipt_email import is_email

WITH_RECEIPT = frozenset({"YookassaReceipt"})
"""Payment scenarios that send a receipt with every payment."""

VAT_CODES = range(1, 13)
"""1 none, 2 0 %, 3 10 %, 4 20 %, 5 10/110, 6 20/120, 7 5 %, 8 7 %, 9 5/105, 10 7/107, 11 22 %, 12 22/122."""
TAX_SYSTEMS = range(1, 7)
TIMEZONES = range(1, 12)
PAYMENT_MODES = (
    "full_prepayment", "partial_prepayment", "advance", "full_payment", "partial_payment", "credit", "credit_payment",
)  # fmt: skip
PAYMENT_SUBJECTS = (
    "commodity", "excise", "job", "service", "gambling_bet", "gambling_prize", "lottery", "lottery_prize",
    "intellectual_activity", "payment", "agent_commission", "property_right", "non_operating_gain",
    "insurance_premium", "sales_tax", "resort_fee", "composite", "another", "fine", "tax", "lien", "cost",
    "pension_insurance_without_payouts", "pension_insurance_with_payouts", "health_insurance_without_payouts",
    "health_insurance_with_payouts", "health_insurance", "casino", "agent_withdrawals", "non_marked_excise",
    "marked_excise", "marked", "non_marked",
)  # fmt: skip
MEASURES = (
    "piece", "gram", "kilogram", "ton", "centimeter", "decimeter", "meter", "square_centimeter", "square_decimeter",
    "square_meter", "milliliter", "liter", "cubic_meter", "kilowatt_hour", "gigacalorie", "day", "hour", "minute",
    "second", "kilobyte", "megabyte", "gigabyte", "terabyte", "another",
)  # fmt: skip

DEFAULTS = {"payment_subject": "commodity", "payment_mode": "full_payment", "measure": "piece"}
"""One cup, paid whole. The tax rate has no default: nobody may guess it."""


class EmailRule(StrEnum):
    """Whether a buyer must give an address for the receipt. OPTIONAL: without one it goes to the merchant's own."""

    REQUIRED = "required"
    OPTIONAL = "optional"


def email_rule(merchant: Mapping[str, Any] | None) -> EmailRule:
    """What the merchant's receipt settings say; REQUIRED unless they say otherwise."""
    return EmailRule((merchant or {}).get("email", EmailRule.REQUIRED))


def lacks_address(merchant: Mapping[str, Any] | None, contact_email: str) -> bool:
    """Tell whether a buyer who gives no address could not pay, because the receipt would have none."""
    return email_rule(merchant) is EmailRule.OPTIONAL and not is_email(contact_email)


def terms_of(merchant: Mapping[str, Any] | None, drink: Mapping[str, Any] | None) -> dict[str, Any]:
    """The fields of one drink's receipt: the drink's word, else the merchant's, else the default."""
    merged = DEFAULTS | dict(merchant or {}) | dict(drink or {})
    merged.pop("email", None)
    return merged
