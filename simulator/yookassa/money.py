"""Money as the provider writes it: kopecks inside, text with a dot and two decimals on the wire, never a float."""

import re

CURRENCY = "RUB"
MIN_AMOUNT = 100  # 1.00 RUB, the provider's smallest payment and refund
_VALUE = re.compile(r"(\d{1,10})(?:\.(\d{1,2}))?", re.ASCII)


def amount_object(kopecks: int) -> dict[str, object]:
    return {"value": value_text(kopecks), "currency": CURRENCY}


def value_text(kopecks: int) -> str:
    return f"{kopecks // 100}.{kopecks % 100:02d}"


def parse_value(value: object) -> int | None:
    """Kopecks of `"150.00"`; None for anything else, JSON numbers included (they are outside the contract)."""
    match = _VALUE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    return int(match[1]) * 100 + int((match[2] or "0").ljust(2, "0"))
