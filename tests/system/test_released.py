"""From a signed bundle to a fleet that runs it: real cloud, broker, agents, machines, and one coffee afterwards."""

from pathlib import Path
from typing import Any

import pytest

from cloud.access.models import JournalRow
from cloud.fleet.models import DeviceLive
from tests.agent.update.bundles import NEWER, Patch, Shelf, a_shelf, appended
from tests.mosquitto import Mosquitto
from tests.system.promises import wait_kept
from tests.system.world import World
from tests.waiting import wait_until

DEVICES = ["m-001", "m-002"]
PATIENCE_S = 180
"""Of a busy computer; a version that comes up keeps nobody waiting."""
CRASHES: Patch = {"agent/update/probation.py": appended("Probation._missing = lambda *_, **__: 'it is a bad version'")}


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_good_version_reaches_everybody_and_a_bad_one_nobody_twice(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with a_shelf(tmp_path / "shelf") as shelf:
        limits = {"COFFEE_RELEASE_KEYS": shelf.public}
        with World(
            tmp_path, mosquitto, f"sqlite:///{tmp_path}/coffee.db", webs=0, workers=0, devices=DEVICES, limits=limits,
            agents=False,
        ) as world:  # fmt: skip
            for agent in world.agents.values():
                agent.add_settings({"COFFEE_AGENT_RELEASE_KEY": shelf.public})
                agent.start()
            world.wait_selling()
            bring_out(world, shelf, tmp_path, NEWER, {}, ready_within_s=90.0)
            wait_until(lambda: set(versions(world)) == {NEWER}, PATIENCE_S, what="both machines to run it")
            wait_until(lambda: "rollout_end" in acts(world), PATIENCE_S, what="the rollout's end")
            assert wait_kept(world, world.buy()).status == "successful"

            bring_out(world, shelf, tmp_path, "0.3.0", CRASHES, ready_within_s=3.0)
            wait_until(lambda: "rollout_stop" in acts(world), PATIENCE_S, what="the rollout to stop by itself")
            assert set(versions(world)) == {NEWER}
            world.wait_selling()
            assert wait_kept(world, world.buy()).status == "successful"


def bring_out(world: World, shelf: Shelf, folder: Path, version: str, patch: Patch, **more: Any) -> None:
    file = folder / f"{version}.bundle"
    file.write_bytes(shelf.put(version, patch, **more).content)
    world.once("release", "add", str(file))
    world.once("release", "start", version, "--waves", "1,all", "--soak", "1s", "--first", "m-001")


def versions(world: World) -> list[str]:
    with world.database.read() as session:
        return [session.get_one(DeviceLive, device).agent_version for device in DEVICES]


def acts(world: World) -> list[str]:
    with world.database.read() as session:
        return [row.act for row in session.query(JournalRow)]
