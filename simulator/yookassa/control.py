"""The control API under /sim, for tests and demos: the books, the buyer's part, faults, the clock, webhooks.

No part of the provider's API. Bodies are JSON (so no web page can post a form here); errors are `{"error": "..."}`.
"""

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

import msgspec
from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException

from protocol import json_text
from simulator.yookassa.behaviour import Behaviour
from simulator.yookassa.books import Line
from simulator.yookassa.clock import Clock
from simulator.yookassa.faults import Fault, FaultBoard
from simulator.yookassa.instruments import DECLINED_CARDS
from simulator.yookassa.money import parse_value
from simulator.yookassa.objects import Artist, Json, refund_object, time_text
from simulator.yookassa.problems import Rejected
from simulator.yookassa.provider import Provider
from simulator.yookassa.receipt import Receipt
from simulator.yookassa.state import Payment
from simulator.yookassa.webhooks import Mischief, Notification, WebhookQueue


class Pay(msgspec.Struct, forbid_unknown_fields=True):
    """`card` is a published test card's number, for `bank_card`; empty is one that pays."""

    method: str = "bank_card"
    card: str = ""


class Decline(msgspec.Struct, forbid_unknown_fields=True):
    """The buyer tries a card that is refused for `reason`."""

    reason: str = "insufficient_funds"


class CabinetRefund(msgspec.Struct, forbid_unknown_fields=True):
    """`amount` as text, "150.00"; without it all that is left."""

    payment_id: str
    amount: str | None = None
    description: str | None = None


class Advance(msgspec.Struct, forbid_unknown_fields=True):
    """Seconds, forward only."""

    advance: float


class Target(msgspec.Struct, forbid_unknown_fields=True):
    """`shop` empty: every shop without its own. `url` null: nowhere."""

    url: str | None
    shop: str = ""


class Resend(msgspec.Struct, forbid_unknown_fields=True):
    """`object_id` null: everything remembered."""

    object_id: str | None = None


class Forge(msgspec.Struct, forbid_unknown_fields=True):
    """A notification that lies: the payment's object, overlaid with `claims`, under `event`."""

    payment_id: str
    event: str = "payment.succeeded"
    claims: dict[str, object] = msgspec.field(default_factory=lambda: {"status": "succeeded", "paid": True})


Body = TypeVar("Body", bound=msgspec.Struct)


class Control:
    """Everything it does goes through the same provider the API serves."""

    def __init__(
        self,
        provider: Provider,
        artist: Artist,
        faults: FaultBoard,
        queue: WebhookQueue,
        clock: Clock,
        advance: Callable[[float], datetime],
    ) -> None:
        self._provider = provider
        self._artist = artist
        self._faults = faults
        self._queue = queue
        self._clock = clock
        self._advance = advance

    def blueprint(self) -> Blueprint:
        blueprint = Blueprint("control", __name__, url_prefix="/sim")
        for method, rule, view in (
            ("GET", "/books", self.books),
            ("POST", "/pay/<payment_id>", self.pay),
            ("POST", "/decline/<payment_id>", self.decline),
            ("POST", "/refund", self.refund),
            ("GET", "/faults", self.faults),
            ("POST", "/faults", self.add_fault),
            ("DELETE", "/faults", self.clear_faults),
            ("GET", "/behaviour", self.behaviour),
            ("PUT", "/behaviour", self.set_behaviour),
            ("GET", "/clock", self.clock),
            ("POST", "/clock", self.advance),
            ("GET", "/webhooks", self.webhooks),
            ("PUT", "/webhooks", self.set_mischief),
            ("PUT", "/webhooks/target", self.aim),
            ("POST", "/webhooks/resend", self.resend),
            ("POST", "/webhooks/forge", self.forge),
        ):
            blueprint.add_url_rule(rule, f"{method} {rule}".lower(), view, methods=[method])
        blueprint.register_error_handler(Rejected, _rejected)
        blueprint.register_error_handler(ValueError, _wrong)
        blueprint.register_error_handler(HTTPException, _http_error)
        return blueprint

    def books(self) -> Response:
        """Every payment with its money and history, every refund: what the provider holds to be true."""
        payments, refunds, forgotten = self._provider.snapshot()
        return _json(
            {
                "payments": [self._booked(payment, lines) for payment, lines in payments],
                "refunds": [refund_object(refund) | _receipt_of(refund.request.receipt) for refund in refunds],
                "forgotten": forgotten,
            }
        )

    def pay(self, payment_id: str) -> Response:
        wanted = _body(Pay)
        return self._payment(self._provider.attempt(payment_id, wanted.method, wanted.card))

    def decline(self, payment_id: str) -> Response:
        reason = _body(Decline).reason
        for card in DECLINED_CARDS:
            if card.decline is not None and card.decline.reason == reason:
                return self._payment(self._provider.attempt(payment_id, "bank_card", card.pan))
        raise ValueError(f"no test card is declined for {reason!r}")

    def refund(self) -> Response:
        wanted = _body(CabinetRefund)
        amount = None if wanted.amount is None else parse_value(wanted.amount)
        if wanted.amount is not None and not amount:
            raise ValueError("amount is text like 150.00")
        refund = self._provider.refund_in_cabinet(wanted.payment_id, amount, wanted.description)
        return _json(refund_object(refund))

    def faults(self) -> Response:
        return _json({"faults": self._faults.standing()})

    def add_fault(self) -> Response:
        self._faults.add(_body(Fault))
        return self.faults()

    def clear_faults(self) -> Response:
        self._faults.clear()
        return self.faults()

    def behaviour(self) -> Response:
        return _json(msgspec.structs.asdict(self._provider.behaviour))

    def set_behaviour(self) -> Response:
        self._provider.behaviour = _body(Behaviour)
        return self.behaviour()

    def clock(self) -> Response:
        return _json({"now": time_text(self._clock())})

    def advance(self) -> Response:
        """Jump forward; what fell due on the way has happened when this answers."""
        return _json({"now": time_text(self._advance(_body(Advance).advance))})

    def webhooks(self) -> Response:
        counts, queue = self._queue.counts, self._queue
        return _json(
            {
                "mischief": queue.mischief,
                "waiting": queue.waiting(),
                "accepted": counts.accepted,
                "lost": counts.lost,
                "given_up": counts.given_up,
                "overflowed": counts.overflowed,
                "log": queue.log(),
            }
        )

    def set_mischief(self) -> Response:
        self._queue.mischief = _body(Mischief)
        return self.webhooks()

    def aim(self) -> Response:
        target = _body(Target)
        self._queue.aim(target.url, target.shop)
        return self.webhooks()

    def resend(self) -> Response:
        return _json({"queued": self._queue.send_again(_body(Resend).object_id, self._clock())})

    def forge(self) -> Response:
        wanted = _body(Forge)
        payment = self._provider.find(wanted.payment_id)
        lie = self._artist.payment(payment) | wanted.claims
        body = msgspec.json.encode({"type": "notification", "event": wanted.event, "object": lie})
        forged = Notification(payment.shop_id, wanted.event, payment.id, body)
        self._queue.inject(forged, self._clock())
        return _json({"queued": 1})

    def _payment(self, payment: Payment) -> Response:
        return _json(self._artist.payment(payment))

    def _booked(self, payment: Payment, lines: list[Line]) -> Json:
        money = {
            "authorized": payment.authorized,
            "held": payment.held,
            "captured": payment.captured,
            "released": payment.released,
            "refunding": payment.refunding,
            "refunded": payment.refunded,
        }
        history = [{"at": time_text(line.at), "what": line.what} for line in lines]
        return {
            "id": payment.id,
            "shop": payment.shop_id,
            "kopecks": money,
            "history": history,
            "object": self._artist.payment(payment),
        } | _receipt_of(payment.request.receipt)


def _receipt_of(receipt: Receipt | None) -> Json:
    """What the shop sent to be registered: no object of the API shows it."""
    return {} if receipt is None else {"receipt": receipt}


def _body(kind: type[Body]) -> Body:
    raw = request.get_data()
    if raw and request.mimetype != "application/json":
        raise ValueError("the body is JSON, with Content-Type: application/json")
    return json_text.decode(raw or b"{}", kind)


def _json(body: Json, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, content_type="application/json")


def _rejected(rejected: Rejected) -> Response:
    return _json({"error": rejected.problem.description}, rejected.problem.status)


def _wrong(error: Exception) -> Response:
    return _json({"error": str(error)}, 400)


def _http_error(error: HTTPException) -> Response:
    return _json({"error": error.description or error.name}, error.code or 500)
