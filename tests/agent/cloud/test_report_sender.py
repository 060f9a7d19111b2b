"""Reports on their way: a few at a time, again until the cloud has them, and a poisonous one stops no other."""

import itertools
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.clock import Bell
from agent.cloud import link as link_module
from agent.cloud import report_sender as delivery_module
from agent.cloud.report_sender import LOSSES_TO_SUSPECT, REPEAT_AFTER_S, WINDOW, ReportSender
from agent.journal import report_message
from agent.journal.records import CommandState, Verdict
from agent.journal.report_queue import ReportQueue
from agent.journal.rows import UNREADABLE
from agent.journal.sqlite_file import SqliteFile
from agent.machine.profile import Profile
from agent.service import Service
from agent.settings import BrokerAddress, Settings
from protocol.messages import Asked, Evidence, Outcome, Query, decode_report
from protocol.reasons import Result, Spout
from tests.agent.cloud_side import DEVICE, a_cloud_side
from tests.agent.world import World
from tests.mosquitto import Mosquitto
from tests.waiting import wait_until


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SqliteFile]:
    with SqliteFile.open(tmp_path, datetime(2026, 5, 1, tzinfo=UTC)) as opened:
        yield opened


@pytest.fixture
def report_queue(database: SqliteFile) -> ReportQueue:
    return ReportQueue(database, "j", Bell())


def put(database: SqliteFile, report_queue: ReportQueue, *words: str) -> None:
    with database.transaction() as connection:
        for word in words:
            report_queue.add(connection, f"c-{word}", lambda _, word=word: word.encode())  # type: ignore[misc]  # mypy cannot infer a lambda's default


def never_issued(command_id: str) -> Asked:
    """A command of just now that never came."""
    now = datetime.now(UTC)
    return Asked(command_id=command_id, order_id=f"order of {command_id}", issued_at=now, deadline_at=now)


class FakeLine:
    """Takes everything and confirms what it is told to."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.confirmed: set[int] = set()
        self._tickets = itertools.count(1)

    def send(self, payload: bytes) -> int | None:
        self.sent.append(payload.decode())
        return next(self._tickets)

    def is_confirmed(self, ticket: int) -> bool:
        return ticket in self.confirmed

    def confirm_all(self) -> None:
        self.confirmed |= set(range(1, len(self.sent) + 1))


def test_a_backlog_goes_out_in_order_and_a_few_at_a_time(database: SqliteFile, report_queue: ReportQueue) -> None:
    words = [f"{number:03}" for number in range(3 * WINDOW)]
    put(database, report_queue, *words)
    delivery, line = ReportSender(report_queue), FakeLine()
    delivery.connected()
    for rounds in (1, 2, 3):
        delivery.step(line, 0.0)
        delivery.step(line, 0.0)
        assert line.sent == words[: rounds * WINDOW]
        line.confirm_all()


def test_what_the_cloud_does_not_receipt_is_repeated_ever_more_seldom(
    database: SqliteFile, report_queue: ReportQueue
) -> None:
    put(database, report_queue, "a")
    delivery, line = ReportSender(report_queue), FakeLine()
    delivery.connected()
    times = []
    for now in range(2000):
        before = len(line.sent)
        delivery.step(line, float(now))
        line.confirm_all()
        if len(line.sent) > before:
            times.append(now)
    assert times[:5] == [0, 10, 30, 70, 150]
    assert all(later - earlier <= 300 for earlier, later in itertools.pairwise(times))
    report_queue.confirm(["j-1"])
    delivery.step(line, 10_000.0)
    assert len(line.sent) == len(times)


def test_a_report_that_takes_the_line_down_is_sent_last_alone_and_ever_more_seldom(
    database: SqliteFile, report_queue: ReportQueue
) -> None:
    put(database, report_queue, "poison", "b", "c")
    delivery = ReportSender(report_queue)
    now, deaths = 0.0, 0
    received: list[str] = []
    while now < 3 * 3600:
        line = FakeLine()
        delivery.connected()
        for _ in range(30):
            before = len(line.sent)
            delivery.step(line, now)
            fresh = line.sent[before:]
            if "poison" in fresh:  # the broker hangs up on it and confirms nothing
                deaths += 1
                break
            received += fresh
            line.confirm_all()
            now += 1.0
        delivery.lost(line, now)
        now += 1.0
    assert {"b", "c"} <= set(received)
    assert delivery.suspects == [1]
    assert deaths <= LOSSES_TO_SUSPECT + 3 * 3600 / REPEAT_AFTER_S / 10


def put_events(database: SqliteFile, report_queue: ReportQueue, *words: str) -> None:
    with database.transaction() as connection:
        for word in words:
            report_queue.add_event(connection, lambda _, __, word=word: word.encode())  # type: ignore[misc]  # mypy cannot infer a lambda's default


def test_events_wait_for_a_cloud_that_takes_them_and_for_every_report(
    database: SqliteFile, report_queue: ReportQueue
) -> None:
    put_events(database, report_queue, "e1", "e2")
    put(database, report_queue, *(f"{number:03}" for number in range(WINDOW + 1)))
    delivery, line = ReportSender(report_queue), FakeLine()
    delivery.connected()
    for _ in range(3):
        delivery.step(line, 0.0)
        line.confirm_all()
    assert len(line.sent) == WINDOW + 1
    assert not {"e1", "e2"} & set(line.sent)
    report_queue.takes_events = True
    put(database, report_queue, "another")
    delivery.step(line, 0.0)
    assert line.sent[-1] == "another"
    delivery.step(line, 0.0)
    assert line.sent[-1] == "another", "the report is still on its way"
    line.confirm_all()
    delivery.step(line, 0.0)
    assert line.sent[-2:] == ["e1", "e2"]


def test_the_next_connection_may_be_to_a_cloud_that_does_not_take_events(
    database: SqliteFile, report_queue: ReportQueue
) -> None:
    put_events(database, report_queue, "e1")
    delivery = ReportSender(report_queue)
    for takes, expected in ((True, ["e1"]), (False, []), (True, ["e1"])):
        line = FakeLine()
        delivery.connected()
        report_queue.takes_events = takes
        delivery.step(line, 0.0)
        assert line.sent == expected
        line.confirm_all()
        delivery.lost(line, 0.0)
    report_queue.confirm(["j-1"])
    assert report_queue.count_events() == 0


def test_an_event_that_takes_the_line_down_stops_neither_reports_nor_events(
    database: SqliteFile, report_queue: ReportQueue
) -> None:
    put_events(database, report_queue, "poison", "e1", "e2")
    put(database, report_queue, "a", "b")
    delivery = ReportSender(report_queue)
    received: list[str] = []
    now = 0.0
    for _ in range(12):
        line = FakeLine()
        delivery.connected()
        report_queue.takes_events = True
        for _ in range(3):
            before = len(line.sent)
            delivery.step(line, now)
            if "poison" in line.sent[before:]:
                break
            received += line.sent[before:]
            line.confirm_all()
            now += 1.0
        delivery.lost(line, now)
        now += 10 * REPEAT_AFTER_S
    assert {"a", "b", "e1", "e2"} <= set(received)


def test_a_suspect_that_gets_through_is_one_no_more(database: SqliteFile, report_queue: ReportQueue) -> None:
    put(database, report_queue, "a")
    delivery = ReportSender(report_queue)
    for _ in range(LOSSES_TO_SUSPECT):
        line = FakeLine()
        delivery.connected()
        delivery.step(line, 0.0)
        delivery.lost(line, 0.0)
    assert delivery.suspects == [1]
    line = FakeLine()
    delivery.connected()
    delivery.step(line, 0.0)
    assert line.sent == []
    delivery.step(line, 1000.0)
    line.confirm_all()
    delivery.step(line, 1001.0)
    assert (line.sent, delivery.suspects) == (["a"], [])
    report_queue.confirm(["j-1"])
    delivery.step(line, 5000.0)
    assert line.sent == ["a"]


class PickyProxy:
    """A way to the broker that hangs up on a client that says a forbidden word."""

    def __init__(self, to_port: int, word: bytes) -> None:
        self._to_port = to_port
        self._word = word
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.hung_up = 0
        self._threads = [threading.Thread(target=self._serve, daemon=True)]
        self._threads[0].start()

    def _serve(self) -> None:
        while True:
            try:
                comer, _ = self._server.accept()
            except OSError:
                return
            inside = socket.create_connection(("127.0.0.1", self._to_port))
            for one, other in ((comer, inside), (inside, comer)):
                thread = threading.Thread(target=self._carry, args=(one, other), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while heard := one.recv(65536):
                if self._word in heard:
                    self.hung_up += 1
                    break
                other.sendall(heard)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        one.close()

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for thread in self._threads:
            thread.join(10)


def test_a_poisonous_report_does_not_keep_the_others_from_the_cloud(
    tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, pause in (("SHORTEST_PAUSE_S", 0.05), ("LONGEST_PAUSE_S", 0.1)):
        monkeypatch.setattr(link_module, name, pause)
    monkeypatch.setattr(delivery_module, "WINDOW", 1)
    proxy = PickyProxy(mosquitto.port, b"c-poison")
    broker = BrokerAddress("127.0.0.1", proxy.port)
    settings = Settings(DEVICE, broker, str(tmp_path / "no-port"), "companion-v1", tmp_path / "state")
    service = Service(settings, Profile(name="companion-v1"), {})
    try:
        with a_cloud_side(mosquitto.url) as cloud:
            service._cloud.learn(datetime.now(UTC), service._clock.monotonic())
            asked = [never_issued("c-poison"), *(never_issued(f"c{n}") for n in range(30))]
            service._link.receiver._command_handler.handle(Query(commands=asked))
            service.start()
            wait_until(lambda: all(cloud.outcomes(f"c{n}") for n in range(30)), what="the thirty others")
            assert cloud.outcomes("c-poison") == []
            assert proxy.hung_up >= LOSSES_TO_SUSPECT
            wait_until(lambda: service._journal.report_queue.count() == 1, what="their receipts")
    finally:
        service.stop()
        proxy.close()


@pytest.mark.parametrize(
    ("verdict", "rule"),
    [
        (Verdict(Result.FAILED, "brewer", Spout.NONE, Evidence(rule="x" * 501, boot_now="b" * 100)), UNREADABLE),
        (Verdict(Result.FAILED, "no such code!", Spout.NONE), report_message.BRIEF),
    ],
)
def test_an_outcome_that_fits_no_message_is_told_in_brief(world: World, verdict: Verdict, rule: str) -> None:
    world.journal.insert_command(world.make(), CommandState.SENT)
    assert world.journal.finish("c1", verdict)
    outcome = world.outcomes()[0]
    assert (outcome.result, outcome.out) == (Result.FAILED, Spout.NONE)
    assert outcome.evidence.rule == rule


def test_a_long_line_of_history_is_cut_and_not_the_report(world: World) -> None:
    world.journal.insert_command(world.make(), CommandState.SENT)
    world.journal.add_note("c1", "y" * 2000)
    world.journal.finish("c1", Verdict(Result.DONE, "", Spout.FULL))
    payload = world.journal.report_queue.after(0, 1)[0].payload
    outcome = decode_report(payload)
    assert isinstance(outcome, Outcome)
    assert len(outcome.evidence.journal[1]) == report_message.LONGEST_LINE


def test_a_question_about_many_is_one_commit(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    commits = []
    connection = world.journal._database._connection
    connection.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
    world.cloud.learn(datetime.now(UTC), world.clock.monotonic())
    world.tell(Query(commands=[never_issued(f"c{n}") for n in range(50)]))
    assert len(commits) == 1
    assert world.journal.report_queue.count() == 50
