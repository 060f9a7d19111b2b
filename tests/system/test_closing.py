"""A machine that fails twice running closes, says so before anybody pays, and a free test cup opens it again."""

from cloud.fleet.models import Device
from tests.system.promises import wait_kept
from tests.system.world import World


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
