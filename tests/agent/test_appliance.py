"""The agent as an appliance: a root file system nobody may write, and an installation without the cloud."""

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bench.agent_alone import installed_alone
from protocol.messages import State
from protocol.reasons import Result
from simulator.machine import MachineSimulator
from tests.agent.agents import agent_env
from tests.agent.cloud_side import CloudSide, a_cloud_side
from tests.mosquitto import Mosquitto
from tests.programs import Program
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
THREE = {"msgspec", "paho-mqtt", "pyserial"}


def settings(tmp_path: Path, broker: str) -> dict[str, str]:
    return agent_env(tmp_path, broker, PYTHONDONTWRITEBYTECODE="1")


def test_it_writes_nothing_but_its_own_folder_and_the_port(
    tmp_path: Path, mosquitto: Mosquitto, machine: MachineSimulator
) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "journal.db").write_bytes(b"damaged, so that it is put aside")
    watched = [sys.executable, "-m", "tests.agent.watched_agent", str(tmp_path / "changes")]
    env = settings(tmp_path, mosquitto.url)
    with (
        a_cloud_side(mosquitto.url) as cloud,
        Program(watched, log=tmp_path / "agent.log", env=env, cwd=tmp_path) as agent,
    ):
        cloud.wait_online()
        wait_until(lambda: says_why(cloud, "damaged"), what="the cloud to be told of the damage")
        (tmp_path / "state" / "decisions").mkdir()
        (tmp_path / "state" / "decisions" / "accept-loss").touch()
        cloud.wait_ready()
        machine.controls.switch_on("mid_pour_crash")  # an unknown outcome, and the frames beside it
        cloud.make()
        assert cloud.outcome().result is Result.UNKNOWN
        wait_until(lambda: list((tmp_path / "state" / "frames").glob("*.txt")), what="the frames")
        assert agent.stop() == 0
    changed = {Path(line) for line in (tmp_path / "changes").read_text().splitlines()}
    outside = {path for path in changed if not path.is_relative_to(tmp_path / "state")}
    assert outside == {Path(os.path.abspath(tmp_path / "tty"))}
    assert len(changed) > 5


def says_why(cloud: CloudSide, word: str) -> bool:
    states = cloud.all_of(State)
    return bool(states) and not states[-1].selling and word in states[-1].reason


ALONE = pytest.mark.xdist_group("the agent alone")
"""Installing it takes longer than looking at it: once for all."""


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed_alone(tmp_path_factory.mktemp("installed") / "alone")


def brought_by(wheel: Path, extra: str) -> set[str]:
    """What `pip install .[extra]` brings: what the wheel declares, and what that needs in turn."""
    found: set[str] = set()
    (info,) = wheel.glob("coffee_relay-*.dist-info")
    left = list(needed(metadata.Distribution.at(info).requires, extra))
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += needed(metadata.requires(name), "")
    return found


def needed(lines: list[str] | None, extra: str) -> Iterator[str]:
    for one in map(Requirement, lines or []):
        if one.marker is None or one.marker.evaluate({"extra": extra}):
            yield canonicalize_name(one.name)


@ALONE
def test_the_agents_extra_brings_three_libraries_and_nothing_of_the_cloud(alone: Path) -> None:
    assert brought_by(alone, "agent") == THREE
    assert {"flask", "sqlalchemy"} <= brought_by(alone, "cloud")


@ALONE
def test_installed_alone_it_runs_with_nothing_else_in_reach(alone: Path, tmp_path: Path) -> None:
    probe = (
        f"import sys; sys.path.insert(0, {str(alone)!r})\n"
        "import importlib.util, agent, agent.cli\n"
        "print(agent.__file__)\n"
        "print([name for name in ('flask', 'sqlalchemy', 'requests') if importlib.util.find_spec(name)])\n"
        "print([name for name in sys.modules if name.partition('.')[0] in ('cloud', 'simulator')])\n"
        "sys.exit(agent.cli.main(['doctor']))"
    )
    env = settings(tmp_path, "mqtt://127.0.0.1:9")
    del env["PYTHONPATH"]
    told = subprocess.run(
        [sys.executable, "-I", "-S", "-c", probe], env=env, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    lines = told.stdout.splitlines()
    assert Path(lines[0]).is_relative_to(alone), told.stderr
    assert lines[1:3] == ["[]", "[]"]
    assert told.returncode == 1
    assert "nobody listens there" in told.stdout


@ALONE
def test_the_installed_program_is_the_agents_command(alone: Path) -> None:
    (declared,) = alone.glob("coffee_relay-*.dist-info/entry_points.txt")
    assert "coffee-agent = agent.cli:main" in declared.read_text()
