"""Use cases after a restore: what was open may have ended since the backup, and what was paid since is missing.

`begin_restores` runs before any program works; `adopt` takes in what a provider lists under our own marks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, case, func, or_, select, text, union, update

from cloud.access import sessions
from cloud.database.plain_rows import fresh
from cloud.database.transaction import Transaction
from cloud.fleet import accounts
from cloud.fleet.models import Device, Drink
from cloud.orders import archive, paying, restored_order
from cloud.orders.locked_order import LockedOrder, LockedOrders, UnknownOrder, lock_order
from cloud.orders.models import NOT_EARNED, UNFINISHED, Order, Payment
from cloud.orders.money import PaymentState
from cloud.orders.order_limits import OrderLimits, seconds
from cloud.orders.outbox import MAY_BE_DONE, OutboxRow
from cloud.orders.restores import Restore, add_shops
from cloud.orders.states import ON_ITS_WAY, PAYABLE, Event, Status, values_of
from cloud.orders.status_change import add_note, apply_event, begin_history, log

_GOES_ON = values_of({Status.CREATED, Status.PENDING} | ON_ITS_WAY)
"""In these provider or machine tells the rest; one in `manual_make` may have been poured since, and is uncertain."""
AT_ONCE = 50
"""Orders marked in one transaction: another program that starts waits so long for the restore's row, and no longer."""
LATELY = timedelta(days=7)
"""Before the backup, as long as a hold lives: of what ended then the machine may have told since."""


class UnknownMachine(LookupError):
    """The order's machine is not in this database."""


@dataclass(frozen=True)
class Listed:
    """A payment with our marks, as its provider lists it, and where."""

    order_id: str
    payment_id: str
    device_uuid: str
    provider_payment_id: str
    amount: int
    created_at: datetime
    account: accounts.Account
    capture: str
    """How the shop takes money now; the payment itself says only whether it is held."""
    drink_no: str = ""
    size: int = 0


def note_restore(tx: Transaction, as_of: datetime, now: datetime) -> None:
    """Record that this database is as it was at `as_of`."""
    tx.session.add(Restore(as_of=as_of, restored_at=now))


def begin_restores(tx: Transaction, rules: OrderLimits, now: datetime) -> bool:
    """Mark some of what may have gone on since the backup; return whether all of it is marked. Safe to repeat.

    Everybody is logged out: a session ended since, or a person barred since, is forgotten.
    """
    for restore in tx.session.scalars(select(Restore).where(Restore.begun_at.is_(None)).with_for_update()).all():
        _believe_no_sending(tx, restore)
        _mark_open_orders(tx, restore)
        some = _uncertain_orders(tx, restore)
        for order_id in some:
            _mark_uncertain(lock_order(tx, order_id), restore, rules, now)
        if len(some) == AT_ONCE:
            return False
        paying.ask_all_now(tx, now)
        add_shops(tx, restore, now)
        sessions.end_all(tx, now)
        restore.begun_at = now
    return True


def _believe_no_sending(tx: Transaction, restore: Restore) -> None:
    """Treat every task that was open then as possibly done since."""
    tx.session.execute(
        update(OutboxRow)
        .where(OutboxRow.settled_at.is_(None), OutboxRow.created_at < restore.restored_at)
        .where(or_(~MAY_BE_DONE, OutboxRow.claimed_until.is_not(None), OutboxRow.first_tried_at.is_(None)))
        .values(
            claimed_by="", claimed_until=None,
            attempts=case((MAY_BE_DONE, OutboxRow.attempts), else_=OutboxRow.attempts + 1),
            first_tried_at=func.coalesce(OutboxRow.first_tried_at, OutboxRow.created_at),
        )
        .execution_options(synchronize_session=False)
    )  # fmt: skip


def _mark_open_orders(tx: Transaction, restore: Restore) -> None:
    retried = and_(Order.status == Status.NOT_PAID.value, Order.expires_at > restore.as_of)
    tx.session.execute(
        update(Order)
        .where(or_(Order.status.in_(_GOES_ON), retried), _is_unmarked(restore))
        .values(restored_at=restore.restored_at)
        .execution_options(synchronize_session=False)
    )


def _uncertain_orders(tx: Transaction, restore: Restore) -> Sequence[str]:
    """Some of the orders whose end was ours to find, and may have been found since; each way by an index."""
    found = select(Order.id).where(_is_unmarked(restore))
    uncertain = found.where(Order.status == Status.MAKE_FAILED.value, Order.uncertain)
    has_money = (Order.id.in_(select(Payment.order_id).where(text(money))) for money in (UNFINISHED, NOT_EARNED))
    ways = [
        found.where(Order.status == Status.MANUAL_MAKE.value),
        uncertain.where(Order.created_at > restore.as_of - LATELY),
        *(uncertain.where(has) for has in has_money),
    ]
    some = union(*ways).subquery()
    return tx.session.scalars(select(some.c.id).order_by(some.c.id).limit(AT_ONCE)).all()


def _is_unmarked(restore: Restore) -> ColumnElement[bool]:
    return or_(Order.restored_at.is_(None), Order.restored_at != restore.restored_at)


def _mark_uncertain(locked: LockedOrder, restore: Restore, rules: OrderLimits, now: datetime) -> None:
    locked.order.restored_at = restore.restored_at
    add_note(locked, "database_restored", "clock", now, evidence={"as_of": restore.as_of.isoformat()})
    restored_order.mark_uncertain(locked, rules, now)
    for payment in locked.payments:
        if payment.provider_payment_id:
            payment.next_check_at = now


def adopt(tx: Transaction, listed: Listed, rules: OrderLimits, now: datetime) -> None:
    """Take in a payment that our database has forgotten, and its order; the provider is asked what became of it.

    Raises `UnknownMachine`.
    """
    archive.bring_back_payments(tx, [listed.payment_id])
    if tx.session.get(Payment, listed.payment_id) is not None:
        paying.adopt(tx, listed.payment_id, listed.provider_payment_id, now)
        return
    try:
        locked = lock_order(tx, listed.order_id)
    except UnknownOrder:
        locked = _forgotten_order(tx, listed, rules, now)
    order = locked.order
    order.restored_at = order.restored_at or now
    has_live = any(payment.live for payment in locked.payments)
    locked.add(_forgotten_payment(listed, order, is_live=not has_live, now=now))
    if order.status in PAYABLE:
        apply_event(locked, Event.PAYMENT_STARTED, "provider", now, evidence={"adopted": listed.provider_payment_id})
    else:
        add_note(locked, "payment_adopted", "provider", now, evidence={"adopted": listed.provider_payment_id})
    facts = {"order_id": order.id, "device": order.device_uuid, "provider_payment": listed.provider_payment_id}
    tx.log_after_commit(log.warning, "payment of a forgotten time adopted", extra=facts)


def _forgotten_order(tx: Transaction, listed: Listed, rules: OrderLimits, now: datetime) -> LockedOrder:
    device = tx.session.get(Device, listed.device_uuid)
    if device is None:
        raise UnknownMachine(listed.device_uuid)
    drink = tx.session.get(Drink, (listed.device_uuid, listed.drink_no))
    merchant_id, scenario, _ = listed.account
    order = fresh(
        Order, id=listed.order_id, device_uuid=device.device_uuid, merchant_id=merchant_id,
        drink_no=listed.drink_no, drink_name=drink.name if drink is not None else listed.drink_no, size=listed.size,
        price=listed.amount, is_test=device.status == "test", payment_scenario=scenario,
        status=Status.CREATED.value, created_at=listed.created_at,
        expires_at=listed.created_at + seconds(rules.order_expiration_s),
    )  # fmt: skip
    locked = tx.part(LockedOrders).create(order, device.control)
    begin_history(locked, "adopted", "provider", now, evidence={"adopted": listed.provider_payment_id})
    return locked


def _forgotten_payment(listed: Listed, order: Order, *, is_live: bool, now: datetime) -> Payment:
    merchant_id, scenario, account_id = listed.account
    return fresh(
        Payment, id=listed.payment_id, order_id=order.id, merchant_id=merchant_id, scenario=scenario,
        account_id=account_id, capture=listed.capture, status_check="polling", amount=order.price,
        state=PaymentState.PENDING.value, live=is_live, provider_payment_id=listed.provider_payment_id,
        started_at=listed.created_at, next_check_at=now,
    )  # fmt: skip
