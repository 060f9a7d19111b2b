"""A worker that stands still, or ends: what others hold, or could hold, is theirs; no call leaves after its lease."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

import pytest

from cloud.background.loops import ThreadPool
from cloud.orders import operator_actions, outbox
from cloud.orders.locked_order import LockedOrder
from cloud.orders.order_tasks import LaneWorkers
from cloud.orders.outbox import Lease, OutboxRow
from cloud.orders.tasks import Lane, Task
from cloud.payments.call_worker import LEASE_S, CallWorker
from cloud.payments.provider_clients import ProviderClients
from protocol.reasons import Result
from tests.cloud.payments.test_call_worker import at_once, money, ready_for
from tests.cloud.tills import Till
from tests.cloud.worlds import PRICE


class LatePool(ThreadPool):
    """Its hands stand still, and something happens meanwhile, before they begin."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        super().__init__("late", 0)
        self._meanwhile = meanwhile

    def submit(self, work: Callable[[], None]) -> None:
        self._meanwhile()
        super().submit(work)


def test_a_worker_that_stood_still_until_its_key_was_forgotten_sends_nothing(till: Till) -> None:
    world = till.world
    at_once(till)
    order_id = till.paid()
    world.publish(order_id)
    world.report(order_id, Result.DONE)
    world.database.transact(operator_actions.give_back, order_id, 5000, "boss", "half a cup", world.now)
    late = CallWorker(
        world.database, till.shops, world.rules, "http://x", "late", LatePool(lambda: till.work(25 * 3600)),
        lambda: 0.0, world.clock,
    )  # fmt: skip
    late.step(world.now)
    till.work(60)
    assert till.verdicts(order_id, Task.REFUND) == ["refused", "done"], "it went under a new key meanwhile"
    assert money(till, order_id) == (0, PRICE, 5000)


def test_a_step_that_stood_still_takes_nothing_from_those_who_hold_it(till: Till) -> None:
    """To its old moment their leases end too far ahead to be meant."""
    world = till.world
    order_id = ready_for(till, Task.REFUND)
    began = world.now
    world.clock.advance(600)
    world.database.transact(outbox.claim, Lane.PROVIDER, world.now, Lease("another", LEASE_S))
    till.call_worker.step(began)
    [row] = world.rows(order_id, Task.REFUND)
    assert (row.claimed_by, row.settled_at) == ("another", None)


@pytest.mark.parametrize("is_told", [True, False], ids=["the shops are closed too", "only the threads are gone"])
def test_a_capture_committed_while_its_worker_ends_is_at_once_anothers(till: Till, *, is_told: bool) -> None:
    """Regression: the report that asked for it failed, and the capture waited for the end of a dead lease."""
    world, pool = till.world, ThreadPool("ending", 1)
    order_id = till.paid()
    world.publish(order_id)
    ending = CallWorker(
        world.database, till.shops, world.rules, "http://x", "ending", pool, lambda: 0.0, world.clock
    ).lane_worker()  # fmt: skip

    def prepare_and_end(locked: LockedOrder, row: OutboxRow) -> Callable[[], None] | None:
        begin = ending.prepare(locked, row)
        if is_told:
            till.shops.begin_nothing()
        pool.close()
        return begin

    world.database.dispatchers.add(LaneWorkers({Lane.PROVIDER: replace(ending, prepare=prepare_and_end)}))
    with world.database.wakeups.waiter(outbox.topic(Lane.PROVIDER)) as ear:
        world.report(order_id, Result.DONE)
        assert ear.wait(0)
    with closing(ProviderClients(world.database, world.vault, till._connect, world.clock)) as clients:
        CallWorker(
            world.database, clients, world.rules, "http://x", "another", ThreadPool("another", 0), lambda: 0.0,
            world.clock,
        ).step(world.now)  # fmt: skip
    assert till.verdicts(order_id, Task.CAPTURE) == ["done"]
    assert money(till, order_id) == (0, PRICE, 0)
