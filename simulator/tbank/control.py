"""The bank's control API under /sim: the books, the buyer's part, faults, the clock, notifications."""

from collections.abc import Callable
from datetime import datetime

import msgspec
from flask import Blueprint, Response

from simulator.shell.clock import Clock
from simulator.shell.control import (
    Route,
    answer,
    behaviour_routes,
    body,
    clock_routes,
    control_api,
    fault_routes,
    webhook_routes,
)
from simulator.shell.faults import FaultBoard
from simulator.shell.webhooks import Notification, WebhookQueue
from simulator.tbank.bank import Bank, NoSuchPayment
from simulator.tbank.books import Line
from simulator.tbank.faults import Fault
from simulator.tbank.messages import Json, notification
from simulator.tbank.state import CARD, Payment, Refused
from simulator.tbank.terminals import TerminalTable, sign
from simulator.tbank.terms import Behaviour


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


class Resend(msgspec.Struct, forbid_unknown_fields=True):
    """`payment_id` null: everything remembered."""

    payment_id: str | None = None


class Forge(msgspec.Struct, forbid_unknown_fields=True):
    """A notification that lies: of this payment, overlaid with `claims`. `password` signs it; empty: the true one."""

    payment_id: str
    claims: dict[str, object] = msgspec.field(default_factory=lambda: {"Status": "CONFIRMED"})
    password: str = "guessed"  # noqa: S105  # deliberately not the terminal's


class Control:
    """Everything it does goes through the same bank the API serves."""

    def __init__(
        self,
        terminals: TerminalTable,
        bank: Bank,
        faults: FaultBoard[Fault],
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
        routes: list[Route] = [
            ("GET", "/books", self.books),
            ("POST", "/pay/<payment_id>", self.pay),
            ("POST", "/decline/<payment_id>", self.decline),
            ("POST", "/refund", self.refund),
            *fault_routes(self._faults, Fault),
            *behaviour_routes(self._bank, Behaviour),
            *clock_routes(self._clock, self._advance, datetime.isoformat),
            *webhook_routes(self._queue),
            ("POST", "/webhooks/resend", self.resend),
            ("POST", "/webhooks/forge", self.forge),
        ]
        return control_api(routes, {Refused: 400, NoSuchPayment: 404})

    def books(self) -> Response:
        """Every payment with its money and history: what the bank holds to be true."""
        return answer({"payments": [_booked(payment, lines) for payment, lines in self._bank.snapshot()]})

    def pay(self, payment_id: str) -> Response:
        return answer(_money(self._bank.pay(payment_id, body(Pay).method)))

    def decline(self, payment_id: str) -> Response:
        return answer(_money(self._bank.decline(payment_id, body(Decline).reason)))

    def refund(self) -> Response:
        wanted = body(Cabinet)
        return answer(_money(self._bank.cancel_in_cabinet(wanted.payment_id, wanted.amount)))

    def resend(self) -> Response:
        return answer({"queued": self._queue.send_again(body(Resend).payment_id, self._clock())})

    def forge(self) -> Response:
        wanted = body(Forge)
        payment = self._bank.find(wanted.payment_id)
        password = wanted.password or self._terminals[payment.terminal].password
        lying = forged(payment, wanted.claims, password)
        told = Notification(payment.terminal, "forged", payment.id, lying, payment.notification_url)
        self._queue.inject(told, self._clock())
        return answer({"queued": 1})


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
