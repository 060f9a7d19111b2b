"""From the outbox to a real broker: sent once it can be, told honestly when it cannot, never after its deadline."""

import logging
import math
import time
from datetime import timedelta
from typing import Any

import pytest
from pytest_mock import MockerFixture

from cloud.courier.broker import NotConnected
from cloud.courier.publisher import Publisher
from cloud.fleet.models import Device, DeviceLive, Drink
from cloud.orders.money import PaymentState
from cloud.orders.tasks import Task
from protocol.messages import Cancel, Make, decode_command
from protocol.reasons import Result
from protocol.topics import Channel, topic
from simulator.broker import Broker
from tests.cloud.courier.rig import Rig, a_rig
from tests.cloud.orders.small_machine import SmallBroker
from tests.cloud.worlds import DEVICE, ONE_STAGE, PRICE, START, World
from tests.waiting import wait_until

pytestmark = pytest.mark.any_database

PARAMETERS = {"order_id", "device", "command", "attempt", "drink_no", "size", "price", "issued_at", "deadline_at"}


def published(rig: Rig, order_id: str) -> None:
    rig.publish_until(lambda: rig.world.status(order_id) == "make_pending", f"{order_id} published")


def errors_with_parameters(caplog: pytest.LogCaptureFixture, order_id: str) -> list[logging.LogRecord]:
    """Errors that name the order and everything its command asked for."""
    told = [r for r in caplog.records if r.levelno >= logging.ERROR and r.__dict__.get("order_id") == order_id]
    return [record for record in told if vars(record).keys() >= PARAMETERS]


def with_small_broker(world: World, **how: Any) -> tuple[Publisher, SmallBroker]:
    """For answers no broker gives on request."""
    link = SmallBroker(**how)
    return Publisher(world.database, link, world.rules, "courier", world.clock), link  # type: ignore[arg-type]  # as far as it is used


def test_a_command_is_published_and_the_order_says_sent(rig: Rig) -> None:
    machine = rig.machine()
    order_id = rig.world.pay()
    rig.world.clock.advance(10)
    published(rig, order_id)
    wait_until(lambda: machine.commands, what="the command")
    command = rig.world.command(order_id)
    assert machine.commands == [
        Make(
            command_id=command.id, order_id=order_id, attempt=1, drink_no="latte", size=1, price=PRICE,
            issued_at=command.issued_at, deadline_at=command.deadline_at,
        )
    ]  # fmt: skip
    [expiry] = machine.expiries()
    assert 0 < expiry <= 50, "the broker forgets it with its deadline"
    assert command.published_at == rig.world.now
    assert [(row.verdict, row.claimed_by) for row in rig.world.rows(order_id, Task.MAKE)] == [("", "")]
    assert rig.world.order(order_id).stage == "sent"


def sent_at(world: World, publisher: Publisher, link: SmallBroker, seconds: int) -> list[int]:
    """The seconds at which something went out, of so many."""
    moments, began = [], len(link.waiting)
    for second in range(seconds):
        world.clock.now = START + timedelta(seconds=second)
        publisher.step(world.now)
        moments += [second] * (len(link.waiting) - began)
        began = len(link.waiting)
    return moments


def test_what_a_broker_loses_is_sent_again_until_the_deadline(sqlite_world: World) -> None:
    """Regression: settled at the PUBACK, a command lost with a dying node was never sent again."""
    order_id = sqlite_world.pay()
    publisher, link = with_small_broker(sqlite_world)
    assert sent_at(sqlite_world, publisher, link, 75) == [0, 3, 9, 21, 45]
    assert len({decode_command(payload).command_id for payload in link.waiting}) == 1  # type: ignore[union-attr]  # all are makes
    assert [row.verdict for row in sqlite_world.rows(order_id, Task.MAKE)] == ["done"]
    assert sqlite_world.status(order_id) == "make_pending", "silence is for the deadline to judge"


@pytest.mark.parametrize("says", ["accepted", "refused", "gone"])
def test_what_its_machine_has_spoken_of_is_not_sent_again(sqlite_world: World, says: str) -> None:
    order_id = sqlite_world.pay(account=ONE_STAGE)
    publisher, link = with_small_broker(sqlite_world)
    publisher.step(sqlite_world.now)
    publisher.step(sqlite_world.now)
    match says:
        case "accepted":
            sqlite_world.accept(order_id)
        case "refused":
            sqlite_world.report(order_id, Result.REJECTED, "no_water")
        case _:
            sqlite_world.wait(76)
    for row in sqlite_world.rows(order_id, Task.MAKE):
        assert (row.verdict, row.settled_at) == ("done", sqlite_world.now)
    sent_at(sqlite_world, publisher, link, 75)
    assert [type(decode_command(payload)) for payload in link.waiting].count(Make) == 1


def test_a_machine_that_speaks_before_the_broker_answers_was_sent_to(sqlite_world: World) -> None:
    order_id = sqlite_world.pay()
    publisher, _ = with_small_broker(sqlite_world)
    publisher.step(sqlite_world.now)
    sqlite_world.accept(order_id)
    publisher.step(sqlite_world.now)
    assert sqlite_world.command(order_id).published_at == sqlite_world.now


def test_a_lost_cancel_is_sent_again_as_well(sqlite_world: World) -> None:
    order_id = sqlite_world.pay(account=ONE_STAGE)
    publisher, link = with_small_broker(sqlite_world)
    for _ in range(2):
        publisher.step(sqlite_world.now)
    sqlite_world.refunded(sqlite_world.payment(order_id).id)
    sent_at(sqlite_world, publisher, link, 60)
    assert [type(decode_command(payload)) for payload in link.waiting] == [Make, *[Cancel] * 5]


def test_a_command_is_for_its_own_machine_only(sqlite_rig: Rig) -> None:
    other = sqlite_rig.machine("m-002")
    sqlite_rig.machine()
    published(sqlite_rig, sqlite_rig.world.pay())
    assert other.commands == []


def test_no_machine_listening_is_tried_again_until_one_does(rig: Rig) -> None:
    order_id = rig.world.pay()
    rig.publish_until(lambda: rig.world.rows(order_id, Task.MAKE)[0].undone == 1)
    assert rig.world.status(order_id) == "paid", "what nobody got is not sent"
    machine = rig.machine()
    rig.world.clock.advance(2)
    published(rig, order_id)
    assert len(machine.commands) <= 1


def test_a_machine_that_stays_away_ends_as_not_sent_for_certain(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    order_id = rig.world.pay(account=ONE_STAGE)
    for tries in range(1, 4):
        rig.publish_until(lambda tries=tries: rig.world.rows(order_id, Task.MAKE)[0].undone == tries)  # type: ignore[misc]  # bound on purpose
        rig.world.clock.advance(2)
    with caplog.at_level(logging.ERROR):
        rig.world.wait(60)
    order = rig.world.order(order_id)
    assert (order.status, order.reason, order.uncertain) == ("make_failed", "not_sent", False)
    assert rig.world.open_tasks(order_id) == ["refund"]
    assert errors_with_parameters(caplog, order_id)


def test_a_broker_that_is_away_is_waited_for_until_the_deadline(world: World, caplog: pytest.LogCaptureFixture) -> None:
    with Broker() as gone:
        port = gone.port
    with a_rig(world, port) as rig:
        rig.link.start()
        order_id = world.pay(account=ONE_STAGE)
        for _ in range(5):
            assert rig.publish() == world.now + timedelta(seconds=1), "waits, and does not spin"
            world.clock.advance(10)
        assert world.status(order_id) == "paid"
        with caplog.at_level(logging.ERROR):
            world.wait(10)
    order = world.order(order_id)
    assert (order.status, order.reason, order.uncertain) == ("make_failed", "not_sent", False)
    assert world.open_tasks(order_id) == ["refund"]
    [told] = errors_with_parameters(caplog, order_id)
    assert (told.__dict__["device"], told.__dict__["price"], told.__dict__["drink_no"]) == (DEVICE, PRICE, "latte")


@pytest.mark.parametrize("back_s", [600.0, 3 * 3600.0])
def test_a_command_of_before_the_clock_was_set_back_is_not_sent(sqlite_world: World, back_s: float) -> None:
    """Regression: the broker was told to keep it for hours, and its drink came minutes late."""
    order_id = sqlite_world.pay(account=ONE_STAGE)
    publisher, link = with_small_broker(sqlite_world)
    publisher.step(sqlite_world.clock.advance(-back_s))
    order = sqlite_world.order(order_id)
    assert link.waiting == []
    assert (order.status, order.reason, order.uncertain) == ("make_failed", "not_sent", False)
    assert sqlite_world.open_tasks(order_id) == ["refund"]


def test_nor_after_a_few_minutes_by_a_publisher_at_work(sqlite_world: World) -> None:
    """Regression: it looked again once the clock had caught up, and then all was in time again."""
    order_id = sqlite_world.pay(account=ONE_STAGE)
    publisher, link = with_small_broker(sqlite_world, answer=-1)
    publisher.step(sqlite_world.now)
    assert len(link.waiting) == 1
    again_at = publisher.step(sqlite_world.clock.advance(-300.0))
    while again_at <= sqlite_world.now:
        again_at = publisher.step(sqlite_world.now)
    assert sqlite_world.order(order_id).status == "make_failed"
    assert len(link.waiting) == 1


@pytest.mark.parametrize("ends", ["clock set back", "too late", "refused"])
def test_what_an_earlier_sending_may_have_done_stays_uncertain(sqlite_world: World, ends: str) -> None:
    """Its PUBACK was lost: the machine may have it, whatever becomes of the next sending."""
    order_id = sqlite_world.pay(account=ONE_STAGE)
    publisher, link = with_small_broker(sqlite_world, answer=-1)
    publisher.step(sqlite_world.now)
    assert len(link.waiting) == 1
    link.connections, link.answer = 2, 135
    publisher.step(sqlite_world.clock.advance({"clock set back": -600.0, "too late": 61.0, "refused": 1.0}[ends]))
    publisher.step(sqlite_world.now)
    order = sqlite_world.order(order_id)
    assert (order.status, order.reason, order.uncertain) == ("make_failed", "not_sent", True)
    assert order.return_after == sqlite_world.now + sqlite_world.rules.uncertain_grace


def test_a_broker_that_comes_back_in_time_gets_the_command(sqlite_world: World) -> None:
    with Broker() as broker:
        port = broker.port
    with a_rig(sqlite_world, port) as rig:
        rig.link.start()
        order_id = sqlite_world.pay()
        rig.publish()
        with Broker(port) as broker:
            assert rig.link.wait_connected(30)
            machine = rig.machine()
            published(rig, order_id)
            wait_until(lambda: machine.commands)
            rig.close()
            rig.machines.clear()


@pytest.mark.parametrize("waits_s", [0, 30])
def test_what_is_no_longer_paid_for_is_cancelled_and_not_sent_again(rig: Rig, waits_s: int) -> None:
    """Regression: a refund in the provider's cabinet was booked, and the drink poured all the same."""
    started = time.monotonic()
    machine = rig.machine()
    order_id = rig.world.pay(account=ONE_STAGE)
    rig.publish()
    wait_until(
        lambda: rig.world.status(order_id) == "make_pending" or not rig.link.acknowledged.empty(),
        what="its acknowledgement, before the lease of its sending is over",
    )
    rig.world.clock.advance(waits_s)
    rig.world.refunded(rig.world.payment(order_id).id)
    rig.publish_until(lambda: [row.claimed_by for row in rig.world.rows(order_id, Task.CANCEL_MAKE)] == [""])
    wait_until(lambda: len(machine.commands) == 2, what="command and cancel")
    command = rig.world.command(order_id)
    assert machine.commands[1] == Cancel(
        command_id=command.id, order_id=order_id, issued_at=command.issued_at, deadline_at=command.deadline_at
    )
    lay_at_the_broker_s = math.ceil(time.monotonic() - started)  # at most; it takes that off
    assert machine.expiries()[1] >= machine.expiries()[0] - waits_s - lay_at_the_broker_s, "as long as the command"
    assert rig.world.status(order_id) == "make_pending", "an acknowledgement read after the refund still counts"


def test_a_command_withdrawn_while_the_broker_was_away_never_goes_out(sqlite_world: World) -> None:
    with Broker() as broker:
        port = broker.port
    with a_rig(sqlite_world, port) as rig:
        rig.link.start()
        order_id = sqlite_world.pay(account=ONE_STAGE)
        rig.publish()
        sqlite_world.refunded(sqlite_world.payment(order_id).id)
        with Broker(port) as broker:
            assert rig.link.wait_connected(30)
            machine = rig.machine()
            later = sqlite_world.pay()
            published(rig, later)
            wait_until(lambda: machine.commands)
            assert [command.order_id for command in machine.commands if isinstance(command, Make)] == [later]
            rig.close()
            rig.machines.clear()
    assert (sqlite_world.status(order_id), sqlite_world.order(order_id).reason) == ("make_failed", "returned")


@pytest.mark.both_databases
def test_a_broker_that_forbids_it_fails_the_order_at_once(
    rig: Rig, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    broker.faults.refuse_topic(topic(DEVICE, Channel.COMMAND))
    order_id = rig.world.pay(account=ONE_STAGE)
    with caplog.at_level(logging.ERROR):
        rig.publish_until(lambda: rig.world.status(order_id) == "make_failed")
    order = rig.world.order(order_id)
    assert (order.reason, order.uncertain) == ("not_sent", False)
    assert rig.world.open_tasks(order_id) == ["refund"]
    assert errors_with_parameters(caplog, order_id)
    assert rig.world.history(order_id)[-1].evidence == {"why": "broker code 135"}


@pytest.mark.parametrize("code", [0x89, 0x97])
def test_a_busy_broker_is_asked_again(sqlite_world: World, code: int) -> None:
    world = sqlite_world
    publisher, link = with_small_broker(world, answer=code)
    order_id = world.pay()
    publisher.step(world.now)
    assert world.status(order_id) == "paid"
    link.answer = 0
    publisher.step(world.clock.advance(2))
    assert world.status(order_id) == "make_pending"


@pytest.mark.both_databases
def test_an_unexpected_error_fails_the_order_at_once_and_the_others_are_sent(
    rig: Rig, mocker: MockerFixture, caplog: pytest.LogCaptureFixture
) -> None:
    machine = rig.machine()
    unlucky, lucky = rig.world.pay(account=ONE_STAGE), rig.world.pay()
    send = rig.link.publish
    troubles = iter([RuntimeError("a bug of ours")])

    def break_once(*args: Any) -> int:
        for trouble in troubles:
            raise trouble
        return send(*args)

    mocker.patch.object(rig.link, "publish", side_effect=break_once)
    with caplog.at_level(logging.ERROR):
        rig.publish_until(lambda: rig.world.status(lucky) == "make_pending")
    order = rig.world.order(unlucky)
    assert (order.status, order.reason, order.uncertain) == ("make_failed", "not_sent", False)
    assert rig.world.open_tasks(unlucky) == ["refund"]
    assert any(record.exc_info for record in errors_with_parameters(caplog, unlucky))
    wait_until(lambda: machine.commands)
    assert [command.order_id for command in machine.commands if isinstance(command, Make)] == [lucky]


@pytest.mark.parametrize("trouble", [NotConnected("gone"), ConnectionResetError("reset")])
def test_a_network_error_while_sending_is_logged_and_tried_again(
    sqlite_rig: Rig, mocker: MockerFixture, caplog: pytest.LogCaptureFixture, trouble: OSError
) -> None:
    rig = sqlite_rig
    rig.machine()
    order_id = rig.world.pay()
    broken = mocker.patch.object(rig.link, "publish", side_effect=trouble)
    with caplog.at_level(logging.ERROR):
        rig.publish()
    assert errors_with_parameters(caplog, order_id)
    assert rig.world.status(order_id) == "paid"
    mocker.stop(broken)
    rig.world.clock.advance(2)
    published(rig, order_id)


def test_a_machine_whose_name_no_topic_can_carry_fails_its_order_and_no_other(
    sqlite_rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig, world = sqlite_rig, sqlite_rig.world

    def add(tx: Any) -> None:
        tx.session.add(Device(device_uuid="a/b", merchant_id="north", payment_scenario="Yookassa"))
        tx.session.flush()
        tx.session.add(DeviceLive(device_uuid="a/b"))
        tx.session.add(Drink(device_uuid="a/b", drink_no="latte", name="Латте", price_medium=PRICE))

    world.database.transact(add)
    rig.machine()
    odd, good = world.scan("odd", "a/b"), world.scan("good")
    for order_id in (odd, good):
        payment_id = world.start(order_id)
        world.tell(payment_id, PaymentState.HELD)
    rig.publish_until(lambda: world.status(good) == "make_pending" and world.status(odd) == "make_failed")
    assert world.order(odd).reason == "not_sent"
