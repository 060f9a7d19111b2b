"""An agent that is left running at a machine that Tmetr drives now: nobody believes it, nobody asks it."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from cloud.courier import device_jobs
from cloud.fleet import device_condition
from cloud.fleet.models import DeviceLive
from cloud.orders import carriers, restored_order
from cloud.orders.models import MakeCommand
from protocol.messages import Hello, Presence, Query, State
from tests.cloud.courier.rig import Rig
from tests.cloud.courier.test_presence_listener import put
from tests.cloud.courier.tmetr_rig import TmetrRig, a_tmetr_rig
from tests.cloud.worlds import DEVICE, World


@pytest.fixture
def tmetr(sqlite_rig: Rig) -> Iterator[TmetrRig]:
    with a_tmetr_rig(sqlite_rig.world) as made:
        made.heartbeats.step(sqlite_rig.world.now)
        yield made


def as_tmetr_says(live: DeviceLive) -> bool:
    return live.online and live.state is None and live.two_agents_since is None


def test_its_words_are_not_those_of_the_machine(sqlite_rig: Rig, tmetr: TmetrRig) -> None:
    """Regression: its end took the machine off sale, and two that took turns did for good."""
    for session_id, connection in (("a", 1), ("b", 1), ("a", 2)):
        put(sqlite_rig, Presence(online=True, session_id=session_id, connection=connection))
    put(sqlite_rig, Presence(online=False, session_id="a", connection=2))
    put(sqlite_rig, State(at=sqlite_rig.world.now, link="down", selling=False))
    sqlite_rig.presence.step(sqlite_rig.world.now)
    assert as_tmetr_says(tmetr.live())


def test_nor_is_a_machine_online_by_its_word(sqlite_rig: Rig, tmetr: TmetrRig) -> None:
    tmetr.tmetr.hall.switch(DEVICE, False, None)
    tmetr.heartbeats.step(sqlite_rig.world.clock.advance(400))
    seen_at = tmetr.live().seen_at
    put(sqlite_rig, Presence(online=True, session_id="a", connection=1))
    put(sqlite_rig, State(at=sqlite_rig.world.now, link="up", selling=True))
    sqlite_rig.presence.step(sqlite_rig.world.now)
    with sqlite_rig.world.database.read() as session:
        later = sqlite_rig.world.now + timedelta(hours=1)
        assert device_condition.long_unseen(session, [DEVICE], later) == []
    assert (tmetr.live().online, tmetr.live().seen_at) == (False, seen_at)


def unknown_to_an_agent(world: World) -> list[MakeCommand]:
    """What an agent would be asked about, or told to wait for."""
    with world.database.read() as session:
        assert carriers.waited_for(session, [DEVICE], world.now) == {}
        return carriers.unheard_of(session, [DEVICE], world.now, 10)


@pytest.mark.parametrize("drives", ["tmetr-api", "agent"])
def test_it_is_not_asked_about_what_went_over_tmetr(sqlite_rig: Rig, tmetr: TmetrRig, drives: str) -> None:
    """Regression: it truthfully said that it never had the command, and the money of a poured drink went back."""
    world, machine = sqlite_rig.world, sqlite_rig.machine()
    order_id = world.pay()
    tmetr.send()
    tmetr.change(control=drives)
    assert unknown_to_an_agent(world) == []
    world.wait(world.rules.ack_timeout_s + 1)
    assert world.status(order_id) == "make_failed"
    assert unknown_to_an_agent(world) == []
    machine.say(Hello(hello_id="h-1", agent_version="0.1", profile="companion-v1"))
    sqlite_rig.hear_until(lambda: machine.receipts)
    world.in_docket(order_id, restored_order.ask_machine, world.rules, world.now)
    sqlite_rig.publish()
    assert not [said for said in machine.commands if isinstance(said, Query)]
    assert not [row for row in world.rows(order_id) if row.task == "query"]


def test_an_agents_own_commands_are_asked_about_whoever_drives_now(sqlite_rig: Rig) -> None:
    world = sqlite_rig.world
    order_id = world.pay()
    world.publish(order_id)
    with a_tmetr_rig(world), world.database.read() as session:
        assert [one.order_id for one in carriers.unheard_of(session, [DEVICE], world.now, 10)] == [order_id]


def test_a_person_lets_it_sell_without_asking_an_agent(sqlite_rig: Rig, tmetr: TmetrRig) -> None:
    """Regression: what two agents had stopped before could never be sold from again."""
    world = sqlite_rig.world

    def stop(live: DeviceLive) -> None:
        live.two_agents_since = world.now

    world.database.transact(lambda tx: stop(tx.session.get_one(DeviceLive, DEVICE)))
    resumed = world.database.transact(device_jobs.let_sell, DEVICE, "anna", "resume-1", world.now)
    assert resumed == (True, False)
    assert as_tmetr_says(tmetr.live())
    with world.database.read() as session:
        assert device_jobs.latest(session, DEVICE, 1) == []
