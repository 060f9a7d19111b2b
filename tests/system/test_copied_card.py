"""Two agents under one device's name, as after copying a memory card: found, named by all three, nothing is sold."""

from pathlib import Path

from cloud.fleet.models import DeviceLive
from simulator.machine import MachineSimulator
from tests.mosquitto import Mosquitto
from tests.system.promises import wait_kept
from tests.system.world import TIMING, World
from tests.waiting import wait_until


def test_a_copied_card_stops_the_sale_until_a_person_has_sorted_it_out(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with (
        World(tmp_path, mosquitto, f"sqlite:///{tmp_path}/coffee.db", webs=0, workers=0, devices=["m-twin"]) as world,
        MachineSimulator(tty=tmp_path / "copy.tty", http=None, timing=TIMING) as other,
    ):
        wait_kept(world, world.buy())
        waiting = world.order()
        copy = world.agent_at(other, "m-twin", "copy")
        copy.start()
        try:
            world.web.wait_says("two agents take turns under one name", "m-twin")
            for agent in (world.agent, copy):
                agent.wait_says("speaks under our name: a copied card?")
            refused = world.open_payment(waiting)
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "two_agents")
        finally:
            copy.stop()
        assert "two_agents" in world.once("events", "m-twin", "--json")
        world.agent.restart()  # after so many turns it would let a minute pass
        wait_until(lambda: _is_online(world), what="the one that is left to be online")
        assert "sells again" in world.once("resume", "m-twin", "--by", "anna")
        world.wait_selling()
        bought = world.buy()
        assert wait_kept(world, bought).status == "successful"
        assert (world.machine.cups(bought.order_id), other.cups(bought.order_id)) == (1, 0)


def _is_online(world: World) -> bool:
    with world.database.read() as session:
        return session.get_one(DeviceLive, "m-twin").online
