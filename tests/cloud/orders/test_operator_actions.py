"""What a person decides about money, and what waits for a person."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from cloud.orders import operator_actions, order_tasks
from cloud.orders.models import Movement, Payment
from cloud.orders.money import PaymentState
from cloud.orders.operator_actions import NotReturnable, NotWaiting
from cloud.orders.order_limits import OrderLimits
from cloud.orders.outbox import Lease, claim
from cloud.orders.paying import Account
from cloud.orders.tasks import Lane, Task
from protocol.reasons import Result
from tests.cloud.worlds import HOLD, ONE_STAGE, PRICE, World

pytestmark = pytest.mark.any_database

BY = ("anna@example.org", "the cup was cold")


def poured(world: World) -> str:
    order_id = world.pay(account=ONE_STAGE)
    world.publish(order_id)
    world.report(order_id, Result.DONE)
    return order_id


def silent(world: World) -> str:
    """Paid, sent, and never heard of again; the grace is over."""
    order_id = world.pay(account=ONE_STAGE)
    world.publish(order_id)
    world.wait(world.rules.ack_timeout_s)
    world.wait(world.rules.uncertain_grace_s)
    return order_id


def decide(world: World, order_id: str, kopecks: int | None = None) -> int:
    return world.database.transact(operator_actions.give_back, order_id, kopecks, *BY, world.now)


@pytest.mark.both_databases
def test_a_part_of_a_poured_drink_is_returned_and_the_rest_stays_paid(world: World) -> None:
    order_id = poured(world)
    assert decide(world, order_id, 5000) == 5000
    [refund] = world.rows(order_id, Task.REFUND)
    assert refund.amount == 5000
    world.refunded(world.payment(order_id).id, "rf-1", 5000)
    assert world.ledger(order_id) == {"captured": PRICE, "refunded": 5000}
    order = world.order(order_id)
    assert (order.status, order.goodwill) == ("successful", True)
    line = world.history(order_id)[-1]
    assert (line.event, line.actor, line.reason, line.evidence) == ("return_decided", *BY, {"kopecks": 5000})


@pytest.mark.both_databases
def test_what_is_left_can_be_returned_too_and_not_a_kopeck_more(world: World) -> None:
    order_id = poured(world)
    decide(world, order_id, 5000)
    with pytest.raises(NotReturnable, match=str(PRICE - 5000)):
        decide(world, order_id, PRICE - 4999)
    assert decide(world, order_id) == PRICE - 5000
    assert not world.order(order_id).goodwill, "nothing has been sent yet"
    with pytest.raises(NotReturnable):
        decide(world, order_id)


@pytest.mark.both_databases
def test_what_another_payment_brought_and_got_back_takes_nothing_from_the_one_that_pays(world: World) -> None:
    """Regression: a payment cancelled and charged after all went back, and of the poured drink nothing more could."""
    order_id = world.scan()
    first = world.start(order_id, ONE_STAGE)
    world.tell(first, PaymentState.CANCELED)
    second = world.start(order_id, ONE_STAGE)
    world.tell(second, PaymentState.CAPTURED)
    world.publish(order_id)
    world.report(order_id, Result.DONE)
    world.clock.advance(60)
    world.tell(first, PaymentState.CAPTURED)
    world.refunded(first)
    with world.database.read() as session:
        payments = session.scalars(select(Payment).where(Payment.order_id == order_id)).all()
        assert operator_actions.left_to_return(world.order(order_id), payments) == PRICE, "as its page says"
    assert decide(world, order_id, 5000) == 5000
    assert [(row.subject, row.amount) for row in world.rows(order_id, Task.REFUND) if not row.settled_at] == [
        (second, 5000)
    ]


def test_two_parts_asked_for_one_after_the_other_are_two_refunds_of_their_sums(world: World) -> None:
    order_id = poured(world)
    decide(world, order_id, 5000)
    [first] = world.rows(order_id, Task.REFUND)
    world.in_docket(order_id, order_tasks.settle_task, first.key, "", "done", world.now)
    world.refunded(world.payment(order_id).id, "rf-1", 5000)
    decide(world, order_id, 2000)
    assert [row.amount for row in world.rows(order_id, Task.REFUND)] == [5000, 2000]


def test_a_hold_is_captured_before_a_part_of_it_is_returned(world: World) -> None:
    order_id = world.pay(account=HOLD)
    world.publish(order_id)
    world.report(order_id, Result.DONE)
    decide(world, order_id, 5000)
    assert world.open_tasks(order_id) == ["capture"]
    world.tell(world.payment(order_id).id, PaymentState.CAPTURED)
    assert "refund" in world.open_tasks(order_id)


@pytest.mark.parametrize("is_poured", [True, False])
def test_of_a_hold_that_people_took_in_part_only_that_part_is_money(world: World, is_poured: bool) -> None:
    """Regression: it no longer fitted the order, and what had been taken for a poured drink went back by itself."""
    order_id = world.pay(account=HOLD)
    world.publish(order_id)
    payment_id = world.payment(order_id).id
    taken = {"captured": 10_000, "problem": "amount"}
    if is_poured:
        world.report(order_id, Result.DONE)
        world.tell(payment_id, PaymentState.CAPTURED, **taken)
        assert world.open_tasks(order_id, Task.CAPTURE, Task.REFUND) == []
        assert world.payment(order_id).earned
    else:
        world.report(order_id, Result.REJECTED, "no_water")
        world.tell(payment_id, PaymentState.CAPTURED, **taken)
        assert [row.amount for row in world.rows(order_id, Task.REFUND)] == [10_000]


def test_money_on_its_way_needs_no_decision(world: World) -> None:
    order_id = world.pay()
    with pytest.raises(NotReturnable, match="paid"):
        decide(world, order_id)


def test_the_first_uncertain_returns_of_a_day_happen_by_themselves_and_the_next_waits(world: World) -> None:
    world.rules = OrderLimits(uncertain_returns_a_day=2)
    orders = [silent(world) for _ in range(3)]
    assert [world.open_tasks(order_id, Task.REFUND) for order_id in orders] == [["refund"], ["refund"], []]
    assert world.order(orders[2]).waits_for_person
    decide(world, orders[2])
    assert world.open_tasks(orders[2], Task.REFUND) == ["refund"]
    assert not world.order(orders[2]).waits_for_person


@pytest.mark.both_databases
@pytest.mark.parametrize("account", [ONE_STAGE, HOLD])
def test_a_person_who_made_sure_that_it_was_poured_keeps_the_money(world: World, account: Account) -> None:
    world.rules = OrderLimits(uncertain_returns_a_day=0)
    order_id = world.pay(account=account)
    world.publish(order_id)
    world.wait(world.rules.ack_timeout_s)
    world.wait(world.rules.uncertain_grace_s)
    assert world.order(order_id).waits_for_person
    world.database.transact(operator_actions.keep_money, order_id, *BY, world.now)
    order = world.order(order_id)
    assert (order.status, order.waits_for_person, order.uncertain) == ("successful", False, False)
    assert world.open_tasks(order_id, Task.CAPTURE, Task.REFUND) == (["capture"] if account is HOLD else [])
    line = world.history(order_id)[-1]
    assert (line.event, line.actor, line.reason) == ("seen_poured", *BY)


def test_money_is_kept_while_its_return_still_waits_and_not_once_it_goes(world: World) -> None:
    order_id = world.pay(account=ONE_STAGE)
    world.publish(order_id)
    with pytest.raises(NotWaiting):
        world.database.transact(operator_actions.keep_money, order_id, *BY, world.now)
    world.wait(world.rules.ack_timeout_s)
    world.database.transact(operator_actions.keep_money, order_id, *BY, world.now)
    assert world.open_tasks(order_id, Task.REFUND) == []
    late = silent(world)
    with pytest.raises(NotWaiting):
        world.database.transact(operator_actions.keep_money, late, *BY, world.now)


def test_a_day_later_the_machine_is_believed_again(world: World) -> None:
    world.rules = OrderLimits(uncertain_returns_a_day=1)
    silent(world)
    world.wait(24 * 3600)
    assert world.open_tasks(silent(world), Task.REFUND) == ["refund"]


def test_a_drink_given_away_by_its_return_counts_as_one_of_the_day(world: World) -> None:
    world.rules = OrderLimits(uncertain_returns_a_day=1)
    order_id = silent(world)
    assert world.database.transact(claim, Lane.PROVIDER, world.now, Lease("cashier", 120))
    world.report(order_id, Result.DONE)
    assert world.order(order_id).goodwill
    assert world.order(silent(world)).waits_for_person


def test_what_waits_for_a_person_has_not_gone_back_and_is_not_counted(world: World) -> None:
    world.rules = OrderLimits(uncertain_returns_a_day=1)
    silent(world)
    world.wait(23 * 3600)
    assert world.order(silent(world)).waits_for_person
    world.wait(2 * 3600)
    assert world.open_tasks(silent(world), Task.REFUND) == ["refund"]


def test_what_waits_for_evidence_has_not_gone_back_and_is_not_counted(world: World) -> None:
    world.rules = OrderLimits(uncertain_returns_a_day=1)
    orders = []
    for _ in range(2):
        orders.append(world.pay(account=ONE_STAGE))
        world.publish(orders[-1])
        world.wait(world.rules.ack_timeout_s)
    world.wait(world.rules.uncertain_grace_s - world.rules.ack_timeout_s)
    assert [world.order(order_id).return_after is None for order_id in orders] == [True, False]
    assert not world.order(orders[0]).waits_for_person


def test_certain_returns_are_not_counted(world: World) -> None:
    world.rules = OrderLimits(uncertain_returns_a_day=1)
    for _ in range(3):
        order_id = world.pay(account=ONE_STAGE)
        world.publish(order_id)
        world.report(order_id, Result.REJECTED, "no_water")
    assert world.open_tasks(silent(world), Task.REFUND) == ["refund"]


@pytest.mark.parametrize("result", [Result.DONE, Result.REJECTED])
def test_late_truth_settles_what_waits_for_a_person(world: World, result: Result) -> None:
    world.rules = OrderLimits(uncertain_returns_a_day=0)
    order_id = silent(world)
    world.report(order_id, result, "no_water" if result is Result.REJECTED else "")
    assert not world.order(order_id).waits_for_person
    assert world.open_tasks(order_id, Task.REFUND) == ([] if result is Result.DONE else ["refund"])


def waiting_hold(world: World) -> str:
    """Held for seven days, and a person is to decide; the order's id."""
    world.rules = OrderLimits(uncertain_returns_a_day=0)
    order_id = world.scan()
    payment_id = world.start(order_id, HOLD)
    world.tell(payment_id, PaymentState.HELD, hold_expires_at=world.now + timedelta(days=7))
    world.tell(payment_id, PaymentState.HELD)  # not every answer names the end again
    world.publish(order_id)
    world.wait(world.rules.ack_timeout_s)
    world.wait(world.rules.uncertain_grace_s)
    return order_id


def test_a_hold_that_waits_for_a_person_is_cancelled_a_day_before_the_provider_lets_it_go(world: World) -> None:
    order_id = waiting_hold(world)
    world.wait(5.9 * 24 * 3600)
    assert world.open_tasks(order_id, Task.CANCEL) == []
    world.wait(0.2 * 24 * 3600)
    assert world.open_tasks(order_id, Task.CANCEL) == ["cancel"]


def test_a_hold_that_people_took_is_let_go_by_nobody_and_waits_on(world: World) -> None:
    order_id = waiting_hold(world)
    world.tell(world.payment(order_id).id, PaymentState.CAPTURED)
    world.wait(6.1 * 24 * 3600)
    assert world.order(order_id).waits_for_person
    assert world.open_tasks(order_id, Task.REFUND) == []


@pytest.mark.both_databases
def test_a_return_still_waiting_for_evidence_can_be_decided_at_once(world: World) -> None:
    order_id = world.pay(account=ONE_STAGE)
    world.publish(order_id)
    world.wait(world.rules.ack_timeout_s)
    [refund] = world.rows(order_id, Task.REFUND)
    assert refund.due_at > world.now
    decide(world, order_id)
    [refund] = world.rows(order_id, Task.REFUND)
    assert refund.due_at == world.now


@pytest.mark.both_databases
def test_the_ledger_only_knows_its_own_kinds(world: World) -> None:
    order_id = poured(world)
    payment = world.payment(order_id)
    with pytest.raises(Exception, match="ck_movements_kind"):
        world.database.transact(
            lambda tx: tx.session.add(
                Movement(payment_id=payment.id, order_id=order_id, kind="lent", amount=1, reference="", at=world.now)
            )
        )
