"""The agent's unit: as few rights as systemd can judge without starting it, and one folder to write in."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.deploy.shipped import DEPLOY, directives
from tests.real_parts import missing
from tests.shell import blocks, section

UNIT = DEPLOY / "systemd" / "coffee-agent.service"
SAID = dict(directives(UNIT))
EXPOSURE_TENTHS = 18
"""Of systemd's score from 0 (locked in) to 100; what is left are the network, the port and the group that opens it."""


def test_systemd_judges_it_well_locked_in() -> None:
    if shutil.which("systemd-analyze") is None:
        missing("systemd-analyze: missing (install systemd)")
    judged = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE_TENTHS}", UNIT],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if "unrecognized option" in judged.stderr or "Unknown" in judged.stderr:
        missing("systemd-analyze: too old to judge a unit that is not installed")
    assert judged.returncode == 0, judged.stdout


def test_it_may_write_its_state_and_its_status_in_memory_and_nothing_else() -> None:
    assert SAID["ProtectSystem"] == "strict"
    assert SAID["StateDirectory"] == "coffee-agent"
    assert SAID["WorkingDirectory"] == "/var/lib/coffee-agent"
    assert "PYTHONDONTWRITEBYTECODE=1" in SAID["Environment"]
    assert (SAID["RuntimeDirectory"], SAID["RuntimeDirectoryPreserve"]) == ("coffee-agent", "yes")
    folders = {"ReadWritePaths", "LogsDirectory", "CacheDirectory", "BindPaths"}
    assert not folders & SAID.keys()


def test_a_command_by_hand_opens_the_port_as_the_unit_does() -> None:
    steps, _ = blocks(section(DEPLOY / "README.md", "On a coffee machine"))
    assert f"sudo adduser {SAID['User']} {SAID['SupplementaryGroups']} " in steps


def test_a_hung_or_ended_agent_is_always_started_again() -> None:
    assert (SAID["Type"], SAID["Restart"], SAID["StartLimitIntervalSec"]) == ("notify", "always", "0")
    assert 0 < int(SAID["WatchdogSec"]) <= 60


def test_nothing_in_it_needs_memory_that_is_both_written_and_run() -> None:
    """`MemoryDenyWriteExecute` would end a program that builds code as it runs, which ctypes' callbacks do."""
    assert SAID["MemoryDenyWriteExecute"] == "yes"
    code = "import sys; import agent.cli; sys.exit('ctypes' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0
