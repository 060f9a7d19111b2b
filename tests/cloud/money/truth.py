"""What truly happened to each order, beside all books: cups, decisions of persons, refunds by hand; and what must hold.

`at_every_step` and `at_the_end` name what is broken; the provider's own books are the judge of money.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud.orders.at_risk import Next, each_at_risk
from cloud.orders.models import MakeCommand, Movement, Order, OrderChange, Payment
from cloud.orders.money import PaymentState
from cloud.orders.outbox import OutboxRow
from cloud.orders.states import FINAL, Status
from cloud.orders.tasks import LOST, Task
from simulator.yookassa.state import Status as Theirs
from tests.cloud.money.market import Market
from tests.cloud.worlds import PRICE

STATE_OF = {
    Theirs.PENDING: PaymentState.PENDING,
    Theirs.WAITING_FOR_CAPTURE: PaymentState.HELD,
    Theirs.SUCCEEDED: PaymentState.CAPTURED,
    Theirs.CANCELED: PaymentState.CANCELED,
}


@dataclass
class Truth:
    """Kopecks, by order id where nothing else is said."""

    poured: set[str] = field(default_factory=set)
    decided: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """What persons decided at the console to return of poured drinks."""
    cabinet_refunds: dict[str, int] = field(default_factory=dict)
    """By the refund's id."""

    def at_every_step(self, market: Market) -> list[str]:
        """Every promise broken now."""
        broken: list[str] = []
        with market.database.read() as session:
            risky = {money.order_id for money in each_at_risk(session, market.clock.now)}
            for order in session.scalars(select(Order)):
                broken += [f"{order.id}: {says}" for says in self._of_order(session, market, order, risky)]
        return broken

    def _of_order(self, session: Session, market: Market, order: Order, risky: set[str]) -> list[str]:
        payments = list(session.scalars(select(Payment).where(Payment.order_id == order.id)))
        commands = list(session.scalars(select(MakeCommand).where(MakeCommand.order_id == order.id)))
        changes = session.scalars(select(OrderChange).where(OrderChange.order_id == order.id).order_by(OrderChange.id))
        history = [(change.status_before, change.status_after) for change in changes]
        theirs = market.theirs(order.id)
        movements = list(session.scalars(select(Movement).where(Movement.order_id == order.id)))
        by_kind = {kind: sum(m.amount for m in movements if m.kind == kind) for kind in ("captured", "refunded")}
        net = by_kind["captured"] - by_kind["refunded"]
        has_money = any(p.state == PaymentState.HELD or p.captured > p.refunded for p in payments)
        waiting = order.due_at is not None or any(p.next_check_at for p in payments) or self._creating(session, order)
        checks = {
            "more than one payment is live": sum(p.live for p in payments) <= 1,
            "more than one command is live": sum(c.live for c in commands) <= 1,
            "charged twice": sum(there.held + there.captured - there.refunded > 0 for there in theirs) <= 1,
            "charged more than its price": sum(there.held + there.captured - there.refunded for there in theirs)
            <= PRICE,
            "a drink without the machine's word": order.status != Status.SUCCESSFUL or order.id in self.poured,
            f"the ledger sums to {net}": net in {0, PRICE} or (self._in_parts(market, order) and 0 < net < PRICE),
            "the ledger is not the payments": by_kind
            == {"captured": sum(p.captured for p in payments), "refunded": sum(p.refunded for p in payments)},
            "our books know of money the provider does not": all(self._is_founded(market, p) for p in payments),
            "money is at risk and nobody is told": not has_money
            or order.status == Status.SUCCESSFUL
            or order.id in risky,
            "nobody will ever move it": Status(order.status) in FINAL or waiting,
            f"the history has a gap: {history}": all(a[1] == b[0] for a, b in pairwise(history)),
            "returned by us without a reason": self._returned_by_us(market, order.id)
            <= self._may_return(session, order),
        }
        return [says for says, holds in checks.items() if not holds]

    def _creating(self, session: Session, order: Order) -> bool:
        creating = (OutboxRow.order_id == order.id, OutboxRow.task == Task.CREATE.value, OutboxRow.settled_at.is_(None))
        return session.scalar(select(OutboxRow.id).where(*creating)) is not None

    def _in_parts(self, market: Market, order: Order) -> bool:
        """Somebody returned a part by hand, or decided to."""
        by_hand = any(refund.id in self.cabinet_refunds for refund in market.refunds(order.id))
        return by_hand or order.given_back > 0

    @staticmethod
    def _is_founded(market: Market, payment: Payment) -> bool:
        there = next((t for t in market.theirs(payment.order_id) if t.id == payment.provider_payment_id), None)
        if there is None:
            return payment.captured == payment.refunded == 0
        return payment.captured <= there.captured and payment.refunded <= there.refunded

    def _returned_by_us(self, market: Market, order_id: str) -> int:
        return sum(r.amount for r in market.refunds(order_id) if r.id not in self.cabinet_refunds)

    def _may_return(self, session: Session, order: Order) -> int:
        """All of it once the order has been without its drink; of a drink poured at once, what persons decided."""
        was = set(session.scalars(select(OrderChange.status_after).where(OrderChange.order_id == order.id)))
        return PRICE if was & {Status.MAKE_FAILED, Status.FAILED, Status.NOT_PAID} else self.decided[order.id]

    def at_the_end(self, market: Market) -> list[str]:
        """Every promise broken once all is well again and nobody has anything left to do."""
        broken: list[str] = []
        with market.database.read() as session:
            for order in session.scalars(select(Order)):
                payments = list(session.scalars(select(Payment).where(Payment.order_id == order.id)))
                broken += [f"{order.id}: {says}" for says in self._ended(session, market, order, payments)]
            risky = [(m.order_id, m.action.value) for m in each_at_risk(session, market.clock.now)]
        return broken + ([f"money is still at risk: {risky}"] if risky else [])

    def _ended(self, session: Session, market: Market, order: Order, payments: list[Payment]) -> list[str]:
        theirs, kept = market.theirs(order.id), market.kept(order.id)
        good = order.status == Status.SUCCESSFUL
        by_hand = sum(self.cabinet_refunds.get(refund.id, 0) for refund in market.refunds(order.id))
        whole = good and not order.goodwill
        books = {p.provider_payment_id: (p.state, p.captured, p.refunded) for p in payments if p.provider_payment_id}
        truth = {there.id: (STATE_OF[there.status].value, there.captured, there.refunded) for there in theirs}
        checks = {
            f"not at an end: {order.status}": Status(order.status) in FINAL,
            "a hold is left": all(there.held == 0 for there in theirs),
            "a refund is under way for ever": all(there.refunding == 0 for there in theirs),
            f"kept {kept} for no drink": good or kept == 0,
            f"kept {kept} of a drink nobody returned": not whole or kept == PRICE,
            f"kept {kept}, decided {order.given_back}, by hand {by_hand}": not good
            or kept <= PRICE - max(order.given_back, by_hand),
            f"our books {books}, theirs {truth}": all(ours in _as_ours(truth[key]) for key, ours in books.items()),
            f"theirs unknown to us bring money: {truth}": all(
                truth[key][1:] in {(0, 0), (truth[key][1],) * 2} for key in truth.keys() - books.keys()
            ),
        }
        return [says for says, holds in checks.items() if not holds]


def _as_ours(theirs: tuple[str, int, int]) -> set[tuple[str, int, int]]:
    """What our books may say of it. Made by a call whose answer was lost, and which was refused when it went again: it
    stands there for an hour, nobody was given its page, and its buyer may try again at once.
    """
    return {theirs, ("refused", 0, 0)} if theirs == ("pending", 0, 0) else {theirs}


def waiting_for_a_person(market: Market) -> list[str]:
    """Orders whose money moves only by a person's word."""
    with market.database.read() as session:
        return sorted({m.order_id for m in each_at_risk(session, market.clock.now) if m.action is Next.PERSON})


def given_up(market: Market) -> list[str]:
    """Orders with a call of which nobody can learn any more what it did."""
    acts = (Task.CAPTURE.value, Task.CANCEL.value, Task.REFUND.value)
    lost = select(OutboxRow.order_id).where(OutboxRow.verdict == LOST, OutboxRow.task.in_(acts)).distinct()
    with market.database.read() as session:
        return sorted(session.scalars(lost))
