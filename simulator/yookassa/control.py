"""The provider's control API under /sim: the books, the buyer's part, faults, the clock, webhooks."""

from collections.abc import Callable
from datetime import datetime

import msgspec
from flask import Blueprint, Response, request

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
from simulator.yookassa.behaviour import Behaviour
from simulator.yookassa.books import Line
from simulator.yookassa.faults import Fault
from simulator.yookassa.instruments import DECLINED_CARDS
from simulator.yookassa.money import parse_value
from simulator.yookassa.objects import Artist, Json, refund_object, time_text
from simulator.yookassa.problems import Rejected
from simulator.yookassa.provider import Provider
from simulator.yookassa.receipt import Receipt
from simulator.yookassa.state import Payment


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


class Resend(msgspec.Struct, forbid_unknown_fields=True):
    """`object_id` null: everything remembered."""

    object_id: str | None = None


class Forge(msgspec.Struct, forbid_unknown_fields=True):
    """A notification that lies: the payment's object, overlaid with `claims`, under `event`."""

    payment_id: str
    event: str = "payment.succeeded"
    claims: dict[str, object] = msgspec.field(default_factory=lambda: {"status": "succeeded", "paid": True})


class Control:
    """Everything it does goes through the same provider the API serves."""

    def __init__(
        self,
        provider: Provider,
        artist: Artist,
        faults: FaultBoard[Fault],
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
        routes: list[Route] = [
            ("GET", "/books", self.books),
            ("POST", "/pay/<payment_id>", self.pay),
            ("POST", "/decline/<payment_id>", self.decline),
            ("POST", "/refund", self.refund),
            *fault_routes(self._faults, Fault),
            *behaviour_routes(self._provider, Behaviour),
            *clock_routes(self._clock, self._advance, time_text),
            *webhook_routes(self._queue),
            ("POST", "/webhooks/resend", self.resend),
            ("POST", "/webhooks/forge", self.forge),
        ]
        blueprint = control_api(routes, {})
        blueprint.register_error_handler(Rejected, _rejected)
        return blueprint

    def books(self) -> Response:
        """Every payment with its money and history, every refund: what the provider holds to be true.

        `?newest=20`: only the last so many of each.
        """
        payments, refunds, forgotten = self._provider.snapshot()
        newest = request.args.get("newest", 0, int)
        payments, refunds = payments[-newest:], refunds[-newest:]
        return answer(
            {
                "payments": [self._booked(payment, lines) for payment, lines in payments],
                "refunds": [refund_object(refund) | _receipt_of(refund.request.receipt) for refund in refunds],
                "forgotten": forgotten,
            }
        )

    def pay(self, payment_id: str) -> Response:
        wanted = body(Pay)
        return self._payment(self._provider.attempt(payment_id, wanted.method, wanted.card))

    def decline(self, payment_id: str) -> Response:
        reason = body(Decline).reason
        for card in DECLINED_CARDS:
            if card.decline is not None and card.decline.reason == reason:
                return self._payment(self._provider.attempt(payment_id, "bank_card", card.pan))
        raise ValueError(f"no test card is declined for {reason!r}")

    def refund(self) -> Response:
        wanted = body(CabinetRefund)
        amount = None if wanted.amount is None else parse_value(wanted.amount)
        if wanted.amount is not None and not amount:
            raise ValueError("amount is text like 150.00")
        refund = self._provider.refund_in_cabinet(wanted.payment_id, amount, wanted.description)
        return answer(refund_object(refund))

    def resend(self) -> Response:
        return answer({"queued": self._queue.send_again(body(Resend).object_id, self._clock())})

    def forge(self) -> Response:
        wanted = body(Forge)
        payment = self._provider.find(wanted.payment_id)
        lie = self._artist.payment(payment) | wanted.claims
        lying = msgspec.json.encode({"type": "notification", "event": wanted.event, "object": lie})
        forged = Notification(payment.shop_id, wanted.event, payment.id, lying)
        self._queue.inject(forged, self._clock())
        return answer({"queued": 1})

    def _payment(self, payment: Payment) -> Response:
        return answer(self._artist.payment(payment))

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
        } | _receipt_of(payment.sent_receipt)


def _receipt_of(receipt: Receipt | None) -> Json:
    """What the shop sent to be registered: no object of the API shows it."""
    return {} if receipt is None else {"receipt": receipt}


def _rejected(rejected: Rejected) -> Response:
    return answer({"error": rejected.problem.description}, rejected.problem.status)
