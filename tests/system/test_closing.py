"""A machine that fails twice running closes, says so before anybody pays, and a free test cup opens it again."""

from datetime import UTC, datetime

from cloud.courier import device_jobs
from cloud.courier.device_jobs import DeviceJob, Kind, Wanted
from cloud.fleet.models import Device
from tests.system.promises import wait_kept
from tests.system.world import World
from tests.waiting import wait_until


def test_two_failures_close_it_and_a_test_cup_opens_it(world: World) -> None:
    refused = world.order()
    for _ in range(2):
        world.machine.controls.switch_on("reject_fault")
        assert wait_kept(world, world.buy()).reason == "rejected:fault"
    answer = world.open_payment(refused)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "closed")
    world.machine.controls.switch_all_off()

    device = world.devices[0]
    before = world.machine.controls.state()["counters"]
    assert "Done." in world.once("test-cup", device, "americano", "--by", "anna")
    after = world.machine.controls.state()["counters"]
    assert (after["free"] - before["free"], after["paid"] - before["paid"]) == (1, 0)
    assert "test_cup  done" in world.once("jobs", device)
    with world.database.read() as session:
        assert session.get_one(Device, device).closed_since is None
    assert wait_kept(world, world.buy()).status == "successful"


def test_a_test_cup_asked_for_while_the_agent_is_away_is_poured_when_it_is_back(world: World) -> None:
    """Regression: no welcome named it, and an agent that started after it was asked for refused it as expired."""
    device = world.devices[0]
    before = world.machine.controls.state()["counters"]["free"]
    world.agent.kill()
    wanted = Wanted(Kind.TEST_CUP, drink_no="americano")
    world.database.transact(device_jobs.ask, device, wanted, "anna", "test-away", datetime.now(UTC))

    def state() -> str:
        with world.database.read() as session:
            return session.get_one(DeviceJob, "test-away").state

    wait_until(lambda: state() == "sent", what="the cup to be with the broker")
    world.agent.start()
    wait_until(lambda: state() not in device_jobs.OPEN, 60, what="the cup's end")
    assert (state(), world.machine.controls.state()["counters"]["free"]) == ("done", before + 1)
