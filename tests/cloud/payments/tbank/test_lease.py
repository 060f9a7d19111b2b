"""A worker that stands still between the bank's word and its own act: another may have returned the money meanwhile."""

from collections.abc import Callable, Iterator

import pytest

from cloud.background.loops import ThreadPool
from cloud.orders import operator_actions, outbox
from cloud.orders.outbox import Lease
from cloud.orders.tasks import DONE, Lane, Task
from cloud.payments.call_worker import LEASE_S, CallWorker
from protocol.reasons import Result
from simulator.tbank.terms import Behaviour
from tests.cloud.payments.contract.rig import Money
from tests.cloud.payments.contract.tbank_rig import TBankRig
from tests.cloud.payments.contract.till import PUBLIC_URL, ContractTill
from tests.cloud.worlds import PRICE, World

PART = 5000


@pytest.fixture
def rig(sqlite_world: World) -> Iterator[TBankRig]:
    made = TBankRig(sqlite_world.clock, sqlite_world)
    made.bank.behaviour = Behaviour(refund_delay=0)
    yield made
    made.close()


@pytest.fixture
def till(sqlite_world: World, rig: TBankRig) -> Iterator[ContractTill]:
    made = ContractTill(sqlite_world, rig)
    yield made
    made.close()


@pytest.fixture
def order_id(till: ContractTill, rig: TBankRig) -> str:
    """Poured and paid by SBP, where the bank knows no repeat; a part is to go back."""
    till.one_stage()
    order_id = till.open()
    rig.bank.pay(till.provider_payment_id(order_id), "sbp")
    till.tell(order_id)
    till.work()
    till.world.publish(order_id)
    till.world.report(order_id, Result.DONE)
    till.work()
    till.world.database.transact(operator_actions.give_back, order_id, PART, "op", "half a cup", till.world.now)
    return order_id


def worker(till: ContractTill, owner: str) -> CallWorker:
    world = till.world
    return CallWorker(
        world.database, till.shops, world.rules, PUBLIC_URL, owner, ThreadPool(owner, 0), lambda: 0.0, world.clock
    )  # fmt: skip


def stands_still(rig: TBankRig, world: World, seconds: float, meanwhile: Callable[[], object]) -> None:
    """Whoever asks next hears the answer so much later."""

    def late(answer: bytes) -> bytes:
        world.clock.advance(seconds)
        meanwhile()
        return answer

    rig.wire.rewrite_next(late)


@pytest.mark.parametrize("who", ["another process", "till"], ids=["another", "itself"])
def test_a_part_that_another_has_returned_meanwhile_is_returned_once(
    till: ContractTill, rig: TBankRig, order_id: str, who: str
) -> None:
    world, other = till.world, worker(till, who)
    stands_still(rig, world, LEASE_S, lambda: other.step(world.now))
    till.call_worker.step(world.now)
    for _ in range(3):
        till.work(86400)
    assert till.money(order_id) == Money(taken=PRICE, returned=PART)
    assert [(row.verdict, row.amount) for row in world.rows(order_id, Task.REFUND)] == [(DONE, PART)]


def test_nothing_is_sent_that_could_arrive_after_anothers_question(
    till: ContractTill, rig: TBankRig, order_id: str
) -> None:
    """The lease holds still, and would not when the bank answers."""
    stands_still(rig, till.world, LEASE_S - 1, lambda: None)
    sent = len(rig.wire.calls)
    till.call_worker.step(till.world.now)
    assert rig.wire.calls[sent:] == ["POST /v2/GetState"]
    [row] = till.world.rows(order_id, Task.REFUND)
    assert (row.attempts, row.claimed_until) == (0, None), "no attempt, and due at once"
    till.work()
    assert till.money(order_id) == Money(taken=PRICE, returned=PART)


def test_what_the_same_process_has_taken_anew_meanwhile_stays_taken(
    till: ContractTill, rig: TBankRig, order_id: str
) -> None:
    """Else a third would ask the bank before the second has acted."""
    world = till.world

    def taken_anew() -> None:
        world.database.transact(outbox.claim, Lane.PROVIDER, world.now, Lease("till", LEASE_S))

    stands_still(rig, world, LEASE_S, taken_anew)
    till.call_worker.step(world.now)
    [row] = world.rows(order_id, Task.REFUND)
    assert (row.claimed_by, row.claimed_until) == ("till", Lease("till", LEASE_S).until(world.now))
