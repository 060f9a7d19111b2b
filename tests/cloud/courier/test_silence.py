"""Machines gone without a word are offline; those that answer, in whatever way, are not."""

from datetime import timedelta

import pytest

from cloud.courier.broker import Received
from cloud.courier.silence import ANSWERED_WITHIN, LOOKED_EVERY, QUIET_FOR, Silence
from cloud.courier.tmetr.heartbeat import nobody_is_online
from cloud.courier.welcomes import Welcomes
from cloud.database.transaction import Transaction
from cloud.fleet import device_condition, presence_history
from cloud.fleet.models import Device, DeviceLive
from protocol.messages import GREETING, Hello, Presence, State, Welcome, encode
from protocol.topics import Channel, topic
from simulator.broker import Broker
from tests.cloud.courier.rig import Machine, Rig, a_rig
from tests.cloud.courier.test_listener import live
from tests.cloud.courier.test_presence_listener import all_of_it_read
from tests.cloud.worlds import DEVICE, START, World
from tests.waiting import wait_until

GIVEN_UP_AFTER = QUIET_FOR + 2 * ANSWERED_WITHIN


class Watch:
    """Steps `silence` once a minute, as its loop does."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        welcomes = Welcomes(rig.world.database, rig.link, rig.world.clock)
        self.silence = Silence(rig.world.database, rig.presence_link, welcomes, rig.name)

    def look_for(self, lasting: timedelta) -> None:
        until = self._rig.world.now + lasting
        while self._rig.world.now < until:
            assert self.silence.step(self._rig.world.now) == self._rig.world.now + LOOKED_EVERY
            self._rig.world.clock.advance(LOOKED_EVERY.total_seconds())


def connected(rig: Rig) -> Machine:
    """A machine that says it is online, and that its broker says so of to whoever comes."""
    machine = rig.machine()
    said = encode(Presence(online=True, session_id="s", connection=1))
    machine.client.publish(topic(DEVICE, Channel.PRESENCE), said, retain=True)
    rig.hear_until(lambda: live(rig.world).session_id == "s")
    return machine


def hear_what_is_kept(rig: Rig) -> Machine:
    """By the broker, of the machine: whoever is there is greeted."""
    machine = rig.machine()
    rig.connect()
    rig.hear_until(lambda: greetings(machine))
    return machine


def greetings(machine: Machine) -> int:
    return sum(isinstance(one, Welcome) and one.hello_id == GREETING for one in machine.receipts)


def test_a_machine_whose_last_will_was_lost_is_offline_until_it_speaks_again(world: World) -> None:
    """Regression: switched off while the broker was dead, it was on sale for ever, and no alert told of it."""
    with Broker() as broker:
        with a_rig(world, broker.port) as rig:
            connected(rig.connect())
            Watch(rig).look_for(QUIET_FOR)
            assert live(world).online, "not before it was asked"
        with a_rig(world, broker.port, "after a restart") as rig:
            hear_what_is_kept(rig)
            Watch(rig).look_for(3 * ANSWERED_WITHIN)
            assert not live(world).online
        with a_rig(world, broker.port, "after another") as rig:
            machine = hear_what_is_kept(rig)
            assert not live(world).online
            machine.say(State(at=world.now, link="up", selling=True), Channel.STATE)
            rig.hear_until(lambda: live(world).online)


def test_nor_does_it_stay_online_for_the_hours_the_clock_was_set_back(sqlite_rig: Rig) -> None:
    """Its hello brings it back, as after any silence."""
    rig = sqlite_rig
    machine = connected(rig)
    rig.world.clock.advance(-3 * 3600)
    Watch(rig).look_for(3 * ANSWERED_WITHIN)
    assert not live(rig.world).online
    machine.say(HELLO)
    rig.hear_until(lambda: answered(machine))
    assert live(rig.world).online


@pytest.mark.parametrize("answer", [Hello(hello_id="h", agent_version="0.1", profile="p"), None])
def test_a_machine_that_answers_a_greeting_stays_online(sqlite_rig: Rig, answer: Hello | None) -> None:
    """By a hello, or by its state, the same as before."""
    rig, world = sqlite_rig, sqlite_rig.world
    machine, watch = connected(rig), Watch(rig)
    watch.look_for(QUIET_FOR + 2 * LOOKED_EVERY)
    rig.hear_until(lambda: greetings(machine))
    before = live(world).seen_at
    if answer is None:
        machine.say(State(at=world.now, link="up", selling=True), Channel.STATE)
    else:
        machine.say(answer)
    rig.hear_until(lambda: live(world).seen_at != before)
    watch.look_for(2 * ANSWERED_WITHIN)
    assert live(world).online


HELLO = Hello(hello_id="h", agent_version="0.1", profile="p")


def answered(machine: Machine) -> bool:
    """Its hello was, and whatever follows from it is written."""
    return any(isinstance(one, Welcome) and one.hello_id == "h" for one in machine.receipts)


def offline_since_long(rig: Rig) -> Machine:
    """A machine taken for silent."""
    machine = connected(rig)
    Watch(rig).look_for(GIVEN_UP_AFTER)
    assert not live(rig.world).online
    return machine


def spells(world: World) -> list[str]:
    with world.database.read() as session:
        return [spell.state.value for spell in presence_history.spells_of(session, DEVICE, START)]


def test_a_hello_that_comes_late_is_a_sign_of_life(rig: Rig) -> None:
    """Regression: it was noted as seen and stayed off sale until its next state or connect."""
    machine = offline_since_long(rig)
    machine.say(HELLO)
    rig.hear_until(lambda: answered(machine))
    assert live(rig.world).online
    assert spells(rig.world) == ["online", "offline", "online"]


def test_a_hello_that_a_broker_kept_is_none(sqlite_rig: Rig) -> None:
    """As one without shared subscriptions says it again."""
    rig, machine = sqlite_rig, offline_since_long(sqlite_rig)
    seen_at = live(rig.world).seen_at
    rig.link.inbox.put(Received(topic(DEVICE, Channel.REPORT), encode(HELLO), 0, 0, retained=True))
    rig.hear_until(lambda: answered(machine))
    assert (live(rig.world).online, live(rig.world).seen_at) == (False, seen_at)


def test_nor_is_that_of_who_tries_the_way_of_a_stopped_agent(sqlite_rig: Rig) -> None:
    """As `coffee-agent doctor` does: who said that it goes says by presence that it is back."""
    rig, machine = sqlite_rig, connected(sqlite_rig)
    machine.say(Presence(online=False, session_id="s"), Channel.PRESENCE)
    rig.hear_until(lambda: not live(rig.world).online)
    for _ in range(2):
        rig.world.clock.advance(GIVEN_UP_AFTER.total_seconds())
        machine.say(HELLO)
        rig.hear_until(lambda: live(rig.world).seen_at == rig.world.now)
    assert not live(rig.world).online


def test_nor_where_another_has_driven_the_machine_meanwhile(sqlite_rig: Rig) -> None:
    """Who drives it now was never seen: that is no silence that a hello could end."""
    rig, world = sqlite_rig, sqlite_rig.world
    machine = connected(rig)

    def change_over(tx: Transaction) -> None:
        now_live = tx.session.get_one(DeviceLive, DEVICE)
        device_condition.forget(now_live)
        presence_history.note(tx, [now_live], world.now)

    world.clock.advance(60)
    world.database.transact(change_over)
    world.clock.advance(60)
    machine.say(HELLO)
    rig.hear_until(lambda: live(world).seen_at == world.now)
    assert not live(world).online


def test_what_an_agent_says_of_a_machine_that_tmetr_drives_does_not_make_it_online(sqlite_rig: Rig) -> None:
    """Regression: and it was offline for good once its agent drove it again."""
    rig, world = sqlite_rig, sqlite_rig.world
    machine = connected(rig)

    def driven_by(control: str) -> None:
        world.database.transact(lambda tx: setattr(tx.session.get_one(Device, DEVICE), "control", control))

    driven_by("tmetr-api")
    world.database.transact(nobody_is_online, world.now)
    world.clock.advance(GIVEN_UP_AFTER.total_seconds())
    machine.say(State(at=world.now, link="up", selling=True), Channel.STATE)
    all_of_it_read(rig, machine)
    machine.say(HELLO)
    rig.hear_until(lambda: answered(machine))
    assert not live(world).online
    driven_by("agent")
    machine.say(State(at=world.now, link="up", selling=True), Channel.STATE)
    rig.hear_until(lambda: live(world).online)


def test_a_cloud_that_hears_nobody_calls_nobody_silent(sqlite_rig: Rig) -> None:
    rig = sqlite_rig
    connected(rig)
    watch = Watch(rig)
    rig.presence_link.stop()
    watch.look_for(GIVEN_UP_AFTER)
    assert live(rig.world).online


def test_what_waits_to_be_read_may_be_its_word(sqlite_rig: Rig) -> None:
    rig = sqlite_rig
    machine, watch = connected(rig), Watch(rig)
    machine.say(State(at=rig.world.now, link="up", selling=True), Channel.STATE)
    wait_until(lambda: not rig.presence_link.inbox.empty())
    watch.look_for(GIVEN_UP_AFTER)
    assert live(rig.world).online
