"""From devices to the books: stored before it is receipted, nonsense passed over, nobody speaks for another."""

import time
from typing import Any

import pytest
from pytest_mock import MockerFixture
from sqlalchemy import text
from sqlalchemy.exc import DataError, OperationalError

from cloud.courier.broker import NotConnected, Received
from cloud.fleet.machine_events import latest
from cloud.fleet.models import DeviceLive
from cloud.orders import making
from cloud.orders.deadlines import Deadlines
from cloud.orders.machine_words import MOST_WORDS
from cloud.orders.tasks import Task
from protocol.messages import (
    Accepted,
    Event,
    Hello,
    Make,
    Outcome,
    Progress,
    Query,
    Receipt,
    Welcome,
    encode,
)
from protocol.reasons import Result, Spout, Stage
from protocol.topics import Channel, topic
from tests.cloud.courier.rig import Machine, Rig
from tests.cloud.worlds import DEVICE, ONE_STAGE, OTHER_DEVICE, START, World
from tests.waiting import wait_until


def accepted(rig: Rig, order_id: str, message_id: str = "a-1") -> Accepted:
    command = rig.world.command(order_id)
    return Accepted(message_id=message_id, command_id=command.id, order_id=order_id, at=rig.world.now)


def outcome(rig: Rig, order_id: str, result: Result = Result.DONE, message_id: str = "o-1", **more: Any) -> Outcome:
    command = rig.world.command(order_id)
    return Outcome(
        message_id=message_id, command_id=command.id, order_id=order_id, result=result, at=rig.world.now, **more
    )


def live(world: World, device_uuid: str = DEVICE) -> DeviceLive:
    with world.database.read() as session:
        return session.get_one(DeviceLive, device_uuid)


def receipted(machine: Machine) -> set[str]:
    return {name for receipt in machine.receipts if isinstance(receipt, Receipt) for name in receipt.message_ids}


def sent_order(rig: Rig) -> str:
    order_id = rig.world.pay(account=ONE_STAGE)
    rig.world.publish(order_id)
    return order_id


@pytest.mark.any_database
def test_the_machines_word_makes_the_order_and_is_receipted(rig: Rig) -> None:
    machine, order_id = rig.machine(), sent_order(rig)
    machine.say(accepted(rig, order_id))
    rig.hear_until(lambda: rig.world.order(order_id).stage == "accepted")
    command = rig.world.command(order_id)
    machine.say(Progress(command_id=command.id, order_id=order_id, stage=Stage.BREW, pct=40))
    rig.hear_until(lambda: rig.world.order(order_id).stage == "brew")
    machine.say(outcome(rig, order_id))
    rig.hear_until(lambda: rig.world.status(order_id) == "successful")
    wait_until(lambda: receipted(machine) == {"a-1", "o-1"})


def test_a_whole_cup_said_at_once_is_taken_in_order(rig: Rig) -> None:
    machine, order_id = rig.machine(), sent_order(rig)
    machine.say(accepted(rig, order_id))
    machine.say(outcome(rig, order_id))
    wait_until(lambda: rig.link.inbox.qsize() == 2)
    rig.listener.step(rig.world.now)
    assert [change.event for change in rig.world.history(order_id)][-2:] == ["machine_accepted", "machine_done"]


def test_a_receipt_is_sent_only_after_the_commit(rig: Rig, mocker: MockerFixture) -> None:
    machine, order_id = rig.machine(), sent_order(rig)
    status_when_receipted: list[str] = []
    tell = rig.link.publish

    def look_then_tell(*args: Any) -> int:
        status_when_receipted.append(rig.world.status(order_id))
        return tell(*args)

    mocker.patch.object(rig.link, "publish", side_effect=look_then_tell)
    machine.say(outcome(rig, order_id))
    rig.hear_until(lambda: status_when_receipted)
    assert status_when_receipted == ["successful"]


@pytest.mark.any_database
def test_a_repeat_is_receipted_again_and_changes_nothing(rig: Rig) -> None:
    machine, order_id = rig.machine(), sent_order(rig)
    for number in range(3):
        machine.say(outcome(rig, order_id, Result.REJECTED, f"o-{number}", code="no_water", out=Spout.NONE))
    rig.hear_until(lambda: receipted(machine) == {"o-0", "o-1", "o-2"})
    assert rig.world.open_tasks(order_id) == ["refund"]
    assert [change.event for change in rig.world.history(order_id)].count("machine_refused") == 1


@pytest.mark.any_database
def test_words_the_history_has_no_room_for_are_receipted_and_counted(rig: Rig) -> None:
    """A stolen machine: many at once share a transaction, and each of them counts."""
    machine, order_id = rig.machine(), sent_order(rig)
    for number in range(1, 101):
        doubt = outcome(rig, order_id, Result.UNKNOWN, f"o-{number}", revision=number * 9_999)
        machine.say(doubt)
    rig.hear_until(lambda: len(receipted(machine)) == 100, "they would be repeated for ever otherwise")
    told = [change for change in rig.world.history(order_id) if change.actor == "device"]
    assert len(told) == MOST_WORDS
    assert rig.senseless("reports") == 100 - MOST_WORDS
    assert rig.world.command(order_id).revision == 999_900, "the newest is kept"
    machine.say(outcome(rig, order_id, message_id="o-done", revision=1_000_000))
    rig.hear_until(lambda: rig.world.status(order_id) == "successful")


@pytest.mark.any_database
def test_another_devices_command_is_nobodys_to_report(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    liar, order_id = rig.machine(OTHER_DEVICE), sent_order(rig)
    liar.say(outcome(rig, order_id))
    rig.hear_until(lambda: receipted(liar))
    assert rig.world.status(order_id) == "make_pending"
    assert "not this device's" in caplog.text


def test_a_report_of_no_command_is_receipted_and_forgotten(rig: Rig) -> None:
    machine = rig.machine()
    machine.say(Outcome(message_id="o-9", command_id="mk-none", order_id="none", result=Result.DONE, at=START))
    rig.hear_until(lambda: receipted(machine) == {"o-9"}, "it would be repeated for ever otherwise")


def test_an_event_is_stored_once_and_receipted_each_time_it_comes(rig: Rig) -> None:
    machine, stranger = rig.machine(), rig.machine("stranger")
    event = Event(message_id="e-1", at=START, what="fault_set", code="door_open", evidence={"closes": 0})
    machine.say(event)
    rig.hear_until(lambda: receipted(machine) == {"e-1"})
    machine.say(event)
    stranger.say(event)
    rig.hear_until(lambda: len(machine.receipts) == 2 and stranger.receipts, "it would be repeated for ever otherwise")
    with rig.world.database.read() as session:
        assert [one.code for one in latest(session, DEVICE, 10)] == ["door_open"]
        assert latest(session, "stranger", 10) == []


POISON = {
    "nothing": b"",
    "noise": bytes(range(256)),
    "no JSON": b"{",
    "no kind": b'{"v": 1}',
    "an unknown kind": b'{"v": 1, "kind": "dance", "message_id": "m"}',
    "another version": b'{"v": 9, "kind": "outcome"}',
    "half a report": b'{"v": 1, "kind": "outcome", "command_id": "mk-1"}',
    "a command": b'{"v": 1, "kind": "query", "commands": []}',
    "deep": b'{"kind":' * 2000,
    "large": b'{"v": 1, "kind": "hello", "x": "' + b"x" * 70_000 + b'"}',
    "a zero": b'{"v": 1, "kind": "hello", "hello_id": "a\\u0000", "agent_version": "1", "profile": "p"}',
}


def test_messages_that_make_no_sense_are_counted_and_stop_nothing(
    sqlite_rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig = sqlite_rig
    machine, order_id = rig.machine(), sent_order(rig)
    for payload in POISON.values():
        machine.say(payload)
    machine.say(outcome(rig, order_id))
    rig.hear_until(lambda: rig.world.status(order_id) == "successful")
    assert rig.senseless("reports") == len(POISON)
    assert caplog.text.count("makes no sense") == len(POISON)
    assert rig.link.connections == 1


def test_mosquitto_goes_on_delivering_after_any_number_of_poisoned_messages(mosquitto_rig: Rig) -> None:
    """It stops after twenty that nobody acknowledges."""
    rig = mosquitto_rig
    machine, order_id = rig.machine(), sent_order(rig)
    for _ in range(45):
        machine.say(b"poison")
    machine.say(outcome(rig, order_id))
    rig.hear_until(lambda: rig.world.status(order_id) == "successful")
    assert rig.senseless("reports") == 45


def test_one_message_our_own_code_cannot_take_keeps_no_other_back(
    rig: Rig, mocker: MockerFixture, caplog: pytest.LogCaptureFixture
) -> None:
    machine, first, second = rig.machine(), sent_order(rig), sent_order(rig)
    report = making.record_outcome

    def choke(session: Any, device: str, said: Outcome, *rest: Any) -> bool:
        if said.order_id == first:
            raise ValueError("a bug of ours")
        return report(session, device, said, *rest)

    mocker.patch.object(making, "record_outcome", side_effect=choke)
    for order_id in (first, second):
        machine.say(outcome(rig, order_id, message_id=f"o-{order_id}"))
    rig.hear_until(lambda: rig.world.status(second) == "successful")
    assert rig.world.status(first) == "make_pending"
    assert rig.senseless("reports") == 1
    assert "could not be taken in" in caplog.text


def test_a_database_that_fails_drops_the_connection_and_nothing_is_receipted(rig: Rig, mocker: MockerFixture) -> None:
    """A broker repeats nothing on a living connection; the device repeats what was not receipted."""
    machine, order_id = rig.machine(), sent_order(rig)
    write = rig.world.database.transact
    broken = mocker.patch.object(
        rig.world.database, "transact", side_effect=OperationalError("COMMIT", None, Exception("disk full"))
    )
    machine.say(outcome(rig, order_id))
    wait_until(lambda: rig.link.inbox.qsize() == 1)
    with pytest.raises(OperationalError):
        rig.listener.step(rig.world.now)
    wait_until(lambda: rig.link.connections == 2, what="a new connection")
    assert machine.receipts == []
    broken.side_effect = write

    def repeated() -> bool:  # what comes before the new subscription is lost
        machine.say(outcome(rig, order_id, message_id="o-2"))
        return rig.world.status(order_id) == "successful"

    rig.hear_until(repeated)
    wait_until(lambda: "o-2" in receipted(machine))


def test_a_history_that_has_no_number_left_is_no_fault_of_the_message(postgres_rig: Rig) -> None:
    """To the driver it is wrong data: the agent was told that its outcome is stored, and forgot it."""
    rig = postgres_rig
    machine, order_id = rig.machine(), sent_order(rig)
    numbers = "SELECT setval(pg_get_serial_sequence('order_changes', 'id'), {})"
    with rig.world.database.engine.begin() as connection:
        left_at = connection.scalar(text(numbers.format((1 << 63) - 1)))
    machine.say(outcome(rig, order_id))
    wait_until(lambda: rig.link.inbox.qsize() == 1)
    with pytest.raises(DataError):
        rig.listener.step(rig.world.now)
    wait_until(lambda: rig.link.connections == 2, what="a new connection")
    assert (machine.receipts, rig.senseless("reports")) == ([], 0)
    assert left_at == (1 << 63) - 1


def test_a_device_that_connects_is_asked_once_for_everything_nobody_knows(sqlite_rig: Rig) -> None:
    rig, world = sqlite_rig, sqlite_rig.world
    silent, poured, fresh = sent_order(rig), sent_order(rig), ""
    world.report(poured, Result.DONE)
    world.wait(world.rules.ack_timeout_s)
    assert world.order(silent).uncertain
    fresh = sent_order(rig)
    machine = rig.machine()
    machine.say(Hello(hello_id="h-1", agent_version="0.1", profile="companion-v1"))
    rig.hear_until(lambda: bool([c for c in machine.commands if isinstance(c, Query)]))
    [query] = [c for c in machine.commands if isinstance(c, Query)]
    assert [asked.order_id for asked in query.commands] == [silent], f"{fresh} can still be poured"


def test_a_drink_the_machine_can_still_begin_is_sent_again_and_not_asked_about(sqlite_rig: Rig) -> None:
    """Regression: asked about what a broker had lost, the agent refused it for ever, with its buyer waiting."""
    rig = sqlite_rig
    order_id = rig.world.pay()
    machine = rig.machine()
    rig.publish_until(lambda: rig.world.status(order_id) == "make_pending")
    machine.say(Hello(hello_id="h-1", agent_version="0.1", profile="companion-v1"))
    rig.hear_until(lambda: machine.receipts)
    assert [row.due_at for row in rig.world.rows(order_id, Task.MAKE)] == [rig.world.now]
    [welcome] = machine.receipts
    assert isinstance(welcome, Welcome)
    assert welcome.waited_for == [command.command_id for command in machine.commands if isinstance(command, Make)]
    rig.publish_until(lambda: len(machine.commands) == 2)
    assert machine.commands[0] == machine.commands[1]
    rig.world.clock.advance(rig.world.rules.make_deadline_s)
    machine.say(Hello(hello_id="h-2", agent_version="0.1", profile="companion-v1"))
    rig.hear_until(lambda: len(machine.commands) == 3)
    assert isinstance(machine.commands[2], Query), "now it may be refused: it is too late to begin it"


def test_an_agent_that_says_hello_is_told_the_time(sqlite_rig: Rig) -> None:
    rig = sqlite_rig
    machine = rig.machine()
    machine.say(Hello(hello_id="h-1", agent_version="0.1", profile="companion-v1"))
    rig.hear_until(lambda: machine.receipts)
    said = Welcome(hello_id="h-1", cloud_time=rig.world.now, takes=["event"], spread_s=0.0, waited_for=[])
    assert machine.receipts == [said]


@pytest.mark.any_database
def test_a_receipt_nobody_can_be_given_harms_nothing(rig: Rig, mocker: MockerFixture) -> None:
    machine, order_id = rig.machine(), sent_order(rig)
    mocker.patch.object(rig.link, "publish", side_effect=NotConnected("gone"))
    machine.say(outcome(rig, order_id))
    rig.hear_until(lambda: rig.world.status(order_id) == "successful")


def test_a_listener_with_nothing_to_hear_sleeps(sqlite_rig: Rig) -> None:
    assert sqlite_rig.listener.step(sqlite_rig.world.now) > sqlite_rig.world.now


def test_a_long_batch_is_receipted_in_several(sqlite_rig: Rig) -> None:
    rig = sqlite_rig
    machine, order_id = rig.machine(), sent_order(rig)
    to = topic(DEVICE, Channel.REPORT)
    for number in range(60):  # more than a broker lets wait unacknowledged, as after a busy moment with QoS 0
        rig.link.inbox.put(Received(to, encode(accepted(rig, order_id, f"a-{number}")), 0, 0))
    assert rig.listener.step(rig.world.now) > rig.world.now  # all is taken in: it sleeps
    wait_until(lambda: len(receipted(machine)) == 60)
    assert rig.world.order(order_id).stage == "accepted"


def test_what_is_unread_here_is_no_silence_of_the_machine(sqlite_rig: Rig) -> None:
    """Regression: a coffee was poured, and called `no_ack` while its "accepted" waited in our own queue."""
    rig, world = sqlite_rig, sqlite_rig.world
    order_id, other = sent_order(rig), sent_order(rig)
    deadlines = Deadlines(world.database, world.rules, lag_s=rig.listener.lag_s)
    to = topic(DEVICE, Channel.REPORT)
    arrived = time.monotonic() - 5
    rig.link.inbox.put(Received(to, encode(accepted(rig, order_id)), 0, 0, arrived=arrived))
    deadlines.step(world.clock.advance(world.rules.ack_timeout_s + 1))
    assert [world.status(one) for one in (order_id, other)] == ["make_pending"] * 2
    rig.listener.step(world.now)
    assert rig.listener.lag_s() == 0
    deadlines.step(world.now)
    assert [world.status(one) for one in (order_id, other)] == ["make_pending", "make_failed"]


def test_no_order_waits_for_ever_for_a_listener_that_is_stuck(sqlite_rig: Rig) -> None:
    world = sqlite_rig.world
    order_id = sent_order(sqlite_rig)
    deadlines = Deadlines(world.database, world.rules, lag_s=lambda: 3600.0)
    deadlines.step(world.clock.advance(world.rules.ack_timeout_s + 59))
    assert world.status(order_id) == "make_pending"
    deadlines.step(world.clock.advance(2))
    assert world.status(order_id) == "make_failed"
