"""The endpoints of a real `coffee-cloud run`, in the threads it really has: nothing that a stranger sends ends it.

`.ci/run` runs this on the Python of the shipped image as well: how deep a parser may go differs between Pythons.
"""

import json
import os
import re
import signal
from pathlib import Path

import pytest
import requests

from tests.deploy.running_cloud import RunningCloud
from tests.waiting import wait_until

DEEP = {
    "lists": b"[" * 4000,
    "lists that end": b"[" * 1100 + b"]" * 1100,
    "objects": b'{"a":' * 20_000,
    "deep beside what is known": b'{"order_id": "1", "event": "a.b", "payload": "", "x": ' + b"[" * 30_000,
    "brackets behind a string that looks like one": b'["\\"]]]]",' * 3000,
}
ENDPOINTS = ("/v1/initiate-payment", "/v1/yook-pay-webhook", "/v1/tbank-webhook", "/v1/custom-callback")


@pytest.mark.parametrize("body", DEEP.values(), ids=list(DEEP))
@pytest.mark.parametrize("path", ENDPOINTS)
def test_however_deep_a_body_is_nested_it_is_400(running_cloud: RunningCloud, path: str, body: bytes) -> None:
    answer = requests.post(
        running_cloud.url + path, data=body, headers={"Content-Type": "application/json"}, timeout=20
    )
    assert answer.status_code == 400


def test_its_threads_stay_on_one_processor(running_cloud: RunningCloud) -> None:
    def allowed() -> set[str]:
        told = [(thread / "status").read_text() for thread in Path(f"/proc/{running_cloud.child()}/task").iterdir()]
        return set(re.findall(r"^Cpus_allowed_list:\s+(.+)$", "".join(told), re.MULTILINE))

    wait_until(lambda: len(allowed()) == 1 and allowed().pop().isdigit(), what="one processor for all threads")


# What the server itself has to say


TEXT_LINE = re.compile(r"\d\d:\d\d:\d\d\.\d{3} [A-Z]+ [a-z._]+: .+|coffee-cloud serves .+")


def strange_lines(output: str, style: str) -> list[str]:
    """Lines that are not of the form that was asked for."""
    lines = output.splitlines()
    if style == "text":
        return [line for line in lines if not TEXT_LINE.fullmatch(line)]
    return [line for line in lines if not line.startswith(("{", "coffee-cloud serves"))]


def kill_a_child(running_cloud: RunningCloud) -> str:
    """Its number, when another is there and the log tells of it."""
    killed = running_cloud.child()
    os.kill(int(killed), signal.SIGKILL)
    wait_until(lambda: running_cloud.child() not in {"", killed}, what="another child")
    wait_until(lambda: "SIGKILL" in running_cloud.program.output, what="the line about it")
    return killed


def test_a_killed_child_and_a_port_in_use_are_told_in_our_lines(running_cloud: RunningCloud) -> None:
    kill_a_child(running_cloud)
    with running_cloud.open("second.log") as second:
        assert second.wait() == 1
    assert strange_lines(running_cloud.program.output, "text") == []
    assert strange_lines(second.output, "text") == []
    assert second.output.count("Connection in use") == 5  # gunicorn tries so often


def test_a_killed_child_is_told_in_json(tmp_path: Path) -> None:
    running_cloud = RunningCloud(tmp_path / "running_cloud", COFFEE_LOG="json")
    with running_cloud.serving():
        killed = kill_a_child(running_cloud)
        told = running_cloud.program.output
    assert strange_lines(told, "json") == []
    assert [json.loads(line)["logger"] for line in told.splitlines() if killed in line] == ["gunicorn.error"]
