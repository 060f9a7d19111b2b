"""The merchant's cabinet for tests and demos, under /sim: the books, the buyer's part, people's returns, faults."""

from dataclasses import asdict
from typing import Literal

import msgspec
from flask import Blueprint, Response, abort, jsonify

from simulator.custom.books import Books, Payment, Refused
from simulator.custom.callbacks import Callbacks, Mischief
from simulator.custom.faults import Fault
from simulator.shell.control import Route, answer, body, control_api, fault_routes
from simulator.shell.faults import FaultBoard


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """The address says it all."""


class Return(msgspec.Struct, forbid_unknown_fields=True):
    """A person returns `amount` kopecks; `id` names the return."""

    id: str
    amount: int


class Decision(msgspec.Struct, forbid_unknown_fields=True):
    """How the returns under way end."""

    status: Literal["succeeded", "canceled"] = "succeeded"


class Control:
    """Bodies are JSON; errors are `{"error": "..."}`."""

    def __init__(self, books: Books, faults: FaultBoard[Fault], callbacks: Callbacks) -> None:
        self._books = books
        self._faults = faults
        self._callbacks = callbacks

    def blueprint(self) -> Blueprint:
        routes: list[Route] = [
            ("GET", "/books", self.books),
            ("POST", "/<act>/<name>", self.act),
            *fault_routes(self._faults, Fault),
            ("PUT", "/callbacks", self.mischief),
        ]
        return control_api(routes, {Refused: 409})

    def books(self) -> Response:
        """Every payment as it stands."""
        return jsonify(payments=[_shown(payment) for payment in self._books.all()])

    def act(self, act: str, name: str) -> Response:
        """The buyer pays or is declined; a person returns money or a bank decides on a return."""
        match act:
            case "pay":
                body(Nothing)
                payment = self._books.pay(name)
            case "decline":
                body(Nothing)
                payment = self._books.decline(name)
            case "refund":
                wanted = body(Return)
                payment = self._books.refund(name, wanted.id, wanted.amount)
            case "finish-refunds":
                payment = self._books.finish_refunds(name, body(Decision).status)
            case _:
                abort(404, "no such act")
        return jsonify(_shown(payment))

    def mischief(self) -> Response:
        """What becomes of callbacks from now on."""
        self._callbacks.mischief = body(Mischief)
        return answer(self._callbacks.mischief)


def _shown(payment: Payment) -> dict[str, object]:
    return asdict(payment) | {"status": payment.status.value, "refunded": payment.refunded}
