"""Requests to return money: limits, a second person, staleness, and what becomes of the money."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from cloud.orders import claims, operator_actions, order_tasks, return_followup, return_requests
from cloud.orders.operator_actions import NotReturnable
from cloud.orders.order_limits import OrderLimits
from cloud.orders.return_followup import ReturnFollowup
from cloud.orders.return_requests import Asker, NotAllowed, ReturnedMeanwhile, ReturnRequest, Wanted
from cloud.orders.return_rules import (
    Limits,
    MoneyNow,
    RequestState,
    ReturnReason,
    StepUpNeeded,
    Way,
    state_after,
    way_of,
)
from cloud.orders.tasks import BY_HAND, Task
from protocol.reasons import Result
from tests.cloud.orders.test_operator_actions import poured, silent
from tests.cloud.worlds import HOLD, PRICE, World

pytestmark = pytest.mark.any_database

ANNA, BORIS = "anna@example.org", "boris@example.org"
COLD = Wanted(ReturnReason.BAD_DRINK, "the cup was cold")
SMALL = Limits(per_act=10_000, per_person_day=20_000)
WIDE = Limits(per_act=PRICE, per_person_day=2 * PRICE)


def ask(world: World, order_id: str, limits: Limits = WIDE, wanted: Wanted = COLD, by: str = ANNA, **more: bool) -> int:
    asked = world.database.transact(return_requests.ask, order_id, wanted, Asker(by, **more), limits, world.now)
    return asked.id


def request(world: World, request_id: int) -> ReturnRequest:
    with world.database.read() as session:
        return session.get_one(ReturnRequest, request_id)


def state(world: World, request_id: int) -> str:
    ReturnFollowup(world.database).step(world.now)
    return request(world, request_id).state


@pytest.mark.both_databases
def test_within_the_limits_a_person_returns_at_once_and_it_is_followed_to_its_end(world: World) -> None:
    order_id = poured(world)
    asked = ask(world, order_id)
    assert request(world, asked).way == Way.WITHIN_LIMITS
    assert state(world, asked) == RequestState.OWED
    world.refunded(world.payment(order_id).id)
    assert state(world, asked) == RequestState.RETURNED
    assert "return_decided" in [line.event for line in world.history(order_id)]


def test_above_the_limit_nothing_moves_until_a_second_person_approves(world: World) -> None:
    order_id = poured(world)
    asked = ask(world, order_id, SMALL)
    assert (state(world, asked), world.open_tasks(order_id, Task.REFUND)) == (RequestState.REQUESTED, [])
    with pytest.raises(NotAllowed, match="does not approve"):
        world.database.transact(return_requests.approve, asked, " Anna@Example.org ", world.now)
    world.database.transact(return_requests.approve, asked, BORIS, world.now)
    assert world.open_tasks(order_id, Task.REFUND) == ["refund"]
    assert (request(world, asked).decided_by, request(world, asked).way) == (BORIS, Way.SECOND_PERSON)
    with pytest.raises(NotAllowed):
        world.database.transact(return_requests.approve, asked, "carl@example.org", world.now)


@pytest.mark.both_databases
def test_the_database_itself_refuses_who_approves_his_own(world: World) -> None:
    asked = ask(world, poured(world), SMALL)
    with pytest.raises(Exception, match="two_persons"):
        world.database.transact(
            lambda tx: tx.session.execute(
                text("UPDATE return_requests SET decided_by = requested_by WHERE id = :id"), {"id": asked}
            )
        )


def test_the_day_of_a_person_is_limited_whatever_each_act_is(world: World) -> None:
    asked = [ask(world, poured(world)) for _ in range(3)]
    assert [state(world, each) for each in asked] == ["owed", "owed", "requested"]
    assert state(world, ask(world, poured(world), by=BORIS)) == "owed"
    world.wait(24 * 3600 + 1)
    assert state(world, ask(world, poured(world))) == "owed"


def test_an_approval_fails_when_the_order_has_changed_since(world: World) -> None:
    world.rules = OrderLimits(uncertain_returns_a_day=0)
    order_id = silent(world)
    asked = ask(world, order_id, SMALL)
    world.report(order_id, Result.DONE)
    with pytest.raises(NotAllowed, match="successful now"):
        world.database.transact(return_requests.approve, asked, BORIS, world.now)
    assert world.open_tasks(order_id, Task.REFUND) == []
    assert state(world, asked) == RequestState.REQUESTED


@pytest.mark.both_databases
def test_what_was_returned_by_another_way_meanwhile_is_not_returned_twice(world: World) -> None:
    order_id = poured(world)
    asked = ask(world, order_id, SMALL)
    world.database.transact(operator_actions.give_back, order_id, None, BORIS, "by hand", world.now)
    with pytest.raises(NotAllowed, match="successful now"):
        world.database.transact(return_requests.approve, asked, BORIS, world.now)
    assert len(world.rows(order_id, Task.REFUND)) == 1


@pytest.mark.both_databases
def test_a_part_returned_in_the_cabinet_meanwhile_is_not_returned_once_more(world: World) -> None:
    """Regression: only what was decided here counted, and the second person's yes sent the same part again."""
    order_id = poured(world)
    part = Wanted(ReturnReason.HALF_POURED, kopecks=5000)
    asked = ask(world, order_id, Limits(per_act=100), part)
    world.refunded(world.payment(order_id).id, "rf-cabinet", 5000)
    with pytest.raises(NotAllowed, match="5000 kopecks returned"):
        world.database.transact(return_requests.approve, asked, BORIS, world.now)
    assert (world.order(order_id).given_back, world.rows(order_id, Task.REFUND)) == (0, [])
    world.database.transact(return_requests.decline, asked, BORIS, "it is back", world.now)
    again = ask(world, order_id, Limits(per_act=100), part)
    world.database.transact(return_requests.approve, again, BORIS, world.now)
    assert [row.amount for row in world.rows(order_id, Task.REFUND)] == [5000]


@pytest.mark.both_databases
def test_who_saw_more_left_than_there_is_returns_nothing(world: World) -> None:
    """Regression: the same part went back twice, once by each of two people who had opened the order's page."""
    order_id = poured(world)
    part = Wanted(ReturnReason.BAD_DRINK, kopecks=5000, shown_left=PRICE)
    asked = ask(world, order_id, wanted=part)
    world.refunded(world.payment(order_id).id, "rf-1", 5000)
    assert state(world, asked) == RequestState.RETURNED
    with pytest.raises(ReturnedMeanwhile) as refused:
        ask(world, order_id, wanted=part, by=BORIS)
    assert (refused.value.returned, refused.value.left) == (5000, PRICE - 5000)
    assert world.order(order_id).given_back == 5000
    with pytest.raises(NotAllowed, match="shown"):
        ask(world, order_id, wanted=replace(part, shown_left=5000), by=BORIS)
    ask(world, order_id, wanted=replace(part, shown_left=PRICE - 5000), by=BORIS)
    assert world.order(order_id).given_back == 10000


@pytest.mark.both_databases
def test_one_open_request_an_order(world: World) -> None:
    order_id = poured(world)
    asked = ask(world, order_id, SMALL)
    with pytest.raises(NotAllowed, match="open already"):
        ask(world, order_id, by=BORIS)
    world.database.transact(return_requests.decline, asked, BORIS, "the cup was full", world.now)
    assert state(world, ask(world, order_id)) == "owed"


def test_a_request_nobody_decides_expires(world: World) -> None:
    order_id = poured(world)
    asked = ask(world, order_id, SMALL)
    world.clock.now += timedelta(hours=72)
    with pytest.raises(NotAllowed):
        world.database.transact(return_requests.approve, asked, BORIS, world.now)
    assert state(world, asked) == RequestState.EXPIRED
    assert world.history(order_id)[-1].event == "return_request_expired"


def test_the_only_person_there_is_proves_who_he_is_instead(world: World) -> None:
    order_id = poured(world)
    with pytest.raises(StepUpNeeded):
        ask(world, order_id, SMALL, is_alone=True)
    asked = ask(world, order_id, SMALL, is_alone=True, stepped_up=True)
    assert (request(world, asked).way, request(world, asked).decided_by) == (Way.STEP_UP, None)
    assert world.open_tasks(order_id, Task.REFUND) == ["refund"]


def test_a_late_done_before_the_money_moved_voids_the_decision(world: World) -> None:
    world.rules = OrderLimits(uncertain_returns_a_day=0)
    order_id = silent(world)
    asked = ask(world, order_id)
    assert state(world, asked) == RequestState.OWED
    world.report(order_id, Result.DONE)
    assert state(world, asked) == RequestState.REFUSED
    assert request(world, asked).decision == "poured_after_all"


def test_a_hold_is_taken_before_it_is_given_back(world: World) -> None:
    order_id = world.pay(account=HOLD)
    world.publish(order_id)
    world.report(order_id, Result.DONE)
    assert state(world, ask(world, order_id)) == RequestState.APPROVED


@pytest.mark.both_databases
def test_a_return_the_provider_refuses_again_and_again_is_told_and_may_still_succeed(world: World) -> None:
    order_id = poured(world)
    asked = ask(world, order_id)
    for _ in range(3):
        [row] = [row for row in world.rows(order_id, Task.REFUND) if row.settled_at is None]
        world.in_docket(order_id, order_tasks.settle_task, row.key, "", "refused", world.now)
        world.in_docket(order_id, _settle, world)
    assert state(world, asked) == RequestState.REFUSED
    world.refunded(world.payment(order_id).id)
    assert state(world, asked) == RequestState.RETURNED


def refused(world: World) -> int:
    """A person must return it where we cannot, and has not."""
    order_id = poured(world)
    asked = ask(world, order_id, by=f"{order_id}@example.org")
    [refund] = world.rows(order_id, Task.REFUND)
    world.in_docket(order_id, order_tasks.settle_task, refund.key, "", BY_HAND, world.now)
    return asked


def taken_first(world: World) -> int:
    """Its hold is not taken yet."""
    order_id = world.pay(account=HOLD)
    world.publish(order_id)
    world.report(order_id, Result.DONE)
    return ask(world, order_id, by=f"{order_id}@example.org")


def a_round(world: World, batches: int) -> None:
    loop = ReturnFollowup(world.database)
    for _ in range(batches):
        loop.step(world.now)


@pytest.mark.both_databases
@pytest.mark.parametrize("stays", [refused, taken_first])
def test_however_many_stay_as_they_are_a_later_return_is_followed(
    world: World, monkeypatch: pytest.MonkeyPatch, stays: Callable[[World], int]
) -> None:
    """Regression: the first hundred that stayed refused were all that was ever looked at, of all merchants."""
    monkeypatch.setattr(return_followup, "BATCH", 2)
    for _ in range(5):
        stays(world)
    order_id = poured(world)
    asked = ask(world, order_id)
    world.refunded(world.payment(order_id).id)
    a_round(world, batches=3)
    assert request(world, asked).state == RequestState.RETURNED


def test_the_oldest_refusal_has_its_turn_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(return_followup, "BATCH", 2)
    crowd = [refused(world) for _ in range(5)]
    a_round(world, batches=3)
    assert {request(world, each).state for each in crowd} == {RequestState.REFUSED}
    world.refunded(world.payment(request(world, crowd[0]).order_id).id)
    a_round(world, batches=3)
    assert request(world, crowd[0]).state == RequestState.RETURNED


def test_a_return_on_its_way_is_followed_however_long_it_takes_and_a_refusal_a_month(world: World) -> None:
    """Regression: what was owed for a month stayed so for ever, and its order could get no other return."""
    order_id, is_refused = poured(world), refused(world)
    asked = ask(world, order_id)
    assert (state(world, asked), state(world, is_refused)) == (RequestState.OWED, RequestState.REFUSED)
    world.wait((return_followup.REFUSED_FOR + timedelta(days=1)).total_seconds())
    for each in (order_id, request(world, is_refused).order_id):
        world.refunded(world.payment(each).id, f"rf-{each}")
    assert (state(world, asked), state(world, is_refused)) == (RequestState.RETURNED, RequestState.REFUSED)


def _settle(locked: object, world: World) -> None:
    from cloud.orders.owed_tasks import settle_money

    settle_money(locked, world.now)  # type: ignore[arg-type]  # a locked order


def test_another_reason_needs_words(world: World) -> None:
    with pytest.raises(NotAllowed, match="words"):
        ask(world, poured(world), wanted=Wanted(ReturnReason.OTHER, "  "))


def test_what_cannot_be_returned_cannot_be_asked_for(world: World) -> None:
    with pytest.raises(NotReturnable):
        ask(world, world.pay())


@pytest.mark.parametrize(
    ("kopecks", "today", "alone", "stepped", "way"),
    [
        (10_000, 10_000, False, False, Way.WITHIN_LIMITS),
        (10_001, 0, False, False, None),
        (10_000, 10_001, False, False, None),
        (10_001, 0, False, True, None),
        (10_001, 0, True, True, Way.STEP_UP),
        (1, 0, True, False, Way.WITHIN_LIMITS),
    ],
)
def test_the_way_a_return_is_decided(kopecks: int, today: int, alone: bool, stepped: bool, way: Way | None) -> None:
    assert way_of(kopecks, today, SMALL, is_alone=alone, stepped_up=stepped) is way


def test_money_that_is_back_outweighs_every_doubt() -> None:
    assert state_after(MoneyNow(True, True, True, False)) is RequestState.RETURNED
    assert state_after(MoneyNow(False, True, False, False)) is RequestState.OWED


def test_a_mark_of_resolved_and_a_note_stay_with_their_author(world: World) -> None:
    order_id = poured(world)
    world.database.transact(operator_actions.note, order_id, ANNA, "called back", world.now)
    world.database.transact(claims.mark_resolved, order_id, ANNA, "the buyer is content", world.now)
    noted, resolved = world.history(order_id)[-2:]
    assert (noted.event, noted.actor, noted.evidence) == ("noted", ANNA, {"words": "called back"})
    assert (resolved.event, resolved.reason) == ("resolved", "the buyer is content")
