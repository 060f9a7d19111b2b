"""The provider refuses connections, or answers 500 though it has acted; a web process dies while it opens a payment."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from simulator.yookassa.faults import Endpoint, Fault, FaultKind
from tests.system.promises import let_leases_run_out, wait_kept
from tests.system.restartable import wait_who_says
from tests.system.world import Bought, World
from tests.waiting import wait_until

pytestmark = pytest.mark.long


@pytest.fixture(params=["on_dispense", "immediate"], ids=["held", "taken at once"])
def stages(request: pytest.FixtureRequest, world: World) -> Iterator[str]:
    """The merchant holds the money until the drink is done, or takes it at once."""
    capture: str = request.param
    world.apply(capture)
    yield capture
    world.apply("on_dispense")


def test_down_when_the_money_is_to_be_captured(world: World) -> None:
    bought = world.buy()
    world.agent.wait_says(" brewing ", bought.order_id)
    world.gate.shut()
    wait_who_says(world.workers, "capture not known to be done", bought.order_id)
    world.gate.open()
    assert wait_kept(world, bought).status == "successful"


def test_down_when_the_money_is_to_go_back(stages: str, world: World) -> None:
    world.machine.controls.switch_on("fail_mid_brew")
    bought = world.buy()
    world.agent.wait_says(" brewing ", bought.order_id)
    world.gate.shut()
    act = "refund" if stages == "immediate" else "cancel"
    wait_who_says(world.workers, f"{act} not known to be done", bought.order_id)
    world.gate.open()
    ended = wait_kept(world, bought)
    assert (ended.status, ended.returned_at_provider) == ("make_failed", [ended.price])


@pytest.mark.parametrize("kind", [FaultKind.ERROR_500, FaultKind.RESET, FaultKind.HTML_502])
@pytest.mark.parametrize("after_commit", [False, True], ids=["having done nothing", "having done it"])
def test_the_return_is_answered_wrongly(kind: FaultKind, after_commit: bool, stages: str, world: World) -> None:
    bought = world.order()
    world.machine.controls.switch_on("reject_no_cups")
    endpoint = Endpoint.REFUND if stages == "immediate" else Endpoint.CANCEL
    world.provider.faults.add(Fault(kind, endpoint, after_commit=after_commit, times=2))
    world.pay(bought)
    ended = wait_kept(world, bought)
    assert (ended.status, ended.returned_at_provider) == ("make_failed", [ended.price])


@pytest.mark.parametrize("kind", [FaultKind.ERROR_500, FaultKind.RESET, FaultKind.HTML_502])
@pytest.mark.parametrize("endpoint", [Endpoint.CREATE, Endpoint.CAPTURE, Endpoint.GET])
@pytest.mark.parametrize("after_commit", [False, True], ids=["having done nothing", "having done it"])
def test_a_call_is_answered_wrongly(kind: FaultKind, endpoint: Endpoint, after_commit: bool, world: World) -> None:
    world.provider.faults.add(Fault(kind, endpoint, after_commit=after_commit, times=2))
    bought = world.buy()
    assert wait_kept(world, bought).status == "successful"
    assert len(world.payments(bought)) == 1


def test_a_web_process_killed_between_the_payment_and_its_answer(world: World) -> None:
    bought = world.order()
    kill_while_opening(world, bought)
    world.web.start()
    let_leases_run_out(world)
    world.wait_ready()
    world.pay(bought)
    assert wait_kept(world, bought).status == "successful"
    assert len(world.payments(bought)) == 1


def test_money_for_a_payment_whose_opening_nobody_heard_of_is_adopted(world: World) -> None:
    bought = world.order()
    kill_while_opening(world, bought)
    world.web.start()
    world.wait_ready()
    (payment,) = world.payments(bought)
    world.provider.pay(payment.id)
    wait_who_says(world.workers, "order pending -> paid", bought.order_id)
    let_leases_run_out(world)  # the opening itself is still promised, and is now repeated in vain
    assert wait_kept(world, bought).status == "successful"
    assert len(world.payments(bought)) == 1


def kill_while_opening(world: World, bought: Bought) -> None:
    world.provider.faults.add(Fault(FaultKind.HANG, Endpoint.CREATE, after_commit=True, seconds=5))
    with ThreadPoolExecutor(1) as buyer:
        pressing = buyer.submit(world.open_payment, bought)
        wait_until(lambda: world.payments(bought), what="the provider to have the payment")
        world.web.kill()
        with pytest.raises(requests.ConnectionError):
            pressing.result()
