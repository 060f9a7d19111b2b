"""A readiness question through a real broker to a machine and back."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from cloud.buyer.brew_time_estimate import BrewTimeEstimates
from cloud.buyer.readiness import Asking
from cloud.courier.broker import BrokerLink
from cloud.courier.listener import Listener
from cloud.courier.probe import Prober
from cloud.courier.welcomes import Welcomes
from cloud.database.database import Database
from cloud.fleet import probes
from protocol.messages import Probe, ProbeReply
from tests.cloud.courier.rig import Rig, a_rig
from tests.cloud.worlds import DEVICE, World
from tests.mosquitto import Mosquitto


@pytest.fixture
def rig(world: World, mosquitto: Mosquitto) -> Iterator[Rig]:
    with a_rig(world, mosquitto.port) as rig:
        yield rig


def ask(world: World, probe_id: str = "p-1") -> None:
    world.database.transact(probes.ask, DEVICE, "latte", 1, probe_id, world.now)


def row(world: World) -> probes.Probe:
    with world.database.read() as session:
        return session.get_one(probes.Probe, (DEVICE, "latte"))


@pytest.mark.any_database
@pytest.mark.parametrize(
    ("ready", "code", "kept"), [(True, "", ""), (False, "no_milk", "no_milk"), (False, "", "fault")]
)
def test_question_and_answer(rig: Rig, world: World, ready: bool, code: str, kept: str) -> None:
    rig.connect()
    machine = rig.machine()
    ask(world)
    Prober(world.database, rig.link, world.clock).step(world.now)
    rig.hear_until(lambda: machine.commands, "the question")

    assert machine.commands == [Probe(probe_id="p-1", drink_no="latte", size=1)]
    [expiry] = machine.expiries()
    assert 0 < expiry <= 2
    machine.say(ProbeReply(probe_id="p-1", ready=ready, code=code))
    rig.hear_until(lambda: row(world).settled_at, "the answer")

    assert (row(world).code, row(world).heard_at) == (kept, world.now)


def test_each_question_is_sent_once(rig: Rig, world: World) -> None:
    rig.connect()
    machine = rig.machine()
    ask(world)
    probers = [Prober(world.database, rig.link, world.clock) for _ in range(2)]
    for prober in probers:
        prober.step(world.now)
    world.clock.advance(2)
    ask(world, "p-2")
    probers[0].step(world.now)
    rig.hear_until(lambda: len(machine.commands) >= 2, "both questions")

    assert [command.probe_id for command in machine.commands if isinstance(command, Probe)] == ["p-1", "p-2"]


def test_the_answer_is_taken_in_at_once_for_a_buyer_waits_for_it(rig: Rig, world: World) -> None:
    for_ever_s = 3600.0
    rig.connect()
    machine = rig.machine()
    ask(world)
    with closing(Database(world.database.url.render_as_string(False), patience_s=for_ever_s)) as database:
        welcomes = Welcomes(database, rig.link, world.clock)
        rig.listener = Listener(database, rig.link, world.rules, welcomes, world.clock)
        machine.say(ProbeReply(probe_id="p-1", ready=True, code=""))
        rig.hear_until(lambda: row(world).settled_at, "the answer")


def test_without_the_broker_the_buyer_is_told_so(world: World) -> None:
    link = BrokerLink("mqtt://127.0.0.1:1", "never-connected")
    ask(world)
    Prober(world.database, link, world.clock).step(world.now)
    order_id = world.scan()

    asking = Asking(world.database, world.clock, BrewTimeEstimates())

    assert asking.of_order(order_id).code == "not_sent"
