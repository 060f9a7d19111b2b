"""The merchant's cabinet for tests and demos, under /sim: the books, the buyer's part, people's returns, faults."""

from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response, jsonify, request

from protocol import json_text
from simulator.custom.books import Books, Payment, Refused
from simulator.custom.callbacks import Callbacks, Mischief
from simulator.custom.faults import Fault, FaultBoard, Kind, Where


class Control:
    """Bodies are JSON; errors are `{"error": "..."}`."""

    def __init__(self, books: Books, faults: FaultBoard, callbacks: Callbacks) -> None:
        self._books = books
        self._faults = faults
        self._callbacks = callbacks

    def blueprint(self) -> Blueprint:
        blueprint = Blueprint("control", __name__, url_prefix="/sim")
        blueprint.add_url_rule("/books", "books", self.books, methods=["GET"])
        blueprint.add_url_rule("/<act>/<name>", "act", self.act, methods=["POST"])
        blueprint.add_url_rule("/faults", "fault", self.fault, methods=["POST"])
        blueprint.add_url_rule("/faults", "clear", self.clear, methods=["DELETE"])
        blueprint.add_url_rule("/callbacks", "mischief", self.mischief, methods=["PUT"])
        blueprint.register_error_handler(Refused, lambda error: (jsonify(error=str(error)), 409))
        for wrong in (ValueError, TypeError, KeyError):
            blueprint.register_error_handler(wrong, lambda error: (jsonify(error=str(error)), 400))
        return blueprint

    def books(self) -> Response:
        """Every payment as it stands."""
        return jsonify(payments=[_shown(payment) for payment in self._books.all()])

    def act(self, act: str, name: str) -> tuple[Response, int]:
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
                return jsonify(error="no such act"), 404
        return jsonify(_shown(payment)), 200

    def fault(self) -> Response:
        """Switch one on."""
        body = _body()
        where, kind = Where(body.pop("where", "status")), Kind(body.pop("kind"))
        self._faults.add(Fault(kind, where, **body))
        return jsonify(status="on")

    def clear(self) -> Response:
        """Switch all off."""
        self._faults.clear()
        return jsonify(status="off")

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
