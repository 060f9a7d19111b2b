"""The doors of a real `coffee-cloud run`, in the threads it really has: nothing that a stranger sends ends it.

`.ci/run` runs this on the Python of the shipped image as well: how deep a parser may go differs between Pythons.
"""

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.deploy.doors import Doors
from tests.programs import Program
from tests.waiting import wait_until

DEEP = {
    "lists": b"[" * 4000,
    "lists that end": b"[" * 1100 + b"]" * 1100,
    "objects": b'{"a":' * 20_000,
    "deep beside what is known": b'{"order_id": "1", "event": "a.b", "payload": "", "x": ' + b"[" * 30_000,
    "brackets behind a string that looks like one": b'["\\"]]]]",' * 3000,
}
DOORS = ("/v1/initiate-payment", "/v1/yook-pay-webhook", "/v1/tbank-webhook", "/v1/custom-callback")


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    doors = Doors(tmp_path_factory.mktemp("doors"))
    with doors.open() as program:
        program.wait_until_ready(doors.is_open)
        yield doors


@pytest.mark.parametrize("body", DEEP.values(), ids=list(DEEP))
@pytest.mark.parametrize("path", DOORS)
def test_however_deep_a_body_is_nested_it_is_400(doors: Doors, path: str, body: bytes) -> None:
    answer = requests.post(doors.url + path, data=body, headers={"Content-Type": "application/json"}, timeout=20)
    assert answer.status_code == 400


# What the server itself has to say


TEXT_LINE = re.compile(r"\d\d:\d\d:\d\d\.\d{3} [A-Z]+ [a-z.]+: .+|coffee-cloud serves .+")


def strange_lines(output: str, style: str) -> list[str]:
    """Lines that are not of the form that was asked for."""
    lines = output.splitlines()
    if style == "text":
        return [line for line in lines if not TEXT_LINE.fullmatch(line)]
    return [line for line in lines if not line.startswith(("{", "coffee-cloud serves"))]


def child_of(program: Program) -> str:
    return Path(f"/proc/{program.pid}/task/{program.pid}/children").read_text().strip()


@pytest.mark.parametrize("style", ["text", "json"])
def test_a_killed_child_and_a_port_in_use_are_told_in_our_lines(tmp_path: Path, style: str) -> None:
    doors = Doors(tmp_path / "doors", COFFEE_LOG=style)
    with doors.open() as program:
        program.wait_until_ready(lambda: doors.is_open() and child_of(program) != "")
        killed = child_of(program)
        os.kill(int(killed), signal.SIGKILL)
        with doors.open("second.log") as second:
            assert second.wait() == 1
        wait_until(lambda: child_of(program) not in {"", killed}, what="another child")
        wait_until(lambda: "SIGKILL" in program.output, what="the line about it")
    assert strange_lines(program.output, style) == []
    assert strange_lines(second.output, style) == []
    assert second.output.count("Connection in use") == 5  # gunicorn tries so often
    if style == "json":
        assert [json.loads(line)["logger"] for line in program.output.splitlines() if killed in line] == [
            "gunicorn.error"
        ]
