"""Settings an operator sent from afar: values that stand in place of the profile's. One file beside the journal.

A second file names the device they were sent to: for a computer that has become another device they are not meant.

Only what cannot let a second drink out may be set: timers and counting, never commands, keys or capabilities.
"""

import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from agent.machine import profile
from agent.machine.profile import BadProfile, Profile

FILE, OWNER_FILE = "settings.json", "settings.device"
"""Two, so that an older agent that is put back reads its settings still."""
TABLES = ("timers", "counting")
Values = Mapping[str, bool | int | float | str]
log = logging.getLogger(__name__)


def laid_over(base: Profile, values: Values) -> Profile:
    """The profile with these values, checked as any profile. Raises `BadProfile` naming the setting."""
    data = msgspec.to_builtins(base)
    for name, value in values.items():
        table, _, key = name.partition(".")
        if table not in TABLES or not key:
            raise BadProfile(f"{name}: cannot be set from afar; only {' and '.join(TABLES)} can")
        data[table][key] = value
    return profile.read(data, "settings")


def in_force(base: Profile, state_dir: Path, device_uuid: str) -> Profile:
    """The profile the agent works by. A file that makes no sense is put off with an error: the machine goes on."""
    path = state_dir / FILE
    try:
        values = json.loads(path.read_text("utf-8"))
        if not isinstance(values, dict):
            raise ValueError("it holds no settings")
        if (owner := _owner(state_dir)) in {"", device_uuid}:
            return laid_over(base, values)
        log.warning("%s is ignored: it is for %s", path, owner)
    except FileNotFoundError:
        pass
    except (OSError, ValueError, BadProfile) as error:
        log.error("%s is ignored: %s", path, error)
    return base


def differences(base: Profile, chosen: Profile) -> Values:
    """What stands in place of the profile's own values."""
    own, now = msgspec.to_builtins(base), msgspec.to_builtins(chosen)
    return {
        f"{table}.{key}": value for table in TABLES for key, value in now[table].items() if value != own[table][key]
    }


def belong_to(state_dir: Path, device_uuid: str, before: str) -> None:
    """At a start: what was sent to another device goes, and what is kept from now on is for this one.

    Where no device is named (by an older agent) it was for `before`, the device the journal belonged to until now.
    """
    try:
        owner = _owner(state_dir)
        if (owner or before) not in {"", device_uuid} and (state_dir / FILE).exists():
            (state_dir / FILE).unlink()
            log.warning("%s was for %s; removed", state_dir / FILE, owner or before)
        if owner != device_uuid:
            write_whole(state_dir / OWNER_FILE, device_uuid)
    except (OSError, ValueError) as error:
        log.error("%s stays as it is: %s", state_dir / FILE, error)


def keep(state_dir: Path, values: Values) -> None:
    """From the next start on these stand. Raises `OSError`; then nothing has changed."""
    write_whole(state_dir / FILE, json.dumps(dict(values), indent=1))


@contextmanager
def kept(state_dir: Path, values: Values) -> Iterator[None]:
    """Keep these, and take them back should what follows raise `OSError`."""
    path = state_dir / FILE
    before = path.read_text("utf-8", "replace") if path.exists() else None
    keep(state_dir, values)
    try:
        yield
    except OSError:
        if before is None:
            path.unlink()
        else:
            write_whole(path, before)
        raise


def _owner(state_dir: Path) -> str:
    """The device the settings are for, "" where none is named. Raises `OSError`, `ValueError`."""
    try:
        return (state_dir / OWNER_FILE).read_text("utf-8")
    except FileNotFoundError:
        return ""


def write_whole(path: Path, text: str) -> None:
    """The old file or the new one, whatever the power does. Raises `OSError`."""
    fresh = path.with_suffix(".new")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
