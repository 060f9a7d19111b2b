"""Webhooks, workers and call workers at the same moment: poured once, money moved once, nobody's news written over."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from cloud.background.loops import ThreadPool
from cloud.database.transaction import Transaction
from cloud.orders.models import Payment
from cloud.orders.tasks import Task
from protocol.reasons import Result
from tests.cloud.payments.test_call_worker import at_once
from tests.cloud.tills import Till
from tests.cloud.worlds import PRICE


@pytest.mark.parametrize("ahead", [0, 1])
def test_a_hint_that_comes_while_we_ask_is_followed_too(till: Till, ahead: float) -> None:
    """The answer under way may be older than the news that has just come, perhaps by a clock ahead of ours."""
    order_id = till.open_payment()
    provider = till.shops.of("north", "Yookassa")[1]
    fetch = provider.fetch

    def paid_and_told_while_asking(provider_payment_id: str) -> Any:
        answer = fetch(provider_payment_id)
        till.buyer_pays(order_id)
        till.world.clock.advance(ahead)
        till.notify(order_id)
        till.world.clock.advance(-ahead)
        provider.fetch = fetch  # type: ignore[method-assign]  # once
        return answer

    provider.fetch = paid_and_told_while_asking  # type: ignore[method-assign]  # to come in between
    till.world.clock.advance(2)
    till.poller.step(till.world.now)
    assert till.world.status(order_id) == "pending"
    assert till.world.payment(order_id).next_check_at == till.world.now + timedelta(seconds=ahead)
    till.poller.step(till.world.clock.advance(ahead))
    assert till.world.status(order_id) == "paid"


def test_the_poller_sleeps_until_something_is_due(till: Till) -> None:
    world = till.world
    assert till.poller.step(world.now) == world.now + timedelta(seconds=60)
    till.open_payment()
    assert till.poller.step(world.now) == world.now + timedelta(seconds=2)

    class Busy(ThreadPool):
        free = 0

    world.clock.advance(100)
    busy = till.a_poller(Busy("busy", 0))
    assert busy.step(world.now) == world.now + timedelta(seconds=60)


def test_forty_webhooks_at_once_and_two_workers_pour_once_and_move_money_once(till: Till) -> None:
    world = till.world
    orders = [till.open_payment() for _ in range(3)]
    for order_id in orders:
        till.buyer_pays(order_id)
    bodies = [till.notification(till.provider_id(order_id)) for order_id in orders]
    loops = [till.a_poller(ThreadPool(f"r{n}", 4)) for n in range(2)]
    pools = [loop._pool for loop in loops]
    gate, stop = threading.Barrier(42), threading.Event()

    def notify(number: int) -> int:
        gate.wait()
        return till.post(bodies[number % 3]).status_code

    def work(number: int) -> None:
        gate.wait()
        while not stop.is_set() or any(world.status(order_id) == "pending" for order_id in orders):
            loops[number].step(world.now)

    with ThreadPoolExecutor(42) as pool:
        workers = [pool.submit(work, number) for number in range(2)]
        answers = [pool.submit(notify, number) for number in range(40)]
        assert [answer.result(60) for answer in answers] == [200] * 40
        stop.set()
        for worker in workers:
            worker.result(60)
    for each in pools:
        each.close()
    for order_id in orders:
        assert world.status(order_id) == "paid"
        assert len(world.commands(order_id)) == 1
        assert len(world.rows(order_id, Task.MAKE)) == 1
        assert world.ledger(order_id) == {"held": PRICE}
    assert sorted(notification.times for notification in till.notifications()) == [13, 13, 14]


def test_two_call_workers_at_once_move_money_once(till: Till) -> None:
    world = till.world
    at_once(till)
    orders = [till.paid() for _ in range(6)]
    for order_id in orders:
        world.publish(order_id)
        world.report(order_id, Result.REJECTED, "no_water")
    call_workers = [till.a_call_worker(f"cashier-{number}", slots=3) for number in range(2)]
    with ThreadPoolExecutor(2) as pool:

        def work(number: int) -> None:
            while any(world.open_tasks(order_id, Task.REFUND) for order_id in orders):
                call_workers[number].step(world.now)

        for worker in [pool.submit(work, number) for number in range(2)]:
            worker.result(60)
    for call_worker in call_workers:
        call_worker._pool.close()
    assert len(till.refunds_there()) == 6
    for order_id in orders:
        assert world.ledger(order_id) == {"captured": PRICE, "refunded": PRICE}


def test_a_payment_row_changed_by_a_webhook_is_not_written_over(till: Till) -> None:
    """Regression: news judged on a payment read before the webhook's note lost the note."""
    order_id = till.paid()
    payment_id = till.world.payment(order_id).id

    def webhooks_note(tx: Transaction) -> None:
        tx.session.get_one(Payment, payment_id).next_check_at = till.world.now

    till.world.database.transact(webhooks_note)
    till.world.publish(order_id)
    till.world.report(order_id, Result.DONE)
    till.call_worker.step(till.world.now)
    assert till.world.payment(order_id).state == "captured"
    assert till.world.payment(order_id).next_check_at == till.world.now
    till.work()
    assert till.world.payment(order_id).next_check_at is None
