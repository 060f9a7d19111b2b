"""What a person decides about an order's money, with a name and a reason that stay in its history.

Pouring by hand is `making.pour_now`. A drink is never poured here, nothing is returned twice.
"""

from collections.abc import Sequence
from datetime import datetime

from cloud.database.transaction import Transaction
from cloud.orders.ledger import balance
from cloud.orders.locked_order import LockedOrder, lock_order
from cloud.orders.models import Order, Payment
from cloud.orders.money import paying_payment
from cloud.orders.owed_tasks import money_is_gone, settle_as_poured, settle_money
from cloud.orders.receipts import has_no_receiver
from cloud.orders.states import SEEN_POURED, Event, Status
from cloud.orders.status_change import add_note, apply_event
from cloud.orders.waiting_return import return_waits

LEAST = 100
"""Kopecks: less is not refunded, and after a part nothing or more than this must be left (docs/yookassa.md 3.1)."""
NOTE_LIMIT = 1000


class NotReturnable(Exception):
    """There is nothing for a person to return; the words say why."""


class WrongSum(NotReturnable):
    """There is, but not this sum. The code names a sentence; `left` is what can be returned."""

    def __init__(self, code: str, left: int, words: str) -> None:
        super().__init__(words)
        self.code, self.left = code, left


class NotWaiting(Exception):
    """Nobody waits for a person's word whether this drink was poured."""


def give_back(tx: Transaction, order_id: str, kopecks: int | None, by: str, why: str, now: datetime) -> int:
    """Return the money of a poured drink (`kopecks` of it, or what is left), or of one nobody knows about, now.

    Return the kopecks that are now owed. Raises `UnknownOrder` and `NotReturnable`.
    """
    locked = lock_order(tx, order_id)
    order, wanted = locked.order, wanted_of(locked, kopecks)
    if order.status == Status.SUCCESSFUL:
        order.given_back = returned_so_far(order, locked.payments) + wanted
    else:
        order.waits_for_person, order.return_after = False, None
    add_note(locked, "return_decided", by[:64], now, why[:128], {"kopecks": wanted})
    settle_money(locked, now)
    return wanted


def keep_money(tx: Transaction, order_id: str, by: str, why: str, now: datetime) -> None:
    """Keep the money of a drink nobody knows about: a person has made sure that it was poured. A hold is taken.

    Raises `UnknownOrder` and `NotWaiting`.
    """
    locked = lock_order(tx, order_id)
    order = locked.order
    if not return_waits(order) or money_is_gone(locked):
        raise NotWaiting(f"the order is {order.status}: its money needs no decision")
    apply_event(locked, Event.SEEN_POURED, by[:64], now, why[:128])
    settle_as_poured(locked, SEEN_POURED, now)


def wanted_of(locked: LockedOrder, kopecks: int | None) -> int:
    """The kopecks a person can return now, of so many wished for. Raises `NotReturnable`."""
    left = left_to_return(locked.order, locked.payments)
    wanted = _wanted_of(locked, kopecks, left)
    payment = paying_payment(locked.payments)
    if payment is not None and wanted != payment.amount and has_no_receiver(locked.tx.connection, payment):
        raise WrongSum("sum_receipt", left, "a part is returned with a receipt, and there is no address to send it to")
    return wanted


def _wanted_of(locked: LockedOrder, kopecks: int | None, left: int) -> int:
    order = locked.order
    if order.status == Status.SUCCESSFUL:
        wanted = left if kopecks is None else kopecks
        if left <= 0 or wanted <= 0:
            raise NotReturnable("nothing of this order can be returned any more")
        if wanted > left:
            raise WrongSum("sum_over", left, f"{left} kopecks of this order can still be returned")
        if wanted != left and not LEAST <= wanted < left - LEAST:
            raise WrongSum("sum_part", left, "of a part, providers return and leave no less than a rouble")
        return wanted
    if return_waits(order):
        if left <= 0:
            raise NotReturnable("nobody has to return it: its money is back already")
        if kopecks not in {None, left}:
            raise WrongSum("sum_whole", left, "nobody knows that anything was poured: all of it is returned")
        return left
    raise NotReturnable(f"the order is {order.status}: its money needs no decision")


def note(tx: Transaction, order_id: str, by: str, words: str, now: datetime) -> None:
    """Keep a person's words with the order. Raises `UnknownOrder`."""
    told = words.strip()[:NOTE_LIMIT]
    if told:
        add_note(lock_order(tx, order_id), "noted", by[:64], now, evidence={"words": told})


def left_to_return(order: Order, payments: Sequence[Payment]) -> int:
    """Kopecks of an order that a person could return now, if all of them: of a poured drink, or an uncertain one."""
    payment = paying_payment(payments)
    here = balance(payment) if payment is not None else 0
    if return_waits(order):
        return min(order.price, here)
    if order.status != Status.SUCCESSFUL:
        return 0
    return max(0, min(order.price - returned_so_far(order, payments), here))


def returned_so_far(order: Order, payments: Sequence[Payment]) -> int:
    """Kopecks of the order that a person decided to return, here or in the provider's cabinet.

    Of the payment that pays: what another one brought goes back by itself, and is no decision of a person's.
    """
    payment = paying_payment(payments)
    return max(order.given_back, payment.refunded if payment is not None else 0)
