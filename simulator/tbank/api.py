"""The API v2 over HTTP: which terminal asks, for which act of the bank, what fault strikes it, the answer."""

from collections.abc import Callable, Mapping

import msgspec
from flask import Blueprint, Response, request

from protocol import json_text
from simulator.shell.clock import Clock
from simulator.shell.faults import FaultBoard
from simulator.shell.service import break_connection
from simulator.tbank import messages
from simulator.tbank.bank import Bank, NoSuchPayment
from simulator.tbank.faults import Fault, FaultKind, Method
from simulator.tbank.messages import Json, Wrong, amount_of, refusal, text_of
from simulator.tbank.state import Payment, Refused
from simulator.tbank.terminals import Terminal, TerminalTable, is_signed
from simulator.yookassa.api import HTML_502

PAGE_PATH = "/new/"

View = Callable[[Terminal, Mapping[str, object]], Json]


class Api:
    """`public_url` is where buyers find the payment page."""

    def __init__(self, terminals: TerminalTable, bank: Bank, faults: FaultBoard[Fault], clock: Clock) -> None:
        self.public_url = ""
        self._terminals = terminals
        self._bank = bank
        self._faults = faults
        self._clock = clock

    def blueprint(self) -> Blueprint:
        blueprint = Blueprint("api", __name__, url_prefix="/v2")
        for method, view in (
            (Method.INIT, self.init),
            (Method.GET_STATE, self.get_state),
            (Method.CHECK_ORDER, self.check_order),
            (Method.CONFIRM, self.confirm),
            (Method.CANCEL, self.cancel),
        ):
            blueprint.add_url_rule(f"/{method}", method.lower(), self._served(method, view), methods=["POST"])
        return blueprint

    def init(self, terminal: Terminal, message: Mapping[str, object]) -> Json:
        payment = self._bank.init(terminal, messages.order_of(message, terminal, self._clock()))
        return messages.answer(payment, Amount=payment.amount, PaymentURL=self.page_url(payment))

    def get_state(self, terminal: Terminal, message: Mapping[str, object]) -> Json:
        payment = self._bank.state(terminal, text_of(message, "PaymentId"))
        return messages.state_answer(payment, self._bank.behaviour)

    def check_order(self, terminal: Terminal, message: Mapping[str, object]) -> Json:
        order_id = text_of(message, "OrderId")
        return messages.order_answer(terminal, order_id, self._bank.order(terminal, order_id))

    def confirm(self, terminal: Terminal, message: Mapping[str, object]) -> Json:
        return messages.answer(self._bank.confirm(terminal, text_of(message, "PaymentId"), amount_of(message)))

    def cancel(self, terminal: Terminal, message: Mapping[str, object]) -> Json:
        request_id = text_of(message, "ExternalRequestId")
        before, after = self._bank.cancel(terminal, text_of(message, "PaymentId"), amount_of(message), request_id)
        left = after.standing - after.refunding
        told = messages.answer(after, OriginalAmount=before.standing, NewAmount=left)
        return told | {"ExternalRequestId": request_id} if request_id else told

    def page_url(self, payment: Payment) -> str:
        """Where the buyer pays: an address nobody can make up from the payment's id."""
        return f"{self.public_url}{PAGE_PATH}{payment.page}"

    def _served(self, method: Method, view: View) -> Callable[[], Response]:
        def serve() -> Response:
            try:
                message, terminal = self._authentic()
                fault = self._faults.strike(method)
                if fault and not fault.after_commit and (answer := self._suffer(fault, {})):
                    return answer
                body = view(terminal, message)
            except Wrong as wrong:
                return _json(refusal(wrong.code, wrong.details))
            except Refused as refused:
                return _json(refusal(messages.WRONG_STATUS, str(refused)))
            except NoSuchPayment:
                return _json(refusal(messages.NO_PAYMENT))
            if fault and fault.after_commit and (answer := self._suffer(fault, body)):
                return answer
            return _json(_changed(body, fault))

        return serve

    def _authentic(self) -> tuple[Mapping[str, object], Terminal]:
        if request.mimetype != "application/json":
            raise Wrong(messages.WRONG_PARAMETERS, "Content-Type")
        try:
            message = json_text.loads(request.get_data())
        except json_text.NotJson:
            raise Wrong(messages.WRONG_PARAMETERS, "JSON") from None
        if not isinstance(message, dict):
            raise Wrong(messages.WRONG_PARAMETERS, "JSON")
        terminal = self._terminals.get(message.get("TerminalKey"))
        if terminal is None:
            raise Wrong(messages.NO_TERMINAL)
        if not is_signed(message, terminal.password):
            raise Wrong(messages.WRONG_TOKEN)
        return message, terminal

    def _suffer(self, fault: Fault, body: Json) -> Response | None:
        """The answer this fault puts in place of the true one; None to go on with that."""
        match fault.kind:
            case FaultKind.HANG:
                self._faults.hang(fault.seconds)
            case FaultKind.RESET:
                break_connection()
                return Response(status=500)
            case FaultKind.HTML_502:
                return Response(HTML_502, 502, content_type="text/html")
            case FaultKind.ERROR_500:
                return Response(status=500)
            case FaultKind.TOO_MANY_REQUESTS:
                return Response(status=429, headers={"Retry-After": str(fault.retry_after)})
            case FaultKind.BANK_FAILURE:
                return _json(refusal(messages.OWN_FAILURE))
            case FaultKind.HALF_JSON:
                whole = msgspec.json.encode(body or {"Success": True, "Status": "NEW"})
                return Response(whole[: len(whole) // 2], content_type="application/json")
        return None


def _changed(body: Json, fault: Fault | None) -> Json:
    """The answer with what a fault adds to it."""
    match fault.kind if fault else None:
        case FaultKind.STRANGERS:
            return body | {"X-New": {"nested": [1, None, "text"]}, "RiskScore": 0.5, "Params": [{"Key": "Qubits"}, 7]}
        case FaultKind.STRANGE_STATUS:
            return body | {"Status": "QUANTUM_CHECKING"}
        case FaultKind.OTHER_AMOUNT:
            amount = body.get("Amount")
            return body | {"Amount": (amount if isinstance(amount, int) else 0) + 100}
    return body


def _json(body: Json) -> Response:
    return Response(msgspec.json.encode(body), content_type="application/json")
