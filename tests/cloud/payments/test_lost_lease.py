"""A worker that stands still: what others hold meanwhile is left to them, and no call leaves when its lease is over."""

from collections.abc import Callable

from cloud.background.loops import ThreadPool
from cloud.orders import operator_actions, outbox
from cloud.orders.outbox import Claim
from cloud.orders.tasks import Lane, Task
from cloud.payments.call_worker import LEASE_S, CallWorker
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
    world.database.transact(outbox.claim, Lane.PROVIDER, world.now, Claim("another", LEASE_S))
    till.call_worker.step(began)
    [row] = world.rows(order_id, Task.REFUND)
    assert (row.claimed_by, row.settled_at) == ("another", None)
