"""The merchant's server: its page for the buyer, its status and action addresses, each with its faults."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from flask import Blueprint, Response, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from protocol import json_text
from simulator.custom.books import Books, Payment, Refused
from simulator.custom.faults import Fault, Kind, Where
from simulator.custom.signing import NotSigned, envelope, open_envelope, open_query
from simulator.shell.faults import FaultBoard
from simulator.shell.service import break_connection, drip

MAX_OFF_S = 300
CURRENCY = "RUB"
ORDER_FIELDS = frozenset({"account", "action", "payment", "key"})
LIES = frozenset({Kind.UNSIGNED, Kind.WRONG_KEY, Kind.OLD_NONCE, Kind.WRONG_AMOUNT})
"""Answers that come after the act and are wrong in what they say."""


class Merchant:
    """One account. `secret` may be changed while it runs."""

    def __init__(self, account: str, secret: str, books: Books, faults: FaultBoard[Fault]) -> None:
        self.account = account
        self.secret = secret
        self._books = books
        self._faults = faults

    def blueprint(self) -> Blueprint:
        blueprint = Blueprint("merchant", __name__, template_folder="templates")
        blueprint.add_url_rule("/page", "page", self.page, methods=["GET"])
        blueprint.add_url_rule("/page", "choose", self.choose, methods=["POST"])
        blueprint.add_url_rule("/status", "status", self.status, methods=["GET"])
        blueprint.add_url_rule("/action", "action", self.action, methods=["POST"])
        return blueprint

    def page(self) -> AnyResponse:
        """What the buyer sees. A link that is not ours, or too old, is refused."""
        try:
            payment = self._arrived()
        except (NotSigned, KeyError, ValueError):
            return Response(render_template("custom_refused.html"), 403)
        except Refused:
            return Response(render_template("custom_refused.html"), 410)
        return Response(render_template("custom_pay.html", payment=payment, roubles=f"{payment.amount / 100:.2f}"))

    def choose(self) -> AnyResponse:
        """The buyer presses a button, and goes back."""
        try:
            payment = self._arrived()
            act = {"pay": self._books.pay, "decline": self._books.decline}.get(request.form.get("act", ""))
            if act is not None:
                act(payment.name)
        except (NotSigned, KeyError, ValueError):
            return Response(render_template("custom_refused.html"), 403)
        except Refused:
            return Response(render_template("custom_refused.html"), 410)
        return redirect(payment.return_url, 303)

    def status(self) -> Response:
        """How a payment stands; with none named, whether we understand each other."""
        try:
            asked = open_query(self.secret, "status", request.query_string.decode("ascii"))
            off_s = abs(int(self._books.clock().timestamp()) - int(asked["time"]))
        except (NotSigned, KeyError, ValueError):
            return Response("wrong signature", 403)
        if asked["account"] != self.account or off_s > MAX_OFF_S:
            return Response("not now, or not here", 403)
        name = asked["payment"]

        def what() -> dict[str, object]:
            return self._books.find(name).told(self.account) if name else {"account": self.account}

        return self._answer(Where.STATUS, {"nonce": asked["nonce"]}, what)

    def action(self) -> Response:
        """Do what was ordered, once for each key."""
        try:
            asked = open_envelope(self.secret, "action", request.get_data())
        except NotSigned:
            return Response("wrong signature", 403)
        except json_text.NotJson:
            asked = {}
        mark = {"key": asked["key"]} if "key" in asked else {}
        if not asked.keys() >= ORDER_FIELDS:
            return self._signed({"account": self.account, "error": "unreadable", **mark}, 400)
        return self._answer(Where.ACTION, mark, lambda: self._do(asked).told(self.account))

    def _do(self, asked: Mapping[str, Any]) -> Payment:
        name = str(asked["payment"])
        if asked["account"] != self.account:
            raise Refused("wrong_account")
        if asked.get("currency", CURRENCY) != CURRENCY:
            raise Refused("wrong_currency")
        match asked["action"]:
            case "capture":
                return self._books.capture(name, _kopecks(asked["amount"]) if "amount" in asked else None)
            case "cancel":
                return self._books.cancel(name)
            case "refund":
                return self._books.refund(name, str(asked["key"]), _kopecks(asked.get("amount")))
        raise Refused("unknown_action")

    def _arrived(self) -> Payment:
        told = open_query(self.secret, "page", request.query_string.decode("ascii"))
        if told["account"] != self.account:
            raise NotSigned("another account's")
        payment = Payment(
            told["payment"], told["order"], int(told["amount"]), told["currency"], told["capture"] == "later",
            told["description"], told["return_url"],
        )  # fmt: skip
        if payment.amount <= 0 or payment.currency != CURRENCY:
            raise ValueError("no money of ours")
        if self._books.clock().timestamp() > payment.pay_until:
            raise Refused("too_late")
        return self._books.arrive(payment)

    def _answer(self, where: Where, mark: dict[str, object], what: Callable[[], dict[str, object]]) -> Response:
        fault = self._faults.strike(where)
        if fault is not None and fault.kind is Kind.SLOW:
            self._faults.hang(fault.seconds)
            fault = None
        if fault is not None and not fault.after and fault.kind not in LIES:
            return self._spoilt(fault, mark, {})
        try:
            told = what()
        except Refused as refused:
            status = 404 if str(refused) == "unknown_payment" else 409
            return self._signed({"account": self.account, "error": str(refused), **mark}, status)
        return self._signed(told | mark, 200) if fault is None else self._spoilt(fault, mark, told)

    def _spoilt(self, fault: Fault, mark: dict[str, object], told: dict[str, object]) -> Response:
        match fault.kind:
            case Kind.ERROR_500:
                return Response('{"error": "sorry"}', 500, mimetype="application/json")
            case Kind.HTML:
                return Response("<h1>Bad Gateway</h1>", 502)
            case Kind.RESET:
                break_connection()
                return Response("")
            case Kind.DRIP:
                drip(fault.seconds)
                return Response("a long story")
            case Kind.FORBIDDEN:
                return Response("no", 403)
            case Kind.TOO_MANY:
                return Response("no", 429, {"Retry-After": "1"})
            case Kind.UNSIGNED:
                return Response(json.dumps(told | mark), 200, mimetype="application/json")
            case Kind.WRONG_KEY:
                return self._signed(told | mark, 200, self.secret[::-1])
            case Kind.OLD_NONCE:
                return self._signed(told | dict.fromkeys(mark, "0" * 32), 200)
            case Kind.WRONG_AMOUNT:
                return self._signed(told | mark | {"amount": 100, "captured": 100}, 200)
            case Kind.SLOW:
                raise AssertionError("a slow answer is whole")

    def _signed(self, told: Mapping[str, object], status: int, secret: str = "") -> Response:
        body = json.dumps(envelope(secret or self.secret, "answer", told), ensure_ascii=False)
        return Response(body, status, mimetype="application/json")


def _kopecks(value: object) -> int:
    """A whole number of JSON; raises `Refused`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise Refused("wrong_amount")
    return value
