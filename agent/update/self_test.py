"""`coffee-agent self-test`: could this version run here? The one that runs asks it of a new one, before the trial.

Looks and changes nothing: the agent that runs goes on selling beside it.
"""

import importlib
import os
import pkgutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import agent
from agent import settings
from agent.journal.sqlite_file import FILE, JournalFailed, open_read_only
from agent.machine import profile, profile_overrides
from agent.machine.profile import BadProfile
from agent.settings import BadSettings, Settings

PATIENCE_S = 120.0
"""An old card reads a hundred modules in a few seconds; a program that hangs is not waited for."""
NOT_OURS = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
"""What systemd has given to the agent that runs, and to nobody else."""


def problems(env: Mapping[str, str]) -> list[str]:
    """In this process, which is the version tested: everything imports, the settings, the profile, the journal."""
    found = _imports()
    try:
        chosen = Settings.from_env(env)
        profile_overrides.in_force(profile.load(chosen.profile), chosen.state_dir, chosen.device_uuid)
    except (BadSettings, BadProfile, OSError) as error:
        return [*found, str(error)]
    try:
        if (settings.state_dir(env) / FILE).exists():
            with open_read_only(chosen.state_dir) as connection:
                connection.execute("SELECT count(*) FROM command").fetchone()
    except JournalFailed as failed:
        found.append(f"journal: {failed}")
    return found


def ask(folder: Path) -> str:
    """Have the version in this folder test itself; what it said against itself, "" when nothing."""
    env = {name: value for name, value in os.environ.items() if name not in NOT_OURS}
    try:
        done = subprocess.run(
            [sys.executable, "-B", str(folder), "self-test"],
            env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"its self-test did not end: {error}"
    said = (done.stdout + done.stderr).decode(errors="replace").replace("\0", "").strip()
    return "" if done.returncode == 0 else f"its self-test ends with {done.returncode}: {said[-300:]}"


def _imports() -> list[str]:
    found = []
    for module in pkgutil.walk_packages(agent.__path__, "agent."):
        if module.name == "agent.__main__":
            continue
        try:
            importlib.import_module(module.name)
        except Exception as error:  # noqa: BLE001  (whatever it is, this version cannot run here)
            found.append(f"{module.name}: {type(error).__name__}: {error}")
    return found
