"""The systemd units: correct, of least rights, running commands that exist; the agent speaks to systemd as agreed."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from cloud.cli import main as coffee_cloud
from tests.deploy.shipped import (
    DEPLOY,
    INSTALLED_IN,
    PROGRAMS,
    UNITS,
    commands_of_compose,
    commands_of_units,
    directives,
    settings_in,
)
from tests.programs import Program
from tests.real_parts import missing

AGENT = DEPLOY / "systemd" / "coffee-agent.service"


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_finds_nothing_wrong_with_a_unit(unit: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        missing("systemd-analyze: missing (install systemd)")
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text().replace(INSTALLED_IN, str(PROGRAMS)))

    verdict = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True, check=False, timeout=60
    )

    assert (verdict.returncode, complaints_about(unit, verdict.stderr)) == (0, [])


def complaints_about(unit: Path, text: str) -> list[str]:
    """What it says of this unit; it reads the units this machine has as well, and may not like those."""
    return [line for line in text.splitlines() if unit.name in line]


@pytest.mark.parametrize("words", commands_of_units() + commands_of_compose(), ids=" ".join)
def test_every_command_that_is_given_exists(words: list[str]) -> None:
    program, command, *options = words
    assert Path(program).name in {"coffee-cloud", "coffee-agent"}
    if Path(program).name == "coffee-agent":
        assert (command, options) == ("run", [])
        return
    known = coffee_cloud.commands[command]
    known.make_context(command, options)  # raises for an option it does not have


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_gives_no_more_rights_than_the_program_needs(unit: Path) -> None:
    said = dict(directives(unit))
    assert said["User"].startswith("coffee-")
    assert said["CapabilityBoundingSet"] == ""
    assert said["ProtectSystem"] == "strict"
    assert said["ProtectHome"] == said["NoNewPrivileges"] == said["PrivateTmp"] == "yes"
    assert said["StateDirectory"] == said["User"]
    assert said["EnvironmentFile"].startswith("/etc/coffee-relay/")
    assert said["Restart"] == "always"


def test_the_agents_unit_lets_a_serial_adapter_come_and_go() -> None:
    """Each of these would close the unit to devices that are not there when it starts."""
    said = dict(directives(AGENT))
    assert said["SupplementaryGroups"] == "dialout"
    assert not {"PrivateDevices", "DevicePolicy", "DeviceAllow", "ProtectClock", "PrivateUsers"} & said.keys()


def test_the_agent_tells_systemd_it_is_ready_without_a_network_and_without_a_machine(tmp_path: Path) -> None:
    said = dict(directives(AGENT))
    assert (said["Type"], said["NotifyAccess"], int(said["WatchdogSec"])) == ("notify", "main", 30)
    program, *arguments = said["ExecStart"].replace(INSTALLED_IN, str(PROGRAMS)).split()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(30)
        env = settings_in("agent.env.example") | {
            "PATH": os.environ["PATH"],
            "NOTIFY_SOCKET": str(tmp_path / "notify"),
            "WATCHDOG_USEC": "400000",
            "COFFEE_AGENT_STATE_DIR": str(tmp_path / "state"),
            "COFFEE_AGENT_MQTT_URL": "mqtt://127.0.0.1:9",
            "COFFEE_AGENT_SERIAL": str(tmp_path / "no-such-port"),
        }
        with Program([program, *arguments], log=tmp_path / "log", env=env, cwd=tmp_path) as agent:
            assert systemd.recv(100) == b"READY=1"
            assert systemd.recv(100) == b"WATCHDOG=1"
            assert agent.stop() == 0
