"""The control API under /sim, for tests and demos: the books, the buyer's part, faults, the clock, notifications.

No part of the bank's API. Bodies are JSON (so no web page can post a form here); errors are `{"error": "..."}`.
"""

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

import msgspec
from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException

from protocol import json_text
from simulator.tbank.bank import Bank, NoSuchPayment
from simulator.tbank.books import Line
from simulator.tbank.faults import Fault, FaultBoard
from simulator.tbank.messages import Json, notification
from simulator.tbank.state import CARD, Payment, Refused
from simulator.tbank.terminals import TerminalTable, sign
from simulator.tbank.terms import Behaviour
from simulator.yookassa.clock import Clock
from simulator.yookassa.webhooks import Mischief, Notification, WebhookQueue


class Pay(msgspec.Struct, forbid_unknown_fields=True):
    """`method` is "card" or "sbp"."""

    method: str = CARD


class Decline(msgspec.Struct, forbid_unknown_fields=True):
    """The buyer tries a card that is refused for `reason`."""

    reason: str = "insufficient_funds"


class Cabinet(msgspec.Struct, forbid_unknown_fields=True):
    """A person lets a hold go or refunds; `amount` in kopecks, without it all there is."""

    payment_id: str
    amount: int | None = None


class Advance(msgspec.Struct, forbid_unknown_fields=True):
    """Seconds, forward only."""

    advance: float


class Target(msgspec.Struct, forbid_unknown_fields=True):
    """Where notifications go whose payment names no address. `url` null: nowhere."""

    url: str | None


class Resend(msgspec.Struct, forbid_unknown_fields=True):
    """`payment_id` null: everything remembered."""

    payment_id: str | None = None


class Forge(msgspec.Struct, forbid_unknown_fields=True):
    """A notification that lies: of this payment, overlaid with `claims`. `password` signs it; empty: the true one."""

    payment_id: str
    claims: dict[str, object] = msgspec.field(default_factory=lambda: {"Status": "CONFIRMED"})
    password: str = "guessed"  # noqa: S105  # deliberately not the terminal's


Body = TypeVar("Body", bound=msgspec.Struct)


class Control:
    """Everything it does goes through the same bank the API serves."""

    def __init__(
        self,
        terminals: TerminalTable,
        bank: Bank,
        faults: FaultBoard,
        queue: WebhookQueue,
        clock: Clock,
        advance: Callable[[float], datetime],
    ) -> None:
        self._terminals = terminals
        self._bank = bank
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
        for error in (Refused, NoSuchPayment, ValueError):
            blueprint.register_error_handler(error, _wrong)
        blueprint.register_error_handler(HTTPException, _http_error)
        return blueprint

    def books(self) -> Response:
        """Every payment with its money and history: what the bank holds to be true."""
        return _json({"payments": [_booked(payment, lines) for payment, lines in self._bank.snapshot()]})

    def pay(self, payment_id: str) -> Response:
        return _json(_money(self._bank.pay(payment_id, _body(Pay).method)))

    def decline(self, payment_id: str) -> Response:
        return _json(_money(self._bank.decline(payment_id, _body(Decline).reason)))

    def refund(self) -> Response:
        wanted = _body(Cabinet)
        return _json(_money(self._bank.cancel_in_cabinet(wanted.payment_id, wanted.amount)))

    def faults(self) -> Response:
        return _json({"faults": self._faults.standing()})

    def add_fault(self) -> Response:
        self._faults.add(_body(Fault))
        return self.faults()

    def clear_faults(self) -> Response:
        self._faults.clear()
        return self.faults()

    def behaviour(self) -> Response:
        return _json(msgspec.structs.asdict(self._bank.behaviour))

    def set_behaviour(self) -> Response:
        self._bank.behaviour = _body(Behaviour)
        return self.behaviour()

    def clock(self) -> Response:
        return _json({"now": self._clock().isoformat()})

    def advance(self) -> Response:
        """Jump forward; what fell due on the way has happened when this answers."""
        return _json({"now": self._advance(_body(Advance).advance).isoformat()})

    def webhooks(self) -> Response:
        counts, queue = self._queue.counts, self._queue
        told = {"mischief": queue.mischief, "waiting": queue.waiting(), "log": queue.log()}
        return _json(told | {"accepted": counts.accepted, "lost": counts.lost, "given_up": counts.given_up})

    def set_mischief(self) -> Response:
        self._queue.mischief = _body(Mischief)
        return self.webhooks()

    def aim(self) -> Response:
        self._queue.aim(_body(Target).url)
        return self.webhooks()

    def resend(self) -> Response:
        return _json({"queued": self._queue.send_again(_body(Resend).payment_id, self._clock())})

    def forge(self) -> Response:
        wanted = _body(Forge)
        payment = self._bank.find(wanted.payment_id)
        password = wanted.password or self._terminals[payment.terminal].password
        body = forged(payment, wanted.claims, password)
        self._queue.inject(Notification(payment.terminal, "forged", payment.id, body), self._clock())
        return _json({"queued": 1})


def forged(payment: Payment, claims: Json, password: str) -> bytes:
    """A notification of this payment that claims something else, signed with any password."""
    lie = notification(payment, password, numbers=False) | claims
    return msgspec.json.encode(lie | {"Token": sign(lie, password)})


def _money(payment: Payment) -> Json:
    names = ("held", "confirmed", "reversed", "refunding", "refunded")
    kopecks = {name: getattr(payment, name) for name in names}
    return {"id": payment.id, "order_id": payment.order_id, "status": str(payment.status), "kopecks": kopecks}


def _booked(payment: Payment, lines: list[Line]) -> Json:
    history = [{"at": line.at.isoformat(), "what": line.what} for line in lines]
    return _money(payment) | {"terminal": payment.terminal, "amount": payment.amount, "history": history}


def _body(kind: type[Body]) -> Body:
    raw = request.get_data()
    if raw and request.mimetype != "application/json":
        raise ValueError("the body is JSON, with Content-Type: application/json")
    return json_text.decode(raw or b"{}", kind)


def _json(body: Json, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, content_type="application/json")


def _wrong(error: Exception) -> Response:
    return _json({"error": str(error)}, 404 if isinstance(error, NoSuchPayment) else 400)


def _http_error(error: HTTPException) -> Response:
    return _json({"error": error.description or error.name}, error.code or 500)
