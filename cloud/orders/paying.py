"""Use cases of a payment: start it, record what the provider says of it. Each runs in the caller's transaction.

Only a `PaymentAnswer` is believed: it comes from our own questions to the provider (promise 5).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from sqlalchemy import update

from cloud.database.plain_rows import fresh
from cloud.database.transaction import Transaction
from cloud.orders import making, order_tasks, receipts, restored_order, unpaid
from cloud.orders.carriers import lane_of
from cloud.orders.commissions import record_income
from cloud.orders.ledger import record, record_refund
from cloud.orders.locked_order import LockedOrder, lock_order, lock_order_of_payment
from cloud.orders.models import Order, Payment
from cloud.orders.money import PaymentAnswer, PaymentState, moves_forward
from cloud.orders.order_limits import OrderLimits, seconds
from cloud.orders.owed_tasks import awaits_manual_return, settle_money
from cloud.orders.states import EXPIRED, PAYABLE, Event, Status
from cloud.orders.status_change import add_note, apply_event, log, mark_changed
from cloud.orders.tasks import Lane, Task

FINAL_STATES = frozenset({PaymentState.CAPTURED, PaymentState.CANCELED, PaymentState.REFUSED})


PROVIDER_FINAL_S = 65 * 60.0
"""By then the provider has canceled a payment nobody made (its hour, and some); asked about once even if not polled."""


POLLS_OF_AGE = 20.0
"""A page open for long is asked about each twentieth of its age: most buyers pay within a minute, or never."""


BY_HAND_CHECK_S = 3600.0
"""How often to ask about a payment whose money a person returns where we cannot."""


class NotPayable(Exception):
    """The order cannot be paid (any more); `expired` tells whether time was the reason."""

    def __init__(self, order: Order, expired: bool) -> None:
        super().__init__(f"order is {'expired' if expired else order.status}")
        self.expired = expired


@dataclass(frozen=True)
class Account:
    """Where a payment is opened, and how it is followed."""

    scenario: str
    account_id: str
    capture: str
    status_check: str


def start_payment(
    tx: Transaction, order_id: str, account: Account, payment_id: str, now: datetime
) -> tuple[Payment, bool]:
    """Start the order's payment; return it and whether it is new. A second press finds the first payment.

    Raises `NotPayable`. The unique index on live payments holds even against code that forgets to ask.
    """
    locked = lock_order(tx, order_id)
    order = locked.order
    open_payment = next((payment for payment in locked.payments if payment.live), None)
    if order.status == Status.PENDING and open_payment is not None:
        return open_payment, False
    if Status(order.status) not in PAYABLE or open_payment is not None:
        raise NotPayable(order, expired=order.status == Status.FAILED and order.reason == EXPIRED)
    if now >= order.expires_at:
        raise NotPayable(order, expired=True)
    payment = fresh(
        Payment, id=payment_id, order_id=order_id, merchant_id=order.merchant_id, scenario=account.scenario,
        account_id=account.account_id, capture=account.capture, status_check=account.status_check,
        amount=order.price, state=PaymentState.CREATING.value, live=True, started_at=now,
    )  # fmt: skip
    locked.add(payment)
    apply_event(locked, Event.PAYMENT_STARTED, "buyer", now)
    order_tasks.add_task(locked, Task.CREATE, create_key(payment_id), payment_id, now, order.price)
    return payment, True


def create_key(payment_id: str) -> str:
    """The key of the task that opens a payment, at the provider too."""
    return f"pay-{payment_id}"


def record_payment_refused(tx: Transaction, payment_id: str, why: str, now: datetime) -> None:
    """Record that the provider certainly opened nothing."""
    locked, payment = lock_order_of_payment(tx, payment_id)
    if not moves_forward(PaymentState(payment.state), PaymentState.REFUSED) or payment.provider_payment_id:
        return
    payment.state, payment.live, payment.next_check_at = PaymentState.REFUSED.value, False, None
    payment.cancel_reason = why[:64]
    apply_event(
        locked, Event.PAYMENT_REFUSED, "provider", now, reason=why if why == EXPIRED else f"refused:{why}"[:128]
    )


def record_payment_answer(
    tx: Transaction,
    payment_id: str,
    answer: PaymentAnswer,
    rules: OrderLimits,
    now: datetime,
    refunds: Mapping[str, int] | None = None,
) -> None:
    """Record what the provider says now, whatever the order's status, be it late, early or repeated (promise 7).

    `refunds` are those that succeeded there, kopecks by id; None: they were not asked for. A capture and its refunds
    are recorded together or not at all: nothing is poured for, or owed of, what has gone back already.
    """
    locked, payment = lock_order_of_payment(tx, payment_id)
    _note_answer(payment, answer)
    payment.checks = 0
    payment.key_refused = False
    if refunds is None and answer.refunded > payment.refunded:
        # Without its refunds this answer would have us pour for, or owe, what has gone back: ask again, with them.
        payment.next_check_at = now
        return
    before = PaymentState(payment.state)
    moves = moves_forward(before, answer.state, had_money=payment.paid_at is not None)
    if moves:
        payment.state = answer.state.value
        facts = {"order_id": locked.order.id, "payment": payment.id, "provider_payment": payment.provider_payment_id}
        tx.log_after_commit(log.info, "payment %s -> %s", before.value, answer.state.value, extra=facts)
        _take_in(locked, payment, before, answer, now)
        mark_changed(locked)
    went_back = _enter_refunds(locked, payment, refunds or {}, now)
    if moves and answer.state in {PaymentState.HELD, PaymentState.CAPTURED} and payment.paid_at is None:
        payment.paid_at = now
        _apply_money(locked, payment, answer, rules, now)
    if moves or went_back:
        settle_money(locked, now)
    if payment.state == PaymentState.CAPTURED:
        record_income(tx, payment.id, payment.captured, answer.income, now)
    if payment.next_check_at is None or payment.next_check_at > now:  # a hint not yet followed stays
        payment.next_check_at = next_check(payment, rules, now) or _until_it_is_back(locked, payment, now)


def record_refund_succeeded(tx: Transaction, payment_id: str, refund_id: str, amount: int, now: datetime) -> None:
    """Record a refund that succeeded at the provider, ours or made by people in its cabinet."""
    locked, payment = lock_order_of_payment(tx, payment_id)
    if _enter_refunds(locked, payment, {refund_id: amount}, now):
        settle_money(locked, now)


def adopt(tx: Transaction, payment_id: str, provider_payment_id: str, ask_at: datetime) -> Payment:
    """Give a payment whose opening was never answered its id at the provider, and ask about it, refunds and all."""
    _, payment = lock_order_of_payment(tx, payment_id)
    payment.provider_payment_id, payment.next_check_at = provider_payment_id, ask_at
    return payment


def adopt_second(
    tx: Transaction, payment_id: str, provider_payment_id: str, ask_at: datetime, now: datetime
) -> Payment:
    """Add to the order another payment that the provider has under this one's name, and ask about it.

    The first to bring money pays the order, what the other brings goes back. A repeated call finds the payment.
    """
    locked, first = lock_order_of_payment(tx, payment_id)
    known = next((one for one in locked.payments if one.provider_payment_id == provider_payment_id), None)
    if known is not None:
        return adopt(tx, known.id, provider_payment_id, ask_at)
    second = fresh(
        Payment, id=sha256(f"{payment_id} {provider_payment_id}".encode()).hexdigest()[:32], order_id=first.order_id,
        merchant_id=first.merchant_id, scenario=first.scenario, account_id=first.account_id, capture=first.capture,
        status_check=first.status_check, amount=first.amount, state=PaymentState.PENDING.value,
        live=not any(one.live for one in locked.payments), provider_payment_id=provider_payment_id,
        started_at=first.started_at, next_check_at=ask_at,
    )  # fmt: skip
    locked.add(second)
    evidence = {"adopted": provider_payment_id}
    if locked.order.status == Status.NOT_PAID:
        apply_event(locked, Event.PAYMENT_STARTED, "provider", now, evidence=evidence)
    else:
        add_note(locked, "payment_adopted", "provider", now, evidence=evidence)
    facts = {"order_id": first.order_id, "payment": second.id, "provider_payment": provider_payment_id}
    tx.log_after_commit(log.warning, "a second payment under one name is taken in", extra=facts)
    return second


def ask_soon(tx: Transaction, payment_id: str, now: datetime) -> None:
    """Ask the provider about this payment, final or not: something casts doubt on what we hold of it."""
    lock_order_of_payment(tx, payment_id)[1].next_check_at = now


def ask_all_now(tx: Transaction, now: datetime) -> None:
    """Ask now about every payment still asked about: the process that asked may have died with the answer."""
    tx.session.execute(update(Payment).where(Payment.next_check_at > now).values(next_check_at=now))


def record_check_failed(
    tx: Transaction, payment_id: str, next_check_at: datetime, key_refused: bool | None = None
) -> None:
    """Record that the provider could not be asked; nothing follows from that but another try.

    `key_refused` is what it said of our key; None when it said nothing.
    """
    _, payment = lock_order_of_payment(tx, payment_id)
    payment.checks += 1
    payment.key_refused = payment.key_refused if key_refused is None else key_refused
    payment.next_check_at = next_check_at


def postpone_check(tx: Transaction, payment_id: str, next_check_at: datetime) -> None:
    """Ask later: we held the question back ourselves, so no check is counted."""
    lock_order_of_payment(tx, payment_id)[1].next_check_at = next_check_at


def next_check(payment: Payment, rules: OrderLimits, now: datetime) -> datetime | None:
    """When to ask about this payment again: often while the buyer waits, slowly after, never once it is final."""
    if PaymentState(payment.state) in FINAL_STATES:
        return None
    if payment.status_check == "none":
        return max(payment.started_at + seconds(PROVIDER_FINAL_S), now + seconds(rules.payment_poll_slow_s))
    fast = payment.status_check == "polling" and payment.state != PaymentState.HELD
    age_s = (now - payment.started_at).total_seconds()
    if not fast or age_s >= rules.fast_track_s:
        return now + seconds(rules.payment_poll_slow_s)
    growing = max(rules.payment_poll_fast_s, age_s / POLLS_OF_AGE)
    return now + seconds(min(growing, rules.payment_poll_slow_s))


def _note_answer(payment: Payment, answer: PaymentAnswer) -> None:
    """Keep what the answer adds; what was known and is not said again stays."""
    payment.provider_payment_id = payment.provider_payment_id or answer.provider_payment_id
    payment.confirmation_url = answer.confirmation_url or payment.confirmation_url
    payment.method = answer.method or payment.method
    if payment.paid_at is None:  # what fitted stays so: people may take a part of a hold, or let one go
        payment.problem = payment.problem or answer.problem
    payment.hold_expires_at = answer.hold_expires_at or payment.hold_expires_at


def _until_it_is_back(locked: LockedOrder, payment: Payment, now: datetime) -> datetime | None:
    """When to ask whether the money is back: a person who returns it by hand need not tell us."""
    return now + timedelta(seconds=BY_HAND_CHECK_S) if awaits_manual_return(locked, payment) else None


def _enter_refunds(locked: LockedOrder, payment: Payment, refunds: Mapping[str, int], now: datetime) -> bool:
    """Record every refund that succeeded there, before anything is owed; return whether one was new."""
    new = {key: amount for key, amount in refunds.items() if record_refund(locked, payment, key, amount, now)}
    for refund_id, amount in new.items():
        facts = {"order_id": locked.order.id, "kopecks": amount}
        locked.tx.log_after_commit(log.info, "refunded", extra=facts)
        receipts.expect_refund(locked.tx, payment.id, refund_id, amount, now)
    if new:
        mark_changed(locked)
        unpaid.stop_what_nobody_pays_for(locked, now)
    return bool(new)


def _take_in(locked: LockedOrder, payment: Payment, before: PaymentState, answer: PaymentAnswer, now: datetime) -> None:
    """Record in the ledger what a new state of the payment means."""
    if answer.state is PaymentState.CANCELED:
        _record_canceled(locked, payment, before, answer, now)
        return
    if answer.state is PaymentState.CAPTURED:
        payment.captured = answer.captured
        record(locked, payment, "captured", answer.captured, now)
    elif answer.state is PaymentState.HELD:
        record(locked, payment, "held", payment.amount, now)


def _apply_money(
    locked: LockedOrder, payment: Payment, answer: PaymentAnswer, rules: OrderLimits, now: datetime
) -> None:
    """Move the order by the first money of a payment."""
    order = locked.order
    if payment.problem:
        wrong = {"order_id": order.id}
        locked.tx.log_after_commit(log.error, "money does not fit the order: %s", payment.problem, extra=wrong)
        apply_event(locked, Event.PAYMENT_WRONG, "provider", now, reason=f"wrong_{payment.problem}")
        return
    if 0 < answer.captured <= answer.refunded:  # by a person in the cabinet, before we heard of it at all
        apply_event(locked, Event.PAYMENT_WRONG, "provider", now, reason="returned")
        return
    in_time = now - payment.started_at <= seconds(rules.fast_track_s)
    order.paid_at = order.paid_at or now
    if order.restored_at is not None and not _pours_since_restore(locked, payment, order.restored_at, in_time):
        restored_order.mark_uncertain(locked, rules, now)
    elif apply_event(locked, Event.PAID_IN_TIME if in_time else Event.PAID_LATE, "provider", now):
        if in_time:
            making.pour_what_is_paid(locked, rules, now)
        else:
            order.due_at = now + seconds(rules.manual_make_s)


def _pours_since_restore(locked: LockedOrder, payment: Payment, restored_at: datetime, in_time: bool) -> bool:
    """Whether a command may follow though it may have been carried out: an agent knows one that comes again.

    Tmetr pours it again, and a closed machine gets none that its agent could answer: there only a payment begun since
    the restore goes the usual way.
    """
    is_safe = payment.started_at >= restored_at or (lane_of(locked) is Lane.MQTT and not locked.is_closed)
    return in_time and is_safe and locked.order.status == Status.PENDING and locked.order.drink_no != ""


def _record_canceled(
    locked: LockedOrder, payment: Payment, before: PaymentState, answer: PaymentAnswer, now: datetime
) -> None:
    """End a payment the provider has canceled; a hold of it is gone."""
    payment.live = False
    payment.cancel_reason = answer.cancel_reason
    if before is PaymentState.HELD:
        record(locked, payment, "canceled", payment.amount, now)
        if locked.order.status == Status.SUCCESSFUL:
            locked.tx.log_after_commit(log.error, "poured, but the hold is gone", extra={"order_id": locked.order.id})
        unpaid.stop_what_nobody_pays_for(locked, now)
    else:
        apply_event(locked, Event.PAYMENT_CANCELED, "provider", now, reason=answer.cancel_reason)
