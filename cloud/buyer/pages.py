"""The QR's entry, the status page and its live part: views only. What they say is decided in `scene.py`."""

import logging
from datetime import datetime

from flask import Response, make_response, redirect, render_template, request, url_for
from markupsafe import Markup
from werkzeug.wrappers import Response as BaseResponse

from cloud.buyer.assets import asset
from cloud.buyer.errors import Trouble, asked_language
from cloud.buyer.opening import open_or_find
from cloud.buyer.presenting import OrderView
from cloud.buyer.qr import BadScan, is_checksum_wrong, read_scan
from cloud.buyer.room import Room
from cloud.buyer.scene import Scene, money_says, scene
from cloud.buyer.texts import Texts
from cloud.orders.states import PAYABLE, Status

log = logging.getLogger("cloud.buyer")

AFTER_EXPIRY_S = 2
"""A page without scripts looks again this long after the order has expired."""
WITHOUT_SCRIPTS_S = 2
"""How often a page without scripts looks while things move."""


class Pages:
    """GET /v1/pay and GET /v1/order-status-page."""

    def __init__(self, room: Room) -> None:
        self._room = room

    def pay(self) -> BaseResponse:
        """The machine's QR: to the page of its order, the same one however often it is scanned."""
        try:
            scan = read_scan(request.args)
        except BadScan as error:
            log.info("a scan without a proper %s", error)
            raise Trouble(400, "bad_scan") from None
        if is_checksum_wrong(request.args):
            log.warning("a scan whose checksum is wrong", extra={"order_id": scan.order_id, "device": scan.device_uuid})
        order_id = open_or_find(self._room, scan)
        view = self._room.order(order_id)
        if _is_over(view, self._room.clock()):
            raise Trouble(410, "expired", view.device, order_id)
        return redirect(url_for("buyer.status_page", order_id=order_id, lang=request.args.get("lang")), 302)

    def status_page(self) -> Response:
        """The page, or with `part` only what changes on it."""
        order_id = request.args.get("order_id", "")
        if not order_id:
            raise Trouble(400, "bad_scan")
        view = self._room.order(order_id)
        template = "buyer/order_view.html" if "part" in request.args else "buyer/order.html"
        return make_response(render_template(template, **_shown(view, self._room.clock())))


def _is_over(view: OrderView, now: datetime) -> bool:
    """Never paid, and never will be: there is nothing to show but that."""
    expired = view.status is Status.FAILED and view.reason == "expired"
    late = view.status in PAYABLE and not view.can_be_paid(now)
    return (expired or late) and not view.was_paid


def _shown(view: OrderView, now: datetime) -> dict[str, object]:
    texts = Texts(asked_language())
    shown = scene(view, now)
    money_key, money_left = money_says(view, now)
    back = view.money_back
    return {
        "t": texts,
        "asset": asset,
        "order": view,
        "scene": shown,
        "note": Markup(view.device.notes[shown.note]) if shown.note else "",  # noqa: S704  # cleaned in presenting
        "money_key": money_key,
        "money": {
            "amount": texts.price(back.amount if back else view.price),
            "how": texts(f"how.{view.method}" if texts.has(f"how.{view.method}") else "how.other"),
            "date": texts.date(back.expected_by) if back and back.expected_by else "",
            "left": texts.left(money_left),
        },
        "key": "|".join((view.status.value, view.stage, back.status if back else "")),
        "again_s": _looks_again_after(view, shown, now),
        "other_language": "en" if texts.language == "ru" else "ru",
    }


def _looks_again_after(view: OrderView, shown: Scene, now: datetime) -> int:
    """Seconds until a page without scripts reloads itself; 0 for never."""
    if view.can_be_paid(now) and (view.needs_email or not shown.follow):
        return int((view.expires_at - now).total_seconds()) + AFTER_EXPIRY_S  # someone may be typing
    return shown.refresh_s or (WITHOUT_SCRIPTS_S if shown.follow else 0)
