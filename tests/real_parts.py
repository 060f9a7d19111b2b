"""Where this machine's real parts are: Mosquitto, PostgreSQL, Chromium and more. It looks; it starts nothing.

An address in the environment goes before a program found on this machine.
"""

import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

MQTT_URL = "COFFEE_TEST_MQTT_URL"
DATABASE_URL = "COFFEE_TEST_DATABASE_URL"


@dataclass(frozen=True)
class RealPart:
    """One real part: found `where` (a program or an address), or missing (None) with `advice` on getting it."""

    name: str
    where: str | None
    advice: str
    version_option: str = "--version"

    @property
    def is_address(self) -> bool:
        """True when the part runs elsewhere and is only used from here."""
        return self.where is not None and "://" in self.where

    @property
    def program(self) -> str:
        """The path of the program; only for a part found as one."""
        assert self.where is not None, f"{self.name} is missing"
        return self.where

    def __str__(self) -> str:
        if self.where is None:
            return f"{self.name}: missing ({self.advice})"
        if self.is_address:
            return f"{self.name}: the server named in the environment"
        return f"{self.name}: {_first_line_of(self.where, self.version_option)}, {self.where}"


def missing(what: object) -> NoReturn:
    """A test cannot be run for want of this: skipped by name, failed where nothing may be missing (CI=true)."""
    if os.environ.get("CI") == "true":
        pytest.fail(str(what), pytrace=False)
    pytest.skip(str(what))


@cache
def _first_line_of(program: str, option: str) -> str:
    said = subprocess.run([program, option], capture_output=True, text=True, check=False, timeout=30)
    return next(iter(said.stdout.splitlines()), "version unknown")


def _first_program(names: Iterable[str], folders: Iterable[Path] = ()) -> str | None:
    on_path = (shutil.which(name) for name in names)
    elsewhere = (shutil.which(name, path=str(folder)) for folder in folders for name in names)
    return next(filter(None, (*on_path, *elsewhere)), None)


def _postgres_folders() -> list[Path]:
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_major_version, reverse=True)
    homebrew = Path("/opt/homebrew/opt").glob("postgresql*/bin")
    return [*debian, *homebrew]


def _major_version(folder: Path) -> int:
    return int(folder.parent.name) if folder.parent.name.isdigit() else 0


MOSQUITTO = RealPart(
    name="Mosquitto",
    where=os.environ.get(MQTT_URL)
    or _first_program(["mosquitto"], [Path("/usr/sbin"), Path("/opt/homebrew/sbin"), Path("/usr/local/sbin")]),
    advice=f"install mosquitto, or set {MQTT_URL}",
    version_option="-h",
)
POSTGRES = RealPart(
    name="PostgreSQL",
    where=os.environ.get(DATABASE_URL) or _first_program(["postgres"], _postgres_folders()),
    advice=f"install postgresql, or set {DATABASE_URL}",
)
PGBOUNCER = RealPart(
    name="PgBouncer",
    where=_first_program(["pgbouncer"], [Path("/usr/sbin"), Path("/opt/homebrew/bin"), Path("/usr/local/bin")]),
    advice="install pgbouncer",
)
CHROMIUM = RealPart(
    name="Chromium",
    where=_first_program(
        [
            "chromium-headless-shell",  # without windows of its own; a page costs it a fifth of the others' time
            "chromium",
            "chromium-browser",
            "google-chrome",
            "google-chrome-stable",
            "Google Chrome",
        ],
        [Path("/Applications/Google Chrome.app/Contents/MacOS")],
    ),
    advice="install chromium-headless-shell, chromium or google-chrome",
)
CADDY = RealPart(name="Caddy", where=_first_program(["caddy"]), advice="install caddy", version_option="version")
PROMTOOL = RealPart(name="promtool", where=_first_program(["promtool"]), advice="install prometheus")
MOSQUITTO_CTRL = RealPart(
    name="mosquitto_ctrl",
    where=_first_program(["mosquitto_ctrl"], [Path("/opt/homebrew/bin")]),
    advice="install mosquitto",
)
DYNAMIC_SECURITY = RealPart(
    name="Mosquitto's dynamic-security plugin",
    where=next(
        (
            str(found)
            for place in ("usr/lib/*", "usr/lib", "usr/local/lib", "opt/homebrew/lib")
            for found in Path("/").glob(f"{place}/mosquitto_dynamic_security.so")
        ),
        None,
    ),
    advice="install mosquitto",
)
HAPROXY = RealPart(
    name="HAProxy",
    where=_first_program(["haproxy"], [Path("/usr/sbin")]),
    advice="install haproxy",
    version_option="-v",
)
EJABBERD = RealPart(
    name="ejabberd",
    where=next((str(found) for found in Path("/usr/lib").glob("*/ejabberd-*/ebin")), None)
    if _first_program(["erl"])
    else None,
    advice="install ejabberd",
)
ALL_PARTS = (MOSQUITTO, POSTGRES, PGBOUNCER, CHROMIUM, CADDY, HAPROXY, PROMTOOL)
