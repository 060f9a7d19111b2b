"""`coffee-agent enroll`: asks the cloud once, by a code, who this machine is; the answer becomes its settings file."""

import http.client
import json
import os
import secrets
import stat
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import msgspec

from agent import tls
from agent.settings import PREFIX, setting_in
from protocol import json_text

SETTINGS_FILE = Path("/etc/coffee-relay/agent.env")
BROKER_CA, CLOUD_CA = "enrolled-broker-ca.crt", "cloud-ca.crt"
"""Beside the settings file. `broker-ca.crt` there is a person's, or from a program of before 30 November 2026."""
PATH = "/v1/enroll"
PATIENCE_S = 20.0
NEXT = "Next: systemctl restart coffee-agent. Then ask coffee-agent doctor, in its state folder and as its user."
MOST_BYTES = 64 * 1024


class NotEnrolled(Exception):
    """Why not, and what to do."""


class EnrolmentAnswer(msgspec.Struct, frozen=True):
    """This machine's account at the broker, and where that is."""

    device_uuid: str
    mqtt_url: str
    mqtt_user: str
    mqtt_password: str
    mqtt_ca: str = ""
    """PEM; empty: a public authority."""
    release_key: str | None = None
    """Public keys of the signers of new versions, parted by commas; empty: none. An older cloud does not say."""


def ask(url: str, code: str, ca: Path | None = None) -> EnrolmentAnswer:
    """Raises `NotEnrolled`."""
    if not url.startswith(("https://", "http://")):
        raise NotEnrolled(f"{url} is no address of a cloud: https://...")
    try:
        asked = urllib.request.Request(  # noqa: S310  # its scheme is looked at above
            url.rstrip("/") + PATH, json.dumps({"code": code}).encode(), {"Content-Type": "application/json"}
        )
        context = tls.client_context(ca)
        with urllib.request.urlopen(asked, timeout=PATIENCE_S, context=context) as answer:  # noqa: S310
            return json_text.decode(answer.read(MOST_BYTES), EnrolmentAnswer)
    except urllib.error.HTTPError as error:
        if error.code == 403:
            raise NotEnrolled("the cloud does not know this code: wrong, used, or older than a day") from None
        if error.code == 429:
            raise NotEnrolled("too many tries from this address: wait five minutes") from None
        if error.code == 503:
            raise NotEnrolled(_OF_503[_says_try_later(error)]) from None
        raise NotEnrolled(f"the cloud answers {error.code}: is {url} its address?") from None
    except json_text.NotJson:
        raise NotEnrolled(f"what answers at {url} is no cloud of ours") from None
    except (OSError, http.client.HTTPException, ValueError) as error:  # urllib's and ssl's are
        raise NotEnrolled(f"the cloud cannot be reached: {error}") from None


_OF_503 = {
    True: "the cloud can let nobody in now, its log says why; the code is still good",
    False: "the cloud cannot answer now: try again. If the code is refused then, ask for a new one",
}


def _says_try_later(error: urllib.error.HTTPError) -> bool:
    """Whether it is the cloud that tells us so, before it looked at the code; a proxy, or a lost database, is not."""
    with suppress(OSError, http.client.HTTPException):
        return b'"try_later"' in error.read(MOST_BYTES)
    return False


def prove_writable(file: Path) -> None:
    """Find out before the code is spent: with it the password of until now is. Raises `NotEnrolled`."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        _text_of(file)
        _write_beside(file, "x" * MOST_BYTES, 0o600).unlink()
    except (OSError, UnicodeDecodeError) as error:
        raise NotEnrolled(f"{file} cannot be written: {error}; the code is still good") from None


def write(file: Path, answer: EnrolmentAnswer, serial: str | None, cloud_ca: Path | None = None) -> list[str]:
    """Write the settings, and a copy of `cloud_ca` beside them; what else the file said stays.

    Gives what a person is to know. Raises `NotEnrolled`.
    """
    file = file.absolute()  # the agent runs in another folder
    ca = file.with_name(BROKER_CA)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if answer.mqtt_ca:
            _replace(ca, answer.mqtt_ca, 0o644)
        if cloud_ca is not None:
            _replace(file.with_name(CLOUD_CA), cloud_ca.read_text(encoding="utf-8", errors="replace"), 0o644)
        before = _text_of(file).splitlines()
        past = _past(before, answer, ca)
        fresh = _fresh(answer, ca, serial, file.with_name(CLOUD_CA) if cloud_ca is not None else None)
        kept = [line for line in before if _name(line) not in fresh and line not in past]
        lines = [*kept, *(f"{name}={value}" for name, value in fresh.items())]
        _replace(file, "\n".join(lines) + "\n", _mode(file))
    except (OSError, UnicodeDecodeError) as error:
        raise NotEnrolled(f"{error}; the code is used up: ask for a new one when that is mended") from None
    gone = [f"Taken out, for the cloud tells of none any more: {line}" for line in past]
    has_serial = any(_name(line) == f"{PREFIX}SERIAL" for line in lines)
    missing = [] if has_serial else [f"Still missing there: {PREFIX}SERIAL, the machine's port."]
    return [*gone, *missing, NEXT]


def _fresh(answer: EnrolmentAnswer, ca: Path, serial: str | None, cloud_ca: Path | None) -> dict[str, str]:
    """The settings that are said anew."""
    found = {
        "DEVICE_UUID": answer.device_uuid, "MQTT_URL": answer.mqtt_url, "MQTT_USER": answer.mqtt_user,
        "MQTT_PASSWORD": answer.mqtt_password, "MQTT_CA": str(ca) if answer.mqtt_ca else "",
        "CLOUD_CA": str(cloud_ca or ""), "RELEASE_KEY": answer.release_key, "SERIAL": serial,
    }  # fmt: skip
    return {PREFIX + name: value for name, value in found.items() if value}


def _past(before: list[str], answer: EnrolmentAnswer, ca: Path) -> list[str]:
    """The lines that trust what the cloud no longer names; an authority that a person may have named stays."""
    past = [line for line in before if _name(line) == f"{PREFIX}RELEASE_KEY" and answer.release_key == ""]
    if not answer.mqtt_ca:
        named = (line for line in before if _name(line) == f"{PREFIX}MQTT_CA")
        past += [line for line in named if _value(line) == str(ca)]
    return past


def _name(line: str) -> str:
    return (setting_in(line) or ("", ""))[0]


def _value(line: str) -> str:
    return (setting_in(line) or ("", ""))[1]


def _text_of(file: Path) -> str:
    """Raises `OSError` and `UnicodeDecodeError`."""
    return file.read_text(encoding="utf-8-sig") if file.exists() else ""


def _replace(file: Path, text: str, mode: int) -> None:
    """Whole or not at all."""
    _write_beside(file, text, mode).replace(file)


def _write_beside(file: Path, text: str, mode: int) -> Path:
    """To take its place: never readable by others meanwhile, its owner's and its group's. Nothing is left of a try."""
    owner = file.stat() if file.exists() else file.parent.stat()
    new = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as opened:
            if os.geteuid() == 0:
                os.fchown(opened.fileno(), owner.st_uid, owner.st_gid)
            os.fchmod(opened.fileno(), mode)
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    return new


def _mode(file: Path) -> int:
    """A group that could read it still can: under the shipped unit the file is root's, and the agent's by its group."""
    return 0o600 | (file.stat().st_mode & stat.S_IRGRP) if file.exists() else 0o600
