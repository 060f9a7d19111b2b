"""What the publisher sends again, and asks about: lost answers, lost connections, machines that stay silent."""

import itertools
from datetime import timedelta

import pytest

from cloud.courier.outgoing import LEASE_S
from cloud.orders.tasks import Task
from protocol.messages import Make, Query
from protocol.reasons import Result
from simulator.broker import Broker
from tests.cloud.courier.rig import Rig
from tests.cloud.courier.test_publisher import published, with_small_broker
from tests.cloud.worlds import World
from tests.waiting import wait_until

pytestmark = pytest.mark.any_database


def test_a_lost_answer_is_awaited_for_its_lease_and_then_sent_again(rig: Rig, broker: Broker) -> None:
    machine = rig.machine()
    broker.faults.withhold_pubacks("cloud-under-test")
    order_id = rig.world.pay()
    rig.publish()
    wait_until(lambda: len(machine.commands) == 1)
    assert rig.world.status(order_id) == "paid", "only the broker's answer is an answer"
    rig.world.clock.advance(LEASE_S)
    rig.publish()
    wait_until(lambda: len(machine.commands) == 2)
    first, second = machine.commands
    assert first == second, "the same drink"
    broker.faults.release_pubacks()
    published(rig, order_id)


def test_a_connection_lost_before_the_answer_sends_it_again_with_what_is_left_of_its_time(
    rig: Rig, broker: Broker
) -> None:
    machine = rig.machine()
    broker.faults.withhold_pubacks("cloud-under-test")
    order_id = rig.world.pay()
    rig.publish()
    wait_until(lambda: len(machine.commands) == 1)
    rig.world.clock.advance(20)
    broker.faults.drop("cloud-under-test")
    wait_until(lambda: rig.link.connections == 2, what="the second connection")
    broker.faults.release_pubacks()
    published(rig, order_id)
    wait_until(lambda: len(machine.commands) == 2)
    first, second = machine.expiries()  # less what they waited at the broker
    assert second <= 40 < first <= 60, "paho's own repeat would have carried 60 again"
    assert machine.commands[0] == machine.commands[1]


def test_a_command_past_its_deadline_is_not_sent_when_the_connection_returns(sqlite_rig: Rig, broker: Broker) -> None:
    rig = sqlite_rig
    machine = rig.machine()
    broker.faults.withhold_pubacks("cloud-under-test")
    broker.faults.stop_delivering("device-0")
    order_id = rig.world.pay()
    rig.publish()
    rig.world.wait(60)
    assert (rig.world.status(order_id), rig.world.order(order_id).uncertain) == ("make_failed", True)
    late = rig.world.pay()
    broker.faults.drop("cloud-under-test")
    wait_until(lambda: rig.link.connections == 2)
    broker.faults.release_pubacks()
    published(rig, late)
    broker.faults.resume_delivering("device-0")
    wait_until(lambda: [c for c in machine.commands if isinstance(c, Make) and c.order_id == late])
    makes = [command.order_id for command in machine.commands if isinstance(command, Make)]
    assert makes.count(order_id) <= 1, "the one the broker had taken; never a second"
    verdicts = [row.verdict for row in rig.world.rows(order_id, Task.MAKE)]
    rig.publish_until(lambda: rig.world.rows(order_id, Task.MAKE)[0].verdict == "void", f"was {verdicts}")


def test_a_command_answered_before_it_was_sent_is_not_sent(sqlite_rig: Rig) -> None:
    rig = sqlite_rig
    machine = rig.machine()
    order_id = rig.world.pay()
    rig.world.report(order_id, Result.REJECTED, "busy")
    other = rig.world.pay()
    published(rig, other)
    wait_until(lambda: machine.commands)
    assert [command.order_id for command in machine.commands if isinstance(command, Make)] == [other]


def test_silence_is_asked_about(rig: Rig) -> None:
    machine = rig.machine()
    order_id = rig.world.pay()
    published(rig, order_id)
    rig.world.wait(76)
    rig.publish_until(lambda: rig.world.open_tasks(order_id, Task.QUERY) == [])
    wait_until(lambda: len(machine.commands) == 2)
    query = machine.commands[1]
    assert isinstance(query, Query)
    assert [asked.command_id for asked in query.commands] == [rig.world.command(order_id).id]
    assert rig.world.status(order_id) == "make_failed"


def test_an_agent_that_stays_away_is_asked_ever_more_rarely_and_for_a_day(sqlite_world: World) -> None:
    world = sqlite_world
    publisher, link = with_small_broker(world)
    order_id = world.pay()
    publisher.step(world.now)
    world.wait(76)
    link.answer = 16
    asked_at = []
    for _ in range(24 * 60):
        before = world.rows(order_id, Task.QUERY)[0].attempts
        publisher.step(world.now)
        row = world.rows(order_id, Task.QUERY)[0]
        if row.settled_at is not None:
            break
        if row.attempts > before:
            asked_at.append(world.now)
        world.clock.now = max(row.due_at, world.now + timedelta(seconds=1))
    waits = [(b - a).total_seconds() for a, b in itertools.pairwise(asked_at)]
    assert waits[:3] == [4.0, 8.0, 16.0]
    assert max(waits) == 300
    assert (row.verdict, row.settled_at is not None) == ("void", True)
    assert world.now - row.created_at >= timedelta(days=1)


def test_the_publisher_sleeps_until_something_can_be_sent(rig: Rig) -> None:
    assert rig.publish() > rig.world.now
    order_id = rig.world.pay()
    rig.machine()
    published(rig, order_id)
    assert rig.publish() > rig.world.now
