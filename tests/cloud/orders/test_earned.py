"""Money at risk is found without a look at every sale there ever was: what is earned is known, and only that."""

from typing import Any

import pytest
from sqlalchemy import event, select, update

from cloud.database.transaction import Transaction
from cloud.orders.at_risk import each_at_risk
from cloud.orders.earned_backfill import LATER, EarnedBackfill
from cloud.orders.models import Order, Payment
from cloud.orders.money import PaymentState
from cloud.orders.owed_tasks import settle_money
from cloud.orders.states import Status
from protocol.reasons import Result
from tests.cloud.sums_at_risk import at_risk
from tests.cloud.worlds import ONE_STAGE, World


def is_earned(world: World, order_id: str) -> bool:
    return world.payment(order_id).earned


def set_status(tx: Transaction, order_id: str, status: Status) -> None:
    tx.session.execute(update(Order).where(Order.id == order_id).values(status=status.value))


@pytest.mark.any_database
def test_taken_money_is_earned_once_the_drink_is_poured(world: World) -> None:
    held = world.bring_to(Status.SUCCESSFUL)
    assert not is_earned(world, held)
    world.tell(world.payment(held).id, PaymentState.CAPTURED)
    taken = world.pay(account=ONE_STAGE)
    assert (is_earned(world, held), is_earned(world, taken)) == (True, False)
    world.publish(taken)
    world.report(taken, Result.DONE)
    assert is_earned(world, taken)


def test_it_is_not_any_more_where_the_drink_was_not_poured_after_all(world: World) -> None:
    order_id = world.bring_to(Status.SUCCESSFUL, ONE_STAGE)
    world.database.transact(set_status, order_id, Status.MAKE_FAILED)
    world.in_docket(order_id, settle_money, world.now)
    assert not is_earned(world, order_id)
    with world.database.read() as session:
        assert [risk.payments for risk in at_risk(session, world.now)] == [1]


def test_payments_of_before_are_marked_and_no_others(world: World) -> None:
    poured, failed = world.bring_to(Status.SUCCESSFUL, ONE_STAGE), world.bring_to(Status.MAKE_FAILED, ONE_STAGE)
    world.database.transact(lambda tx: tx.session.execute(update(Payment).values(earned=False)))
    assert EarnedBackfill(world.database).step(world.now) == world.now + LATER
    assert (is_earned(world, poured), is_earned(world, failed)) == (True, False)


@pytest.mark.parametrize(
    "change", [{"status": Status.MAKE_FAILED.value, "waits_for_person": True}, {"given_back": 5000}],
    ids=["not poured after all", "a part is to be returned"],
)  # fmt: skip
def test_what_an_older_program_undid_is_at_risk(world: World, change: dict[str, Any]) -> None:
    """Regression: it knew no mark to take away, and nobody looked at the money again."""
    kept, order_id = (world.bring_to(Status.SUCCESSFUL, ONE_STAGE) for _ in range(2))
    world.database.transact(lambda tx: tx.session.execute(update(Order).where(Order.id == order_id).values(**change)))
    assert EarnedBackfill(world.database).step(world.now) == world.now + LATER
    assert (is_earned(world, kept), is_earned(world, order_id)) == (True, False)
    with world.database.read() as session:
        assert [risk.order_id for risk in each_at_risk(session, world.now)] == [order_id]


def test_a_second_payment_of_a_poured_drink_is_never_earned(world: World) -> None:
    """Regression: it was, as if it paid the drink; once the drink's own money had gone back, nothing listed it."""
    order_id = world.scan()
    first = world.start(order_id, ONE_STAGE)
    world.tell(first, PaymentState.CANCELED)
    world.clock.advance(1)
    second = world.start(order_id, ONE_STAGE)
    world.tell(first, PaymentState.CAPTURED)
    world.clock.advance(1)
    world.tell(second, PaymentState.CAPTURED)
    world.publish(order_id)
    world.report(order_id, Result.DONE)
    world.refunded(first)
    for _ in range(2):
        with world.database.read() as session:
            assert [risk.payment_id for risk in each_at_risk(session, world.now)] == [second]
            assert not session.get_one(Payment, second).earned
        world.database.transact(lambda tx: tx.session.execute(update(Payment).values(earned=False)))
        EarnedBackfill(world.database).step(world.now)


def test_no_question_about_money_at_risk_reads_a_whole_table(sqlite_world: World) -> None:
    asked: list[tuple[str, Any]] = []
    world = sqlite_world
    world.bring_to(Status.MAKE_FAILED, ONE_STAGE)

    def note(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        asked.append((statement, parameters))

    event.listen(world.database.engine, "before_cursor_execute", note)
    with world.database.read() as session:
        assert at_risk(session, world.now)
        assert session.scalars(select(Payment.id)).all()  # reads one
    event.remove(world.database.engine, "before_cursor_execute", note)
    with world.database.engine.connect() as connection:
        plans = [
            [str(row[-1]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            for statement, parameters in asked
            if statement.startswith("SELECT")
        ]
    whole = [[step for step in plan if step.startswith("SCAN") and "ix_" not in step] for plan in plans]
    wanted = [step for steps in whole[:-1] for step in steps if "payments" in step or "orders" in step]
    assert wanted == []
    assert len(plans) >= 5
