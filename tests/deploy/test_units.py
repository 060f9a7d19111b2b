"""The systemd units: correct, of least rights, running commands that exist; the agent speaks to systemd as agreed."""

import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

import click
import pytest

from cloud.cli import main as coffee_cloud
from cloud.http import whole_requests
from cloud.payments import checkout
from cloud.payments.custom import client as custom
from cloud.payments.tbank import client as tbank
from cloud.payments.yookassa import client as yookassa
from cloud.processes import server
from tests.deploy.shipped import (
    DEPLOY,
    INSTALLED_IN,
    OPEN_FILES,
    PROGRAMS,
    UNITS,
    commands_of_compose,
    commands_of_units,
    directives,
    open_files,
    settings_in,
)
from tests.deploy.test_compose import services
from tests.programs import Program
from tests.real_parts import missing

CLOUD = [unit for unit in UNITS if unit.name.startswith("coffee-cloud")]
AGENT = DEPLOY / "systemd" / "coffee-agent.service"
MACHINES_OF_ONE_BROKER = 10_000
"""As docs/scaling.md tells of it."""


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
    known = coffee_cloud.get_command(click.Context(coffee_cloud), command)
    assert known is not None
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


def test_no_call_to_a_provider_is_cut_off_by_a_restart() -> None:
    """The web process gives calls longer than their clients wait; what runs it gives it longer than that."""
    longest_s = max(client.CONNECT_S + client.ACT_S for client in (yookassa, tbank, custom))
    insists_after_s = 2
    assert longest_s < server.GRACE_S - 5
    for unit in CLOUD:
        assert float(dict(directives(unit))["TimeoutStopSec"]) > server.GRACE_S + insists_after_s, unit.name
    for _, text in (each for each in services() if each[0] in {"web", "worker"}):
        found = re.search(r"stop_grace_period: (\d+)s$", text, re.MULTILINE)
        assert found
        assert float(found[1]) > server.GRACE_S + insists_after_s


@pytest.mark.parametrize("unit", CLOUD, ids=lambda unit: unit.name)
def test_no_migration_is_cut_off_by_the_start_it_is_part_of(unit: Path) -> None:
    """It would begin anew, and be cut off again. Nothing else can hang there: a program counts as started at once."""
    said = dict(directives(unit))
    assert said["ExecStartPre"] == f"{INSTALLED_IN}/coffee-cloud migrate"
    assert (said["Type"], said["TimeoutStartSec"]) == ("exec", "infinity")


def test_requests_end_in_time_to_wait_for_calls() -> None:
    assert checkout.PATIENCE_S + whole_requests.TAKE_S < server.ANSWERS_S < server.GRACE_S


def test_the_broker_on_a_host_has_a_socket_for_each_machine(tmp_path: Path) -> None:
    assert open_files() > 2 * MACHINES_OF_ONE_BROKER
    installed = "mosquitto.service.d/open-files.conf"
    assert f"systemd/open-files.conf /etc/systemd/system/{installed}" in (DEPLOY / "README.md").read_text()
    if shutil.which("systemd-analyze") is None:
        missing("systemd-analyze: missing (install systemd)")
    (tmp_path / installed).parent.mkdir()
    (tmp_path / installed).write_text(OPEN_FILES.read_text())
    unit = tmp_path / "mosquitto.service"
    unit.write_text("[Service]\nExecStart=/bin/true\n")
    verdict = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False, timeout=60
    )
    assert complaints_about(OPEN_FILES, verdict.stderr) == []
