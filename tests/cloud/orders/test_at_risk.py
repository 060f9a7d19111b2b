"""Money at risk: every kopeck that is neither poured nor returned, under what happens to it next; and nothing else."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import delete, update

from cloud.database.transaction import Transaction
from cloud.fleet.models import Credential
from cloud.operators.at_risk_report import as_json, as_text
from cloud.orders import outbox
from cloud.orders.at_risk import STUCK_AFTER_S, UNANSWERED_FOR_A_PERSON, AtRisk, Next, each_at_risk
from cloud.orders.making import pour_now
from cloud.orders.models import Payment
from cloud.orders.money import REFUSALS_FOR_A_PERSON, PaymentState
from cloud.orders.operator_actions import give_back
from cloud.orders.outbox import Lease, OutboxRow
from cloud.orders.states import Status
from cloud.orders.tasks import DONE, REFUSED, Lane
from tests.cloud.sums_at_risk import at_risk
from tests.cloud.worlds import HOLD, ONE_STAGE, PRICE, World

pytestmark = pytest.mark.any_database


def risks(world: World) -> list[AtRisk]:
    with world.database.read() as session:
        return at_risk(session, world.now)


def actions(world: World) -> dict[Next, int]:
    return {risk.action: risk.kopecks for risk in risks(world)}


def change(world: World, table: Any, **values: Any) -> None:
    world.database.transact(lambda tx: tx.session.execute(update(table).values(**values)))


def finish_all(tx: Transaction, world: World) -> None:
    """The call worker's word for calls that are done."""
    rows = update(OutboxRow).where(OutboxRow.settled_at.is_(None), OutboxRow.lane == Lane.PROVIDER.value)
    tx.session.execute(rows.values(settled_at=world.now, verdict=DONE))


def begin_all(tx: Transaction, world: World) -> None:
    outbox.claim(tx, Lane.PROVIDER, world.now, Lease("till", 60.0))


@pytest.mark.both_databases
@pytest.mark.parametrize("status", [Status.CREATED, Status.PENDING, Status.NOT_PAID, Status.FAILED])
def test_where_no_money_came_none_is_at_risk(world: World, status: Status) -> None:
    world.bring_to(status)
    assert risks(world) == []


def test_a_drink_poured_and_paid_is_no_risk(world: World) -> None:
    world.bring_to(Status.SUCCESSFUL, ONE_STAGE)
    assert risks(world) == []


@pytest.mark.parametrize("account", [HOLD, ONE_STAGE])
@pytest.mark.parametrize(
    ("status", "action"),
    [
        (Status.PAID, Next.POURING),
        (Status.MAKE_PENDING, Next.POURING),
        (Status.MANUAL_MAKE, Next.WAITING_FOR_BUYER),
        (Status.MAKE_FAILED, Next.RETURN_OPEN),
    ],
)
def test_money_is_told_by_what_happens_to_it_next(world: World, status: Status, action: Next, account: Any) -> None:
    world.bring_to(status, account)
    world.clock.advance(90)
    [risk] = risks(world)
    assert (risk.action, risk.kopecks, risk.payments, risk.oldest_s) == (action, PRICE, 1, 90)


@pytest.mark.both_databases
def test_a_drink_of_late_money_is_on_its_way_since_its_command(world: World) -> None:
    """Regression: since it was paid, so that a healthy drink poured at the end of its half hour paged."""
    order_id = world.bring_to(Status.MANUAL_MAKE)
    world.clock.advance(1200)
    world.database.transact(pour_now, order_id, "buyer", world.rules, world.now)
    world.clock.advance(20)
    assert risks(world) == [AtRisk(Next.POURING, PRICE, 1, 20)]
    forget_the_key(world)
    assert risks(world) == [AtRisk(Next.PERSON, PRICE, 1, 1220)], "what waits for a person has waited since it was paid"


def test_a_hold_of_a_poured_drink_waits_to_be_taken(world: World) -> None:
    order_id = world.bring_to(Status.SUCCESSFUL)
    assert actions(world) == {Next.CAPTURE_DUE: PRICE}
    world.tell(world.payment(order_id).id, PaymentState.CAPTURED)
    assert risks(world) == []


def test_evidence_is_waited_for_then_the_return_is_promised_then_asked_for(world: World) -> None:
    order_id = world.pay(account=ONE_STAGE)
    world.publish(order_id)
    world.wait(world.rules.ack_timeout_s + 1)
    assert actions(world) == {Next.WAITING_FOR_EVIDENCE: PRICE}
    world.wait(world.rules.uncertain_grace_s + 1)
    assert actions(world) == {Next.RETURN_OPEN: PRICE}
    world.database.transact(begin_all, world)
    assert actions(world) == {Next.RETURN_ASKED: PRICE}
    world.refunded(world.payment(order_id).id)
    assert risks(world) == []


def test_what_came_back_in_part_is_at_risk_in_part(world: World) -> None:
    order_id = world.bring_to(Status.MAKE_FAILED, ONE_STAGE)
    world.refunded(world.payment(order_id).id, amount=5000)
    assert sum(actions(world).values()) == PRICE - 5000


@pytest.mark.both_databases
def test_what_is_returned_of_a_poured_drink_is_at_risk_since_it_was_decided(world: World) -> None:
    """Regression: since it was paid, so that a return of an old drink hung the moment it was asked for."""
    order_id = world.bring_to(Status.SUCCESSFUL, ONE_STAGE)
    payment_id = world.payment(order_id).id
    for kopecks in (5000, 3000):
        world.clock.advance(2 * 86400)
        world.database.transact(give_back, order_id, kopecks, "op@example.org", "sour", world.now)
        decided_at = world.now
        world.clock.advance(90)
        assert risks(world) == [AtRisk(Next.RETURN_OPEN, kopecks, 1, 90)]
        with world.database.read() as session:
            assert [money.return_since for money in each_at_risk(session, world.now)] == [decided_at]
        world.database.transact(finish_all, world)
        world.refunded(payment_id, f"rf-{kopecks}", kopecks)
        assert risks(world) == []


def test_a_return_that_waits_for_evidence_is_counted_from_when_it_may_be_made(world: World) -> None:
    order_id = world.pay(account=ONE_STAGE)
    world.publish(order_id)
    world.wait(world.rules.ack_timeout_s + 1)
    with world.database.read() as session:
        [money] = each_at_risk(session, world.now)
    assert (money.since < world.now, money.return_since) == (True, world.order(order_id).return_after)


@pytest.mark.both_databases
def test_money_of_several_orders_is_summed_and_the_oldest_counts(world: World) -> None:
    world.bring_to(Status.PAID)
    world.clock.advance(40)
    world.pay()
    world.clock.advance(2)
    assert risks(world) == [AtRisk(Next.POURING, 2 * PRICE, 2, 42)]


@pytest.mark.both_databases
def test_money_that_does_not_fit_its_order_goes_back(world: World) -> None:
    order_id = world.scan()
    payment_id = world.start(order_id)
    world.tell(payment_id, PaymentState.HELD, problem="amount")
    assert actions(world) == {Next.RETURN_OPEN: PRICE}


def forget_the_key(world: World) -> None:
    world.database.transact(lambda tx: tx.session.execute(delete(Credential)))


def change_the_shop(world: World) -> None:
    change(world, Credential, account_id="another")


def nobody_answers(world: World) -> None:
    change(world, Payment, checks=UNANSWERED_FOR_A_PERSON)


def lose_the_answer(world: World) -> None:
    """The call worker's word for a call whose outcome was never learnt."""
    change(world, OutboxRow, settled_at=world.now, verdict="lost")


def refuse_often(world: World) -> None:
    [standing] = [row for row in world.rows("ord-1") if row.settled_at is None]

    def work(tx: Transaction) -> None:
        for number in range(REFUSALS_FOR_A_PERSON):
            tx.session.add(
                OutboxRow(
                    lane=standing.lane, task=standing.task, key=f"refused-{number}", order_id=standing.order_id,
                    subject=standing.subject, created_at=world.now, due_at=world.now, settled_at=world.now,
                    verdict=REFUSED,
                )
            )  # fmt: skip

    world.database.transact(work)


@pytest.mark.both_databases
@pytest.mark.parametrize("mishap", [forget_the_key, change_the_shop, nobody_answers, lose_the_answer, refuse_often])
def test_what_nothing_moves_by_itself_is_a_persons(world: World, mishap: Callable[[World], None]) -> None:
    world.bring_to(Status.MAKE_FAILED)
    mishap(world)
    assert actions(world) == {Next.PERSON: PRICE}


def test_a_payment_that_never_ends_is_a_persons(world: World) -> None:
    order_id = world.bring_to(Status.PENDING)
    world.clock.advance(STUCK_AFTER_S - 1)
    assert risks(world) == []
    world.clock.advance(2)
    assert actions(world) == {Next.PERSON: PRICE}
    world.tell(world.payment(order_id).id, PaymentState.CANCELED)
    assert risks(world) == []


@pytest.mark.both_databases
def test_each_payment_can_be_listed_oldest_first_and_by_shop(world: World) -> None:
    first = world.bring_to(Status.MAKE_FAILED)
    world.clock.advance(10)
    second = world.pay()
    with world.database.read() as session:
        listed = each_at_risk(session, world.now)
        none = each_at_risk(session, world.now, account=("south", "Yookassa", "100500"))
        all_of_it = each_at_risk(session, world.now, account=("north", "Yookassa", "100500"))
    assert [money.order_id for money in listed] == [first, second]
    assert [money.action for money in listed] == [Next.RETURN_OPEN, Next.POURING]
    assert none == []
    assert all_of_it == listed
    assert listed[0].has_credential is True


def test_the_report_names_what_a_person_must_look_at(world: World) -> None:
    world.bring_to(Status.MAKE_FAILED)
    world.pay("ord-fine")
    lose_the_answer(world)
    with world.database.read() as session:
        sums, each = at_risk(session, world.now), each_at_risk(session, world.now)
    text = as_text(sums, each)
    assert "ord-1: 179.00 held since 2026-03-02 09:00 UTC" in text
    assert "ord-fine" not in text
    assert '"kopecks": 35800' in as_json(sums, each)
    assert as_text([], []) == "No money is at risk."
