"""What each key of `fleet.toml` may hold. A check takes the value as parsed and gives the one to store, or `Wrong`."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cloud.fleet import receipt_terms, zones
from cloud.fleet.models import DEVICE_STATUSES, NOTE_FIELDS, PRICE_SOURCES, SCENARIOS, UNOBSERVED, Control
from cloud.fleet.notes import MAX_NOTE, clean_whole
from cloud.fleet.qr_key import QR_RULES
from protocol.errors import Malformed
from protocol.topics import MAX_DEVICE_UUID, check_device_uuid

MIN_PRICE = 100
"""One rouble: the least YooKassa takes."""
MAX_PRICE = 35_000_000
"""350 000 roubles: the most it takes at once from a bank card. Mostly guards against a slip of the finger."""
MAX_SECRET = 500
SIZES = ("small", "medium", "large")


class Wrong(ValueError):
    """The value cannot be taken; the text says what it must be. It never holds a secret."""


Check = Callable[[Any], object]


@dataclass(frozen=True)
class Field:
    """One key of a table."""

    check: Check
    required: bool = False


def text(shortest: int, longest: int) -> Check:
    """One line of printable text."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or not shortest <= len(value) <= longest or not value.isprintable():
            raise Wrong(f"must be text of {shortest} to {longest} printable characters, {_not(value)}")
        if shortest and not value.strip():
            raise Wrong("must not be blank")
        return value

    return check


def matching(pattern: str, wanted: str) -> Check:
    """Text that fits a pattern; `wanted` describes it."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise Wrong(f"must be {wanted}, {_not(value)}")
        return value

    return check


def one_of(words: tuple[str, ...]) -> Check:
    """One of a few words."""

    def check(value: Any) -> str:
        if value not in words:
            raise Wrong(f"must be {_any(words)}, {_not(value)}")
        return str(value)

    return check


def price(value: Any) -> int:
    """Kopecks."""
    if type(value) is not int or not MIN_PRICE <= value <= MAX_PRICE:
        raise Wrong(f"must be a whole number of kopecks from {MIN_PRICE} to {MAX_PRICE}, {_not(value)}")
    return value


def whole(least: int, most: int) -> Check:
    """A whole number."""

    def check(value: Any) -> int:
        if type(value) is not int or not least <= value <= most:
            raise Wrong(f"must be a whole number from {least} to {most}, {_not(value)}")
        return value

    return check


def flag(value: Any) -> bool:
    """Yes or no."""
    if not isinstance(value, bool):
        raise Wrong(f"must be true or false, without quotes, {_not(value)}")
    return value


def day(value: Any) -> date | None:
    """A date as TOML writes it; "" for none."""
    if value == "":
        return None
    if not isinstance(value, date) or isinstance(value, datetime):
        raise Wrong(f'must be a date like 2030-12-31 without quotes, or "" for no end, {_not(value)}')
    try:
        return zones.day_of(value.year, value.month, value.day)
    except ValueError:
        years = f"{zones.YEARS.start} to {zones.YEARS[-1]}"
        raise Wrong(f'must be a date of the years {years}, or "" for no end, not {value}') from None


def device_uuid(value: Any) -> str:
    """The machine's name, fit for a topic at the broker."""
    try:
        return check_device_uuid(value if isinstance(value, str) else "")
    except Malformed:
        wanted = f"1 to {MAX_DEVICE_UUID} printable characters, none of them a space or / + #, the first not $"
        raise Wrong(f"must be {wanted}; {_not(value)}") from None


def web_address(value: Any) -> str:
    """An http or https URL; "" for none."""
    try:
        parts = urlsplit(value if isinstance(value, str) else "-")
        good = value == "" or (parts.scheme in {"http", "https"} and bool(parts.hostname))
    except ValueError:
        good = False
    if not good or len(value) > 1024 or not re.fullmatch(r"[^\s\"'<>\\]*", value) or not value.isprintable():
        raise Wrong(f"must be a URL beginning with https:// or http://, at most 1024 characters, {_not(value)}")
    return str(value)


def note(value: Any) -> str | None:
    """What the buyer is told: HTML, cleaned here; None when nothing is left."""
    if not isinstance(value, str) or len(value) > MAX_NOTE or "\x00" in value:
        raise Wrong(f"must be text of at most {MAX_NOTE} characters, {_not(value)}")
    cleaned = clean_whole(value)
    if len(cleaned) > MAX_NOTE:  # its end may say what matters most: never cut what somebody wrote
        raise Wrong(f"must be at most {MAX_NOTE} characters once it is safe HTML (& becomes &amp;), not {len(cleaned)}")
    return cleaned or None


def zone(value: Any) -> str:
    """A time zone by its name; "" for the market's own."""
    if value == "":
        return zones.DEFAULT
    try:
        return ZoneInfo(value if isinstance(value, str) else "?").key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Wrong(f'must be a time zone like "Europe/Samara", {_not(value)}') from None


def secret(environ: Mapping[str, str], folder: Path) -> Check:
    """`env:NAME`, `file:PATH` (from the file's folder on), or the secret itself. Nothing of it is ever in a message."""

    def check(value: Any) -> str:
        if not isinstance(value, str):
            raise Wrong('must be text: "env:NAME", "file:PATH" or the secret itself')
        kind, _, rest = value.partition(":")
        found = value
        if kind == "env":
            found = environ.get(rest, "").strip()
            if not found:
                raise Wrong(f"{rest or 'the variable'} is not set in the environment")
        elif kind == "file":
            found = _read_secret(folder / rest)
        if not re.fullmatch(rf"[!-~]{{1,{MAX_SECRET}}}", found):
            raise Wrong(f"the secret must be 1 to {MAX_SECRET} ASCII characters without spaces")
        return found

    return check


def is_plain_secret(value: object) -> bool:
    """The secret itself stands in the file."""
    return isinstance(value, str) and not value.startswith(("env:", "file:"))


def _read_secret(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MAX_SECRET + 3).decode("ascii", "replace").strip()
    except (OSError, ValueError) as error:
        raise Wrong(f"{path} cannot be read ({getattr(error, 'strerror', None) or type(error).__name__})") from None


def _not(value: Any) -> str:
    shown = repr(value)
    return f"not {shown[:60]}{'...' if len(shown) > 60 else ''}"


def _any(words: tuple[str, ...]) -> str:
    return " or ".join(f'"{word}"' for word in words)


SCENARIO = one_of(SCENARIOS)
ID = matching(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", "1 to 64 Latin letters, digits, - _ or .")
EMAIL = matching(r"|(?=.{3,255}$)[^\s@<>]+@[^\s@<>]+", "an e-mail address")
DRINK_NO = text(1, 128)

MERCHANT = {
    "id": Field(ID, required=True),
    "name": Field(text(1, 255), required=True),
    "contact_email": Field(EMAIL),
    "valid_until": Field(day),
    "zone": Field(zone),
}
ACCOUNT = {
    "account_id": Field(matching(r"[!-9;-~]{1,64}", "1 to 64 ASCII characters without spaces or :"), required=True),
    "capture": Field(one_of(("on_dispense", "immediate"))),
    "status_check": Field(one_of(("polling", "webhook", "none"))),
}
"""Beside `secret_key`, which needs the environment."""
DEVICE = {
    "device_uuid": Field(device_uuid, required=True),
    "merchant": Field(ID, required=True),
    "location": Field(text(0, 255)),
    "zone": Field(zone),
    "serial_no": Field(text(0, 64)),
    "payment_scenario": Field(SCENARIO, required=True),
    "control": Field(one_of(tuple(Control))),
    "price_source": Field(one_of(PRICE_SOURCES)),
    "unobserved": Field(one_of(UNOBSERVED)),
    "status": Field(one_of(DEVICE_STATUSES)),
    "logo_url": Field(web_address),
    "qr": Field(one_of(QR_RULES)),
    "qr_key_version": Field(whole(1, 1_000_000)),
} | {name: Field(note) for name in NOTE_FIELDS}
DRINK = {
    "drink_no": Field(DRINK_NO, required=True),
    "name": Field(text(1, 255), required=True),
}
RECEIPT = {
    "vat_code": Field(whole(receipt_terms.VAT_CODES[0], receipt_terms.VAT_CODES[-1])),
    "payment_subject": Field(one_of(receipt_terms.PAYMENT_SUBJECTS)),
    "payment_mode": Field(one_of(receipt_terms.PAYMENT_MODES)),
    "measure": Field(one_of(receipt_terms.MEASURES)),
    "tax_system_code": Field(whole(receipt_terms.TAX_SYSTEMS[0], receipt_terms.TAX_SYSTEMS[-1])),
    "internet": Field(flag),
    "timezone": Field(whole(receipt_terms.TIMEZONES[0], receipt_terms.TIMEZONES[-1])),
}
"""What a drink may say on its receipt; docs/receipts.md."""
MERCHANT_RECEIPT = RECEIPT | {
    "vat_code": Field(RECEIPT["vat_code"].check, required=True),
    "email": Field(one_of(tuple(receipt_terms.EmailRule))),
}
"""And its merchant, for all drinks that say nothing else."""
PRICES = {size: Field(price) for size in SIZES}
