"""The files of deploy/ as the tests read them: environment files, systemd units, and every command they give."""

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
OPEN_FILES = DEPLOY / "systemd" / "open-files.conf"
INSTALLED_IN = "/opt/coffee-relay/bin"
PROGRAMS = Path(sys.executable).parent
"""Where the programs are that the tests run, in place of `INSTALLED_IN`."""


def settings_in(name: str, *, offered: bool = False) -> dict[str, str]:
    """The NAME=value lines of an example; `offered` adds the ones that are commented out."""
    pattern = r"^#?([A-Z_]+)=(.*)$" if offered else r"^([A-Z_]+)=(.*)$"
    return dict(re.findall(pattern, (DEPLOY / name).read_text(), re.MULTILINE))


def directives(unit: Path) -> list[tuple[str, str]]:
    """Every Name=value of a unit, in order; a name may come several times."""
    return re.findall(r"^([A-Za-z]+)=(.*)$", unit.read_text(), re.MULTILINE)


def open_files() -> int:
    """How many the drop-in for the broker's unit allows."""
    return int(dict(directives(OPEN_FILES))["LimitNOFILE"])


def commands_of_units() -> list[list[str]]:
    """Every command line of ours that a unit runs, without what `env` adds to its surroundings."""
    lines = (value for unit in UNITS for name, value in directives(unit) if name in {"ExecStart", "ExecStartPre"})
    return [line[line.index(INSTALLED_IN) :].split() for line in lines]


def commands_of_compose() -> list[list[str]]:
    """What compose.yaml asks of the cloud's image."""
    found = re.findall(r"^    command: (\[.*\])$", (DEPLOY / "compose.yaml").read_text(), re.MULTILINE)
    return [["coffee-cloud", *json.loads(words)] for words in found]


def trial() -> ModuleType:
    """The one command, to be asked what it would do."""
    spec = importlib.util.spec_from_file_location("trial", DEPLOY / "trial.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
