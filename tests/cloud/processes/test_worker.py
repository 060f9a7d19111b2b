"""The worker as a whole: what it takes up again when it starts after a power cut."""

import sys
from datetime import timedelta
from pathlib import Path

import pytest
from pytest_mock import MockerFixture
from sqlalchemy import select

from cloud.background import heartbeat
from cloud.background.heartbeat import SQLITE_EVERY_S, WorkerLife, missing
from cloud.background.loops import Loop, ThreadPool
from cloud.courier.broker import BrokerLink
from cloud.orders import outbox
from cloud.orders.models import Payment
from cloud.orders.outbox import Lease, OutboxRow
from cloud.orders.tasks import Lane
from cloud.processes.worker import Worker
from cloud.processes.worker_heartbeat import WorkerHeartbeat
from cloud.settings import Settings
from cloud.wiring import build
from simulator.broker.server import Broker
from tests.cloud.orders.small_machine import SmallBroker
from tests.cloud.worlds import SECRET_KEY, World
from tests.programs import Program
from tests.waiting import wait_until

ROOT = Path(__file__).parents[3]
ASKED_MEANWHILE = """\
import os, signal
from cloud.cli import main
from cloud.processes.worker import Worker
start = Worker.start
Worker.start = lambda worker: (os.kill(os.getpid(), signal.SIGTERM), start(worker))
main(["worker"])
"""


@pytest.fixture
def dead_workers_world(tmp_path: Path) -> World:
    """A paid order whose make command, and whose payment's question, a worker took with it when it died."""
    settings = Settings(secret_key=SECRET_KEY, database_url=f"sqlite:///{tmp_path}/cloud.db")
    return World(build(settings).database).found()


def test_alone_on_sqlite_a_new_worker_waits_for_no_dead_ones_lease(dead_workers_world: World) -> None:
    world = dead_workers_world
    with Broker() as broker:
        settings = Settings(
            secret_key=SECRET_KEY, database_url=str(world.database.url), mqtt_url=broker.url, yookassa_url="http://127.0.0.1:9/v3"
        )  # fmt: skip
        cloud = build(settings, clock=world.clock)
        order_id = world.pay()
        taken = world.database.transact(outbox.claim, Lane.MQTT, world.now, Lease("dead", 3600.0))
        assert [row.order_id for row in taken] == [order_id]
        worker = Worker(cloud)
        worker.start()
        try:
            wait_until(lambda: _attempts(world) > 1, what="the dead worker's command to be taken again")
        finally:
            worker.stop()
            cloud.close()
    with world.database.read() as session:
        asked = [payment.next_check_at for payment in session.query(Payment)]
    assert all(at is not None for at in asked)


def test_no_loop_steps_on_when_the_threads_it_calls_in_are_gone(
    dead_workers_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came due then was claimed, never sent, and told of later as perhaps told before."""
    alive: set[str] = set()
    close = ThreadPool.close
    with Broker() as broker:
        settings = Settings(
            secret_key=SECRET_KEY, database_url=str(dead_workers_world.database.url), mqtt_url=broker.url, yookassa_url="http://127.0.0.1:9/v3"
        )  # fmt: skip
        cloud = build(settings, clock=dead_workers_world.clock)
        worker = Worker(cloud)

        def close_and_look(pool: ThreadPool) -> None:
            alive.update(loop.name for loop in worker.loops if loop.alive)
            close(pool)

        monkeypatch.setattr(ThreadPool, "close", close_and_look)
        worker.start()
        cloud.ending.begin()
        worker.stop()
        cloud.close()
    callers = {"cashier", "recheck", "receipts", "notify"}
    assert callers <= {loop.name for loop in worker.loops}
    assert "listener" in alive, "machines are served on"
    assert not callers & alive


def test_asked_to_end_while_it_starts_it_ends_in_order(tmp_path: Path) -> None:
    settings = {"PYTHONPATH": str(ROOT), "COFFEE_SECRET_KEY": SECRET_KEY, "COFFEE_MQTT_URL": "mqtt://127.0.0.1:9"}
    with Program([sys.executable, "-c", ASKED_MEANWHILE], log=tmp_path / "log", cwd=tmp_path, env=settings) as worker:
        assert worker.wait() == 0, worker.output
    assert "worker stopped" in worker.output


def test_the_first_sign_of_life_is_there_before_any_loop_looks_for_it(
    dead_workers_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: the alert loop, when it came first, saw no worker alive, at each restart."""
    world, seen, start = dead_workers_world, list[bool](), Loop.start
    world.database.transact(heartbeat.leave, "always there")

    def look_and_start(loop: Loop) -> None:
        with world.database.read() as session:
            seen.append(bool(heartbeat.alive(session, world.now)))
        start(loop)

    monkeypatch.setattr(Loop, "start", look_and_start)
    with Broker() as broker:
        settings = Settings(
            secret_key=SECRET_KEY, database_url=str(world.database.url), mqtt_url=broker.url, yookassa_url="http://127.0.0.1:9/v3"
        )  # fmt: skip
        cloud = build(settings, clock=world.clock)
        worker = Worker(cloud)
        worker.start()
        worker.stop()
        cloud.close()
    assert seen[0] is True


def test_answers_that_nobody_reads_are_not_kept(dead_workers_world: World, mocker: MockerFixture) -> None:
    """Two a minute and more came to the link of rights, for ever."""
    answered = mocker.spy(BrokerLink, "session_answered")
    with Broker() as broker:
        settings = Settings(
            secret_key=SECRET_KEY, database_url=str(dead_workers_world.database.url), yookassa_url="http://127.0.0.1:9/v3",
            mqtt_url=broker.url, mqtt_user="coffee-cloud", mqtt_password="p", broker_rights="dynamic-security",
        )  # fmt: skip
        cloud = build(settings, clock=dead_workers_world.clock)
        worker = Worker(cloud)
        *_, of_rights = worker._links
        worker.start()
        try:
            wait_until(lambda: of_rights in [call.args[0] for call in answered.mock_calls], what="an answer")
        finally:
            worker.stop()
            cloud.close()
    assert of_rights.acknowledged.empty()


def test_a_sign_of_life_is_written_when_it_is_time_or_the_broker_came_not_whenever_woken(sqlite_world: World) -> None:
    world, link = sqlite_world, SmallBroker(connected=False)
    beats: list[bool] = []
    world.database.transact(heartbeat.leave, "always there")
    pulse = WorkerHeartbeat(world.database, link, link, lambda: 0.0, "w1")  # type: ignore[arg-type]  # as far as it is used

    def woken() -> int:
        with world.database.read() as session:
            before = session.scalars(select(WorkerLife.seen_at)).all()
        pulse.step(world.clock.advance(0.01))
        with world.database.read() as session:
            beats.append(session.scalars(select(WorkerLife.seen_at)).all() != before)
        return sum(beats)

    assert [woken() for _ in range(5)] == [1] * 5
    link.connected = True
    assert [woken() for _ in range(5)] == [2] * 5
    world.clock.advance(SQLITE_EVERY_S)
    assert [woken() for _ in range(5)] == [3] * 5
    world.clock.advance(-3600)
    assert woken() == 4, "the clock was set back: nobody waits an hour for the next"
    pulse.end()
    assert missing(world.database, world.now) == ["no worker is alive"]


def test_a_listener_that_falls_behind_and_catches_up_is_told_of_at_once(sqlite_world: World) -> None:
    world, link = sqlite_world, SmallBroker()
    world.database.transact(heartbeat.leave, "always there")
    behind = [0.0]
    pulse = WorkerHeartbeat(world.database, link, link, lambda: behind[0], "w1")  # type: ignore[arg-type]  # as far as it is used

    def lacking(behind_s: float) -> list[str]:
        behind[0] = behind_s
        assert pulse.step(world.clock.advance(0.01)) <= world.now + timedelta(seconds=5), "it looks again soon"
        return missing(world.database, world.now)

    assert lacking(0.0) == []
    assert lacking(12.0) == ["what machines said waits 12 s to be read"]
    assert lacking(0.2) == []
    link.connected, link.trouble = False, OSError("its certificate is not trusted")
    assert lacking(0.0) == ["no worker reaches the broker: its certificate is not trusted"]


def _attempts(world: World) -> int:
    with world.database.read() as session:
        return max(row.attempts for row in session.query(OutboxRow).filter_by(lane=Lane.MQTT.value))
