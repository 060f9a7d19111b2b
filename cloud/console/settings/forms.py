"""Forms of what can be edited: what was typed becomes values, and what a person saw goes along with it."""

import json
from collections.abc import Collection, Mapping
from typing import Any

from flask import request
from werkzeug.exceptions import BadRequest

from protocol import json_text

SEEN = "seen"
PRICES = ("price_small", "price_medium", "price_large")
MOST_SEEN = 200_000


def seen_as(state: Mapping[str, Any]) -> str:
    """For a hidden field: what the page shows."""
    return json.dumps(state, ensure_ascii=False, sort_keys=True)


def seen() -> dict[str, Any] | None:
    """What the page had shown."""
    text = request.form.get(SEEN, "")
    if not text:
        return None
    try:
        return json_text.decode(text[:MOST_SEEN], dict[str, Any])
    except json_text.NotJson:
        raise BadRequest from None


def wanted(names: Collection[str]) -> dict[str, Any]:
    """What was typed into these fields; a field the page did not have is left alone. Line ends are one character."""
    form = request.form
    values: dict[str, Any] = {
        name: form[name].replace("\r\n", "\n").strip() for name in names if name in form and name not in PRICES
    }
    values |= {name: kopecks(form[name]) for name in names if name in form and name in PRICES}
    return {name: int(value) if name == "qr_key_version" and str(value).isdecimal() else value
            for name, value in values.items()}  # fmt: skip


def kopecks(text: str) -> int | str | None:
    """179 or 179,50 in kopecks; None for nothing; what is no sum stays as it is, to be refused in words."""
    plain = text.replace("\u00a0", "").replace("\u202f", "").replace(" ", "").replace(",", ".").removesuffix("₽")
    if not plain:
        return None
    roubles, _, rest = plain.partition(".")
    if not roubles.isdecimal() or not (rest == "" or rest.isdecimal()) or len(rest) > 2 or len(roubles) > 9:
        return text
    return int(roubles) * 100 + int(f"{rest:0<2}")


def roubles(value: int | None, language: str) -> str:
    """As it is typed."""
    if value is None:
        return ""
    whole, rest = divmod(value, 100)
    return f"{whole}{',' if language == 'ru' else '.'}{rest:02}" if rest else str(whole)
