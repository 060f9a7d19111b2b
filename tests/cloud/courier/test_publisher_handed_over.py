"""Commands given to the courier in the commit that writes them, and couriers side by side."""

from cloud.courier.outgoing import LEASE_S
from cloud.courier.publisher import MAX_HANDED_OVER, Publisher
from cloud.orders import outbox
from cloud.orders.order_tasks import LaneWorkers
from cloud.orders.outbox import Claim
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
    rig.world.database.transact(outbox.claim, Lane.MQTT, rig.world.now, Claim("dead", LEASE_S))
    wake = rig.publish()
    assert machine.commands == []
    assert wake > rig.world.now, "nothing can be taken now"
    rig.world.clock.advance(LEASE_S)
    published(rig, order_id)


def test_a_row_written_in_this_process_is_given_to_the_courier_and_sent_without_looking(rig: Rig) -> None:
    machine = rig.machine()
    rung: list[None] = []
    rig.publisher.wake = lambda: rung.append(None)
    rig.world.database.dispatchers.add(LaneWorkers({Lane.MQTT: rig.publisher.lane_worker()}))
    order_id = rig.world.pay()
    assert rung
    assert rig.world.rows(order_id, Task.MAKE)[0].claimed_by == "courier"
    published(rig, order_id)
    wait_until(lambda: machine.commands)
    assert len(machine.commands) == 1


def test_what_was_given_just_before_the_connection_broke_is_given_back_unsent(sqlite_world: World) -> None:
    world = sqlite_world
    publisher, link = with_small_broker(world)
    world.database.dispatchers.add(LaneWorkers({Lane.MQTT: publisher.lane_worker()}))
    order_id = world.pay(account=ONE_STAGE)
    link.connected = False
    publisher.step(world.now)
    world.wait(60)
    assert not world.order(order_id).uncertain, "not a byte left us"
    assert world.open_tasks(order_id) == ["refund"]


def test_a_courier_with_his_hands_full_is_given_no_more(sqlite_world: World) -> None:
    world = sqlite_world
    publisher, _ = with_small_broker(world)
    world.database.dispatchers.add(LaneWorkers({Lane.MQTT: publisher.lane_worker()}))
    publisher._handed_over.extend([None] * (MAX_HANDED_OVER - 1))  # type: ignore[list-item]  # only counted
    taken, left = world.pay(), world.pay()
    assert [world.rows(order_id, Task.MAKE)[0].claimed_by for order_id in (taken, left)] == ["courier", ""]


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
