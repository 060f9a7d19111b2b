"""The released tree beside this one: its programs on this schema, its agent on this wire, and the other way round."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from cloud.alerts.incident import Incident, State
from cloud.alerts.kinds import Kind
from cloud.alerts.models import AlertMessage, Channel
from cloud.alerts.store import write
from cloud.database.transaction import Transaction
from cloud.migrations import migrate
from tests import released
from tests.cloud import migrated
from tests.mosquitto import Mosquitto, a_mosquitto
from tests.shell import blocks, section
from tests.system.promises import wait_kept
from tests.system.restartable import Restartable
from tests.system.world import World

pytestmark = pytest.mark.long
ROOT = Path(__file__).parents[2]
UPGRADING = ROOT / "docs" / "upgrading.md"
LOOK = """\
import sys
from datetime import UTC, datetime
from sqlalchemy import select
from cloud.alerts.models import IncidentRow
from cloud.alerts.store import incident_of
from cloud.alerts.watch import IncidentWatch
from cloud.database.database import Database

database = Database(sys.argv[1])
IncidentWatch(database, lambda *_: {}, lambda: "new").step(datetime.now(UTC))
with database.read() as session:
    rows = session.scalars(select(IncidentRow).where(IncidentRow.merchant_id == "acme"))
    print(*sorted(incident_of(row).kind for row in rows))
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The released one."""
    return released.unpacked(tmp_path_factory.mktemp("released"))


@pytest.fixture
def world(mosquitto: Mosquitto, tmp_path: Path) -> Iterator[World]:
    """Made by this tree's `migrate`. (`mosquitto` is asked for so that a missing one skips.)"""
    with (
        a_mosquitto(tmp_path / "mosquitto") as broker,
        World(tmp_path, broker, f"sqlite:///{tmp_path}/coffee.db", webs=0, workers=0) as made,
    ):
        yield made


def replaced(program: Restartable, tree: Path) -> None:
    """The same program of another tree, in its place."""
    program.stop()
    program._env["PYTHONPATH"] = str(tree)
    program.start()


@pytest.mark.parametrize("who", ["cloud", "agent"])
def test_it_pours_beside_this_one(who: str, world: World, tree: Path) -> None:
    wait_kept(world, world.buy())
    program = world.worker if who == "cloud" else world.agent
    replaced(program, tree)
    world.wait_ready()
    world.wait_selling()
    assert wait_kept(world, world.buy()).status == "successful"
    replaced(program, ROOT)
    world.wait_ready()
    world.wait_selling()
    assert wait_kept(world, world.buy()).status == "successful"


def test_it_works_on_a_schema_that_it_does_not_know(world: World, tree: Path) -> None:
    world.worker.stop()
    with world.database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE orders ADD COLUMN tomorrow VARCHAR(8)"))
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    world.database.engine.dispose()
    world.worker._env["PYTHONPATH"] = str(tree)
    world.worker.start()
    world.wait_ready()
    world.wait_selling()
    assert wait_kept(world, world.buy()).status == "successful"
    assert world.worker.says("newer than this program")


def test_it_looks_on_when_alerts_that_it_does_not_know_are_deleted(tmp_path: Path, tree: Path) -> None:
    """Regression: the statement of one kind's note left three others, and it could not look at all."""
    url, at = f"sqlite:///{tmp_path}/coffee.db", datetime.now(UTC)

    def tell_of_everything(tx: Transaction) -> None:
        channel = Channel(id="c", merchant_id="acme", kind="email", name="c", address="a@acme.example", created_at=at)
        tx.session.add(channel)
        for kind in Kind:
            told = {"present": True, "changed_at": at, "opened_at": at, "facts": {"machines": []}}
            write(tx.session, Incident(kind, kind, "acme", "", State.OPEN, at, **told))  # type: ignore[arg-type]
            tx.session.flush()
            tx.session.add(AlertMessage(id=kind, channel_id="c", incident_id=kind, purpose="incident", told_at=at))

    with migrated.opened(url) as database:
        database.transact(tell_of_everything)
    [statements] = blocks(section(UPGRADING, "In which order, and back"))
    with closing(sqlite3.connect(tmp_path / "coffee.db")) as by_hand:  # where no key is looked at
        by_hand.executescript(statements)
    looked = released.run(tree, LOOK, url)
    gone = set(re.findall(r"'(\w+)'", statements))
    assert looked.split() == sorted(set(Kind) - set(gone))
    assert len(gone) < len(Kind) / 2, "what it does know stays"
    with migrated.opened(url) as database:
        migrate.upgrade(database)  # the newer program starts again
