"""The merchant's cabinet for tests and demos, under /sim: the books, the buyer's part, people's returns, faults."""

from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response, abort, jsonify, request

from protocol import json_text
from simulator.custom.books import Books, Payment, Refused
from simulator.custom.callbacks import Callbacks, Mischief
from simulator.custom.faults import Fault
from simulator.shell.control import Route, control_api, fault_routes
from simulator.shell.faults import FaultBoard


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
        return control_api(routes, {Refused: 409, TypeError: 400, KeyError: 400})

    def books(self) -> Response:
        """Every payment as it stands."""
        return jsonify(payments=[_shown(payment) for payment in self._books.all()])

    def act(self, act: str, name: str) -> Response:
        """The buyer pays or is declined; a person returns money or a bank decides on a return."""
        body = _body()
        match act:
            case "pay":
                payment = self._books.pay(name)
            case "decline":
                payment = self._books.decline(name)
            case "refund":
                payment = self._books.refund(name, str(body["id"]), int(body["amount"]))
            case "finish-refunds":
                payment = self._books.finish_refunds(name, str(body.get("status", "succeeded")))
            case _:
                abort(404, "no such act")
        return jsonify(_shown(payment))

    def mischief(self) -> Response:
        """What becomes of callbacks from now on."""
        self._callbacks.mischief = Mischief(**_body())
        return jsonify(asdict(self._callbacks.mischief))


def _body() -> dict[str, Any]:
    told = json_text.loads(request.get_data() or b"{}")
    if not isinstance(told, dict):
        raise ValueError("an object is wanted")
    return told


def _shown(payment: Payment) -> dict[str, object]:
    return asdict(payment) | {"status": payment.status.value, "refunded": payment.refunded}
