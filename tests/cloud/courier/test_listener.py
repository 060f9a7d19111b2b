"""From devices to the books: stored before it is receipted, nonsense passed over, nobody speaks for another."""

import logging
from typing import Any

import pytest
from msgspec import UNSET
from pytest_mock import MockerFixture
from sqlalchemy.exc import OperationalError

from cloud.courier.broker import NotConnected, Received
from cloud.database.transaction import Transaction
from cloud.fleet import sessions
from cloud.fleet.machine_events import latest
from cloud.fleet.models import DeviceLive
from cloud.orders import making
from cloud.orders.tasks import Task
from protocol.messages import (
    GREETING,
    Accepted,
    Event,
    Hello,
    Outcome,
    Presence,
    Progress,
    Query,
    Receipt,
    State,
    Welcome,
    encode,
)
from protocol.reasons import Result, Spout, Stage
from protocol.topics import Channel, topic
from simulator.broker import Broker
from tests.cloud.courier.rig import Machine, Rig, a_rig
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


def present(machine: Machine, session_id: str, *, online: bool = True) -> None:
    said = encode(Presence(online=online, session_id=session_id))
    machine.client.publish(topic(machine.device_uuid, Channel.PRESENCE), said, retain=True)


def test_a_device_that_was_there_before_the_cloud_is_greeted_and_no_other(sqlite_world: World) -> None:
    """Its hello found nobody; one that connects later says hello to a cloud that hears it."""
    with Broker() as broker, a_rig(sqlite_world, broker.port) as rig:
        early, gone = rig.machine(), rig.machine(OTHER_DEVICE)
        present(early, "s")
        present(gone, "s", online=False)
        rig.connect()
        rig.hear_until(lambda: early.receipts)
        assert [one.hello_id for one in early.receipts if isinstance(one, Welcome)] == [GREETING]
        present(early, "t")
        rig.hear_until(lambda: live(rig.world).session_id == "t")
        assert len(early.receipts) == 1
        assert gone.receipts == []


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


def test_a_repeat_is_receipted_again_and_changes_nothing(rig: Rig) -> None:
    machine, order_id = rig.machine(), sent_order(rig)
    for number in range(3):
        machine.say(outcome(rig, order_id, Result.REJECTED, f"o-{number}", code="no_water", out=Spout.NONE))
    rig.hear_until(lambda: receipted(machine) == {"o-0", "o-1", "o-2"})
    assert rig.world.open_tasks(order_id) == ["refund"]
    assert [change.event for change in rig.world.history(order_id)].count("machine_refused") == 1


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
    machine.say(POISON["noise"], Channel.PRESENCE)
    machine.say(POISON["noise"], Channel.STATE)
    machine.say(outcome(rig, order_id))
    rig.hear_until(lambda: rig.world.status(order_id) == "successful")
    assert rig.listener.poison == len(POISON) + 2
    assert caplog.text.count("makes no sense") == len(POISON) + 2
    assert rig.link.connections == 1


def test_mosquitto_goes_on_delivering_after_any_number_of_poisoned_messages(mosquitto_rig: Rig) -> None:
    """It stops after twenty that nobody acknowledges."""
    rig = mosquitto_rig
    machine, order_id = rig.machine(), sent_order(rig)
    for _ in range(45):
        machine.say(b"poison")
    machine.say(outcome(rig, order_id))
    rig.hear_until(lambda: rig.world.status(order_id) == "successful")
    assert rig.listener.poison == 45


def test_one_message_our_own_code_cannot_take_keeps_no_other_back(
    rig: Rig, mocker: MockerFixture, caplog: pytest.LogCaptureFixture
) -> None:
    machine, first, second = rig.machine(), sent_order(rig), sent_order(rig)
    report = making.reported

    def choke(session: Any, device: str, said: Outcome, *rest: Any) -> None:
        if said.order_id == first:
            raise ValueError("a bug of ours")
        report(session, device, said, *rest)

    mocker.patch.object(making, "reported", side_effect=choke)
    for order_id in (first, second):
        machine.say(outcome(rig, order_id, message_id=f"o-{order_id}"))
    rig.hear_until(lambda: rig.world.status(second) == "successful")
    assert rig.world.status(first) == "make_pending"
    assert rig.listener.poison == 1
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
    assert machine.receipts == [Welcome(hello_id="h-1", cloud_time=rig.world.now, takes=["event"])]


def presence(session_id: str, online: bool = True) -> Presence:
    return Presence(online=online, session_id=session_id, agent_version="0.1")


def test_presence_is_the_devices_own_word(rig: Rig) -> None:
    machine = rig.machine()
    machine.say(presence("s-1"), Channel.PRESENCE)
    rig.hear_until(lambda: live(rig.world).session_id == "s-1")
    assert (live(rig.world).online, live(rig.world).agent_version) == (True, "0.1")
    assert live(rig.world).seen_at == rig.world.now
    assert live(rig.world, OTHER_DEVICE).seen_at is None
    machine.say(presence("s-1", online=False), Channel.PRESENCE)
    rig.hear_until(lambda: not live(rig.world).online)


def test_the_last_will_of_a_session_already_replaced_is_ignored(rig: Rig) -> None:
    machine = rig.machine()
    machine.say(presence("s-1"), Channel.PRESENCE)
    machine.say(presence("s-2"), Channel.PRESENCE)
    machine.say(presence("s-1", online=False), Channel.PRESENCE)
    machine.say(Hello(hello_id="after", agent_version="0.1", profile="p"))
    rig.hear_until(lambda: machine.receipts)
    assert (live(rig.world).online, live(rig.world).session_id) == (True, "s-2")


A1, A2, B1, B2, C1 = ("a", 1), ("a", 2), ("b", 1), ("b", 2), ("c", 1)


@pytest.mark.parametrize(
    ("heard", "online", "are_two"),
    [
        ([A1, A2, A2], "a", False),  # one agent, its line comes and goes
        ([A1, B1, C1], "c", False),  # one agent that starts anew
        ([A1, B1, A1, B1], "b", False),  # the broker says again what was not acknowledged
        ([A1, B1, A2], "a", True),
        ([A1, B1, A2, B2], "b", True),
        ([A1, B1, C1, A2], "a", True),
    ],
)
def test_two_sessions_that_take_turns_are_two_agents(
    sqlite_rig: Rig, heard: list[tuple[str, int]], online: str, are_two: bool
) -> None:
    rig = sqlite_rig
    machine = rig.machine()
    for name, connection in heard:
        machine.say(Presence(online=True, session_id=name, connection=connection), Channel.PRESENCE)
    machine.say(Hello(hello_id="after", agent_version="0.1", profile="p"))
    rig.hear_until(lambda: machine.receipts)
    assert (live(rig.world).session_id, live(rig.world).two_agents_since is not None) == (online, are_two)
    [welcome] = machine.receipts
    assert isinstance(welcome, Welcome)
    rival = next(name for name, _ in reversed(heard) if name != online) if are_two else UNSET
    assert welcome.rival_session == rival
    with rig.world.database.read() as session:
        told = latest(session, DEVICE, 10)
    assert [event.what for event in told] == ["two_agents"] * are_two


def test_whoever_is_left_sells_again_when_a_person_says_so_and_only_then(sqlite_rig: Rig) -> None:
    rig = sqlite_rig
    machine = rig.machine()

    def connect(name: str, connection: int) -> None:
        machine.say(Presence(online=True, session_id=name, connection=connection), Channel.PRESENCE)
        rig.hear_until(lambda: dict(live(rig.world).sessions or []).get(name) == connection)

    for turn in (A1, B1, A2):
        connect(*turn)
    connect("a", 3)
    assert live(rig.world).two_agents_since is not None

    def resume(tx: Transaction) -> None:
        sessions.resume(tx, tx.session.get_one(DeviceLive, DEVICE), "anna", rig.world.now)

    rig.world.database.transact(resume)
    connect("a", 4)
    assert live(rig.world).two_agents_since is None
    connect("b", 7)
    connect("a", 5)
    assert live(rig.world).two_agents_since is not None, "and the other is still there"


def test_state_is_kept_whole_and_of_known_devices_only(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    machine = rig.machine()
    stranger = rig.machine("m-999")
    stranger.say(presence("s-1"), Channel.PRESENCE)
    stranger.say(State(at=START, link="up", selling=True), Channel.STATE)
    said = State(at=START, link="up", selling=False, reason="доливают воду", frame_error_ratio=0.25)
    machine.say(said, Channel.STATE)
    rig.hear_until(lambda: live(rig.world).state)
    kept = live(rig.world).state
    assert kept is not None
    assert (kept["selling"], kept["reason"]) == (False, "доливают воду")
    assert live(rig.world).frame_error_ratio == 0.25
    with caplog.at_level(logging.WARNING):
        rig.hear_until(lambda: "presence of an unknown device" in caplog.text)


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
    rig.listener.step(rig.world.now)
    wait_until(lambda: len(receipted(machine)) == 60)
    assert rig.world.order(order_id).stage == "accepted"
