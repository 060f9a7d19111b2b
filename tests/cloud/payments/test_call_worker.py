"""The call worker and a simulated YooKassa: whatever becomes of a call, money moves once and is known in the end."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from cloud.background.loops import ThreadPool
from cloud.database.transaction import Transaction
from cloud.fleet.models import Credential
from cloud.orders import operator_actions, outbox
from cloud.orders.order_tasks import LaneWorkers
from cloud.orders.outbox import Lease
from cloud.orders.states import Status
from cloud.orders.tasks import Lane, Task
from cloud.payments.admission import Permit
from cloud.payments.budget import Priority
from cloud.payments.call_worker import IDLE_S, CallWorker
from cloud.payments.provider_clients import FRESH
from protocol.reasons import Result
from simulator.yookassa.behaviour import Behaviour
from simulator.yookassa.faults import Endpoint, FaultKind
from tests.cloud.payments.scripted_provider import Answer, ScriptedProvider, says, scripted_provider
from tests.cloud.tills import Till, a_till
from tests.cloud.worlds import PRICE, World

pytestmark = pytest.mark.any_database

ENDPOINT = {
    Task.CREATE: Endpoint.CREATE,
    Task.CAPTURE: Endpoint.CAPTURE,
    Task.CANCEL: Endpoint.CANCEL,
    Task.REFUND: Endpoint.REFUND,
}
SHAKY: list[tuple[FaultKind, dict[str, Any]]] = [
    (FaultKind.ERROR_500, {}),
    (FaultKind.ERROR_500, {"after_commit": True}),
    (FaultKind.RESET, {}),
    (FaultKind.RESET, {"after_commit": True}),
    (FaultKind.TOO_MANY_REQUESTS, {}),
    (FaultKind.HTML_502, {"after_commit": True}),
    (FaultKind.ACCEPTED_202, {"after_commit": True}),
]
WAYS = [f"{kind.value}{'_after' if more else ''}" for kind, more in SHAKY]


def change_credential(till: Till, **values: Any) -> None:
    """Changed, and by now noticed."""

    def change(tx: Transaction) -> None:
        credential = tx.session.get_one(Credential, ("north", "Yookassa"))
        for name, value in values.items():
            setattr(credential, name, value)
        credential.version += 1

    till.world.database.transact(change)
    till.world.wait(FRESH.total_seconds())


def at_once(till: Till) -> None:
    """The merchant takes money at once instead of holding it."""
    change_credential(till, capture="immediate")


def ready_for(till: Till, task: Task) -> str:
    """An order that now needs exactly this of the provider, with the call not made yet."""
    world = till.world
    if task is Task.CREATE:
        return world.scan()
    if task is Task.REFUND:
        at_once(till)
    order_id = till.paid()
    world.publish(order_id)
    world.report(
        order_id, Result.DONE if task is Task.CAPTURE else Result.REJECTED, "" if task is Task.CAPTURE else "no_water"
    )
    return order_id


def attempt(till: Till, task: Task, order_id: str) -> None:
    if task is Task.CREATE:
        till.press(order_id)
    else:
        till.work()


def money(till: Till, order_id: str) -> tuple[int, int, int]:
    """Held, captured, refunded at the provider."""
    booked = till.booked(order_id)
    return booked["held"], booked["captured"], booked["refunded"]


AFTER = {
    Task.CREATE: (0, 0, 0),
    Task.CAPTURE: (0, PRICE, 0),
    Task.CANCEL: (0, 0, 0),
    Task.REFUND: (0, PRICE, PRICE),
}


@pytest.mark.parametrize("task", list(ENDPOINT))
def test_each_task_is_done_and_entered(till: Till, task: Task) -> None:
    order_id = ready_for(till, task)
    attempt(till, task, order_id)
    assert money(till, order_id) == AFTER[task]
    assert till.verdicts(order_id, task) == ["done"]
    assert till.world.open_tasks(order_id, *ENDPOINT) == []
    ledger = till.world.ledger(order_id)
    assert ledger.get("captured", 0) - ledger.get("refunded", 0) == AFTER[task][1] - AFTER[task][2]


@pytest.mark.parametrize("task", list(ENDPOINT))
@pytest.mark.parametrize(("kind", "more"), SHAKY, ids=WAYS)
def test_an_answer_that_tells_nothing_is_asked_for_again_and_money_moves_once(
    sqlite_till: Till, task: Task, kind: FaultKind, more: dict[str, Any]
) -> None:
    till = sqlite_till
    order_id = ready_for(till, task)
    till.fault(kind, ENDPOINT[task], times=2, **more)
    attempt(till, task, order_id)
    [row] = till.world.rows(order_id, task)
    assert (row.settled_at, row.attempts) == (None, 1), "not known yet"
    bytes_sent, key = row.call_body, row.key
    till.work(2)
    till.work(3)
    [row] = till.world.rows(order_id, task)
    assert (row.verdict, row.attempts) == ("done", 3)
    assert (row.call_body, row.key) == (bytes_sent, key)
    assert money(till, order_id) == AFTER[task]
    assert len(till.payments_there()) == 1
    assert len(till.refunds_there()) == (task is Task.REFUND)


@pytest.mark.parametrize("task", [Task.CREATE, Task.REFUND])
@pytest.mark.parametrize("after_commit", [False, True])
def test_a_call_that_hangs_is_given_up_and_made_again(sqlite_till: Till, task: Task, after_commit: bool) -> None:
    till = sqlite_till
    order_id = ready_for(till, task)
    till.be_patient(0.5)
    till.fault(FaultKind.HANG, ENDPOINT[task], after_commit=after_commit)
    attempt(till, task, order_id)
    [row] = till.world.rows(order_id, task)
    assert row.settled_at is None
    till.be_patient()
    till.work(5)
    assert till.verdicts(order_id, task) == ["done"]
    assert money(till, order_id) == AFTER[task]
    assert len(till.payments_there()) == 1
    assert len(till.refunds_there()) == (task is Task.REFUND)


def test_the_same_bytes_go_again_under_the_same_key(sqlite_world: World) -> None:
    with scripted_provider() as provider, a_till(sqlite_world, provider.url) as till:
        provider.answer_with = lambda _: Answer(500)
        order_id = sqlite_world.scan()
        assert till.press(order_id).status_code == 503
        for _ in range(3):
            till.work(10)
        sent = {(request.headers["idempotence-key"], request.body) for request in provider.requests}
        assert len(provider.requests) == 4
        assert len(sent) == 1
        [(key, _)] = sent
        assert key == f"pay-{sqlite_world.payment(order_id).id}"


@pytest.mark.both_databases
def test_a_worker_that_died_while_calling_is_replaced_and_its_call_repeated(till: Till) -> None:
    order_id = ready_for(till, Task.REFUND)
    taken = till.world.database.transact(outbox.claim, Lane.PROVIDER, till.world.now, Lease("dead", 120))
    assert [row.task for row in taken] == ["refund"]
    till.work(119)
    assert till.refunds_there() == []
    till.work(1)
    assert till.verdicts(order_id, Task.REFUND) == ["done"]
    assert len(till.refunds_there()) == 1


def test_a_call_is_written_down_before_it_is_made(sqlite_till: Till) -> None:
    till = sqlite_till
    order_id = ready_for(till, Task.REFUND)
    written: list[bytes | None] = []
    provider = till.shops.of("north", "Yookassa")[1]
    send = provider.send

    def look_then_send(call: Any) -> Any:
        written.extend(row.call_body for row in till.world.rows(order_id, Task.REFUND))
        return send(call)

    provider.send = look_then_send  # type: ignore[method-assign]  # to look at the very moment of the call
    till.work()
    assert len(written) == 1
    assert written[0]


def test_a_return_we_held_back_ourselves_goes_with_the_sum_it_has_by_then(sqlite_till: Till) -> None:
    """Regression: its call was written for the sum before, and that was sent."""
    till, world = sqlite_till, sqlite_till.world
    at_once(till)
    order_id = till.paid()
    world.publish(order_id)
    world.report(order_id, Result.DONE)
    world.database.dispatchers.add(LaneWorkers({Lane.PROVIDER: till.call_worker.lane_worker()}))
    with all_slots_taken(till, order_id):
        world.database.transact(operator_actions.give_back, order_id, 5000, "boss", "half a cup", world.now)
    [row] = world.rows(order_id, Task.REFUND)
    assert (row.amount, row.attempts) == (5000, 0)
    till.shop.refund(till.provider_id(order_id), "20.00")
    till.look_at(order_id)
    till.work(60)
    assert money(till, order_id) == (0, PRICE, 5000)


@contextmanager
def all_slots_taken(till: Till, order_id: str) -> Iterator[None]:
    """Our own limit lets nobody call this shop."""
    gate, admission, taken = till.shops.gate_of(till.world.payment(order_id)), till.shops.admission, list[Permit]()
    assert gate is not None
    while isinstance(told := admission.admit(gate, Priority.NOTIFICATION), Permit):
        taken.append(told)
    yield
    for permit in taken:
        admission.end(permit, begun=False)


def test_a_refund_under_way_is_asked_about_until_it_is_final(till: Till) -> None:
    at_once(till)
    order_id = till.paid(method="sbp")
    till.world.publish(order_id)
    till.world.report(order_id, Result.REJECTED, "no_water")
    till.work()
    [row] = till.world.rows(order_id, Task.REFUND)
    assert row.settled_at is None
    assert row.reference
    assert till.world.ledger(order_id) == {"captured": PRICE}, "not returned before the provider says so"
    till.work(3600)
    assert till.verdicts(order_id, Task.REFUND) == [""]
    till.work(24 * 3600)
    assert till.verdicts(order_id, Task.REFUND) == ["done"]
    assert till.world.ledger(order_id) == {"captured": PRICE, "refunded": PRICE}
    assert len(till.refunds_there()) == 1


def test_a_question_unanswered_about_a_refund_of_yesterday_is_asked_again(sqlite_till: Till) -> None:
    till = sqlite_till
    at_once(till)
    order_id = till.paid(method="sbp")
    till.world.publish(order_id)
    till.world.report(order_id, Result.REJECTED, "no_water")
    till.work()
    till.fault(FaultKind.ERROR_500, Endpoint.GET_REFUND, times=3)
    till.work(25 * 3600)
    assert till.verdicts(order_id, Task.REFUND) == [""], "asking is harmless for ever"
    for _ in range(4):
        till.work(600)
    assert till.verdicts(order_id, Task.REFUND) == ["done"]


def test_a_refund_the_shop_has_no_money_for_is_asked_again_under_a_new_key(till: Till) -> None:
    order_id = ready_for(till, Task.REFUND)
    till.yookassa.behaviour = Behaviour(refund_failure="insufficient_funds", refund_delay=1.0)
    till.work()
    till.work(2)
    first, second = till.world.rows(order_id, Task.REFUND)
    assert (first.verdict, second.settled_at) == ("refused", None)
    assert first.key != second.key
    assert second.due_at == till.world.now + timedelta(seconds=60)
    till.work(61)
    till.work(10)
    third = till.world.rows(order_id, Task.REFUND)[-1]
    assert third.due_at == till.world.now + timedelta(seconds=120), "ever more slowly"
    till.yookassa.behaviour = Behaviour()
    till.work(121)
    assert till.verdicts(order_id, Task.REFUND) == ["refused", "refused", "done"]
    assert money(till, order_id) == (0, PRICE, PRICE)


def test_retries_of_a_refused_return_are_an_hour_apart_at_most(sqlite_till: Till) -> None:
    till = sqlite_till
    order_id = ready_for(till, Task.REFUND)
    till.yookassa.behaviour = Behaviour(refund_failure="insufficient_funds", refund_delay=0.0)
    till.work()
    for _ in range(9):
        till.work(3600)
    rows = till.world.rows(order_id, Task.REFUND)
    assert (rows[-1].due_at - rows[-1].created_at).total_seconds() == 3600
    assert len({row.key for row in rows}) == len(rows)


def test_a_capture_refused_because_the_hold_is_gone_ends_as_goodwill(till: Till) -> None:
    order_id = till.paid()
    till.world.publish(order_id)
    till.world.report(order_id, Result.DONE)
    assert till.shop.post(f"/payments/{till.provider_id(order_id)}/cancel").status_code == 200
    till.work()
    till.work(61)
    order = till.world.order(order_id)
    assert (order.status, order.goodwill) == ("successful", True)
    assert till.world.open_tasks(order_id, *ENDPOINT) == []
    assert till.world.ledger(order_id) == {"held": PRICE, "canceled": PRICE}


def test_a_refund_refused_because_the_cabinet_was_first_is_found_and_not_made_again(till: Till) -> None:
    order_id = ready_for(till, Task.REFUND)
    assert till.shop.refund(till.provider_id(order_id), f"{PRICE / 100:.2f}").status_code == 200
    till.work()
    assert till.verdicts(order_id, Task.REFUND)[0] == "refused"
    assert till.world.open_tasks(order_id, Task.REFUND) == []
    assert till.world.ledger(order_id) == {"captured": PRICE, "refunded": PRICE}
    assert len(till.refunds_there()) == 1


def test_a_return_refused_after_the_cup_was_poured_is_no_goodwill(till: Till) -> None:
    order_id = ready_for(till, Task.REFUND)
    till.yookassa.behaviour = Behaviour(refund_failure="insufficient_funds", refund_delay=1.0)
    till.work()
    till.world.report(order_id, Result.DONE, revision=2)
    assert till.world.order(order_id).goodwill, "the money may be on its way"
    till.work(5)
    order = till.world.order(order_id)
    assert (order.status, order.goodwill) == ("successful", False)
    assert till.world.open_tasks(order_id, Task.REFUND) == []


def test_an_answer_that_says_not_yet_is_asked_for_again(sqlite_world: World) -> None:
    """A capture answered with a payment still held has taken nothing."""
    with a_till(sqlite_world) as till:
        order_id = till.paid()
        held = till.shop.payment(till.provider_id(order_id))
        sqlite_world.publish(order_id)
        sqlite_world.report(order_id, Result.DONE)
        with not_yet(held) as provider:
            till._url = provider.url
            till.be_patient()
            till.work()
            assert len(provider.requests) == 1
        [row] = sqlite_world.rows(order_id, Task.CAPTURE)
        assert (row.settled_at, row.last_error) == (None, "not done yet")
        till._url = till.yookassa.url
        till.be_patient()
        till.work(2)
        assert till.verdicts(order_id, Task.CAPTURE) == ["done"]
        assert money(till, order_id) == (0, PRICE, 0)


@contextmanager
def not_yet(held: dict[str, Any]) -> Iterator[ScriptedProvider]:
    with scripted_provider() as provider:
        provider.answer_with = lambda _: says(held)
        yield provider


def test_the_call_worker_sleeps_until_something_can_be_done(till: Till) -> None:
    """A promise in another's hands, and a call worker without a free hand, are no reason to look again at once."""
    world = till.world
    assert till.call_worker.step(world.now) == world.now + timedelta(seconds=IDLE_S)
    ready_for(till, Task.REFUND)
    world.database.transact(outbox.claim, Lane.PROVIDER, world.now, Lease("another", 120))
    assert till.call_worker.step(world.now) == world.now + timedelta(seconds=120)


def test_a_call_worker_with_both_hands_full_waits_for_one(sqlite_till: Till) -> None:
    till, world = sqlite_till, sqlite_till.world

    class Busy(ThreadPool):
        free = 0

    ready_for(till, Task.REFUND)
    busy = CallWorker(
        world.database, till.shops, world.rules, "http://x", "busy", Busy("busy", 0), lambda: 0.0, world.clock
    )
    assert busy.step(world.now) == world.now + timedelta(seconds=IDLE_S)
    assert till.refunds_there() == []


def test_nothing_secret_is_logged(sqlite_till: Till, caplog: pytest.LogCaptureFixture) -> None:
    till = sqlite_till
    with caplog.at_level(logging.DEBUG, "cloud"):
        till.fault(FaultKind.ERROR_500, Endpoint.CREATE)
        order_id = till.world.scan()
        till.press(order_id)
        till.work(5)
    assert till.world.status(order_id) == Status.PENDING
    assert caplog.records
    assert "test_secret" not in caplog.text + repr([vars(record) for record in caplog.records])
