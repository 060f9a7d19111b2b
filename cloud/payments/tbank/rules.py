"""May a Confirm or Cancel be sent (again)? T-Bank has no key that makes a repeat harmless, so its answer to GetState
decides, before every sending: at most one movement, whatever became of earlier ones. Pure.

`ExternalRequestId` goes along as a second line only: the bank ignores it for SBP.
"""

import enum
from collections.abc import Sequence

from cloud.payments.facts import ProviderStatus, RefundFacts, RefundStatus
from cloud.payments.tbank.ledger_view import Booked
from cloud.payments.tbank.objects import (
    CARD,
    CONFIRMING,
    GONE,
    HELD,
    OPEN,
    PAYING,
    REFUNDING,
    REVERSING,
    TAKEN,
    State,
    payment_facts,
    refund_facts,
    refunded,
    tells_what_went_back,
)


class Step(enum.Enum):
    """SEND it; TELL what is: it has happened, is under way, or nobody can say; REFUSE: it cannot be.

    BY_HAND: it may have happened, and only the bank's cabinet can say.
    """

    SEND = "send"
    TELL = "tell"
    REFUSE = "refuse"
    BY_HAND = "by_hand"


def capture_step(state: State) -> Step:
    """Take a hold. What is not paid yet or gone cannot be taken."""
    if state.status in HELD:
        return Step.SEND
    return Step.REFUSE if state.status in OPEN | PAYING | GONE else Step.TELL


def cancel_step(state: State) -> Step:
    """Let go what is not taken. A taken payment is never sent here: the same call would refund it."""
    if state.status in OPEN | HELD:
        return Step.SEND
    return Step.REFUSE if state.status in TAKEN | REFUNDING else Step.TELL


def refund_step(state: State, booked: Booked | None) -> Step:
    """Give back what was taken. A refund that our ledger does not know is taken for this one: it may be.

    If it was somebody else's, what is still owed shows in the ledger and gets a new task. Where the bank does not tell
    how much went back, only a card's repeat is known to it (`ExternalRequestId`).
    """
    if state.status in OPEN | PAYING | HELD | CONFIRMING | REVERSING | GONE:
        return Step.REFUSE
    if state.status == "CONFIRMED":
        return Step.SEND
    if not tells_what_went_back(state, booked):
        return Step.SEND if state.method == CARD else Step.BY_HAND
    if state.status == "PARTIAL_REFUNDED" and refunded(state, booked) <= (booked.refunded if booked else 0):
        return Step.SEND
    return Step.TELL


def refund_as_it_stands(state: State, booked: Booked | None, expected: int) -> RefundFacts | None:
    """How the refund stands that was to bring the sum returned to `expected`, by the payment's state.

    Where the bank does not tell how much went back, a first part is there when any is. None: of a further one that is
    over only the bank's cabinet can say how it ended.
    """
    if state.status in REFUNDING:
        return refund_facts(state, booked, expected, RefundStatus.PENDING)
    if payment_facts(state, booked).status is ProviderStatus.UNKNOWN_STATUS:
        return refund_facts(state, booked, expected, RefundStatus.UNKNOWN_STATUS)
    total = refunded(state, booked)
    if total >= expected:
        return refund_facts(state, booked, total, RefundStatus.SUCCEEDED)
    if not tells_what_went_back(state, booked):
        is_first = booked is None or not booked.returns
        return refund_facts(state, booked, expected, RefundStatus.SUCCEEDED) if is_first else None
    return refund_facts(state, booked, expected, RefundStatus.CANCELED)


def refunds_until_now(state: State, booked: Booked | None) -> tuple[RefundFacts, ...]:
    """Every refund the sum returned is made of, newest first: those in our ledger, and the rest as one."""
    total = refunded(state, booked)
    sums = {int(name.rpartition("-")[2]) for name in booked.returns} if booked else set()
    told = sorted({known for known in sums if known <= total} | {total} - {0}, reverse=True)
    return tuple(refund_facts(state, booked, each, RefundStatus.SUCCEEDED) for each in told)


def foremost(states: Sequence[State]) -> State:
    """Of several payments under one OrderId, the one to go by: with money, else still payable, else any."""
    return min(states, key=weight)


def weight(state: State) -> int:
    """The less, the more money there is in it."""
    return (state.status in OPEN) + 2 * (state.status in GONE)


def has_page(state: State) -> bool:
    """Nobody has paid it or is paying it: its page is all there is of it."""
    return state.status in OPEN
