"""Which clients may connect, publish and subscribe: the same rules in our broker's words and in Mosquitto's."""

import base64
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from simulator.broker import Access, Broker
from tests.programs import Program, answers, free_port
from tests.real_parts import MOSQUITTO, missing
from tests.simulator.broker.clients import V5, Client
from tests.simulator.broker.conftest import Clients
from tests.waiting import wait_until

_PASSWORDS = {"m-1": "one", "m-2": "two", "cloud": "three"}


def _own_tree_only(access: Access) -> bool:
    return access.username == "cloud" or access.topic.startswith(f"tree/{access.username}/")


_CONFIGURATION = """\
listener {port} 127.0.0.1
allow_anonymous false
set_tcp_nodelay true
password_file {folder}/passwords
acl_file {folder}/rules
{user}
"""
_RULES = """\
pattern readwrite tree/%u/#

user cloud
topic readwrite tree/#
"""


def _hashed(password: str) -> str:
    salt = os.urandom(12)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 101)
    return f"$7$101${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


@contextmanager
def _strict_mosquitto(folder: Path) -> Iterator[int]:
    port = free_port()
    passwords = [f"{name}:{_hashed(password)}\n" for name, password in _PASSWORDS.items()]
    (folder / "passwords").write_text("".join(passwords))
    (folder / "rules").write_text(_RULES)
    user = "user root" if os.geteuid() == 0 else ""
    (folder / "strict.conf").write_text(_CONFIGURATION.format(port=port, folder=folder, user=user))
    command = [MOSQUITTO.program, "-c", folder / "strict.conf"]
    with Program(command, log=folder / "strict.log") as program:
        program.wait_until_ready(lambda: answers(port))
        yield port


@pytest.fixture(params=["development", pytest.param("mosquitto", marks=pytest.mark.mosquitto)])
def strict_port(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[int]:
    """The port of a broker that knows `_PASSWORDS` and keeps each device in its own tree."""
    if request.param == "development":
        with Broker(users=_PASSWORDS, may=_own_tree_only) as broker:
            yield broker.port
        return
    request.getfixturevalue("mosquitto")  # skips or fails when there is none
    if MOSQUITTO.is_address:
        missing("the broker named in the environment has rules of its own")
    with _strict_mosquitto(tmp_path) as port:
        yield port


def _as(name: str, clients: Clients, port: int, version: int) -> Client:
    return clients(port, version, user=(name, _PASSWORDS[name]))


def test_the_right_password_opens(strict_port: int, clients: Clients, version: int) -> None:
    assert _as("m-1", clients, strict_port, version).refusal is None


def test_a_wrong_password_is_refused(strict_port: int, clients: Clients, version: int) -> None:
    assert clients(strict_port, version, user=("m-1", "two")).refusal is not None


def test_an_unknown_user_is_refused(strict_port: int, clients: Clients, version: int) -> None:
    assert clients(strict_port, version, user=("m-9", "one")).refusal is not None


def test_no_user_at_all_is_refused(strict_port: int, clients: Clients, version: int) -> None:
    assert clients(strict_port, version).refusal is not None


def test_a_device_speaks_in_its_own_tree_only(strict_port: int, clients: Clients, version: int) -> None:
    cloud = _as("cloud", clients, strict_port, version)
    device = _as("m-1", clients, strict_port, version)
    cloud.subscribe("tree/#")
    refused = device.publish("tree/m-2/event", "forged")
    assert refused.is_failure == (version == V5)  # 3.1.1 has no word for it
    device.publish("tree/m-2/event", "forged", 0)
    device.publish("tree/m-2/event", "forged", 2)
    assert not device.publish("tree/m-1/event", "own").is_failure
    cloud.expect("own")


@pytest.mark.parametrize("wanted", ["tree/m-2/command", "tree/+/command", "#"])
def test_a_device_hears_its_own_tree_only(strict_port: int, clients: Clients, version: int, wanted: str) -> None:
    cloud = _as("cloud", clients, strict_port, version)
    device = _as("m-1", clients, strict_port, version)
    device.subscribe("tree/m-1/command")
    device.subscribe(wanted)  # Mosquitto 2.0 answers "granted", and then delivers nothing
    cloud.publish("tree/m-2/command", "foreign")
    cloud.publish("tree/m-1/command", "own")
    wait_until(lambda: "own" in device.payloads(), what="the own message")
    assert "foreign" not in device.payloads()


def test_sharing_a_subscription_opens_no_other_tree(strict_port: int, clients: Clients) -> None:
    cloud = _as("cloud", clients, strict_port, V5)
    device = _as("m-1", clients, strict_port, V5)
    device.subscribe("$share/group/tree/m-1/command")
    device.subscribe("$share/group/tree/m-2/command")
    cloud.publish("tree/m-2/command", "foreign")
    cloud.publish("tree/m-1/command", "own")
    device.expect("own")
