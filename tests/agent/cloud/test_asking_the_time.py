"""When the agent asks the cloud what time it is: soon again, at once when a command waits for it or contradicts it."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec import structs

from agent.clock import Reading
from agent.cloud.link import Link
from agent.deadline import WELCOME_PATIENCE_S, Term, Timeliness, judge
from protocol.messages import GREETING, Hello, Make, Welcome, decode_report, encode
from protocol.reasons import Result
from protocol.topics import Channel, topic
from tests.agent.cloud_side import DEVICE
from tests.agent.world import World

ISSUED = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
HOURS = timedelta(hours=3)


class OpenWire:
    """A connection that is there at once and confirms everything; remembers the reports."""

    is_ready, is_lost, waits = True, False, False
    is_opening = is_unreachable = False
    why_lost, lacks_mqtt5, confirmed = "", False, 0

    def __init__(self) -> None:
        self.reports: list[object] = []
        self.presences = 0

    def open(self) -> None: ...

    def publish(self, where: str, payload: bytes, *, retain: bool = False) -> int | None:
        if where == topic(DEVICE, Channel.REPORT):
            self.reports.append(decode_report(payload))
        self.presences += where == topic(DEVICE, Channel.PRESENCE)
        return len(self.reports)

    def is_confirmed(self, _: int) -> bool:
        return True

    def wait_delivered(self, _: float) -> bool:
        return True

    def drop(self, _: str) -> None: ...

    def close(self) -> None: ...

    @property
    def hellos(self) -> list[Hello]:
        return [one for one in self.reports if isinstance(one, Hello)]


@pytest.fixture
def wire() -> OpenWire:
    return OpenWire()


@pytest.fixture
def link(world: World, wire: OpenWire) -> Link:
    names = iter(f"h{number}" for number in range(1000))
    made = Link(
        device_uuid=DEVICE,
        profile="companion-v1",
        dial=lambda *_: wire,
        journal=world.journal,
        command_handler=world.command_handler,
        live_state=world.live_state,
        clock=world.clock,
        cloud=world.cloud,
        random=world.random,
        new_id=lambda: next(names),
        worker_bell=world.bell,
    )
    made.step(world.clock.seconds)
    made.step(world.clock.seconds)
    return made


def answer(
    world: World, link: Link, wire: OpenWire, ahead: timedelta = timedelta(), hello: int = -1, **more: Any
) -> None:
    """As the cloud does, whose clock may be wrong."""
    said = Welcome(hello_id=wire.hellos[hello].hello_id, cloud_time=world.clock.true_time() + ahead, **more)
    link.receiver.receive(topic(DEVICE, Channel.RECEIPT), encode(said), False)


def deliver(link: Link, make: Make) -> None:
    link.receiver.receive(topic(DEVICE, Channel.COMMAND), encode(make), False, 60)


def seconds_of_hellos(world: World, link: Link, wire: OpenWire, seconds: int) -> list[float]:
    """When each further hello was said, of so many seconds."""
    began = world.clock.seconds
    asked: list[float] = []
    for _ in range(seconds):
        world.clock.seconds += 1
        before = len(wire.hellos)
        link.step(world.clock.seconds)
        asked += [world.clock.seconds - began] * (len(wire.hellos) - before)
    return asked


def test_a_cloud_that_does_not_answer_is_asked_again_ever_more_seldom(world: World, link: Link, wire: OpenWire) -> None:
    asked = seconds_of_hellos(world, link, wire, 600)
    pauses = [later - earlier for earlier, later in itertools.pairwise([0.0, *asked])]
    for pause, wanted in zip(pauses, [4, 8, 16, 32, 64, 120, 120], strict=False):
        assert 0.75 * wanted <= pause <= 1.25 * wanted + 1
    assert len(asked) <= 9


def test_the_answer_to_any_hello_is_one(world: World, link: Link, wire: OpenWire) -> None:
    """Regression: behind by more than the pause between two hellos, a cloud never answered the latest, and never
    could."""
    while len(wire.hellos) < 2:
        world.clock.seconds += 0.5
        link.step(world.clock.seconds)
    answer(world, link, wire, hello=0, takes=["event"])
    assert world.cloud.now() is not None
    assert world.journal.report_queue.takes_events
    assert seconds_of_hellos(world, link, wire, 400) == []


def test_an_answer_that_took_too_long_tells_no_time_and_calls_for_no_hello_the_sooner(
    world: World, link: Link, wire: OpenWire
) -> None:
    asked = seconds_of_hellos(world, link, wire, 55)
    answer(world, link, wire, hello=0, takes=["event"])
    assert world.cloud.now() is None
    assert world.journal.report_queue.takes_events
    assert len(asked) <= 4


def test_an_answer_older_than_one_that_is_known_says_nothing(world: World, link: Link, wire: OpenWire) -> None:
    while len(wire.hellos) < 2:
        world.clock.seconds += 0.5
        link.step(world.clock.seconds)
    answer(world, link, wire, hello=1)
    answer(world, link, wire, hello=0, rival_session="another")
    assert world.live_state.view.rival == ""


def test_which_commands_the_cloud_waits_for_is_known_by_the_last_welcome(
    world: World, link: Link, wire: OpenWire
) -> None:
    answer(world, link, wire, waited_for=["c1"])
    assert world.live_state.view.waited_for == frozenset({"c1"})
    seconds_of_hellos(world, link, wire, 900)
    answer(world, link, wire)
    assert world.live_state.view.waited_for is None


def test_a_large_fleet_answers_a_greeting_one_after_the_other(world: World, link: Link, wire: OpenWire) -> None:
    answer(world, link, wire)
    greeting = Welcome(hello_id=GREETING, cloud_time=world.clock.true_time(), spread_s=20.0)
    link.receiver.receive(topic(DEVICE, Channel.RECEIPT), encode(greeting), False)
    assert len(wire.hellos) == 1
    [said] = seconds_of_hellos(world, link, wire, 21)[:1]
    assert 1 <= said <= 21


@pytest.mark.parametrize("hellos", [1, 3])
def test_a_cloud_that_did_not_hear_the_first_hello_is_told_presence_once_more(
    hellos: int, world: World, link: Link, wire: OpenWire
) -> None:
    """A broker may keep nothing for it."""
    while len(wire.hellos) < hellos:
        world.clock.seconds += 1
        link.step(world.clock.seconds)
    assert wire.presences == 1
    answer(world, link, wire)
    for _ in range(3):
        link.step(world.clock.seconds)
    assert wire.presences == (1 if hellos == 1 else 2)


def test_a_command_that_waits_for_the_time_has_it_asked_for_at_once(world: World, link: Link, wire: OpenWire) -> None:
    for _ in range(8):
        world.clock.seconds += 1
        link.step(world.clock.seconds)
    world.clock.seconds += 3
    before = len(wire.hellos)
    deliver(link, world.make(within=10))
    assert len(wire.hellos) == before + 1
    answer(world, link, wire)
    assert world.outcome().result is Result.DONE


def test_a_flood_of_commands_has_it_asked_for_once(world: World, link: Link, wire: OpenWire) -> None:
    world.clock.seconds += 5
    for number in range(50):
        deliver(link, world.make(f"c{number}", f"o{number}"))
    assert len(wire.hellos) == 2


def test_a_cloud_that_has_just_come_is_told_hello(world: World, link: Link, wire: OpenWire) -> None:
    world.clock.seconds += 5
    greeting = encode(Welcome(hello_id=GREETING, cloud_time=world.clock.true_time() + HOURS))
    for _ in range(3):
        link.receiver.receive(topic(DEVICE, Channel.RECEIPT), greeting, False)
    assert len(wire.hellos) == 2
    assert world.cloud.now() is None, "how long it was on its way nobody knows"


def test_when_the_clouds_clock_is_set_back_a_fresh_command_is_no_old_one(
    world: World, link: Link, wire: OpenWire
) -> None:
    answer(world, link, wire, ahead=HOURS)
    world.run(30)
    before = len(wire.hellos)
    deliver(link, world.make())
    assert len(wire.hellos) == before + 1
    world.run(1)
    assert world.outcomes() == []
    answer(world, link, wire)
    assert world.outcome().result is Result.DONE


def test_when_it_is_set_ahead_a_command_is_not_of_the_future(world: World, link: Link, wire: OpenWire) -> None:
    answer(world, link, wire, ahead=-HOURS)
    world.run(30)
    late = world.make(age=70)
    deliver(link, late)
    world.run(1)
    answer(world, link, wire)
    assert world.outcome().code == "expired"
    assert world.line.makes() == 0


def test_an_old_command_is_refused_when_the_cloud_has_just_said_so(world: World, link: Link, wire: OpenWire) -> None:
    answer(world, link, wire)
    world.clock.seconds += 0.5
    deliver(link, world.make(age=61))
    assert len(wire.hellos) == 1
    world.run(0.1)
    assert world.outcomes()[0].code == "expired"


@pytest.mark.parametrize(
    ("waited", "heard", "expected"),
    [
        (1.0, 50.0, Timeliness.WAIT),
        (1.0, 99.5, Timeliness.EXPIRED),
        (1.0, 100.5, Timeliness.EXPIRED),
        (WELCOME_PATIENCE_S, 50.0, Timeliness.EXPIRED),
    ],
)
def test_old_news_of_the_time_makes_a_command_wait_a_little(waited: float, heard: float, expected: Timeliness) -> None:
    term = Term(ISSUED, ISSUED + timedelta(seconds=60), 100.0, False, 120.0)
    assert judge(term, Reading(ISSUED, 100.0 + waited, ISSUED + HOURS, heard)) is expected


def test_a_command_of_before_the_clock_was_set_back_is_too_old(world: World, link: Link, wire: OpenWire) -> None:
    """Regression: its deadline lay hours ahead by the clock set right, and its drink came minutes late, unpaid."""
    answer(world, link, wire)
    world.run(30)
    stale = world.make()
    ahead = {"issued_at": stale.issued_at + HOURS, "deadline_at": stale.deadline_at + HOURS}
    deliver(link, structs.replace(stale, **ahead))
    world.run(1)
    assert world.outcomes() == [], "the news may be older than the command"
    answer(world, link, wire)
    assert world.outcome().code == "expired"
    assert world.line.makes() == 0


@pytest.mark.parametrize(
    ("waited", "heard", "expected"),
    [
        (1.0, 50.0, Timeliness.WAIT),
        (WELCOME_PATIENCE_S, 50.0, Timeliness.WAIT),
        (60.0, 50.0, Timeliness.EXPIRED),
        (1.0, 99.5, Timeliness.EXPIRED),
        (1.0, 100.5, Timeliness.EXPIRED),
    ],
)
def test_a_command_that_is_not_born_yet_is_never_fresh(waited: float, heard: float, expected: Timeliness) -> None:
    term = Term(ISSUED, ISSUED + timedelta(seconds=60), 100.0, False, 120.0)
    assert judge(term, Reading(ISSUED, 100.0 + waited, ISSUED - HOURS, heard)) is expected
