"""The link meets the broker: pauses between tries, what it says first, what it answers while the machine pours."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from agent.clock import Bell, CloudClock
from agent.cloud import link as link_module
from agent.cloud.command_handler import CommandHandler
from agent.cloud.link import DEAF_S, LONGEST_PAUSE_S, Link
from agent.cloud.mqtt import Refused
from agent.cloud.wire import Receive
from agent.journal.journal import Journal
from agent.journal.sqlite_file import SqliteFile
from agent.live_state import LiveState
from agent.service import Service
from protocol.messages import Accepted, Answer, Probe, ProbeReply, State, Welcome, encode
from protocol.reasons import AnswerStatus, Result
from protocol.topics import Channel, topic
from simulator.machine import MachineSimulator, Timing
from tests.agent.agents import Agents
from tests.agent.cloud_side import DEVICE, CloudSide, a_cloud_side
from tests.agent.world import VirtualClock
from tests.mosquitto import Mosquitto
from tests.waiting import wait_until


class FakeWire:
    """A connection that does what the test says; nothing is at its other end."""

    def __init__(self, refuses: bool) -> None:
        self._refuses = refuses
        self.is_ready = False
        self.why_lost = ""
        self.lacks_mqtt5 = False
        self.confirmed = 0
        self.is_lost = self.is_opening = self.is_unreachable = False
        self.waits = False
        self.said: list[tuple[str, bytes, bool]] = []

    def open(self) -> None:
        if self._refuses:
            raise Refused("nobody there")
        self.is_ready = True

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int | None:
        self.said.append((topic.rpartition("/")[2], payload, retain))
        self.waits = True
        return len(self.said)

    def is_confirmed(self, ticket: int) -> bool:
        return ticket <= self.confirmed

    def wait_delivered(self, _: float) -> bool:
        return True

    def drop(self, why: str) -> None:
        self.why_lost, self.is_lost = why, True

    def close(self) -> None:
        self.is_lost = True


class Meeting:
    """A link in virtual time that dials fake wires."""

    def __init__(self, folder: Path, seed: int = 1) -> None:
        self.clock = VirtualClock()
        self.refuses = True
        self.wires: list[FakeWire] = []
        self.dialled_at: list[float] = []
        bell = Bell()
        cloud = CloudClock(self.clock)
        self.database = SqliteFile.open(folder, self.clock.wall())
        self.journal = Journal(self.database, self.clock, lambda: "id", cloud, bell)
        self.live_state = LiveState(bell)
        self.link = Link(
            device_uuid=DEVICE,
            profile="companion-v1",
            dial=self._dial,
            journal=self.journal,
            command_handler=CommandHandler(self.journal, self.live_state, bell),
            live_state=self.live_state,
            clock=self.clock,
            cloud=cloud,
            random=Random(seed),
            new_id=lambda: "h",
            worker_bell=bell,
        )

    def _dial(self, _: bool, __: bytes, ___: Receive) -> FakeWire:
        wire = FakeWire(self.refuses)
        self.wires.append(wire)
        self.dialled_at.append(self.clock.seconds)
        return wire

    def run(self, seconds: float, until: Callable[[], object] = lambda: False) -> None:
        end = self.clock.seconds + seconds
        while self.clock.seconds < end and not until():
            self.clock.seconds = min(end, max(self.clock.seconds + 0.01, self.link.step(self.clock.seconds)))


@pytest.fixture
def meeting(tmp_path: Path) -> Iterator[Meeting]:
    made = Meeting(tmp_path / "state")
    yield made
    made.database.close()


def test_a_fleet_that_loses_its_broker_comes_back_one_after_the_other(tmp_path: Path) -> None:
    """As the cloud asked for; one that was told nothing comes back within two seconds, as ever."""
    told, untold = (
        [back_after(tmp_path / f"{seed}-{spread}", seed, spread) for seed in range(30)] for spread in (15.0, 0.0)
    )
    assert max(untold) <= 1 + link_module.LONGEST_SLEEP_S
    assert max(told) - min(told) > 10
    assert max(told) <= 16 + link_module.LONGEST_SLEEP_S


def back_after(folder: Path, seed: int, spread_s: float) -> float:
    meeting = Meeting(folder, seed)
    meeting.refuses = False
    meeting.run(60)
    welcome = Welcome(hello_id="another's", cloud_time=meeting.clock.wall(), spread_s=spread_s)
    meeting.link.receiver.receive(topic(DEVICE, Channel.RECEIPT), encode(welcome), False)
    meeting.wires[0].drop("the broker is gone")
    lost = meeting.clock.seconds
    meeting.run(60, until=lambda: len(meeting.wires) == 2)
    meeting.database.close()
    return meeting.dialled_at[1] - lost


def pauses(meeting: Meeting) -> list[float]:
    return [later - earlier for earlier, later in itertools.pairwise(meeting.dialled_at)]


def test_without_a_broker_it_tries_for_ever_ever_more_seldom(meeting: Meeting) -> None:
    meeting.run(3600)
    waited = pauses(meeting)
    assert waited[0] < 3
    assert max(waited) <= LONGEST_PAUSE_S + link_module.LONGEST_SLEEP_S
    assert sum(waited[-5:]) / 5 > LONGEST_PAUSE_S / 2


def test_no_two_agents_come_back_in_step_after_an_outage(tmp_path: Path) -> None:
    rhythms = []
    for seed in range(5):
        meeting = Meeting(tmp_path / str(seed), seed)
        meeting.run(300)
        rhythms.append(tuple(meeting.dialled_at))
        meeting.database.close()
    assert len(set(rhythms)) == 5


def test_on_each_connection_it_says_who_it_is_first_then_how_the_machine_is(meeting: Meeting) -> None:
    meeting.refuses = False
    for number in range(3):
        meeting.run(120, until=lambda number=number: len(meeting.wires) > number)  # type: ignore[misc]  # as above
        meeting.run(2)
        wire = meeting.wires[number]
        assert [channel for channel, _, _ in wire.said[:3]] == ["presence", "report", "state"]
        assert [retained for channel, _, retained in wire.said if channel != "report"] == [True, True]
        wire.drop("the network")


def test_a_broker_that_confirms_nothing_is_left_for_a_new_connection(meeting: Meeting) -> None:
    meeting.refuses = False
    meeting.run(DEAF_S + 10, until=lambda: meeting.wires and meeting.wires[0].is_lost)
    assert "confirmed nothing" in meeting.wires[0].why_lost
    meeting.run(10)
    assert len(meeting.wires) == 2


def test_a_broker_that_confirms_is_kept(meeting: Meeting) -> None:
    meeting.refuses = False
    for _ in range(10):
        meeting.run(DEAF_S / 2)
        meeting.wires[0].confirmed += 1
    assert len(meeting.wires) == 1


def test_an_answer_is_said_on_each_new_connection_until_the_broker_has_it(meeting: Meeting) -> None:
    """Regression: the end of an update was lost with its connection, and stopped the rollout as silence."""
    answer = Answer(reference="u1", asked="update", status=AnswerStatus.DONE)
    meeting.refuses = False
    meeting.live_state.add_answer(answer)
    for number, confirmed in enumerate([0, 99, 0]):
        meeting.run(120, until=lambda number=number: len(meeting.wires) > number)  # type: ignore[misc]  # as above
        meeting.run(2)
        meeting.wires[number].confirmed = confirmed
        meeting.wires[number].drop("the network")
    said = [[payload for _, payload, _ in wire.said].count(encode(answer)) for wire in meeting.wires]
    assert said == [1, 1, 0]


# With a real broker and a machine


@pytest.fixture
def timing() -> Timing:
    return Timing(brew_s=2.0, boot_s=0.05, heating_s=0.0, heartbeat_s=0.5)


@pytest.fixture
def service(tmp_path: Path, mosquitto: Mosquitto, machine: MachineSimulator, cloud: CloudSide) -> Iterator[Service]:
    """Started when the cloud listens: else its hello may be lost, and the cloud's time is not known for seconds."""
    agents = Agents(tmp_path / "state", mosquitto, tmp_path / "tty")
    started = agents.start()
    cloud.wait_ready()
    yield started
    agents.stop()


@pytest.mark.usefixtures("service")
def test_a_probe_is_answered_while_the_machine_pours(cloud: CloudSide, machine: MachineSimulator) -> None:
    """A long drink, ended at last by the lack of water."""
    machine.controls.switch_on("slow")
    cloud.make()
    wait_until(lambda: cloud.all_of(Accepted), what="accepted")
    cloud.command(Probe(probe_id="p1", drink_no="americano", size=1))
    wait_until(lambda: cloud.all_of(ProbeReply), what="the answer")
    machine.controls.switch_on("no_water")
    ended = cloud.outcome()
    assert (ended.result, ended.code) == (Result.FAILED, "no_water")
    (answer,) = cloud.all_of(ProbeReply)
    assert (answer.ready, answer.code) == (False, "busy")
    assert cloud.heard.index(answer) < cloud.heard.index(ended)


@pytest.mark.usefixtures("service")
def test_the_state_names_the_drinks_a_fault_closes_and_a_newcomer_hears_it_at_once(
    cloud: CloudSide, mosquitto: Mosquitto, machine: MachineSimulator
) -> None:
    machine.controls.switch_on("no_milk")
    wait_until(lambda: cloud.all_of(State)[-1].faults, what="the fault")
    (fault,) = cloud.all_of(State)[-1].faults
    assert (fault.code, fault.level) == ("no_milk", "block")
    assert "cappuccino" in fault.drinks
    assert "americano" not in fault.drinks
    with a_cloud_side(mosquitto.url, "newcomer") as newcomer:
        wait_until(lambda: newcomer.all_of(State), what="the retained state")
        assert newcomer.all_of(State)[0].faults == [fault]
        newcomer.wait_online()
    for drink_no, ready in (("cappuccino", False), ("americano", True)):
        cloud.command(Probe(probe_id=drink_no, drink_no=drink_no, size=1))
        wait_until(lambda drink_no=drink_no: probe_of(cloud, drink_no), what="the answer")  # type: ignore[misc]  # as above
        assert probe_of(cloud, drink_no)[0].ready is ready
    machine.controls.switch_off("no_milk")
    wait_until(lambda: not cloud.all_of(State)[-1].faults, what="the end of the fault")


def probe_of(cloud: CloudSide, probe_id: str) -> list[ProbeReply]:
    return [one for one in cloud.all_of(ProbeReply) if one.probe_id == probe_id]
