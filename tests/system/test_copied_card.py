"""Two agents under one device's name, as after copying a memory card: found, named by all three, nothing is sold."""

from pathlib import Path

from cloud.fleet.models import DeviceLive
from simulator.machine import MachineSimulator
from tests.system.promises import wait_kept
from tests.system.world import TIMING, World
from tests.waiting import wait_until

DEVICE = "m-001"


def test_a_copied_card_stops_the_sale_until_a_person_has_sorted_it_out(one_process: World, tmp_path: Path) -> None:
    with MachineSimulator(tty=tmp_path / "copy.tty", http=None, timing=TIMING) as other:
        waiting = one_process.order()
        copy = one_process.agent_at(other, DEVICE, "copy")
        copy.start()
        try:
            one_process.web.wait_says("two agents take turns under one name", DEVICE)
            for agent in (one_process.agent, copy):
                agent.wait_says("speaks under our name: a copied card?")
            refused = one_process.open_payment(waiting)
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "two_agents")
        finally:
            copy.stop()
        assert "two_agents" in one_process.once("events", DEVICE, "--json")
        one_process.agent.restart()  # after so many turns it would let a minute pass
        wait_until(lambda: _is_online(one_process), what="the one that is left to be online")
        assert "sells again" in one_process.once("resume", DEVICE, "--by", "anna")
        one_process.wait_selling()
        bought = one_process.buy()
        assert wait_kept(one_process, bought).status == "successful"
        assert (one_process.machine.cups(bought.order_id), other.cups(bought.order_id)) == (1, 0)


def _is_online(world: World) -> bool:
    with world.database.read() as session:
        return session.get_one(DeviceLive, DEVICE).online
