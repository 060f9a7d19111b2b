"""A make command's life: issued once, published, answered, or not; and what each end means for the money."""

from datetime import timedelta

import pytest

from cloud.database.transaction import Transaction
from cloud.orders import making
from cloud.orders.locked_order import lock_order
from cloud.orders.making import NotPourable, derived_command_id
from cloud.orders.money import PaymentState
from cloud.orders.outbox import Lease, claim
from cloud.orders.states import Status
from cloud.orders.tasks import Lane, Task
from protocol.reasons import AgentCode, Result, Spout, Stage
from tests.cloud.worlds import HOLD, ONE_STAGE, OTHER_DEVICE, PRICE, START, World

pytestmark = pytest.mark.any_database

RETURNS = (Task.CANCEL, Task.REFUND)


def try_returns(world: World, order_id: str) -> None:
    """A call worker has begun to give the money back."""
    taken = world.database.transact(claim, Lane.PROVIDER, world.now, Lease("cashier", 120))
    assert order_id in {row.order_id for row in taken}


def test_a_paid_order_gets_one_command_with_a_deadline(world: World) -> None:
    order_id = world.pay("ord-1")
    [command] = world.commands(order_id)
    assert command.id == derived_command_id("ord-1", 1)
    assert (command.live, command.deadline_at) == (True, START + timedelta(seconds=60))
    assert world.order(order_id).due_at == command.deadline_at
    assert world.open_tasks(order_id) == ["make"], "the money waits for the outcome"


def test_a_commands_id_tells_order_and_attempt_apart() -> None:
    ids = {derived_command_id(order, attempt) for order in ("o", "o1", "11\no") for attempt in (1, 11)}
    assert len(ids) == 6
    assert all(len(made) <= 64 for made in ids)


def test_published_is_sent_and_no_more(world: World) -> None:
    order_id = world.pay()
    world.publish(order_id)
    order = world.order(order_id)
    assert (order.status, order.stage) == ("make_pending", "sent")
    assert order.due_at == START + timedelta(seconds=75)
    before = order.version
    world.publish(order_id)
    assert world.order(order_id).version == before, "a second answer of the broker is nothing new"


def test_the_machine_may_answer_before_our_own_note_of_publishing(world: World) -> None:
    order_id = world.pay()
    world.accept(order_id)
    world.publish(order_id)
    order = world.order(order_id)
    assert (order.status, order.stage) == ("make_pending", "accepted")
    assert order.due_at == START + timedelta(seconds=300)
    world.report(order_id, Result.DONE)
    assert world.status(order_id) == "successful"


def test_a_machine_that_is_done_before_our_note_keeps_its_word(world: World) -> None:
    order_id = world.pay()
    world.report(order_id, Result.DONE)
    world.publish(order_id)
    assert world.status(order_id) == "successful"
    assert world.open_tasks(order_id, Task.MAKE) == []


def test_stages_are_shown_and_never_go_back(sqlite_world: World) -> None:
    world = sqlite_world
    order_id = world.pay()
    world.publish(order_id)
    world.accept(order_id)
    world.progress(order_id, Stage.GRIND, 30)
    world.progress(order_id, Stage.BREW, 20)
    order = world.order(order_id)
    assert (order.stage, order.progress) == ("brew", 30)
    world.report(order_id, Result.DONE)
    world.progress(order_id, Stage.BREW, 99)
    assert world.order(order_id).stage == "done"


@pytest.mark.parametrize("account", [HOLD, ONE_STAGE])
def test_done_takes_the_hold_or_keeps_the_money(world: World, account: object) -> None:
    order_id = world.bring_to(Status.SUCCESSFUL, account)  # type: ignore[arg-type]  # one of two accounts
    assert world.open_tasks(order_id, Task.CAPTURE, *RETURNS) == (["capture"] if account is HOLD else [])
    order = world.order(order_id)
    assert (order.progress, order.due_at, order.finished_at) == (100, None, START)


@pytest.mark.both_databases
@pytest.mark.parametrize(
    ("result", "code", "out", "reason"),
    [
        (Result.REJECTED, "no_water", Spout.NONE, "rejected:no_water"),
        (Result.REJECTED, "expired", Spout.NONE, "expired"),
        (Result.FAILED, "cup_jam", Spout.NONE, "failed:cup_jam"),
        (Result.FAILED, "flow", Spout.PARTIAL, "failed:flow"),
        (Result.FAILED, "flow", Spout.UNKNOWN, "failed:flow"),
    ],
)
def test_no_proper_drink_returns_the_money_at_once(
    world: World, result: Result, code: str, out: Spout, reason: str
) -> None:
    order_id = world.pay(account=ONE_STAGE)
    world.publish(order_id)
    world.report(order_id, result, code, out)
    order = world.order(order_id)
    assert (order.status, order.reason, order.uncertain, order.return_after) == ("make_failed", reason, False, None)
    [refund] = world.rows(order_id, Task.REFUND)
    assert (refund.amount, refund.due_at, refund.settled_at) == (PRICE, START, None)


@pytest.mark.parametrize(
    ("result", "out", "reason"),
    [(Result.UNKNOWN, Spout.UNKNOWN, "unknown"), (Result.FAILED, Spout.FULL, "failed:power_lost")],
)
def test_an_uncertain_end_waits_for_evidence_before_money_goes_back(
    world: World, result: Result, out: Spout, reason: str
) -> None:
    order_id = world.pay(account=ONE_STAGE)
    world.publish(order_id)
    world.report(order_id, result, "power_lost", out)
    order = world.order(order_id)
    assert (order.status, order.reason, order.uncertain) == ("make_failed", reason, True)
    [refund] = world.rows(order_id, Task.REFUND)
    assert refund.due_at == order.return_after == START + timedelta(seconds=300)


def test_a_hold_is_let_go_instead_of_refunded(sqlite_world: World) -> None:
    order_id = sqlite_world.bring_to(Status.MAKE_FAILED)
    assert sqlite_world.open_tasks(order_id, *RETURNS) == ["cancel"]


def test_a_device_speaks_only_for_itself(world: World) -> None:
    order_id = world.pay()
    world.publish(order_id)
    world.accept(order_id, device=OTHER_DEVICE)
    world.report(order_id, Result.DONE, device=OTHER_DEVICE)
    order = world.order(order_id)
    assert (order.status, order.stage) == ("make_pending", "sent")
    assert world.command(order_id).result is None


def test_the_same_report_again_changes_nothing(world: World) -> None:
    order_id = world.pay()
    world.publish(order_id)
    for _ in range(3):
        world.accept(order_id)
        world.report(order_id, Result.REJECTED, "no_water")
    assert len(world.rows(order_id, *RETURNS)) == 1
    assert [change.event for change in world.history(order_id)].count("machine_refused") == 1


def test_a_machine_that_says_again_that_it_has_the_command_gets_no_more_time(world: World) -> None:
    order_id = world.pay()
    world.publish(order_id)
    world.accept(order_id)
    before = world.order(order_id).due_at, len(world.history(order_id))
    world.clock.advance(60)
    world.accept(order_id)
    world.progress(order_id, Stage.GRIND, 12)
    assert (world.order(order_id).due_at, len(world.history(order_id))) == before


def test_a_higher_revision_corrects_an_unknown(world: World) -> None:
    order_id = world.pay(account=ONE_STAGE)
    world.publish(order_id)
    world.report(order_id, Result.UNKNOWN, "power_lost")
    world.report(order_id, Result.DONE, revision=2)
    order = world.order(order_id)
    assert (order.status, order.uncertain, order.return_after, order.goodwill) == ("successful", False, None, False)
    assert world.open_tasks(order_id, *RETURNS) == []
    assert world.rows(order_id, Task.REFUND)[0].verdict == "withdrawn"


def test_certainty_as_late_as_our_doubt_is_another_journals_and_counts(sqlite_world: World) -> None:
    """An older copy of the agent's folder was put back: it counts its words from where it was."""
    world = sqlite_world
    order_id = world.pay()
    world.publish(order_id)
    world.report(order_id, Result.UNKNOWN)
    world.report(order_id, Result.UNKNOWN)
    assert world.status(order_id) == "make_failed"
    world.report(order_id, Result.DONE)
    assert world.status(order_id) == "successful"


def test_an_older_revision_and_any_word_after_done_are_too_late(sqlite_world: World) -> None:
    world = sqlite_world
    order_id = world.pay()
    world.publish(order_id)
    world.report(order_id, Result.DONE, revision=2)
    world.report(order_id, Result.REJECTED, "busy", revision=1)
    world.report(order_id, Result.FAILED, "flow", revision=3)
    assert world.status(order_id) == "successful"
    assert world.open_tasks(order_id, *RETURNS) == []
    assert (world.command(order_id).result, world.command(order_id).revision) == ("done", 2)


@pytest.mark.both_databases
def test_never_received_after_silence_returns_at_once(world: World) -> None:
    order_id = world.pay(account=ONE_STAGE)
    world.publish(order_id)
    world.wait(76)
    assert world.order(order_id).uncertain
    world.clock.advance(5)
    world.report(order_id, Result.REJECTED, AgentCode.NEVER_RECEIVED)
    order = world.order(order_id)
    assert (order.status, order.reason) == ("make_failed", "rejected:never_received")
    assert (order.uncertain, order.return_after) == (False, None)
    [refund] = world.rows(order_id, Task.REFUND)
    assert refund.due_at == world.now
    assert refund.settled_at is None


@pytest.mark.parametrize("heard", ["accepted", "brewing"])
def test_what_the_machine_had_taken_is_never_certainly_nothing(world: World, heard: str) -> None:
    """An agent without its folder, before a machine without its memory, denies what we heard with our own ears."""
    order_id = world.pay(account=ONE_STAGE)
    world.publish(order_id)
    if heard == "accepted":
        world.accept(order_id)
    else:
        world.progress(order_id, Stage.GRIND, 12)
    world.report(order_id, Result.REJECTED, AgentCode.NEVER_RECEIVED)
    order = world.order(order_id)
    assert (order.status, order.reason, order.uncertain) == ("make_failed", "unknown", True)
    [row] = world.rows(order_id, *RETURNS)
    assert row.due_at == world.now + timedelta(seconds=world.rules.uncertain_grace_s), "evidence is waited for"
    world.report(order_id, Result.DONE, out=Spout.FULL, revision=2)
    assert world.status(order_id) == "successful"


def test_a_late_done_before_the_return_began_withdraws_it(world: World) -> None:
    order_id = world.pay(account=HOLD)
    world.publish(order_id)
    world.wait(76)
    world.clock.advance(100)
    world.report(order_id, Result.DONE)
    order = world.order(order_id)
    assert (order.status, order.goodwill) == ("successful", False)
    assert world.open_tasks(order_id, Task.CAPTURE, *RETURNS) == ["capture"]


@pytest.mark.parametrize("account", [HOLD, ONE_STAGE])
def test_a_late_done_after_the_return_began_is_goodwill(world: World, account: object) -> None:
    order_id = world.bring_to(Status.MAKE_FAILED, account)  # type: ignore[arg-type]  # one of two accounts
    try_returns(world, order_id)
    world.report(order_id, Result.DONE, revision=2)
    order = world.order(order_id)
    assert (order.status, order.goodwill) == ("successful", True)
    assert set(world.open_tasks(order_id, *RETURNS)) == {"cancel" if account is HOLD else "refund"}, "carried through"


def test_a_late_done_never_starts_another_drink(world: World) -> None:
    order_id = world.bring_to(Status.MAKE_FAILED)
    world.report(order_id, Result.DONE, revision=2)
    assert len(world.commands(order_id)) == 1
    assert len(world.rows(order_id, Task.MAKE)) == 1


def test_a_return_that_lost_to_the_capture_is_no_goodwill(world: World) -> None:
    """Cancel and capture were both under way and the provider took the money: poured and paid."""
    order_id = world.bring_to(Status.MAKE_FAILED, HOLD)
    try_returns(world, order_id)
    world.report(order_id, Result.DONE, revision=2)
    world.tell(world.payment(order_id).id, PaymentState.CAPTURED)
    assert not world.order(order_id).goodwill


def test_an_acceptance_after_the_end_moves_nothing(sqlite_world: World) -> None:
    world = sqlite_world
    order_id = world.pay()
    world.publish(order_id)
    world.wait(76)
    world.accept(order_id)
    order = world.order(order_id)
    assert (order.status, order.due_at) == ("make_failed", None)
    assert world.command(order_id).accepted_at == world.now, "kept as evidence"


def test_pouring_by_hand_is_for_late_paid_orders_only(world: World) -> None:
    order_id = world.bring_to(Status.MANUAL_MAKE)
    assert world.commands(order_id) == []
    world.database.transact(making.pour_now, order_id, "buyer", world.rules, world.now)
    assert world.status(order_id) == "paid"
    assert len(world.commands(order_id)) == 1
    with pytest.raises(NotPourable):
        world.database.transact(making.pour_now, order_id, "buyer", world.rules, world.now)
    assert len(world.commands(order_id)) == 1


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.MANUAL_MAKE])
def test_nothing_else_can_be_poured_by_hand(sqlite_world: World, status: Status) -> None:
    order_id = sqlite_world.bring_to(status)
    commands = len(sqlite_world.commands(order_id))
    with pytest.raises(NotPourable):
        sqlite_world.database.transact(
            making.pour_now, order_id, "ops@example.org", sqlite_world.rules, sqlite_world.now
        )
    assert len(sqlite_world.commands(order_id)) == commands


@pytest.mark.both_databases
def test_a_command_that_was_never_sent_returns_the_money_at_once(world: World) -> None:
    order_id = world.pay(account=ONE_STAGE)
    command = world.command(order_id)
    world.database.transact(
        making.record_not_sent, command.order_id, command.id, "broker code 135", world.rules, world.now, certain=True
    )
    order = world.order(order_id)
    assert (order.status, order.reason, order.uncertain) == ("make_failed", "not_sent", False)
    assert world.open_tasks(order_id, Task.REFUND, Task.QUERY) == ["refund"]
    assert not world.command(order_id).live


def test_what_the_machine_has_taken_was_sent_whatever_the_broker_says(world: World) -> None:
    """The broker's answer was lost, and the drink is on its way: too late to send it again ends nothing."""
    order_id = world.pay(account=ONE_STAGE)
    command = world.command(order_id)
    world.accept(order_id)
    world.database.transact(
        making.record_not_sent, order_id, command.id, "too late", world.rules, world.now, certain=False
    )
    assert (world.status(order_id), world.command(order_id).live) == ("make_pending", True)
    world.wait(world.rules.make_timeout_s + 1)
    world.database.transact(making.handle_deadline, order_id, world.rules, world.now)
    assert (world.status(order_id), world.order(order_id).uncertain) == ("make_failed", True)


def test_no_order_waits_for_ever_for_a_command_that_is_over(world: World) -> None:
    """Whatever mistake of ours ended it: nobody knows what became of the drink, and the money comes right."""
    order_id = world.pay(account=ONE_STAGE)
    world.accept(order_id)

    def over(tx: Transaction) -> None:
        lock_order(tx, order_id).commands[0].live = False

    world.database.transact(over)
    world.wait(world.rules.make_timeout_s + 1)
    world.database.transact(making.handle_deadline, order_id, world.rules, world.now)
    assert (world.status(order_id), world.order(order_id).uncertain) == ("make_failed", True)
    assert world.open_tasks(order_id, Task.REFUND, Task.QUERY) == ["query", "refund"]


def test_a_command_that_may_have_been_sent_is_asked_about(world: World) -> None:
    order_id = world.pay(account=ONE_STAGE)
    command = world.command(order_id)
    world.database.transact(
        making.record_not_sent, command.order_id, command.id, "no answer", world.rules, world.now, certain=False
    )
    order = world.order(order_id)
    assert (order.reason, order.uncertain) == ("not_sent", True)
    assert set(world.open_tasks(order_id, Task.REFUND, Task.QUERY)) == {"refund", "query"}
    [refund] = world.rows(order_id, Task.REFUND)
    assert refund.due_at == START + timedelta(seconds=300)


def test_what_was_published_cannot_be_called_not_sent(sqlite_world: World) -> None:
    order_id = sqlite_world.pay()
    sqlite_world.publish(order_id)
    command = sqlite_world.command(order_id)
    sqlite_world.database.transact(
        making.record_not_sent, command.order_id, command.id, "?", sqlite_world.rules, sqlite_world.now, certain=True
    )
    assert sqlite_world.status(order_id) == "make_pending"


def test_every_step_is_one_row_of_history_with_its_evidence(world: World) -> None:
    order_id = world.pay()
    world.publish(order_id)
    world.accept(order_id)
    world.report(order_id, Result.DONE)
    told = [(c.actor, c.event, c.status_before, c.status_after) for c in world.history(order_id)]
    assert told == [
        ("buyer", "scanned", "", "created"),
        ("buyer", "payment_started", "created", "pending"),
        ("provider", "paid_in_time", "pending", "paid"),
        ("courier", "command_published", "paid", "make_pending"),
        ("device", "machine_accepted", "make_pending", "make_pending"),
        ("device", "machine_done", "make_pending", "successful"),
    ]
    assert world.history(order_id)[-1].evidence == {"rule": "said so"}
    versions = [change.version for change in world.history(order_id)]
    assert versions == sorted(set(versions))
