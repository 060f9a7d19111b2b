"""The worker as a whole: what it takes up again when it starts after a power cut."""

from pathlib import Path

import pytest

from cloud.orders import outbox
from cloud.orders.models import Payment
from cloud.orders.outbox import Claim, Lane, OutboxRow
from cloud.settings import Settings
from cloud.wiring import build
from cloud.worker import Worker
from simulator.broker.server import Broker
from tests.cloud.worlds import SECRET_KEY, World
from tests.waiting import wait_until


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
        taken = world.database.write(outbox.claim, Lane.MQTT, world.now, Claim("dead", 3600.0))
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


def _attempts(world: World) -> int:
    with world.database.read() as session:
        return max(row.attempts for row in session.query(OutboxRow).filter_by(lane=Lane.MQTT.value))
