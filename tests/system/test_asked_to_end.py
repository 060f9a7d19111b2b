"""SIGTERM while the provider is slow to answer: event streams end at once, the call is answered and its answer stored,
and only then the program ends.
"""

import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import requests
from sqlalchemy import select

from cloud.orders.models import Payment
from cloud.orders.money import PaymentState
from cloud.orders.outbox import OutboxRow
from cloud.orders.tasks import Task
from simulator.yookassa.faults import Endpoint, Fault, FaultKind
from tests.system.promises import wait_kept
from tests.system.world import Bought, World
from tests.waiting import wait_until

NEVER_S = 40.0
"""More than any test here takes until it lets the provider answer."""
READERS = 3


def test_a_payment_being_opened_is_opened_before_the_one_process_ends(one_process: World) -> None:
    check_an_opening_outlives_sigterm(one_process)


@pytest.mark.long
def test_a_payment_being_opened_is_opened_before_the_web_process_ends(world: World) -> None:
    check_an_opening_outlives_sigterm(world)


def test_a_hold_being_taken_is_taken_before_the_one_process_ends(one_process: World) -> None:
    check_a_capture_outlives_sigterm(one_process)


def test_a_second_signal_ends_it_at_once(one_process: World) -> None:
    bought = one_process.order()
    with ThreadPoolExecutor() as people, a_slow_opening(one_process, bought, people) as pressing:
        one_process.web.send(signal.SIGTERM)
        wait_until(lambda: refuses(one_process), what="the first to be heard")
        one_process.web.send(signal.SIGINT)
        one_process.web.wait()
        pressing.exception()


def check_an_opening_outlives_sigterm(world: World) -> None:
    bought, watched = world.order(), world.order(world.devices[-1])
    with ThreadPoolExecutor() as people, a_slow_opening(world, bought, people) as pressing:
        streams = [
            requests.get(f"{world.url}/v1/orders/{watched.order_id}/events", stream=True, timeout=60)
            for _ in range(READERS)
        ]
        world.web.send(signal.SIGTERM)
        for stream in streams:
            read_to_the_end(stream)
        assert world.web.pid, "the streams ended while the program waited for the provider"
        world.provider.faults.clear()
        assert pressing.result().status_code in {200, 503}
        assert world.web.wait() == 0
    assert one_call_of(world, bought, Task.CREATE).verdict == "done"
    assert state_of(world, bought) is PaymentState.PENDING
    assert len(world.payments(bought)) == 1
    world.web.start()
    world.wait_ready()
    world.pay(bought)
    assert wait_kept(world, bought).status == "successful"


def check_a_capture_outlives_sigterm(world: World) -> None:
    world.provider.faults.add(Fault(FaultKind.HANG, Endpoint.CAPTURE, after_commit=True, seconds=NEVER_S))
    bought = world.buy()
    wait_until(lambda: any(payment.captured for payment in world.payments(bought)), what="the hold to be taken")
    world.worker.send(signal.SIGTERM)
    wait_until(lambda: refuses(world), what="the signal to be heard")
    assert world.worker.pid, "it waits for the provider"
    world.provider.faults.clear()
    assert world.worker.wait() == 0
    assert one_call_of(world, bought, Task.CAPTURE).verdict == "done"
    world.worker.start()
    assert wait_kept(world, bought).status == "successful"


def refuses(world: World) -> bool:
    """Nobody is let in any more."""
    try:
        requests.get(f"{world.url}/health", timeout=10)
    except requests.ConnectionError:
        return True
    return False


@contextmanager
def a_slow_opening(world: World, bought: Bought, people: ThreadPoolExecutor) -> Iterator[Future[requests.Response]]:
    """The provider has the payment and does not say so until all faults are switched off; the buyer waits."""
    world.provider.faults.add(Fault(FaultKind.HANG, Endpoint.CREATE, after_commit=True, seconds=NEVER_S))
    pressing = people.submit(world.open_payment, bought)
    wait_until(lambda: world.payments(bought), what="the provider to have the payment")
    yield pressing


def read_to_the_end(stream: requests.Response) -> None:
    """An end that is none raises."""
    with stream:
        for _ in stream.iter_lines():
            pass


def one_call_of(world: World, bought: Bought, task: Task) -> OutboxRow:
    """Sent once: nobody else took it over."""
    with world.database.read() as session:
        asked = select(OutboxRow).where(OutboxRow.order_id == bought.order_id, OutboxRow.task == task.value)
        row = session.scalars(asked).one()
    assert row.attempts == 1
    return row


def state_of(world: World, bought: Bought) -> PaymentState:
    with world.database.read() as session:
        return PaymentState(session.scalars(select(Payment.state).where(Payment.order_id == bought.order_id)).one())
