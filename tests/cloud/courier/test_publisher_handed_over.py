"""Commands sent by whoever commits them, and couriers side by side."""

import threading

import pytest

from cloud.courier.broker import NotConnected
from cloud.courier.outgoing import LEASE_S
from cloud.courier.publisher import MAX_UNANSWERED, Publisher
from cloud.database.transaction import Transaction
from cloud.orders import outbox, paying
from cloud.orders.money import PaymentAnswer, PaymentState
from cloud.orders.order_tasks import LaneWorkers
from cloud.orders.outbox import Lease
from cloud.orders.states import Status
from cloud.orders.tasks import Lane, Task
from protocol.messages import Make
from simulator.broker import Broker
from tests.cloud.courier.rig import Rig
from tests.cloud.courier.test_publisher import published, with_small_broker
from tests.cloud.worlds import ONE_STAGE, World
from tests.waiting import wait_until


def test_a_dead_couriers_command_is_sent_by_another(rig: Rig) -> None:
    machine = rig.machine()
    order_id = rig.world.pay()
    rig.world.database.transact(outbox.claim, Lane.MQTT, rig.world.now, Lease("dead", LEASE_S))
    wake = rig.publish()
    assert machine.commands == []
    assert wake > rig.world.now, "nothing can be taken now"
    rig.world.clock.advance(LEASE_S)
    published(rig, order_id)


def test_a_command_is_sent_by_whoever_commits_it(rig: Rig) -> None:
    machine = rig.machine()
    rig.world.database.dispatchers.add(LaneWorkers({Lane.MQTT: rig.publisher.lane_worker()}))
    order_id = rig.world.pay()
    assert rig.world.rows(order_id, Task.MAKE)[0].claimed_by == "courier"
    wait_until(lambda: machine.commands, what="the command, though nobody has stepped the publisher")
    published(rig, order_id)
    assert len(machine.commands) == 1


def test_nothing_is_sent_that_is_not_committed(sqlite_world: World) -> None:
    publisher, link = with_small_broker(sqlite_world)
    order_id = sqlite_world.bring_to(Status.PENDING)
    sqlite_world.database.dispatchers.add(LaneWorkers({Lane.MQTT: publisher.lane_worker()}))

    def undone(tx: Transaction) -> None:
        paid = PaymentAnswer(PaymentState.HELD, "yk-1")
        paying.record_payment_answer(tx, sqlite_world.payment(order_id).id, paid, sqlite_world.rules, sqlite_world.now)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        sqlite_world.database.transact(undone)
    assert link.waiting == []


def test_what_could_not_be_sent_just_after_its_commit_certainly_was_not(sqlite_world: World) -> None:
    """The connection breaks between the two; who has committed the payment hears nothing of it."""
    world = sqlite_world
    publisher, link = with_small_broker(world)
    world.database.dispatchers.add(LaneWorkers({Lane.MQTT: publisher.lane_worker()}))
    link.trouble = NotConnected("gone")
    order_id = world.pay(account=ONE_STAGE)
    [row] = world.rows(order_id, Task.MAKE)
    assert (row.claimed_by, row.attempts, row.undone) == ("", 1, 1)
    world.wait(60)
    assert not world.order(order_id).uncertain, "not a byte left us"
    assert world.open_tasks(order_id) == ["refund"]


def test_an_answer_that_comes_before_its_number_is_known_is_waited_for(
    sqlite_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network's thread may be quicker than the one that sends."""
    publisher, link = with_small_broker(sqlite_world)
    sqlite_world.database.dispatchers.add(LaneWorkers({Lane.MQTT: publisher.lane_worker()}))
    publish, settling = link.publish, []

    def answered_at_once(topic: str, payload: bytes, expiry_s: int) -> int:
        mid = publish(topic, payload, expiry_s)
        settling.append(threading.Thread(target=publisher.step, args=(sqlite_world.now,)))
        settling[0].start()
        wait_until(link.acknowledged.empty, what="the answer taken")
        return mid

    monkeypatch.setattr(link, "publish", answered_at_once)
    order_id = sqlite_world.pay()
    settling[0].join(30)
    assert sqlite_world.status(order_id) == Status.MAKE_PENDING


def test_beyond_what_the_link_sends_at_once_a_command_waits_in_the_outbox(sqlite_world: World) -> None:
    world = sqlite_world
    publisher, link = with_small_broker(world, answer=-1)
    world.database.dispatchers.add(LaneWorkers({Lane.MQTT: publisher.lane_worker()}))
    publisher._awaiting.update(dict.fromkeys(range(-MAX_UNANSWERED, -1)))  # type: ignore[arg-type]  # only counted
    taken, left = world.pay(), world.pay()
    assert [world.rows(order_id, Task.MAKE)[0].claimed_by for order_id in (taken, left)] == ["courier", ""]
    assert len(link.waiting) == 1


def test_a_courier_without_a_broker_is_given_nothing(sqlite_world: World) -> None:
    publisher, _ = with_small_broker(sqlite_world, connected=False)
    sqlite_world.database.dispatchers.add(LaneWorkers({Lane.MQTT: publisher.lane_worker()}))
    order_id = sqlite_world.pay()
    assert sqlite_world.rows(order_id, Task.MAKE)[0].claimed_by == ""
    assert sqlite_world.status(order_id) == Status.PAID


def test_two_couriers_send_each_command_once(rig: Rig, broker: Broker) -> None:
    machine = rig.machine()
    second = Publisher(rig.world.database, rig.link, rig.world.rules, "second", rig.world.clock)
    orders = [rig.world.pay() for _ in range(10)]
    second.step(rig.world.now)
    rig.publish()
    wait_until(lambda: len(machine.commands) == 10)
    assert sorted(c.order_id for c in machine.commands if isinstance(c, Make)) == sorted(orders)
