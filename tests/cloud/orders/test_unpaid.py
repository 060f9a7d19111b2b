"""Money that goes back past us: nothing more is poured for it, nobody is asked about it, and the order says so."""

from datetime import timedelta

import pytest

from cloud.orders import operator_actions, order_tasks, return_requests, unpaid
from cloud.orders.models import Order
from cloud.orders.money import PaymentState
from cloud.orders.operator_actions import NotReturnable, NotWaiting
from cloud.orders.order_limits import OrderLimits
from cloud.orders.outbox import Lease, claim
from cloud.orders.paying import Account
from cloud.orders.return_requests import Asker, Wanted
from cloud.orders.return_rules import Limits, ReturnReason
from cloud.orders.states import Status
from cloud.orders.tasks import STOPPED, WITHDRAWN, Lane, Task
from protocol.reasons import AgentCode, Phase, Result, Spout
from tests.cloud.worlds import HOLD, ONE_STAGE, PRICE, World

pytestmark = pytest.mark.any_database

ACCOUNTS = pytest.mark.parametrize("account", [HOLD, ONE_STAGE], ids=["hold", "one stage"])


def give_back(world: World, order_id: str) -> None:
    """A person in the provider's cabinet returns it all, and we have heard of it."""
    payment = world.payment(order_id)
    if payment.state == PaymentState.HELD:
        world.tell(payment.id, PaymentState.CANCELED)
    else:
        world.refunded(payment.id, "rf-cabinet")


def taken(world: World) -> None:
    """The courier has the command in hand."""
    assert world.database.transact(claim, Lane.MQTT, world.now, Lease("courier", 30))


def ended(world: World, order_id: str) -> tuple[str, str, bool]:
    order = world.order(order_id)
    return order.status, order.reason, order.uncertain


@ACCOUNTS
def test_a_command_nobody_has_sent_is_withdrawn(world: World, account: Account) -> None:
    order_id = world.pay(account=account)
    give_back(world, order_id)
    assert ended(world, order_id) == ("make_failed", "returned", False)
    assert [row.verdict for row in world.rows(order_id, Task.MAKE)] == [WITHDRAWN]
    assert (world.command(order_id).live, world.open_tasks(order_id)) == (False, []), "nothing is left to do"
    assert [change.event for change in world.history(order_id)][-1] == "money_returned"


@ACCOUNTS
def test_a_command_that_went_out_is_cancelled_and_its_agent_decides(world: World, account: Account) -> None:
    order_id = world.pay(account=account)
    world.publish(order_id)
    give_back(world, order_id)
    give_back(world, order_id)
    assert (world.status(order_id), world.open_tasks(order_id)) == ("make_pending", ["cancel_make"])
    world.report(order_id, Result.REJECTED, AgentCode.CANCELLED, Spout.NONE)
    assert ended(world, order_id) == ("make_failed", "returned", False)
    assert world.open_tasks(order_id, Task.CAPTURE, Task.CANCEL, Task.REFUND) == [], "it is back already"


@pytest.mark.parametrize(("phase", "uncertain"), [(Phase.CANCELLED, False), (Phase.UNKNOWN, True), (None, True)])
def test_what_the_machine_had_taken_only_its_own_word_cancels(
    sqlite_world: World, phase: Phase | None, uncertain: bool
) -> None:
    """Regression: folder and machine had both forgotten, and `cancelled` was believed while the cup was full."""
    order_id = sqlite_world.pay(account=ONE_STAGE)
    sqlite_world.publish(order_id)
    sqlite_world.accept(order_id)
    give_back(sqlite_world, order_id)
    sqlite_world.report(order_id, Result.REJECTED, AgentCode.CANCELLED, Spout.NONE, phase=phase)
    reason = "unknown" if uncertain else "returned"
    assert ended(sqlite_world, order_id) == ("make_failed", reason, uncertain)


def test_a_machine_that_takes_the_command_is_still_told_to_cancel_it(sqlite_world: World) -> None:
    order_id = sqlite_world.pay(account=ONE_STAGE)
    sqlite_world.publish(order_id)
    give_back(sqlite_world, order_id)
    sqlite_world.accept(order_id)
    assert sqlite_world.open_tasks(order_id) == ["cancel_make"]


def test_a_drink_that_went_wrong_by_itself_is_not_called_returned(sqlite_world: World) -> None:
    order_id = sqlite_world.pay(account=ONE_STAGE)
    sqlite_world.publish(order_id)
    give_back(sqlite_world, order_id)
    sqlite_world.report(order_id, Result.FAILED, "no_water", Spout.PARTIAL)
    assert ended(sqlite_world, order_id) == ("make_failed", "failed:no_water", False)


def test_a_cancel_that_comes_too_late_is_a_drink_given_away(sqlite_world: World) -> None:
    order_id = sqlite_world.pay(account=ONE_STAGE)
    sqlite_world.publish(order_id)
    give_back(sqlite_world, order_id)
    sqlite_world.report(order_id, Result.DONE)
    assert (sqlite_world.status(order_id), sqlite_world.order(order_id).goodwill) == ("successful", True)


def test_what_may_have_been_sent_is_not_sent_again(world: World) -> None:
    """The broker went away before it answered: it may have the command, and gets no second one when it is back."""
    order_id = world.pay(account=ONE_STAGE)
    taken(world)
    give_back(world, order_id)
    assert [row.verdict for row in world.rows(order_id, Task.MAKE)] == [STOPPED]
    assert (world.status(order_id), world.open_tasks(order_id)) == ("paid", ["cancel_make"])
    world.wait(world.rules.make_deadline_s)
    assert ended(world, order_id) == ("make_failed", "not_sent", True)
    world.report(order_id, Result.REJECTED, AgentCode.NEVER_RECEIVED, Spout.NONE)
    assert ended(world, order_id) == ("make_failed", "rejected:never_received", False)


@pytest.mark.both_databases
def test_what_turns_out_not_to_have_been_sent_ends_at_once(world: World) -> None:
    order_id = world.pay(account=ONE_STAGE)
    taken(world)
    give_back(world, order_id)
    [make] = world.rows(order_id, Task.MAKE)
    world.in_docket(order_id, order_tasks.mark_no_effect, make.key)
    world.in_docket(order_id, unpaid.stop_what_nobody_pays_for, world.now)
    assert ended(world, order_id) == ("make_failed", "returned", False)


def test_a_part_given_back_in_the_cabinet_stops_nothing(sqlite_world: World) -> None:
    order_id = sqlite_world.pay(account=ONE_STAGE)
    sqlite_world.refunded(sqlite_world.payment(order_id).id, "rf-part", PRICE - 1000)
    assert (sqlite_world.status(order_id), sqlite_world.open_tasks(order_id)) == ("paid", ["make"])


def test_a_late_paid_order_ends_as_returned(sqlite_world: World) -> None:
    order_id = sqlite_world.bring_to(Status.MANUAL_MAKE)
    give_back(sqlite_world, order_id)
    assert ended(sqlite_world, order_id) == ("make_failed", "returned", False)


def test_nobody_is_asked_to_return_what_is_back(sqlite_world: World) -> None:
    """An uncertain end of a machine that has had its returns of the day: there is nothing for a person to decide."""
    world = sqlite_world
    world.rules = OrderLimits(uncertain_returns_a_day=0)
    order_id = world.pay(account=ONE_STAGE)
    world.publish(order_id)
    give_back(world, order_id)
    world.wait(world.rules.ack_timeout_s)
    assert ended(world, order_id) == ("make_failed", "no_ack", True)
    world.wait(timedelta(seconds=world.rules.uncertain_grace_s).total_seconds() + 1)
    assert not world.order(order_id).waits_for_person


def waiting(world: World, account: Account, waits: bool = True) -> str:
    """Nobody knows whether it was poured: a person is waited for, or at first the grace."""
    world.rules = OrderLimits(uncertain_returns_a_day=0)
    order_id = world.pay(account=account)
    world.publish(order_id)
    world.wait(world.rules.ack_timeout_s)
    if waits:
        world.wait(world.rules.uncertain_grace_s)
    return order_id


@ACCOUNTS
@pytest.mark.parametrize("waits", [True, False], ids=["a person", "the grace"])
def test_what_is_back_waits_for_nobodys_word(world: World, account: Account, waits: bool) -> None:
    """Regression: it waited for ever, was poured unpaid by "It was poured", and returned once more in words."""
    order_id = waiting(world, account, waits)
    give_back(world, order_id)
    order = world.order(order_id)
    assert (order.status, order.waits_for_person, order.return_after) == ("make_failed", False, None)
    assert world.open_tasks(order_id, Task.CAPTURE, Task.CANCEL, Task.REFUND) == []
    assert [change.event for change in world.history(order_id)].count("nothing_to_decide") == waits
    with pytest.raises(NotWaiting):
        world.database.transact(operator_actions.keep_money, order_id, "anna", "seen", world.now)
    asked = Wanted(ReturnReason.NOT_POURED), Asker("anna"), Limits()
    with pytest.raises(NotReturnable):
        world.database.transact(return_requests.ask, order_id, *asked, world.now)
    world.report(order_id, Result.DONE)
    assert (world.status(order_id), world.order(order_id).goodwill) == ("successful", True), "late truth counts still"


def test_a_doubt_that_comes_after_the_money_went_back_asks_nobody(sqlite_world: World) -> None:
    """After a restore the agent cannot tell either; meanwhile people had returned the money in the cabinet."""
    world = sqlite_world
    order_id = world.pay(account=ONE_STAGE)
    world.publish(order_id)
    world.database.transact(lambda tx: setattr(tx.session.get_one(Order, order_id), "restored_at", world.now))
    give_back(world, order_id)
    world.wait(world.rules.ack_timeout_s)
    assert ended(world, order_id) == ("make_failed", "no_ack", True)
    assert not world.order(order_id).waits_for_person
    with pytest.raises(NotWaiting):
        world.database.transact(operator_actions.keep_money, order_id, "anna", "seen", world.now)
    with pytest.raises(NotReturnable, match="back already"):
        world.database.transact(operator_actions.give_back, order_id, None, "anna", "cold", world.now)


def test_of_what_is_back_in_part_a_person_decides_about_the_rest(sqlite_world: World) -> None:
    order_id = waiting(sqlite_world, ONE_STAGE)
    sqlite_world.refunded(sqlite_world.payment(order_id).id, "rf-part", 5000)
    assert sqlite_world.order(order_id).waits_for_person
    rest = sqlite_world.database.transact(
        operator_actions.give_back, order_id, None, "anna", "not poured", sqlite_world.now
    )
    assert (rest, sqlite_world.rows(order_id, Task.REFUND)[-1].amount) == (PRICE - 5000, PRICE - 5000)
