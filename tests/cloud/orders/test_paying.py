"""A payment's life: one live at a time, any news in any order, every odd kopeck on its way back."""

import threading
from collections.abc import Collection
from datetime import datetime, timedelta

import pytest
from pytest_mock import MockerFixture
from sqlalchemy import insert, update
from sqlalchemy.exc import IntegrityError

from cloud.database.transaction import Transaction
from cloud.orders import order_tasks, paying
from cloud.orders.locked_order import LockedOrder, UnknownOrder
from cloud.orders.models import Movement, Order, Payment
from cloud.orders.money import PaymentState, moves_forward
from cloud.orders.outbox import Lease, OutboxRow, claim
from cloud.orders.paying import Account, NotPayable
from cloud.orders.states import PAYABLE, Status
from cloud.orders.tasks import Lane, Task
from protocol.reasons import Result
from tests.cloud.worlds import ACCOUNT, ONE_STAGE, PRICE, START, World

pytestmark = pytest.mark.any_database

P = PaymentState
RETURNS = (Task.CANCEL, Task.REFUND)


def next_check_in(world: World, order_id: str) -> float | None:
    at = world.payment(order_id).next_check_at
    return None if at is None else (at - world.now).total_seconds()


def test_starting_a_payment_writes_it_and_its_call_down(world: World) -> None:
    order_id = world.scan()
    world.start(order_id)
    assert world.status(order_id) == "pending"
    payment = world.payment(order_id)
    assert (payment.state, payment.amount, payment.live, payment.account_id) == ("creating", PRICE, True, ACCOUNT)
    [create] = world.rows(order_id)
    assert (create.task, create.key, create.amount) == ("create", f"pay-{payment.id}", PRICE)


def test_a_second_press_finds_the_first_payment(world: World) -> None:
    order_id = world.scan()
    first = world.start(order_id)
    assert world.start(order_id) == first
    world.tell(first, P.PENDING)
    assert world.start(order_id) == first
    assert len(world.rows(order_id, Task.CREATE)) == 1


@pytest.mark.both_databases
def test_two_presses_at_once_open_one_payment(world: World) -> None:
    order_id = world.scan()
    gate, opened = threading.Barrier(6), list[str]()

    def press() -> None:
        gate.wait()
        opened.append(world.start(order_id))

    threads = [threading.Thread(target=press) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(opened) == 6
    assert len(set(opened)) == 1
    assert len(world.rows(order_id, Task.CREATE)) == 1


@pytest.mark.parametrize("status", [status for status in Status if status not in PAYABLE | {Status.PENDING}])
def test_an_order_that_is_not_payable_is_not_paid_again(world: World, status: Status) -> None:
    order_id = world.bring_to(status)
    with pytest.raises(NotPayable) as refused:
        world.start(order_id)
    assert refused.value.expired is (status is Status.FAILED)
    assert world.status(order_id) == status


@pytest.mark.parametrize("status", sorted(PAYABLE))
def test_an_order_with_an_open_payment_is_refused_another_whatever_its_status(world: World, status: Status) -> None:
    """In words the buyer is shown, not by the index that would forbid it."""
    order_id = world.scan()
    world.start(order_id)
    astray = update(Order).where(Order.id == order_id).values(status=status.value)
    world.database.transact(lambda tx: tx.session.execute(astray))
    with pytest.raises(NotPayable):
        world.start(order_id)


def test_an_order_past_its_time_is_not_paid(sqlite_world: World) -> None:
    order_id = sqlite_world.scan()
    sqlite_world.clock.advance(900)
    with pytest.raises(NotPayable) as refused:
        sqlite_world.start(order_id)
    assert refused.value.expired


def test_a_paid_order_whose_drink_came_too_late_is_not_called_expired(sqlite_world: World) -> None:
    order_id = sqlite_world.pay()
    sqlite_world.report(order_id, Result.REJECTED, "expired")
    with pytest.raises(NotPayable) as refused:
        sqlite_world.start(order_id)
    assert not refused.value.expired


def test_an_order_nobody_knows_is_not_paid(sqlite_world: World) -> None:
    with pytest.raises(UnknownOrder):
        sqlite_world.start("nobody's")


def test_a_declined_buyer_may_try_again_with_a_new_payment(world: World) -> None:
    order_id = world.bring_to(Status.NOT_PAID)
    assert world.payment(order_id).cancel_reason == "insufficient_funds"
    world.clock.advance(1)
    second = world.start(order_id)
    world.tell(second, P.HELD)
    assert world.status(order_id) == "paid"
    assert len(world.rows(order_id, Task.CREATE)) == 2


@pytest.mark.both_databases
def test_the_database_itself_refuses_a_second_live_payment(world: World) -> None:
    order_id = world.scan()
    world.start(order_id)

    def careless(tx: Transaction) -> None:
        tx.session.execute(
            insert(Payment).values(
                id="second", order_id=order_id, merchant_id="north", scenario="Yookassa", account_id=ACCOUNT,
                capture="immediate", status_check="polling", amount=1, state="creating", live=True, started_at=START,
                confirmation_url="", method="", cancel_reason="", problem="", captured=0, refunded=0, checks=0,
            )
        )  # fmt: skip

    with pytest.raises(IntegrityError):
        world.database.transact(careless)


def test_money_seen_in_time_is_poured_by_itself_and_later_waits_for_a_person(world: World) -> None:
    quick, slow = world.scan(), world.scan()
    first, second = world.start(quick), world.start(slow)
    world.clock.advance(300)
    world.tell(first, P.HELD)
    world.clock.advance(1)
    world.tell(second, P.HELD)
    assert (world.status(quick), world.status(slow)) == ("paid", "manual_make")
    assert world.order(slow).due_at == world.now + timedelta(seconds=1800)
    assert world.rows(slow, Task.MAKE) == []


@pytest.mark.parametrize("state", [P.HELD, P.CAPTURED])
def test_money_after_the_orders_expiry_is_neither_kept_nor_lost(world: World, state: P) -> None:
    order_id = world.scan()
    payment_id = world.start(order_id)
    world.wait(3000)
    assert world.status(order_id) == "pending", "the provider keeps a payment open for an hour"
    world.tell(payment_id, state)
    assert world.status(order_id) == "manual_make"
    world.wait(1801)
    order = world.order(order_id)
    assert (order.status, order.reason, order.uncertain) == ("make_failed", "expired", False)
    assert world.open_tasks(order_id, *RETURNS) == ["cancel" if state is P.HELD else "refund"]


def test_old_news_after_new_and_the_same_twice_change_nothing(world: World) -> None:
    order_id = world.pay(account=ONE_STAGE)
    version = world.order(order_id).version
    payment_id = world.payment(order_id).id
    for state in (P.PENDING, P.HELD, P.CAPTURED, P.PENDING, P.CANCELED):
        world.tell(payment_id, state)
    assert world.order(order_id).version == version
    assert world.payment(order_id).state == "captured"
    assert world.ledger(order_id) == {"captured": PRICE}
    assert len(world.commands(order_id)) == 1


def test_news_before_the_create_was_answered_counts(world: World) -> None:
    order_id = world.scan()
    payment_id = world.start(order_id)
    world.tell(payment_id, P.HELD)
    assert world.status(order_id) == "paid"
    world.tell(payment_id, P.PENDING, confirmation_url="https://pay.example.org/1")
    assert world.status(order_id) == "paid"
    assert world.payment(order_id).state == "held"


@pytest.mark.parametrize("state", [P.HELD, P.CAPTURED])
def test_money_that_does_not_fit_fails_the_order_and_goes_back(world: World, state: P) -> None:
    order_id = world.scan()
    payment_id = world.start(order_id)
    world.tell(payment_id, state, problem="amount", captured=5 if state is P.CAPTURED else 0)
    order = world.order(order_id)
    assert (order.status, order.reason) == ("failed", "wrong_amount")
    assert world.commands(order_id) == []
    [back] = world.rows(order_id, *RETURNS)
    assert back.task == ("cancel" if state is P.HELD else "refund")
    assert back.amount == (PRICE if state is P.HELD else 5)


def test_a_problem_once_seen_is_not_forgotten(sqlite_world: World) -> None:
    world = sqlite_world
    order_id = world.scan()
    payment_id = world.start(order_id)
    world.tell(payment_id, P.PENDING, problem="account_id")
    world.tell(payment_id, P.CAPTURED)
    assert world.status(order_id) == "failed"
    assert world.open_tasks(order_id, *RETURNS) == ["refund"]


@pytest.mark.parametrize("state", [P.HELD, P.CAPTURED])
def test_money_on_a_payment_thought_refused_goes_back(world: World, state: P) -> None:
    order_id = world.scan()
    payment_id = world.start(order_id)
    world.database.transact(paying.record_payment_refused, payment_id, "unreachable", world.now)
    assert world.status(order_id) == "failed"
    world.tell(payment_id, state)
    assert world.status(order_id) == "failed"
    assert world.open_tasks(order_id, *RETURNS) == ["cancel" if state is P.HELD else "refund"]


def test_a_refusal_after_the_payment_was_seen_means_nothing(sqlite_world: World) -> None:
    order_id = sqlite_world.scan()
    payment_id = sqlite_world.start(order_id)
    sqlite_world.tell(payment_id, P.PENDING)
    sqlite_world.database.transact(paying.record_payment_refused, payment_id, "invalid", sqlite_world.now)
    assert sqlite_world.status(order_id) == "pending"


def test_a_refusal_after_the_payment_was_found_at_the_provider_means_nothing(sqlite_world: World) -> None:
    """Nobody knows yet how far it has come there."""
    order_id = sqlite_world.scan()
    payment_id = sqlite_world.start(order_id)
    sqlite_world.database.transact(paying.adopt, payment_id, "found-1", sqlite_world.now)
    sqlite_world.database.transact(paying.record_payment_refused, payment_id, "invalid", sqlite_world.now)
    assert sqlite_world.status(order_id) == "pending"
    assert sqlite_world.payment(order_id).live


def test_a_hold_that_ended_by_itself_after_the_cup_is_goodwill(world: World) -> None:
    order_id = world.bring_to(Status.SUCCESSFUL)
    world.tell(world.payment(order_id).id, P.CANCELED, cancel_reason="expired_on_capture")
    order = world.order(order_id)
    assert (order.status, order.goodwill) == ("successful", True)
    assert world.open_tasks(order_id, Task.CAPTURE) == [], "there is nothing left to take"
    assert world.ledger(order_id) == {"held": PRICE, "canceled": PRICE}


def test_a_refund_made_in_the_cabinet_is_not_made_again(world: World) -> None:
    order_id = world.pay(account=ONE_STAGE)
    world.publish(order_id)
    world.report(order_id, Result.UNKNOWN)
    payment_id = world.payment(order_id).id
    world.refunded(payment_id, "rf-cabinet")
    assert world.open_tasks(order_id, Task.REFUND) == []
    world.wait(301)
    assert world.open_tasks(order_id, Task.REFUND) == []
    assert world.ledger(order_id) == {"captured": PRICE, "refunded": PRICE}


def test_what_went_back_before_we_heard_of_it_is_not_poured_for(world: World) -> None:
    """People in the cabinet were faster than our asking."""
    order_id = world.scan()
    world.tell(world.start(order_id, ONE_STAGE), P.CAPTURED, refunded=PRICE, refunds={"rf-1": PRICE})
    assert (world.status(order_id), world.order(order_id).reason) == ("failed", "returned")
    assert world.commands(order_id) == []


def test_of_a_refund_made_in_part_only_the_rest_goes_back(world: World) -> None:
    order_id = world.pay(account=ONE_STAGE)
    world.publish(order_id)
    world.report(order_id, Result.REJECTED, "no_water")
    world.refunded(world.payment(order_id).id, "rf-cabinet", 5000)
    [refund] = world.rows(order_id, Task.REFUND)
    assert (refund.amount, refund.settled_at) == (PRICE - 5000, None)


def test_a_refund_is_entered_once_however_often_it_is_told(world: World) -> None:
    order_id = world.bring_to(Status.MAKE_FAILED, ONE_STAGE)
    for _ in range(3):
        world.refunded(world.payment(order_id).id, "rf-1")
    assert world.ledger(order_id) == {"captured": PRICE, "refunded": PRICE}
    assert world.payment(order_id).refunded == PRICE


def test_a_refund_of_a_drink_that_was_poured_is_goodwill(sqlite_world: World) -> None:
    order_id = sqlite_world.bring_to(Status.SUCCESSFUL, ONE_STAGE)
    sqlite_world.refunded(sqlite_world.payment(order_id).id)
    assert sqlite_world.order(order_id).goodwill
    assert sqlite_world.open_tasks(order_id, *RETURNS) == []


@pytest.mark.both_databases
def test_the_ledger_cannot_be_rewritten(world: World) -> None:
    order_id = world.pay(account=ONE_STAGE)

    def cook(tx: Transaction) -> None:
        for movement in tx.session.query(Movement).filter_by(order_id=order_id):
            movement.amount = 1

    with pytest.raises(Exception, match="only grows"):
        world.database.transact(cook)


def test_how_often_a_payment_is_asked_about(sqlite_world: World) -> None:
    world = sqlite_world
    order_id = world.scan()
    payment_id = world.start(order_id)
    world.tell(payment_id, P.PENDING)
    assert next_check_in(world, order_id) == 2, "the buyer waits"
    world.clock.advance(300)
    world.database.transact(paying.record_check_failed, payment_id, world.now + timedelta(seconds=60))
    world.tell(payment_id, P.PENDING)
    assert next_check_in(world, order_id) == 60, "and for long after the order expired"
    world.tell(payment_id, P.HELD)
    assert next_check_in(world, order_id) == 60, "a hold may end by itself"
    world.tell(payment_id, P.CAPTURED)
    assert next_check_in(world, order_id) is None


@pytest.mark.parametrize(("status_check", "seconds"), [("webhook", 60), ("none", 65 * 60)])
def test_who_does_not_poll_is_still_asked_until_the_end(sqlite_world: World, status_check: str, seconds: float) -> None:
    order_id = sqlite_world.scan()
    payment_id = sqlite_world.start(order_id, Account("Yookassa", ACCOUNT, "on_dispense", status_check))
    sqlite_world.tell(payment_id, P.PENDING)
    assert next_check_in(sqlite_world, order_id) == seconds


def test_a_hint_not_yet_followed_survives_other_news(sqlite_world: World) -> None:
    """A webhook says "look" while the answer to another call is being written down."""
    order_id = sqlite_world.bring_to(Status.SUCCESSFUL)
    payment_id = sqlite_world.payment(order_id).id
    sqlite_world.database.transact(paying.ask_soon, payment_id, sqlite_world.now)
    sqlite_world.clock.advance(1)
    sqlite_world.tell(payment_id, P.CAPTURED)
    assert next_check_in(sqlite_world, order_id) == -1


@pytest.mark.both_databases
def test_a_hint_that_comes_in_the_middle_of_other_news_is_not_written_over(world: World, mocker: MockerFixture) -> None:
    """A webhook notes its hint without holding the order; the payment's own row makes it wait its turn."""
    order_id = world.bring_to(Status.SUCCESSFUL)
    payment_id = world.payment(order_id).id
    in_the_middle, hinted = threading.Event(), threading.Event()

    def hint(tx: Transaction) -> None:
        tx.session.execute(update(Payment).where(Payment.id == payment_id).values(next_check_at=world.now))

    def webhook_comes() -> None:
        assert in_the_middle.wait(30)
        world.database.transact(hint)
        hinted.set()

    def judge_slowly(before: PaymentState, after: PaymentState, had_money: bool) -> bool:
        in_the_middle.set()
        hinted.wait(0.5)  # it cannot come before we are done; without the lock it would
        return moves_forward(before, after, had_money)

    mocker.patch.object(paying, "moves_forward", side_effect=judge_slowly)
    webhook = threading.Thread(target=webhook_comes)
    webhook.start()
    world.tell(payment_id, P.CAPTURED)
    webhook.join(30)
    assert next_check_in(world, order_id) == 0


@pytest.mark.both_databases
def test_a_return_taken_back_is_begun_by_nobody_who_comes_meanwhile(world: World, mocker: MockerFixture) -> None:
    """The call worker looks for work after the late done has read the refund and before that is committed."""
    order_id = world.pay(account=ONE_STAGE)
    world.publish(order_id)
    world.report(order_id, Result.REJECTED, "no_water")
    in_the_middle, looked = threading.Event(), threading.Event()
    taken: list[OutboxRow] = []

    def call_worker_comes() -> None:
        assert in_the_middle.wait(30)
        taken.extend(world.database.transact(claim, Lane.PROVIDER, world.now, Lease("cashier", 120)))
        looked.set()

    def withdraw_slowly(locked: LockedOrder, tasks: Collection[Task], now: datetime, subject: str) -> bool:
        assert [row.attempts for row in locked.tasks if row.task in tasks] == [0]
        in_the_middle.set()
        looked.wait(0.5)  # SQLite lets it look only when we are done
        return withdraw(locked, tasks, now, subject)

    withdraw = order_tasks.withdraw_tasks
    mocker.patch.object(order_tasks, "withdraw_tasks", side_effect=withdraw_slowly)
    call_worker = threading.Thread(target=call_worker_comes)
    call_worker.start()
    world.report(order_id, Result.DONE, revision=2)
    call_worker.join(30)
    [refund] = world.rows(order_id, Task.REFUND)
    assert (refund.verdict, refund.claimed_by) == ("withdrawn", "")
    assert [row.task for row in taken] == []
