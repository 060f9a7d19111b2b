"""Presence and state: the newest of each machine in one transaction with all others, and nothing written twice."""

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from msgspec import UNSET
from pytest_mock import MockerFixture
from sqlalchemy import event, select

from cloud.courier.broker import Received
from cloud.courier.reader_lease import LEASE_S, PRESENCE, Reader, leave, take
from cloud.database.database import Database
from cloud.database.transaction import Transaction
from cloud.fleet import device_condition, sessions
from cloud.fleet.device_condition import SEEN_EVERY
from cloud.fleet.machine_events import latest
from cloud.fleet.models import DeviceLive
from cloud.fleet.presence_history import current_spells
from protocol.messages import GREETING, Hello, Presence, State, Welcome, encode
from protocol.topics import Channel, topic
from simulator.broker import Broker
from tests.cloud.courier.rig import Machine, Rig, a_rig
from tests.cloud.courier.test_listener import live
from tests.cloud.worlds import DEVICE, OTHER_DEVICE, START, World
from tests.waiting import wait_until


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
    all_of_it_read(rig, machine)
    assert (live(rig.world).online, live(rig.world).session_id) == (True, "s-2")


def all_of_it_read(rig: Rig, machine: Machine) -> None:
    """What one client says comes in order."""
    machine.say(State(at=START, link="up", selling=True), Channel.STATE, OTHER_DEVICE)
    rig.hear_until(lambda: live(rig.world, OTHER_DEVICE).state)


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
    all_of_it_read(rig, machine)
    assert (live(rig.world).session_id, live(rig.world).two_agents_since is not None) == (online, are_two)
    greetings = 1 if are_two else 0  # so that the answer to its hello stops the sale now
    wait_until(lambda: len(machine.receipts) == greetings)
    machine.say(Hello(hello_id="after", agent_version="0.1", profile="p"))
    rig.hear_until(lambda: len(machine.receipts) > greetings)
    *_, welcome = machine.receipts
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


@contextmanager
def written(world: World) -> Iterator[list[str]]:
    """Rows of `device_live` that were written, by the column first named."""
    rows: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if statement.startswith("UPDATE device_live"):
            rows.extend([statement.split()[3]] * (len(parameters) if many else 1))

    engine = world.database._together.engine  # what writes
    event.listen(engine, "before_cursor_execute", note)
    yield rows
    event.remove(engine, "before_cursor_execute", note)


def put(rig: Rig, said: Presence | State, device_uuid: str = DEVICE, *, retained: bool = False) -> None:
    channel = Channel.STATE if isinstance(said, State) else Channel.PRESENCE
    rig.presence_link.inbox.put(Received(topic(device_uuid, channel), encode(said), 0, 0, retained))


def test_what_is_only_said_again_is_not_written(sqlite_rig: Rig) -> None:
    """Regression: every message was a row, and each worker wrote it."""
    rig, world = sqlite_rig, sqlite_rig.world
    put(rig, presence("s-1"))
    put(rig, State(at=world.now, link="up", selling=True, frame_error_ratio=0.001))
    rig.presence.step(world.now)
    with written(world) as rows:
        for minute in range(9):
            put(rig, State(at=world.clock.advance(60), link="up", selling=True, frame_error_ratio=0.0001 * minute))
            put(rig, presence("s-1"), retained=True)
            rig.presence.step(world.now)
        assert rows == []
        world.clock.advance(SEEN_EVERY.total_seconds())
        put(rig, State(at=world.now, link="up", selling=True))
        rig.presence.step(world.now)
        assert len(rows) == 1
        put(rig, State(at=world.now, link="down", selling=False))
        rig.presence.step(world.now)
        assert len(rows) == 2
    assert live(world).seen_at == world.now


def test_of_what_waits_unread_only_the_newest_counts_and_all_machines_share_a_commit(
    sqlite_rig: Rig, mocker: MockerFixture
) -> None:
    rig, world = sqlite_rig, sqlite_rig.world
    for device in (DEVICE, OTHER_DEVICE):
        put(rig, presence("s-1"), device)
        for ratio in (0.1, 0.2, 0.3):
            put(rig, State(at=world.now, link="up", selling=True, frame_error_ratio=ratio), device)
    transact = mocker.spy(world.database, "transact")
    rig.presence.step(world.now)
    assert transact.call_count == 1
    assert [live(world, device).frame_error_ratio for device in (DEVICE, OTHER_DEVICE)] == [0.3, 0.3]
    with world.database.read() as session:
        assert {spell.state for spell in current_spells(session, [DEVICE, OTHER_DEVICE]).values()} == {"online"}


def test_what_a_broker_saved_before_it_was_killed_is_not_taken_for_news(sqlite_rig: Rig) -> None:
    rig, world = sqlite_rig, sqlite_rig.world
    put(rig, State(at=world.now, link="up", selling=True))
    rig.presence.step(world.now)
    old = encode(State(at=world.now - timedelta(seconds=30), link="down", selling=False))
    for retained, link in ((True, "up"), (False, "down")):  # an agent whose clock was set back is believed
        rig.presence_link.inbox.put(Received(topic(DEVICE, Channel.STATE), old, 0, 0, retained))
        rig.presence.step(world.now)
        assert (live(world).state or {})["link"] == link


def test_one_message_our_own_code_cannot_take_keeps_no_others_back(
    sqlite_rig: Rig, mocker: MockerFixture, caplog: pytest.LogCaptureFixture
) -> None:
    rig, world = sqlite_rig, sqlite_rig.world
    note = device_condition.note_state

    def choke(tx: Transaction, live: DeviceLive, *rest: Any, **more: Any) -> None:
        if live.device_uuid == DEVICE:
            raise ValueError("a bug of ours")
        note(tx, live, *rest, **more)

    mocker.patch.object(device_condition, "note_state", side_effect=choke)
    for device in (DEVICE, OTHER_DEVICE):
        put(rig, State(at=world.now, link="up", selling=True), device)
    rig.presence_link.inbox.put(Received(topic(DEVICE, Channel.STATE), b"noise", 0, 0))
    rig.presence.step(world.now)
    assert live(world, OTHER_DEVICE).state is not None
    assert live(world).state is None
    assert rig.senseless("presence") == 2
    assert "could not be taken in" in caplog.text


def test_a_machine_whose_row_somebody_holds_waits_and_no_other(migrated_postgres_url: str) -> None:
    with (
        closing(Database(migrated_postgres_url, patience_s=0)) as database,
        Broker() as broker,
        a_rig(World(database).found(), broker.port) as rig,
    ):
        world = rig.world
        for device in (DEVICE, OTHER_DEVICE):
            put(rig, State(at=world.now, link="up", selling=True), device)
        with database.engine.connect() as operator:
            operator.execute(select(DeviceLive.online).where(DeviceLive.device_uuid == DEVICE).with_for_update())
            rig.presence.step(world.now)
            assert live(world, OTHER_DEVICE).state is not None
            assert live(world).state is None
            assert rig.presence.step(world.now) > world.now, "not tried again and again meanwhile"
        rig.presence.step(world.clock.advance(1))
        assert live(world).state is not None


def test_of_two_workers_one_hears_presence_and_state(migrated_postgres_url: str) -> None:
    """Regression: each worker wrote every row, and two were slower than one."""
    with closing(Database(migrated_postgres_url, patience_s=0)) as database, Broker() as broker:
        world = World(database).found()
        with a_rig(world, broker.port) as one, a_rig(world, broker.port, "another") as other:
            links = [one.presence_link, other.presence_link]
            readers = [Reader(database, rig.presence_link, rig.name, PRESENCE) for rig in (one, other)]
            one.connect()
            other.connect()
            for reader in readers:
                reader.step(world.now)
            wait_until(lambda: [link.is_listening for link in links] == [True, False])
            present(one.machine(), "s-1")
            wait_until(lambda: one.presence_link.inbox.qsize() == 1)
            assert other.presence_link.inbox.qsize() == 0
            readers[0].end()
            readers[1].step(world.now)
            other.hear_until(lambda: live(world).online, "what was said before it took over")


def test_a_worker_that_stood_still_writes_nothing_over_what_its_successor_knows(migrated_postgres_url: str) -> None:
    """Regression: a last will in its inbox made a machine offline that had long been back, until it spoke again."""
    with closing(Database(migrated_postgres_url, patience_s=0)) as database, Broker() as broker:
        world = World(database).found()
        with a_rig(world, broker.port) as still, a_rig(world, broker.port, "another") as other:
            readers = [Reader(database, rig.presence_link, rig.name, PRESENCE) for rig in (still, other)]
            still.connect()
            other.connect()
            readers[0].step(world.now)
            machine = still.machine()
            present(machine, "s-1")
            still.hear_until(lambda: live(world).online)
            present(machine, "s-1", online=False)
            wait_until(lambda: still.presence_link.inbox.qsize() == 1)
            world.clock.advance(LEASE_S + 1)
            for reader in reversed(readers):
                reader.step(world.now)
            other.hear_until(lambda: not live(world).online)
            present(machine, "s-1")
            other.hear_until(lambda: live(world).online)
            still.presence.step(world.now)
            assert live(world).online
            present(machine, "s-1", online=False)
            readers[1].end()

            def is_told_anew() -> bool:
                readers[0].step(world.now)
                return not live(world).online

            still.hear_until(is_told_anew, "what was said, once it is its own to hear again")


def test_workers_that_start_at_once_agree_on_one(migrated_postgres_url: str) -> None:
    """Regression: the second to write the lease's first row met an error, and said so."""
    with closing(Database(migrated_postgres_url, patience_s=0)) as database, ThreadPoolExecutor(4) as pool:
        world = World(database).found()
        for _ in range(10):
            both = Barrier(4)

            def begin(number: int, both: Barrier = both) -> bool:
                both.wait()
                return database.transact(take, PRESENCE, f"w{number}", world.now)

            assert sorted(pool.map(begin, range(4))) == [False, False, False, True]
            for number in range(4):
                database.transact(leave, PRESENCE, f"w{number}")
