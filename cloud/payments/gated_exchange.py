"""One question to a shop: let through by its gate, which is told how it went."""

from collections.abc import Callable
from typing import TypeVar

from cloud.payments.admission import Gate
from cloud.payments.outcomes import NotSent, Outcome, RateLimited
from cloud.payments.transport import Question, Reply, Transport

T = TypeVar("T")


def ask(gate: Gate, transport: Transport, question: Question, judge: Callable[[Reply], Outcome[T]]) -> Outcome[T]:
    """What `judge` makes of the reply; without one, what its absence proves."""
    if held_back := gate.call():
        return NotSent(held_back.why, held_back.wait_s, held_back=True)
    reply = transport.exchange(question)
    if not isinstance(reply, Reply):
        gate.failed()
        return reply
    outcome = judge(reply)
    if reply.status >= 500:
        gate.failed()
    else:
        gate.answered(outcome.retry_after_s or 0.0 if isinstance(outcome, RateLimited) else 0.0)
    return outcome
