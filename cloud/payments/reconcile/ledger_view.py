"""What our own ledger says of one shop and day: the rows to be compared. Reads only, in batches, never a whole day."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, exists, func, literal_column, or_, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from cloud.database.database import Database
from cloud.database.transaction import Transaction
from cloud.orders import archive, archived_books
from cloud.orders.archive import ArchivedOrder
from cloud.orders.at_risk import STUCK_AFTER_S, MoneyAtRisk, Next, each_at_risk
from cloud.orders.models import Movement, Order, Payment
from cloud.orders.money import PaymentState, paying_payment
from cloud.orders.outbox import OutboxRow
from cloud.orders.states import Status
from cloud.orders.tasks import DONE, RETURNS
from cloud.payments.facts import PaymentFacts
from cloud.payments.reconcile.days import Day
from cloud.payments.reconcile.kinds import Finding, Kind

BATCH = 500
_IS_REFUND = Movement.kind == literal_column("'refunded'")
"""Said to the database in words, not as a parameter: it must know beforehand that the index of refunds will do."""
_GONE = ("canceled", "refunded")
LATE_S = 24 * 3600.0
"""Money still on its way after this long is no longer waited for in silence."""


@dataclass(frozen=True)
class ShopKey:
    """One merchant's account at one provider."""

    merchant_id: str
    scenario: str
    account_id: str

    @property
    def payments(self) -> ColumnElement[bool]:
        """Its payments."""
        return and_(
            Payment.merchant_id == self.merchant_id,
            Payment.scenario == self.scenario,
            Payment.account_id == self.account_id,
        )

    def has(self, payment: Payment) -> bool:
        """Whether a payment was opened here."""
        return (payment.merchant_id, payment.scenario, payment.account_id) == (
            self.merchant_id, self.scenario, self.account_id
        )  # fmt: skip


_SHOP = (Payment.merchant_id, Payment.scenario, Payment.account_id)


def first_payments(session: Session) -> Iterator[tuple[ShopKey, datetime]]:
    """Every shop that was ever paid at, and since when: from shop to shop along an index, not past every payment."""
    found = select(*_SHOP, Payment.started_at).order_by(*_SHOP, Payment.started_at).limit(1)
    key = ("", "", "")
    while row := session.execute(found.where(tuple_(*_SHOP) > key)).one_or_none():
        *shop, since = row
        key = (shop[0], shop[1], shop[2])
        yield ShopKey(*key), since


@dataclass(frozen=True)
class Totals:
    """Kopecks and payments of a day by our ledger."""

    payments: int
    taken: int
    returned: int


def bring_back(tx: Transaction, told: Sequence[PaymentFacts], now: datetime) -> None:
    """Those of them that rest in the archive are compared as all others."""
    names = {name for facts in told for name in (facts.provider_payment_id, facts.metadata.get("payment", ""))}
    archive.bring_back_payments(tx, names, now)


def bring_back_day(database: Database, shop: ShopKey, day: Day, now: datetime) -> None:
    """Of a day whose orders rest, those of its merchant: some at a time."""
    while database.transact(_bring_back_some, shop, day, now):
        pass


def _bring_back_some(tx: Transaction, shop: ShopKey, day: Day, now: datetime) -> bool:
    resting = archived_books.names(tx.session, ArchivedOrder.merchant_id == shop.merchant_id, day.start, day.end, BATCH)
    return bool(resting and archive.bring_back(tx, resting, now))


def known(session: Session, told: Sequence[PaymentFacts]) -> tuple[dict[str, Payment], dict[str, Payment]]:
    """Our payments among these: by the provider's id, and by the mark that names our attempt."""
    ids = [facts.provider_payment_id for facts in told]
    marks = [mark for facts in told if (mark := facts.metadata.get("payment"))]
    rows = session.scalars(
        select(Payment).where(or_(Payment.provider_payment_id.in_(ids), Payment.id.in_(marks)))
    ).all()
    return {row.provider_payment_id: row for row in rows if row.provider_payment_id}, {row.id: row for row in rows}


def of_provider(session: Session, provider_ids: Sequence[str]) -> dict[str, Payment]:
    """Our payments by the provider's ids of them."""
    rows = session.scalars(select(Payment).where(Payment.provider_payment_id.in_(provider_ids)))
    return {row.provider_payment_id: row for row in rows if row.provider_payment_id}


def payments_begun(database: Database, shop: ShopKey, day: Day) -> Iterator[Sequence[Payment]]:
    """The shop's payments that the provider has given an id, begun on the day."""
    place = tuple_(Payment.started_at, Payment.id)
    last = (day.start, "")
    while True:
        with database.read() as session:
            found = select(Payment).where(
                shop.payments, _in(Payment.started_at, day), Payment.provider_payment_id.is_not(None), place > last
            )  # fmt: skip
            rows = session.scalars(found.order_by(Payment.started_at, Payment.id).limit(BATCH)).all()
        if not rows:
            return
        last = (rows[-1].started_at, rows[-1].id)
        yield rows


def returns_booked(database: Database, shop: ShopKey, day: Day) -> Iterator[Sequence[tuple[Movement, Payment]]]:
    """The returns our ledger took in on the day, with their payments."""
    place = tuple_(Movement.at, Movement.id)
    last = (day.start, 0)
    while True:
        with database.read() as session:
            found = select(Movement).where(_IS_REFUND, _in(Movement.at, day), _of_payment_of(shop), place > last)
            movements = session.scalars(found.order_by(Movement.at, Movement.id).limit(BATCH)).all()
            returned = select(Payment).where(Payment.id.in_({movement.payment_id for movement in movements}))
            payments = {payment.id: payment for payment in session.scalars(returned)}
        rows = [(movement, payments[movement.payment_id]) for movement in movements]
        if not rows:
            return
        last = (rows[-1][0].at, rows[-1][0].id)
        yield rows


def booked_returns(session: Session, payment_ids: Sequence[str]) -> dict[tuple[str, str], int]:
    """Kopecks our ledger has for each payment and refund id."""
    found = select(Movement.payment_id, Movement.reference, Movement.amount)
    rows = session.execute(found.where(Movement.kind == "refunded", Movement.payment_id.in_(payment_ids)))
    return {(payment_id, reference): amount for payment_id, reference, amount in rows}


def totals(session: Session, shop: ShopKey, day: Day) -> Totals:
    """What the day's payments brought, and what went back on the day."""
    taken = select(func.count(), func.coalesce(func.sum(Payment.captured), 0))
    payments, captured = session.execute(taken.where(shop.payments, _in(Payment.started_at, day))).one()
    back = select(func.coalesce(func.sum(Movement.amount), 0))
    returned = session.scalar(back.where(_IS_REFUND, _in(Movement.at, day), _of_payment_of(shop)))
    return Totals(int(payments), int(captured), int(returned or 0))


def poured_without_money(session: Session, shop: ShopKey, day: Day) -> list[Finding]:
    """Orders that were poured and whose money is gone: what we or people gave back, or what was lost.

    Those begun on the day, and those of which the later of the two happened then, cup or loss, however old they are.
    """
    other = aliased(Payment)
    has_money = exists().where(
        other.order_id == Order.id, or_(other.state == PaymentState.HELD.value, other.captured > other.refunded)
    )
    poured = Order.status == Status.SUCCESSFUL.value
    begun = (
        select(Order.id)
        .join(Payment, Payment.order_id == Order.id)
        .where(shop.payments, _in(Payment.started_at, day), poured, or_(Order.goodwill, ~has_money))
        .distinct()
    )
    went = Movement.kind.in_(_GONE), _in(Movement.at, day), _of_payment_of(shop)
    given_back = select(Order.id).where(Order.merchant_id == shop.merchant_id, Order.goodwill, poured)
    lost = given_back.where(exists().where(Movement.order_id == Order.id, *went))
    ended = given_back.where(_in(Order.finished_at, day))
    orders = {order_id for found in (begun, lost) for order_id in session.scalars(found.limit(BATCH))}
    perhaps = set(session.scalars(ended.limit(BATCH)))  # at whichever shop: SQLite would walk all payments of this one
    payments = defaultdict[str, list[Payment]](list)
    for payment in session.scalars(select(Payment).where(Payment.order_id.in_(orders | perhaps)).order_by(Payment.id)):
        payments[payment.order_id].append(payment)
        if payment.order_id in perhaps and payment.paid_at is not None and shop.has(payment):
            orders.add(payment.order_id)
    returned = select(OutboxRow.subject).where(
        OutboxRow.order_id.in_(orders), OutboxRow.task.in_([task.value for task in RETURNS]), OutboxRow.verdict == DONE
    )
    sent_back = set(session.scalars(returned))
    return [_poured(order_id, payments[order_id], sent_back) for order_id in sorted(orders)]


def _poured(order_id: str, payments: Sequence[Payment], sent_back: Collection[str]) -> Finding:
    """By the payment that paid: a second one that went back as one too many is no gift."""
    paid = paying_payment(payments) or payments[-1]
    if paid.id not in sent_back and not paid.refunded:
        return Finding(Kind.POURED_NOT_PAID, order_id, order_id, paid.id, here=paid.amount)
    back = paid.refunded if paid.captured else paid.amount
    return Finding(Kind.GOODWILL, order_id, order_id, paid.id, here=back)


def unsettled_money(session: Session, shop: ShopKey, now: datetime, *, can_be_asked: bool) -> list[Finding]:
    """The shop's money, of whatever day, that nothing moves, or that has been on its way for long."""
    account = (shop.merchant_id, shop.scenario, shop.account_id)
    waiting = each_at_risk(session, now, account, frozenset() if can_be_asked else frozenset({account}))
    return [
        _waiting(money, now)
        for money in waiting
        if money.action is Next.PERSON or (now - money.since).total_seconds() >= STUCK_AFTER_S
    ]


def _waiting(money: MoneyAtRisk, now: datetime) -> Finding:
    if not money.has_credential:
        kind = Kind.NOBODY_TO_ASK
    elif money.state in {PaymentState.CREATING, PaymentState.PENDING}:
        kind = Kind.STUCK
    else:
        kind = Kind.HOLD_OPEN if money.state is PaymentState.HELD else Kind.RETURN_OPEN
    in_hand = money.action is not Next.PERSON and (now - money.since).total_seconds() < LATE_S
    refused = f", refused {money.refusals} times" if money.refusals else ""
    words = f"since {money.since:%Y-%m-%d %H:%M} UTC, next: {money.action.value}{refused}"
    return Finding(
        kind, money.payment_id, money.order_id, money.payment_id, money.provider_payment_id, money.device_uuid,
        here=money.kopecks, detail=words, excused=in_hand,
    )  # fmt: skip


def _of_payment_of(shop: ShopKey) -> ColumnElement[bool]:
    return exists().where(Payment.id == Movement.payment_id, shop.payments)


def _in(
    column: InstrumentedAttribute[datetime] | InstrumentedAttribute[datetime | None], day: Day
) -> ColumnElement[bool]:
    return and_(column >= day.start, column < day.end)
