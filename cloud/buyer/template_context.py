"""Everything the templates of an order's page are given. What it says is decided in `page_state.py`."""

from datetime import datetime

from flask import render_template
from markupsafe import Markup

from cloud.buyer.assets import asset, style
from cloud.buyer.errors import asked_language
from cloud.buyer.order_view import OrderView
from cloud.buyer.page_state import PageState, money_says, page_state
from cloud.buyer.texts import Texts
from cloud.orders.states import PAYABLE, Status

BEAT_S = 10.0
"""An open stream is never silent for longer; the page takes silence for a dead line."""
AFTER_EXPIRY_S = 2
"""A page without scripts looks again this long after the order has expired."""
WITHOUT_SCRIPTS_S = 2
"""How often a page without scripts looks while things move."""


def key_of(view: OrderView) -> str:
    """What a page shows, in short: with the same key only figures may differ."""
    return "|".join((view.status.value, view.stage, view.money_back.status if view.money_back else ""))


def render_part(view: OrderView, now: datetime) -> str:
    """What changes on the page while the order lives."""
    return render_template("buyer/order_view.html", **template_context(view, now))


def needs_the_machine(view: OrderView) -> bool:
    """Whether the page depends on what the machine could do now, which is no news of the order."""
    return view.status in PAYABLE | {Status.MANUAL_MAKE}


def template_context(view: OrderView, now: datetime) -> dict[str, object]:
    """Give the templates their values."""
    texts = Texts(asked_language(), view.device.zone)
    state = page_state(view, now)
    money_key, money_left = money_says(view, now)
    back = view.money_back
    return {
        "t": texts,
        "asset": asset,
        "style": style,
        "beat_s": BEAT_S,
        "order": view,
        "state": state,
        "note": Markup(view.device.notes[state.note]) if state.note else "",  # noqa: S704  # cleaned in order_reader
        "money_key": money_key,
        "money": {
            "amount": texts.price(back.amount if back else view.price),
            "how": texts(f"how.{view.method}" if texts.has(f"how.{view.method}") else "how.other"),
            "date": texts.date(back.expected_by) if back and back.expected_by else "",
            "left": texts.left(money_left),
        },
        "key": key_of(view),
        "again_s": _looks_again_after(view, state, now),
        "other_language": "en" if texts.language == "ru" else "ru",
    }


def _looks_again_after(view: OrderView, state: PageState, now: datetime) -> int:
    """Seconds until a page without scripts reloads itself; 0 for never."""
    if view.receipt is not None and state.action in {"pay", "again"}:  # someone may be typing
        return int((view.expires_at - now).total_seconds()) + AFTER_EXPIRY_S
    return state.refresh_s or (WITHOUT_SCRIPTS_S if state.follow else 0)
