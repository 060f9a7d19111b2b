"""Settings an operator sent from afar: values that stand in place of the profile's. One file beside the journal.

Only what cannot let a second drink out may be set: timers and counting, never commands, keys or capabilities.
"""

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from agent.machine import profile
from agent.machine.profile import BadProfile, Profile

FILE = "settings.json"
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


def in_force(base: Profile, state_dir: Path) -> Profile:
    """The profile the agent works by. A file that makes no sense is put off with an error: the machine goes on."""
    path = state_dir / FILE
    try:
        return laid_over(base, json.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        return base
    except (OSError, ValueError, AttributeError, BadProfile) as error:
        log.error("%s is ignored: %s", path, error)
        return base


def keep(state_dir: Path, values: Values) -> None:
    """From the next start on these stand. Raises `OSError`; then nothing has changed."""
    write_whole(state_dir / FILE, json.dumps(dict(values), indent=1))


def write_whole(path: Path, text: str) -> None:
    """The old file or the new one, whatever the power does. Raises `OSError`."""
    fresh = path.with_suffix(".new")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
