"""The life of an order as one table: (status, event) to next status. Pure; whatever is not in it changes nothing.

A stray event leaves an order where it is: late news must never spoil a paid order (docs/orders.md, promise 8).
"""

from collections.abc import Iterable
from enum import StrEnum


class Status(StrEnum):
    """The nine statuses; their names are held on to from outside (database, JSON, page)."""

    CREATED = "created"
    PENDING = "pending"
    PAID = "paid"
    MAKE_PENDING = "make_pending"
    MANUAL_MAKE = "manual_make"
    SUCCESSFUL = "successful"
    NOT_PAID = "not_paid"
    FAILED = "failed"
    MAKE_FAILED = "make_failed"


class Event(StrEnum):
    """What can happen to an order."""

    PAYMENT_STARTED = "payment_started"
    PAYMENT_REFUSED = "payment_refused"
    """The provider definitely would not open a payment."""
    PAYMENT_CANCELED = "payment_canceled"
    """Declined, not paid within the provider's hour, or a hold given back."""
    PAYMENT_WRONG = "payment_wrong"
    """Money came that does not fit the order (amount, currency, shop, our marks)."""
    PAID_IN_TIME = "paid_in_time"
    PAID_LATE = "paid_late"
    ORDER_EXPIRED = "order_expired"
    MAKE_REQUESTED = "make_requested"
    COMMAND_PUBLISHED = "command_published"
    COMMAND_NOT_SENT = "command_not_sent"
    MACHINE_ACCEPTED = "machine_accepted"
    MACHINE_DONE = "machine_done"
    MACHINE_REFUSED = "machine_refused"
    """Rejected or failed: the machine (or the agent) says there is no proper drink."""
    MACHINE_UNSURE = "machine_unsure"
    OUTCOME_TRUSTED = "outcome_trusted"
    """Sent, and nobody can ever see what became of it; the merchant has said that this counts as poured."""
    TRUST_REFUTED = "trust_refuted"
    """Trusted, and now the machine says after all that there is no proper drink."""
    SEEN_POURED = "seen_poured"
    """No machine can say; a person has made sure that the drink was poured."""
    MONEY_RETURNED = "money_returned"
    """Its money went back past us, and the drink has certainly not been begun."""
    RESTORED = "restored"
    """Paid, and our database was restored to a state from before its end: nobody here knows whether it was poured."""
    NO_ACK = "no_ack"
    NO_OUTCOME = "no_outcome"
    MANUAL_MAKE_EXPIRED = "manual_make_expired"


SENT = "sent"
"""The stage of an order whose command the broker or Tmetr has; the machine has said nothing yet."""
ACCEPTED = "accepted"
"""The stage of one whose machine has taken the command; its own stages follow."""
UNOBSERVED = "unobserved"
"""The stage of an order that ended successful by trust: no machine has said that the drink is ready."""
DONE = "done"
"""The stage of one whose machine said so while it was waited for."""
TOLD_LATE = "told_late"
"""The stage of one whose machine said so after it was given up: when it poured, nobody knows."""
SEEN_POURED = "seen_poured"
"""The stage of one that ended so by a person's word: the machine had none."""
UNTIMED = frozenset({UNOBSERVED, TOLD_LATE, SEEN_POURED})
"""Of these, the end of the order is not when the cup was full."""

EXPIRED = "expired"
"""The reason of an order that ended because its time was over; the code of an opening that comes too late for it."""

S, E = Status, Event

TRANSITIONS: dict[tuple[Status, Event], Status] = {
    (S.CREATED, E.PAYMENT_STARTED): S.PENDING,
    (S.CREATED, E.ORDER_EXPIRED): S.FAILED,
    (S.PENDING, E.PAYMENT_REFUSED): S.FAILED,
    (S.PENDING, E.PAYMENT_WRONG): S.FAILED,
    (S.PENDING, E.PAYMENT_CANCELED): S.NOT_PAID,
    (S.PENDING, E.PAID_IN_TIME): S.PAID,
    (S.PENDING, E.PAID_LATE): S.MANUAL_MAKE,
    (S.NOT_PAID, E.PAYMENT_STARTED): S.PENDING,
    (S.NOT_PAID, E.PAYMENT_WRONG): S.FAILED,
    (S.PAID, E.COMMAND_PUBLISHED): S.MAKE_PENDING,
    (S.PAID, E.COMMAND_NOT_SENT): S.MAKE_FAILED,
    (S.PAID, E.MONEY_RETURNED): S.MAKE_FAILED,
    # The device may answer before the note of our own publishing is written.
    (S.PAID, E.MACHINE_ACCEPTED): S.MAKE_PENDING,
    (S.PAID, E.MACHINE_DONE): S.SUCCESSFUL,
    (S.PAID, E.MACHINE_REFUSED): S.MAKE_FAILED,
    (S.PAID, E.MACHINE_UNSURE): S.MAKE_FAILED,
    (S.MAKE_PENDING, E.MACHINE_ACCEPTED): S.MAKE_PENDING,
    (S.MAKE_PENDING, E.MACHINE_DONE): S.SUCCESSFUL,
    (S.MAKE_PENDING, E.MACHINE_REFUSED): S.MAKE_FAILED,
    (S.MAKE_PENDING, E.MACHINE_UNSURE): S.MAKE_FAILED,
    (S.PAID, E.OUTCOME_TRUSTED): S.SUCCESSFUL,
    (S.MAKE_PENDING, E.OUTCOME_TRUSTED): S.SUCCESSFUL,
    (S.MAKE_PENDING, E.NO_ACK): S.MAKE_FAILED,
    (S.MAKE_PENDING, E.NO_OUTCOME): S.MAKE_FAILED,
    (S.MANUAL_MAKE, E.MAKE_REQUESTED): S.PAID,
    (S.MANUAL_MAKE, E.MANUAL_MAKE_EXPIRED): S.MAKE_FAILED,
    (S.MANUAL_MAKE, E.MONEY_RETURNED): S.MAKE_FAILED,
    (S.PENDING, E.RESTORED): S.MAKE_FAILED,
    (S.NOT_PAID, E.RESTORED): S.MAKE_FAILED,
    (S.FAILED, E.RESTORED): S.MAKE_FAILED,
    (S.MANUAL_MAKE, E.RESTORED): S.MAKE_FAILED,
    # Late truth corrects the ledger; it never starts a drink.
    (S.MAKE_FAILED, E.MACHINE_DONE): S.SUCCESSFUL,
    (S.MAKE_FAILED, E.MACHINE_REFUSED): S.MAKE_FAILED,
    (S.MAKE_FAILED, E.SEEN_POURED): S.SUCCESSFUL,
    (S.SUCCESSFUL, E.TRUST_REFUTED): S.MAKE_FAILED,
}

FINAL = frozenset({S.SUCCESSFUL, S.NOT_PAID, S.FAILED, S.MAKE_FAILED})
"""No deadline moves these any more; a buyer's retry or late truth still may."""

PAYABLE = frozenset({S.CREATED, S.NOT_PAID})
"""A new payment may be started."""

STILL_OPEN = frozenset({S.PENDING, S.PAID, S.MAKE_PENDING, S.MANUAL_MAKE})
"""A payment was begun, and the drink may still be poured: money stays where it is."""

ON_ITS_WAY = frozenset({S.PAID, S.MAKE_PENDING})
"""Paid, and the make command may still be carried out."""

DRINK_ENDED = frozenset({S.SUCCESSFUL, S.MAKE_FAILED})
"""Paid, and the drink is over: poured, or not made, as far as anybody can say."""

FAILURES = frozenset({S.FAILED, S.MAKE_FAILED})
"""The order went wrong; only these keep a reason."""


def values_of(statuses: Iterable[Status]) -> list[str]:
    """A group as columns hold it, always in the same order."""
    return sorted(status.value for status in statuses)


def next_state(status: Status, event: Event) -> Status | None:
    """The status after `event`, or None when the event means nothing to an order in `status`."""
    return TRANSITIONS.get((status, event))


def diagram() -> str:
    """The table as a Mermaid state diagram (drawn into `docs/orders.md`; a test compares)."""
    arrows = [f"    {now.value} --> {then.value}: {event.value}" for (now, event), then in TRANSITIONS.items()]
    return "\n".join(["stateDiagram-v2", "    [*] --> created", *arrows])
