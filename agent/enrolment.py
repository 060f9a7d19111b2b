"""`coffee-agent enroll`: asks the cloud once, by a code, who this machine is; the answer becomes its settings file."""

import json
import os
import secrets
import stat
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import msgspec

from agent import tls
from agent.settings import PREFIX
from protocol import json_text

SETTINGS_FILE = Path("/etc/coffee-relay/agent.env")
PATH = "/v1/enroll"
PATIENCE_S = 20.0
NEXT = "Next: systemctl restart coffee-agent. Then ask coffee-agent doctor, in its state folder and as its user."
MOST_BYTES = 64 * 1024


class NotEnrolled(Exception):
    """Why not, and what to do."""


class Told(msgspec.Struct, frozen=True):
    """Who this machine is at the broker, and where that is."""

    device_uuid: str
    mqtt_url: str
    mqtt_user: str
    mqtt_password: str
    mqtt_ca: str = ""
    """PEM; empty: a public authority."""
    release_key: str = ""
    """Who may sign new versions of this program; an older cloud does not say."""


def ask(url: str, code: str, ca: Path | None = None) -> Told:
    """Raises `NotEnrolled`."""
    if not url.startswith(("https://", "http://")):
        raise NotEnrolled(f"{url} is no address of a cloud: https://...")
    asked = urllib.request.Request(  # noqa: S310  # its scheme is looked at above
        url.rstrip("/") + PATH, json.dumps({"code": code}).encode(), {"Content-Type": "application/json"}
    )
    try:
        context = tls.client_context(ca)
        with urllib.request.urlopen(asked, timeout=PATIENCE_S, context=context) as answer:  # noqa: S310
            return json_text.decode(answer.read(MOST_BYTES), Told)
    except urllib.error.HTTPError as error:
        if error.code == 403:
            raise NotEnrolled("the cloud does not know this code: wrong, used, or older than a day") from None
        if error.code == 429:
            raise NotEnrolled("too many wrong codes from this address: wait five minutes") from None
        raise NotEnrolled(f"the cloud answers {error.code}: is {url} its address?") from None
    except json_text.NotJson:
        raise NotEnrolled(f"what answers at {url} is no cloud of ours") from None
    except OSError as error:  # urllib's and ssl's are
        raise NotEnrolled(f"the cloud cannot be reached: {error}") from None


def write(file: Path, told: Told, serial: str | None) -> list[str]:
    """Write the settings; what else the file said stays. Gives what is left to do. Raises `NotEnrolled`."""
    fresh = {
        "DEVICE_UUID": told.device_uuid, "MQTT_URL": told.mqtt_url, "MQTT_USER": told.mqtt_user,
        "MQTT_PASSWORD": told.mqtt_password,
    }  # fmt: skip
    ca = file.with_name("broker-ca.crt")
    if told.mqtt_ca:
        fresh["MQTT_CA"] = str(ca)
    if told.release_key:
        fresh["RELEASE_KEY"] = told.release_key
    if serial:
        fresh["SERIAL"] = serial
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if told.mqtt_ca:
            _replace(ca, told.mqtt_ca, 0o644)
        before = file.read_text(encoding="utf-8") if file.is_file() else ""
        _replace(file, _with(before, {PREFIX + name: value for name, value in fresh.items()}), _mode(file))
    except OSError as error:
        raise NotEnrolled(f"{error}; the code is used up: ask for a new one when that is mended") from None
    has_serial = any(line.startswith(f"{PREFIX}SERIAL=") for line in file.read_text(encoding="utf-8").splitlines())
    missing = [] if has_serial else [f"Still missing there: {PREFIX}SERIAL, the machine's port."]
    return [*missing, NEXT]


def _with(before: str, fresh: Mapping[str, str]) -> str:
    """The lines of before, each name that is new replaced or added."""
    kept = [line for line in before.splitlines() if line.partition("=")[0].strip() not in fresh]
    return "\n".join([*kept, *(f"{name}={value}" for name, value in fresh.items())]) + "\n"


def _replace(file: Path, text: str, mode: int) -> None:
    """Whole or not at all, never readable by others meanwhile; it stays its owner's and its group's."""
    owner = file.stat() if file.exists() else file.parent.stat()
    new = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as opened:
        if os.geteuid() == 0:
            os.fchown(opened.fileno(), owner.st_uid, owner.st_gid)
        os.fchmod(opened.fileno(), mode)
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
    new.replace(file)


def _mode(file: Path) -> int:
    """A group that could read it still can: under the shipped unit the file is root's, and the agent's by its group."""
    return 0o600 | (file.stat().st_mode & stat.S_IRGRP) if file.exists() else 0o600
