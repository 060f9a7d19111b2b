"""From a code to a coffee: a machine enrols at a guarded broker, sells, is revoked, enrols anew. Real programs."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.settings import environment
from cloud.fleet.models import DeviceLive
from tests.system.promises import wait_kept
from tests.system.restartable import Restartable
from tests.system.world import World
from tests.waiting import wait_until

DEVICE = "m-001"


@pytest.fixture
def world(guarded_world: World) -> Iterator[World]:
    yield guarded_world
    guarded_world.agent.stop()


def enrol(world: World, folder: Path) -> Path:
    """The settings file that the machine has now."""
    code = re.findall(r"\b[A-Z]{4}-[A-Z]{4}\b", world.once("enroll", DEVICE))[-1]
    file = folder / "agent.env"
    told = ["enroll", world.url, code, "--file", str(file), "--serial", world.machine.tty]
    Restartable("agent", told, folder / "enroll", {}).finish()
    return file


def test_from_a_code_to_a_coffee_and_out_again(world: World, tmp_path: Path) -> None:
    file = enrol(world, tmp_path)
    assert file.stat().st_mode & 0o777 == 0o600
    (tmp_path / ".env").symlink_to(file)
    enrolled = environment({}, tmp_path)
    world.agent.add_settings(enrolled)
    world.agent.start()
    world.wait_selling()
    assert wait_kept(world, world.buy()).status == "successful"

    world.once("revoke", DEVICE)
    wait_until(lambda: not is_online(world), what="the machine to be out")
    enrol(world, tmp_path)
    world.agent.kill()
    world.agent.add_settings(environment({}, tmp_path))
    world.agent.start()
    world.wait_selling()


def is_online(world: World) -> bool:
    with world.database.read() as session:
        return session.get_one(DeviceLive, DEVICE).online
