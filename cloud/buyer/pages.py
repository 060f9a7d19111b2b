"""The QR's entry, the status page and its live part: views only. What they say is decided in `page_state.py`."""

import logging
from dataclasses import replace
from datetime import datetime, timedelta

from flask import Response, make_response, render_template, request
from werkzeug.wrappers import Response as BaseResponse

from cloud.buyer.claim_page import with_claim
from cloud.buyer.errors import Trouble
from cloud.buyer.headers import asks_a_person
from cloud.buyer.open_order import lead_to, open_or_find
from cloud.buyer.order_view import OrderView
from cloud.buyer.qr import BadScan, read_scan
from cloud.buyer.readiness import AT_FIRST_SIGHT
from cloud.buyer.services import Services
from cloud.buyer.template_context import needs_the_machine, render_part, template_context
from cloud.fleet import probes
from cloud.orders.models import Order
from cloud.orders.scanning import record_phone_return
from cloud.orders.states import EXPIRED, PAYABLE, Status

log = logging.getLogger("cloud.buyer")


class Pages:
    """GET /v1/pay and GET /v1/order-status-page."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def pay(self) -> BaseResponse:
        """The machine's QR: to the page of its order, the same one however often it is scanned."""
        try:
            scan = read_scan(request.args)
        except BadScan as error:
            log.info("a scan without a proper %s", error)
            raise Trouble(400, "bad_scan") from None
        if scan.code.salt_fits is False:
            log.warning("a scan whose checksum is wrong", extra={"order_id": scan.order_id, "device": scan.device_uuid})
        order_id, held = open_or_find(self._services, scan, may_make=asks_a_person(request))
        if not order_id:
            # Nobody has opened it: a program looks where it leads, or a browser loads it in advance.
            return Response(status=204)
        view = self._services.order(order_id)
        if _is_over(view, self._services.clock()):
            raise Trouble(410, "expired", view.device, order_id)
        return self._services.remember(lead_to(order_id, 302), held)

    def status_page(self) -> Response:
        """The page, or with `part` only what changes on it."""
        order_id = request.args.get("order_id", "")
        if not order_id:
            raise Trouble(400, "bad_scan")
        view = self._with_rights(self._services.order(order_id))
        is_part = "part" in request.args
        view = with_claim(self._services, view)
        view = self._with_readiness(view, probes.PATIENCE if is_part else AT_FIRST_SIGHT)
        view, now = self._services.with_forecast(view), self._services.clock()
        html = render_part(view, now) if is_part else render_template("buyer/order.html", **template_context(view, now))
        return make_response(html)

    def _with_rights(self, view: OrderView) -> OrderView:
        """Return what the phone that looks may do; note that the phone that scanned the order has come back."""
        if not needs_the_machine(view):
            return view
        with self._services.database.read() as session:
            order = session.get_one(Order, view.order_id)
        if view.status in PAYABLE and order.claimed_at is None and self._services.proof(order) is not None:
            self._services.database.transact(record_phone_return, order.id, self._services.clock())
        return replace(view, no_pour=self._services.why_no_pour(order))

    def _with_readiness(self, view: OrderView, patience: timedelta) -> OrderView:
        """Asked of the machine itself while the buyer can still decide."""
        is_late = view.status in PAYABLE and not view.can_be_paid(self._services.clock())
        if is_late or not needs_the_machine(view):
            return view
        presser = self._services.presser(view.device.device_uuid)
        ready = self._services.asking.of_order(view.order_id, patience, presser)
        return replace(view, obstacle=ready.code, until=ready.until)


def _is_over(view: OrderView, now: datetime) -> bool:
    """Never paid, and never will be: there is nothing to show but that."""
    expired = view.status is Status.FAILED and view.reason == EXPIRED
    late = view.status in PAYABLE and not view.can_be_paid(now)
    return (expired or late) and not view.was_paid
