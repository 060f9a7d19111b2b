"""Signed questions to T-Bank for one terminal, and typed outcomes of them: what of its methods the client needs.

Every call is a POST with a Token of its own; rate limit, circuit breaker and patience are the terminal's.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar

from cloud.payments import gated_exchange
from cloud.payments.admission import Gate
from cloud.payments.outcomes import NotOurs, Outcome, Rejected
from cloud.payments.provider import Shop
from cloud.payments.tbank.answers import judge
from cloud.payments.tbank.calls import is_provider_payment_id, signed
from cloud.payments.tbank.objects import State, checked, state_of, states_of_order
from cloud.payments.transport import Question, Transport

T = TypeVar("T")


class Wire:
    """Any thread may use it. `act` may change something at the bank, the others only ask."""

    def __init__(
        self, shop: Shop, transport: Transport, gate: Gate, *, act_timeout_s: float, ask_timeout_s: float
    ) -> None:
        self.base_url = transport.base_url
        self._shop = shop
        self._transport = transport
        self._gate = gate
        self._act_timeout_s = act_timeout_s
        self._ask_timeout_s = ask_timeout_s

    def init(self, message: Mapping[str, object], order_id: str) -> Outcome[State]:
        """Open a payment."""
        return self.act("/Init", message, checked(state_of, order_id=order_id))

    def act(
        self, path: str, message: Mapping[str, object], read: Callable[[object], T], *, briefly: bool = False
    ) -> Outcome[T]:
        """Send what may change something; `briefly` waits no longer than for a question."""
        return self._talk(path, message, read, self._ask_timeout_s if briefly else self._act_timeout_s)

    def state(self, provider_payment_id: str) -> Outcome[State]:
        """How a payment stands. An id that cannot be T-Bank's is NotOurs without asking."""
        if not is_provider_payment_id(provider_payment_id):
            return NotOurs("not an id of this provider")
        read = checked(state_of, provider_payment_id=provider_payment_id)
        told = self._talk("/GetState", {"PaymentId": provider_payment_id}, read, self._ask_timeout_s, states_count=True)
        # The id was all we asked with, so a refusal can only mean that this terminal has no such payment.
        return NotOurs(told.description) if isinstance(told, Rejected) else told

    def payments_of(self, order_id: str) -> Outcome[tuple[State, ...]]:
        """Every payment under one OrderId."""
        return self._talk("/CheckOrder", {"OrderId": order_id}, states_of_order, self._ask_timeout_s)

    def close(self) -> None:
        """Close the connections of all threads."""
        self._transport.close()

    def _talk(
        self,
        path: str,
        message: Mapping[str, object],
        read: Callable[[object], T],
        timeout_s: float,
        *,
        states_count: bool = False,
    ) -> Outcome[T]:
        question = Question("POST", path, timeout_s, body=signed(message, self._shop))
        return gated_exchange.ask(
            self._gate, self._transport, question, lambda reply: judge(reply, read, states_count=states_count)
        )
