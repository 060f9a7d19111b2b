"""GET /v1/order-status/<order_id> and POST /v1/orders/<order_id>/make: what programs and the page's script ask for."""

import logging

from flask import Response, request
from werkzeug.wrappers import Response as BaseResponse

from cloud.buyer.errors import Trouble, asked_language
from cloud.buyer.headers import is_own
from cloud.buyer.open_order import lead_to
from cloud.buyer.order_view import RESERVED, OrderView
from cloud.buyer.services import Services
from cloud.buyer.status_json import encoded, is_known, tag_of
from cloud.orders.locked_order import UnknownOrder
from cloud.orders.making import NotPourable, pour_now
from cloud.orders.models import Order
from cloud.orders.states import Status

log = logging.getLogger("cloud.buyer")


class Api:
    """The JSON views."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def status(self, order_id: str) -> Response:
        """Answer with the order as it is now, or only with its tag when the caller has this answer already."""
        view = self._services.order(order_id)
        body = encoded(view, asked_language())
        tag = tag_of(view.version, body)
        knows = request.method == "GET" and is_known(tag, request.headers.get("If-None-Match", ""))
        response = Response(None if knows else body, 304 if knows else 200, mimetype="application/json")
        response.headers["ETag"] = tag
        return response

    def make(self, order_id: str) -> BaseResponse:
        """The buyer stands at the machine: pour the late-paid drink now. A plain form is led back to the page."""
        if not is_own(request, self._services.public_url):
            raise Trouble(403, "foreign")
        view = self._services.order(order_id)
        if not self._services.allows_act(order_id):
            raise Trouble(429, "too_many", view.device, order_id)
        self._refuse_strangers(view)
        is_waiting = view.status is Status.MANUAL_MAKE
        if is_waiting and self._services.asking.of_order(order_id).code not in {"", RESERVED}:
            # The order stays as it is: better than a drink that fails.
            raise Trouble(503, "not_ready", view.device, order_id)
        try:
            self._services.database.transact(pour_now, order_id, "buyer", self._services.rules, self._services.clock())
        except UnknownOrder:
            raise Trouble(404, "unknown_order") from None
        except NotPourable:
            raise Trouble(409, "wrong_state", view.device, order_id) from None
        if request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html":
            return lead_to(order_id)
        return self.status(order_id)

    def _refuse_strangers(self, view: OrderView) -> None:
        """Refuse to pour a waiting drink unless the phone that asks scanned it and is at the machine."""
        if view.status is not Status.MANUAL_MAKE:
            return
        with self._services.database.read() as session:
            why = self._services.why_no_pour(session.get_one(Order, view.order_id))
        if why:
            log.info("not poured: %s", why, extra={"order_id": view.order_id, "device": view.device.device_uuid})
            raise Trouble(403, why, view.device, view.order_id)
