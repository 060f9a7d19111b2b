"""Every difference reconciliation can name, with a sentence and what to do about it. A closed list; pure."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What is different. The names are stored, and are labels in `/metrics`."""

    MISSING_THERE = "missing_there"
    UNKNOWN_PAYMENT = "unknown_payment"
    SECOND_PAYMENT = "second_payment"
    LOST_AND_FOUND = "lost_and_found"
    NOT_OUR_METADATA = "not_our_metadata"
    METADATA_DIFFERS = "metadata_differs"
    AMOUNT_DIFFERS = "amount_differs"
    CURRENCY_DIFFERS = "currency_differs"
    SHOP_DIFFERS = "shop_differs"
    TEST_FLAG = "test_flag"
    HELD_NOT_HERE = "held_not_here"
    CAPTURED_NOT_HERE = "captured_not_here"
    CANCELED_NOT_HERE = "canceled_not_here"
    TAKEN_ONLY_HERE = "taken_only_here"
    OPEN_THERE = "open_there"
    UNKNOWN_STATUS = "unknown_status"
    REFUNDED_NOT_HERE = "refunded_not_here"
    REFUNDED_ONLY_HERE = "refunded_only_here"
    REFUND_AMOUNT_DIFFERS = "refund_amount_differs"
    REFUND_PENDING = "refund_pending"
    RECEIPT_FAILED = "receipt_failed"
    POURED_NOT_PAID = "poured_not_paid"
    GOODWILL = "goodwill"
    STUCK = "stuck"
    HOLD_OPEN = "hold_open"
    RETURN_OPEN = "return_open"
    NOBODY_TO_ASK = "nobody_to_ask"
    SHOP_GONE = "shop_gone"
    CUPS_MORE = "cups_more"
    CUPS_FEWER = "cups_fewer"
    COUNTERS_UNUSABLE = "counters_unusable"
    UNREADABLE = "unreadable"
    NO_LIST = "no_list"
    NO_ANSWER = "no_answer"
    TOO_MANY = "too_many"


NO_MONEY = frozenset({Kind.CUPS_MORE, Kind.CUPS_FEWER, Kind.NOT_OUR_METADATA})
"""Whose two sides are cups or payments, not kopecks."""


@dataclass(frozen=True)
class Meaning:
    """For people: what it is, and what to do. `explained`: as it should be, nobody needs to act."""

    sentence: str
    to_do: str
    explained: bool = False
    mends: bool = False
    """Asking the provider about the payment again may be all it takes; money is never moved for it."""


_ASKED = "The provider is asked again by itself; if this stays, compare the order with the provider's cabinet."
_NOTHING = "Nothing."

MEANINGS = {
    Kind.MISSING_THERE: Meaning(
        "Our books have the payment; the provider says it knows no such payment.",
        "Check the shop's key and whether the shop was changed from test to live, then ask the provider's support.",
    ),
    Kind.UNKNOWN_PAYMENT: Meaning(
        "The provider has a payment with our marks that our books do not have.",
        "If it was paid, return it in the provider's cabinet; find out why it was lost (a restored backup?).",
    ),
    Kind.SECOND_PAYMENT: Meaning(
        "The provider has two payments for one attempt to pay.",
        "If this one was paid too, return it in the provider's cabinet.",
    ),
    Kind.LOST_AND_FOUND: Meaning(
        "The answer to our request to open the payment was lost; the list has the payment.",
        "It has been taken into the books by its marks; what came of it is followed by itself.",
        mends=True,
    ),
    Kind.NOT_OUR_METADATA: Meaning(
        "The shop has payments without our marks.", "Nothing, if this shop also sells elsewhere.", explained=True
    ),
    Kind.METADATA_DIFFERS: Meaning(
        "The payment's marks name another order or attempt than our books.",
        "Look at both orders; money of such a payment is only ever returned.",
    ),
    Kind.AMOUNT_DIFFERS: Meaning(
        "The amounts of the payment are different.",
        "Compare with the cabinet; money of a payment that does not fit its order is returned by itself.",
    ),
    Kind.CURRENCY_DIFFERS: Meaning("The payment is in another currency.", "Check the shop's settings at the provider."),
    Kind.SHOP_DIFFERS: Meaning("The payment belongs to another shop.", "Check which key belongs to which shop."),
    Kind.TEST_FLAG: Meaning(
        "The payment is a test in a live shop, or the other way round: its money is not what it seems.",
        "Check the shop's key.",
    ),
    Kind.HELD_NOT_HERE: Meaning("The provider holds money our books do not know of.", _ASKED, mends=True),
    Kind.CAPTURED_NOT_HERE: Meaning("The provider took money our books do not know of.", _ASKED, mends=True),
    Kind.CANCELED_NOT_HERE: Meaning("The provider cancelled what our books hold to be open.", _ASKED, mends=True),
    Kind.TAKEN_ONLY_HERE: Meaning("Our books have money the provider does not have.", _ASKED, mends=True),
    Kind.OPEN_THERE: Meaning("The provider still waits for a payment our books have ended.", _ASKED, mends=True),
    Kind.UNKNOWN_STATUS: Meaning("The provider uses a status we do not know.", "Tell the makers of Coffee Relay."),
    Kind.REFUNDED_NOT_HERE: Meaning("The provider returned money our books do not know of.", _ASKED, mends=True),
    Kind.REFUNDED_ONLY_HERE: Meaning(
        "Our books have a return the provider does not have.",
        "Look the payment up in the cabinet: the buyer may not have the money back.",
    ),
    Kind.REFUND_AMOUNT_DIFFERS: Meaning(
        "The provider returned another sum than our books say.", "Compare with the cabinet."
    ),
    Kind.REFUND_PENDING: Meaning(
        "The provider has not finished a return.", "Up to three days are usual; later ask the provider's support."
    ),
    Kind.RECEIPT_FAILED: Meaning(
        "The fiscal receipt was not registered.", "Ask the provider's support; the law wants the receipt."
    ),
    Kind.POURED_NOT_PAID: Meaning(
        "The drink was poured, and there is no money for it.",
        "Nothing for this order; often: raise it with the provider.",
    ),
    Kind.GOODWILL: Meaning(
        "The drink was poured and its money returned, all of it or a part.", _NOTHING, explained=True
    ),
    Kind.STUCK: Meaning(
        "The payment should long have ended, and the provider's answer is still not final.",
        "Look it up in the cabinet.",
    ),
    Kind.HOLD_OPEN: Meaning(
        "Money is held that should have been taken or let go.", "Look at the order: what happens next is told there."
    ),
    Kind.RETURN_OPEN: Meaning(
        "Money was taken for a drink that was not poured, and is not back.",
        "Return it in the provider's cabinet, or clear what the provider complains of.",
    ),
    Kind.NOBODY_TO_ASK: Meaning(
        "We no longer have the key of the shop the payment was opened at.",
        "Put the shop's key back with `coffee-cloud apply`, or settle the payment in the cabinet.",
    ),
    Kind.SHOP_GONE: Meaning(
        "We no longer have the key of a shop that was paid on this day: nothing could be compared.",
        "Put the key back and run `coffee-cloud reconcile` for the day, or compare in the cabinet.",
    ),
    Kind.CUPS_MORE: Meaning(
        "The machine counted more cups than our orders had.",
        "Sales at the machine itself? Else somebody gets drinks past the till: look at the machine.",
    ),
    Kind.CUPS_FEWER: Meaning(
        "The machine counted fewer cups than it said it poured.", "Look at the machine, and at complaints of that day."
    ),
    Kind.COUNTERS_UNUSABLE: Meaning(
        "The machine's counters went backwards: cups cannot be compared.",
        "Nothing, if it was serviced.",
        explained=True,
    ),
    Kind.UNREADABLE: Meaning(
        "The provider's list has an entry that cannot be read.", "Look at the day in the cabinet; tell the makers."
    ),
    Kind.NO_LIST: Meaning(
        "No list: this provider has none. Each of our payments was asked about instead.", _NOTHING, explained=True
    ),
    Kind.NO_ANSWER: Meaning(
        "The provider did not answer everything: the day is not compared to its end.",
        "It is tried again every hour; `coffee-cloud check` tells what is wrong.",
    ),
    Kind.TOO_MANY: Meaning(
        "There are more differences than are listed.", "Something is wrong as a whole: the key, the shop, a backup?"
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """One difference. `here` and `there` are kopecks (or cups) by our ledger and by the other side."""

    kind: Kind
    subject: str
    """What it is about, unique for the kind: an id of a payment or refund, or a machine and day."""
    order_id: str = ""
    payment_id: str = ""
    provider_id: str = ""
    device_uuid: str = ""
    here: int | None = None
    there: int | None = None
    detail: str = ""
    excused: bool = False
    """Unexplained by its kind, but here we know why."""

    @property
    def explained(self) -> bool:
        """Nobody needs to act."""
        return self.excused or MEANINGS[self.kind].explained

    @property
    def mends(self) -> bool:
        """Asking again may be all it takes."""
        return not self.explained and MEANINGS[self.kind].mends

    @property
    def fingerprint(self) -> str:
        """The same difference seen again has the same."""
        return f"{self.kind.value}:{self.subject}"[:160]
