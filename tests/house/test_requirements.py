"""The locked requirements: hashed, without addresses, of one mind, and enough for what pyproject.toml declares."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())


def pins(lock: str) -> dict[str, Version]:
    found = re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "requirements" / f"{lock}.txt").read_text(), re.MULTILINE)
    return {canonicalize_name(name): Version(version) for name, version in found}


def declared_for(lock: str) -> list[str]:
    dependencies: list[str] = PROJECT["project"]["dependencies"]
    extras: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
    groups: dict[str, list[str]] = PROJECT["dependency-groups"]
    match lock:
        case "runtime":
            return [
                *dependencies,
                *(line for name in sorted(extras.keys() - {"oidc"}) for line in extras[name]),
                *groups["build"],
            ]
        case "agent":
            return [*dependencies, *extras["agent"]]
        case "oidc":
            return extras["oidc"]
        case group:
            return groups[group]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_a_lock_pins_every_file_by_its_hash_and_names_no_address(lock: Path) -> None:
    text = lock.read_text()
    statements = re.sub(r"#.*", "", text).replace("\\\n", " ").splitlines()
    for statement in filter(None, map(str.strip, statements)):
        assert re.fullmatch(r"[\w.-]+==\S+( ; [^\\]+?)?(\s+--hash=sha256:[0-9a-f]{64})+", statement)
    assert "://" not in text


@pytest.mark.parametrize("lock", ["runtime", "agent", "oidc", "test", "lint"])
def test_a_lock_holds_everything_declared_in_a_version_that_was_asked_for(lock: str) -> None:
    pinned = pins(lock)
    for line in declared_for(lock):
        requirement = Requirement(line)
        version = pinned.get(canonicalize_name(requirement.name))
        assert version is not None, f"{line} is not in the lock: run `python3 run.py lock`"
        assert requirement.specifier.contains(version), f"{line} is locked as {version}"


def test_no_two_locks_disagree_about_a_version() -> None:
    versions: dict[str, set[Version]] = {}
    for lock in LOCKS:
        for name, version in pins(lock.stem).items():
            versions.setdefault(name, set()).add(version)
    assert not {name: found for name, found in versions.items() if len(found) > 1}


def test_a_coffee_machine_installs_three_libraries() -> None:
    assert pins("agent").keys() == {"msgspec", "paho-mqtt", "pyserial"}
