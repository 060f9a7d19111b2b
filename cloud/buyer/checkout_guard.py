"""What is asked before a payment is opened: is it our own page that asks, not too often, and is the machine free?

Nobody is sold what cannot be sent from now on. A program that opens payments by the API is not made to wait for other
buyers nor for the machine's own word of this moment; the page says that it is one (`slot`).
"""

import logging
import math
from http import HTTPStatus

from flask import Response, jsonify, request
from werkzeug.wrappers import Response as BaseResponse

from cloud.buyer import reservation
from cloud.buyer.capability import NOT_YOURS
from cloud.buyer.errors import Trouble, asked_language, render_trouble, wants_json
from cloud.buyer.headers import is_own
from cloud.buyer.open_order import lead_to
from cloud.buyer.order_view import RESERVED
from cloud.buyer.qr import can_be_id
from cloud.buyer.readiness import Readiness
from cloud.buyer.services import Services
from cloud.buyer.texts import Texts, why_key
from cloud.http.request_body import body_fields
from cloud.orders.models import Order
from cloud.orders.states import Status

log = logging.getLogger("cloud.buyer")

AGAIN_S = 5


class CheckoutGuard:
    """Stands before POST /v1/initiate-payment."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def admit(self) -> BaseResponse | None:
        """None to go on; else the answer."""
        if not is_own(request, self._services.public_url):
            return render_trouble(Trouble(403, "foreign"))
        fields = body_fields(request)
        order_id = fields.get("order_id")
        if not isinstance(order_id, str) or not can_be_id("uuid", order_id):
            return None  # the checkout says what is wrong with it
        if not self._services.allows_act(order_id):
            return render_trouble(Trouble(429, "too_many", order_id=order_id))
        if self._services.is_forgotten(order_id):
            return render_trouble(Trouble(410, "expired"))
        order = self._may_be_paid(order_id)
        if order is None:
            return None
        if fields.get("email") and order.claimed_at is not None and self._services.proof(order) is None:
            return self._not_theirs(order)
        return self._for_page(order) if "slot" in fields else self._for_program(order)

    def give_back(self, response: Response) -> Response:
        """Uncount a press that ended in our 503: a buyer who tries until we are well again is not locked out."""
        if response.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
            order_id = body_fields(request).get("order_id")
            if isinstance(order_id, str):
                self._services.give_back_act(order_id)
        return response

    def _not_theirs(self, order: Order) -> BaseResponse:
        """Anybody may pay for anybody; only the phone that scanned may say where the receipt goes."""
        log.warning("a stranger names an e-mail", extra={"order_id": order.id, "device": order.device_uuid})
        return render_trouble(Trouble(403, NOT_YOURS, order_id=order.id))

    def _for_program(self, order: Order) -> BaseResponse | None:
        ready = self._services.asking.told_of(order.id)
        return self._refused(order, ready) if ready.code else None

    def _for_page(self, order: Order) -> BaseResponse | None:
        presser = self._services.presser(order.device_uuid)
        ready = self._services.asking.of_order(order.id, presser=presser)
        if not ready.code:
            now = self._services.clock()
            until = self._services.database.transact(reservation.reserve, order.device_uuid, order.id, now, presser)
            if until is None:
                return None
            ready = Readiness(RESERVED, until)
        return self._refused(order, ready)

    def _may_be_paid(self, order_id: str) -> Order | None:
        """Return an order that waits for a new payment of a machine that is checked. Another press finds the first."""
        view = self._services.find(order_id)
        if view is None or not view.can_be_paid(self._services.clock()) or view.status is Status.PENDING:
            return None
        with self._services.database.read() as session:
            return session.get(Order, order_id)

    def _refused(self, order: Order, ready: Readiness) -> BaseResponse:
        """Programs read why; a browser without scripts is led to the page, which says it better."""
        log.info("not now: %s", ready.code, extra={"order_id": order.id, "device": order.device_uuid})
        if not wants_json():
            return lead_to(order.id)
        left = (ready.until - self._services.clock()).total_seconds() if ready.until is not None else AGAIN_S
        says = str(Texts(asked_language())(why_key(ready.code)))
        answer = jsonify(error={"code": ready.code, "message": says, "says": says})
        answer.status_code = 409 if ready.code == RESERVED else 503
        answer.headers["Retry-After"] = str(max(1, math.ceil(left)))
        return answer
