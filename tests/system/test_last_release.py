"""The released tree beside this one: its programs on this schema, its agent on this wire, and the other way round."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.mosquitto import Mosquitto, a_mosquitto
from tests.real_parts import missing
from tests.system.promises import wait_kept
from tests.system.restartable import Restartable
from tests.system.world import World

pytestmark = pytest.mark.long
ROOT = Path(__file__).parents[2]
RELEASED = (Path(__file__).parent / "released.txt").read_text().strip()


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The released tree, out of the repository's history."""
    tree = tmp_path_factory.mktemp("released")
    packed = subprocess.run(
        ["git", "archive", RELEASED, "agent", "cloud", "protocol"], cwd=ROOT, capture_output=True, check=False
    )
    if packed.returncode != 0:
        missing(f"the released tree {RELEASED[:12]}: not in this clone's history (git fetch --unshallow)")
    subprocess.run(["tar", "-x", "-C", tree], input=packed.stdout, check=True)
    return tree


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
def test_it_pours_beside_this_one(who: str, world: World, released: Path) -> None:
    wait_kept(world, world.buy())
    program = world.worker if who == "cloud" else world.agent
    replaced(program, released)
    world.wait_ready()
    world.wait_selling()
    assert wait_kept(world, world.buy()).status == "successful"
    replaced(program, ROOT)
    world.wait_ready()
    world.wait_selling()
    assert wait_kept(world, world.buy()).status == "successful"


def test_it_works_on_a_schema_that_it_does_not_know(world: World, released: Path) -> None:
    world.worker.stop()
    with world.database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE orders ADD COLUMN tomorrow VARCHAR(8)"))
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    world.database.engine.dispose()
    world.worker._env["PYTHONPATH"] = str(released)
    world.worker.start()
    world.wait_ready()
    world.wait_selling()
    assert wait_kept(world, world.buy()).status == "successful"
    assert world.worker.says("newer than this program")
