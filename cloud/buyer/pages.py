"""The QR's entry, the status page and its live part: views only. What they say is decided in `page_state.py`."""

import logging
from dataclasses import replace
from datetime import datetime, timedelta

from flask import Response, make_response, render_template, request
from werkzeug.wrappers import Response as BaseResponse

from cloud.buyer.errors import Trouble
from cloud.buyer.headers import asks_a_person
from cloud.buyer.open_order import lead_to, open_or_find
from cloud.buyer.order_view import OrderView
from cloud.buyer.qr import BadScan, read_scan
from cloud.buyer.readiness import AT_FIRST_SIGHT
from cloud.buyer.services import Room
from cloud.buyer.template_context import needs_the_machine, render_part, shown
from cloud.fleet import probes
from cloud.orders.models import Order
from cloud.orders.scanning import claim
from cloud.orders.states import PAYABLE, Status

log = logging.getLogger("cloud.buyer")


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
        if scan.code.salt_fits is False:
            log.warning("a scan whose checksum is wrong", extra={"order_id": scan.order_id, "device": scan.device_uuid})
        order_id, held = open_or_find(self._room, scan, may_make=asks_a_person(request))
        if not order_id:
            # Nobody has opened it: a program looks where it leads, or a browser loads it in advance.
            return Response(status=204)
        view = self._room.order(order_id)
        if _is_over(view, self._room.clock()):
            raise Trouble(410, "expired", view.device, order_id)
        return self._room.remember(lead_to(order_id, 302), held)

    def status_page(self) -> Response:
        """The page, or with `part` only what changes on it."""
        order_id = request.args.get("order_id", "")
        if not order_id:
            raise Trouble(400, "bad_scan")
        view = self._with_rights(self._room.order(order_id))
        is_part = "part" in request.args
        view = self._with_readiness(view, probes.PATIENCE if is_part else AT_FIRST_SIGHT)
        now = self._room.clock()
        html = render_part(view, now) if is_part else render_template("buyer/order.html", **shown(view, now))
        return make_response(html)

    def _with_rights(self, view: OrderView) -> OrderView:
        """What the phone that looks may do; one that scanned the order claims it by coming back."""
        if not needs_the_machine(view):
            return view
        with self._room.database.read() as session:
            order = session.get_one(Order, view.order_id)
        if view.status in PAYABLE and order.claimed_at is None and self._room.proof(order) is not None:
            self._room.database.transact(claim, order.id, self._room.clock())
        return replace(view, no_pour=self._room.why_no_pour(order))

    def _with_readiness(self, view: OrderView, patience: timedelta) -> OrderView:
        """Asked of the machine itself while the buyer can still decide."""
        is_late = view.status in PAYABLE and not view.can_be_paid(self._room.clock())
        if is_late or not needs_the_machine(view):
            return view
        presence = self._room.held().presence(view.device.device_uuid, self._room.clock())
        ready = self._room.asking.of_order(view.order_id, patience, presence)
        return replace(view, obstacle=ready.code, until=ready.until)


def _is_over(view: OrderView, now: datetime) -> bool:
    """Never paid, and never will be: there is nothing to show but that."""
    expired = view.status is Status.FAILED and view.reason == "expired"
    late = view.status in PAYABLE and not view.can_be_paid(now)
    return (expired or late) and not view.was_paid
