"""The deadline judged by the broker's expiry, the cloud's clock and the time since receipt: the strictest wins.

And a wall clock of our own that is wrong in every way a clock can be.
"""

from datetime import UTC, datetime, timedelta

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.clock import Bell, CloudClock, Reading
from agent.cloud.link import Link
from agent.cloud.mqtt import Connection
from agent.deadline import CERTAINLY_WRONG, Term, Timeliness, judge
from agent.live_state import MAX_LIMITS, LiveState
from agent.settings import BrokerAddress
from protocol.frames import Frame
from protocol.machine import MakeDrink
from protocol.messages import Make, Probe, encode
from protocol.reasons import Result
from protocol.topics import Channel, topic
from tests.agent.cloud_side import DEVICE, CloudSide, a_cloud_side
from tests.agent.world import World
from tests.mosquitto import Mosquitto
from tests.waiting import wait_until

ISSUED = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
FRESH, EXPIRED, WAIT = Timeliness.FRESH, Timeliness.EXPIRED, Timeliness.WAIT


def judged(*, broker: float = 60.0, cloud: float = 0.0, waited: float = 0.0, budget: float = 60.0) -> Timeliness:
    """`broker`, `waited`: seconds since receipt; `cloud`: since the command's birth."""
    term = Term(ISSUED, ISSUED + timedelta(seconds=budget), 100.0, False, 120.0, 100.0 + broker)
    wall = ISSUED + timedelta(days=400)
    return judge(term, Reading(wall, 100.0 + waited, ISSUED + timedelta(seconds=cloud)))


@pytest.mark.parametrize(
    ("clocks", "expected"),
    [
        ({"broker": 60, "cloud": 59.9, "waited": 59.9}, FRESH),
        ({"broker": 10, "cloud": 1, "waited": 9.9}, FRESH),
        ({"broker": 10, "cloud": 1, "waited": 10}, EXPIRED),
        ({"broker": 60, "cloud": 60, "waited": 1}, EXPIRED),
        ({"broker": 90, "cloud": 1, "waited": 60}, EXPIRED),
        ({"broker": 0, "cloud": 1, "waited": 0}, EXPIRED),
    ],
)
def test_whichever_of_the_three_is_strictest_decides(clocks: dict[str, float], expected: Timeliness) -> None:
    assert judged(**clocks) is expected


@pytest.mark.parametrize("behind", [CERTAINLY_WRONG.total_seconds() + 1, 3600, 86_400, 1.7e9])
def test_a_clock_behind_the_commands_own_birth_proves_nothing(behind: float) -> None:
    term = Term(ISSUED, ISSUED + timedelta(seconds=60), 100.0, False, 120.0)
    slow = ISSUED - timedelta(seconds=behind)
    assert judge(term, Reading(slow, 130.0, None)) is WAIT
    assert judge(term, Reading(slow, 160.0, None)) is EXPIRED


# What the broker says


@pytest.fixture
def link(world: World) -> Link:
    """As far as it takes messages in; it never connects."""
    return Link(
        device_uuid="m-001",
        profile="companion-v1",
        dial=lambda *_: pytest.fail("nobody is called"),
        journal=world.journal,
        command_handler=world.command_handler,
        live_state=world.live_state,
        clock=world.clock,
        cloud=world.cloud,
        random=world.random,
        new_id=lambda: "h",
        worker_bell=world.bell,
    )


def deliver(link: Link, make: Make, expires_in: float | None) -> None:
    assert link.receiver.receive("coffee/v1/m-001/command", encode(make), False, expires_in)


@pytest.mark.parametrize(("expires_in", "result"), [(60, Result.DONE), (0, Result.REJECTED), (None, Result.DONE)])
def test_what_the_broker_left_of_a_command_counts(
    world: World, link: Link, expires_in: float | None, result: Result
) -> None:
    world.welcome()
    deliver(link, world.make(within=60), expires_in)
    assert world.outcome().result is result
    if result is Result.REJECTED:
        assert world.outcome().code == "expired"
        assert world.line.makes() == 0


def test_the_brokers_budget_is_counted_by_the_steady_clock(world: World, link: Link) -> None:
    world.welcome()
    world.switch("unplugged")
    world.run(1)
    deliver(link, world.make(within=60), 3)
    world.clock.skew = timedelta(days=-1)
    world.run(3.5)
    world.switch_off("unplugged")
    assert world.outcome().code == "expired"
    assert world.line.makes() == 0


def test_a_command_that_comes_again_gets_no_more_time(world: World, link: Link) -> None:
    world.live_state.set_expiry("c1", world.clock.monotonic() - 1)
    world.welcome()
    deliver(link, world.make(), 60)
    assert world.outcome().code == "expired"


def test_what_brokers_left_is_forgotten_in_the_end() -> None:
    live_state = LiveState(Bell())
    for number in range(MAX_LIMITS + 10):
        live_state.set_expiry(f"c{number}", float(number))
    assert live_state.expiry_of("c0") is None
    assert live_state.expiry_of(f"c{MAX_LIMITS + 9}") == MAX_LIMITS + 9


# The clocks


@pytest.mark.parametrize("slow", [0.0, 2.0, 9.0])
def test_the_clouds_time_is_never_behind_and_ahead_by_no_more_than_its_answer_took(world: World, slow: float) -> None:
    cloud = CloudClock(world.clock)
    asked_at = world.clock.monotonic()
    world.clock.seconds += slow
    assert cloud.learn(world.clock.true_time() - timedelta(seconds=slow / 2), asked_at)
    world.clock.seconds += 3600
    world.clock.skew = timedelta(days=-300)
    known = cloud.now()
    assert known is not None
    assert timedelta(0) <= known - world.clock.true_time() <= timedelta(seconds=slow)


CLOCKS = {
    "a day behind": timedelta(days=-1),
    "a day ahead": timedelta(days=1),
    "in 1970": timedelta(days=-365 * 56),
    "ten minutes behind": timedelta(minutes=-10),
    "ten minutes ahead": timedelta(minutes=10),
}


@pytest.mark.parametrize("skew", CLOCKS.values(), ids=CLOCKS)
def test_with_any_wrong_clock_a_late_command_pours_nothing_and_a_fresh_one_does(world: World, skew: timedelta) -> None:
    world.clock.skew = skew
    world.welcome()
    world.tell(world.make("c1", "o1", age=61))
    assert world.outcome("c1").code == "expired"
    world.tell(world.make("c2", "o2", age=50))
    assert world.outcome("c2").result is Result.DONE


@pytest.mark.parametrize("skew", CLOCKS.values(), ids=CLOCKS)
@pytest.mark.parametrize("at", [0.5, 1.0, 2.0, 4.0])
def test_a_clock_that_jumps_in_the_middle_changes_nothing(world: World, skew: timedelta, at: float) -> None:
    world.order()
    world.run(at)
    world.clock.skew = skew
    outcome = world.outcome()
    assert outcome.result is Result.DONE
    assert world.cups() == 1


@pytest.mark.parametrize("skew", CLOCKS.values(), ids=CLOCKS)
def test_a_clock_that_jumps_while_the_line_is_away_pours_nothing_late(world: World, skew: timedelta) -> None:
    written: list[float] = []

    def watch(frame: Frame) -> None:
        if frame.command == MakeDrink.command:
            written.append(world.clock.seconds)

    world.line.on_write = watch
    deadline = world.clock.seconds + 4
    world.switch("unplugged", seconds=4.5)
    world.run(0.1)
    world.order(within=4 - 0.1)
    world.run(1)
    world.clock.skew = skew
    world.run(60)
    assert all(at <= deadline for at in written)
    assert world.outcome().result is Result.REJECTED


@pytest.mark.parametrize("skew", CLOCKS.values(), ids=CLOCKS)
def test_without_the_clouds_time_a_wrong_clock_never_pours_what_has_waited_its_time(
    world: World, skew: timedelta
) -> None:
    """Nobody says welcome: the command may be refused, but it is never poured late."""
    world.clock.skew = skew
    world.switch("unplugged")
    world.run(1)
    deadline = world.clock.seconds + 4
    world.tell(world.make(within=4))
    late: list[float] = []
    world.line.on_write = lambda frame: late.append(world.clock.seconds) if frame.command == 0x22 else None
    world.run(3.9)
    world.switch_off("unplugged")
    world.run(120)
    assert [at for at in late if at > deadline] == []


def test_a_clock_set_right_while_a_command_waits_lets_a_fresh_one_through(world: World) -> None:
    world.clock.skew = timedelta(days=-365 * 56)
    world.tell(world.make())
    world.run(5)
    assert world.outcomes() == []
    world.welcome()
    world.bell.ring()
    assert world.outcome().result is Result.DONE


# On a real broker


def test_the_broker_really_hands_over_what_is_left(mosquitto: Mosquitto) -> None:
    came: list[float | None] = []

    def take(_: str, __: bytes, ___: bool, expires_in: float | None) -> bool:
        came.append(expires_in)
        return True

    connection = Connection(
        BrokerAddress("127.0.0.1", mosquitto.port),
        DEVICE,
        mqtt5=True,
        subscriptions=[f"coffee/v1/{DEVICE}/command"],
        will=None,
        on_message=take,
        on_change=lambda: None,
    )
    connection.open()
    try:
        wait_until(lambda: connection.is_ready, what="the subscription")
        with a_cloud_side(mosquitto.url) as side:
            probe = encode(Probe(probe_id="p", drink_no="a", size=0))
            publish_with_expiry(side, probe, 55)
            side.raw(probe)
            wait_until(lambda: len(came) == 2, what="both messages")
    finally:
        connection.close()
    assert came[0] is not None
    assert 50 <= came[0] <= 55
    assert came[1] is None


def publish_with_expiry(side: CloudSide, payload: bytes, seconds: int) -> None:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho leaves it untyped
    properties.MessageExpiryInterval = seconds
    side._client.publish(topic(DEVICE, Channel.COMMAND), payload, 1, False, properties).wait_for_publish(10)
