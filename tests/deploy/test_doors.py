"""The doors of a real `coffee-cloud run`, in the threads it really has: nothing that a stranger sends ends it.

`.ci/run` runs this on the Python of the shipped image as well: how deep a parser may go differs between Pythons.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.programs import Program, answers, free_port

DEEP = {
    "lists": b"[" * 4000,
    "lists that end": b"[" * 1100 + b"]" * 1100,
    "objects": b'{"a":' * 20_000,
    "deep beside what is known": b'{"order_id": "1", "event": "a.b", "payload": "", "x": ' + b"[" * 30_000,
    "brackets behind a string that looks like one": b'["\\"]]]]",' * 3000,
}
DOORS = ("/v1/initiate-payment", "/v1/yook-pay-webhook", "/v1/tbank-webhook", "/v1/custom-callback")


class Doors:
    """The program on a port of its own, with no broker and no merchant."""

    def __init__(self, folder: Path, **settings: str) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.env = {
            "COFFEE_SECRET_KEY": "x" * 32,
            "COFFEE_BIND": f"127.0.0.1:{self.port}",
            "COFFEE_MQTT_URL": "mqtt://127.0.0.1:9",
            "COFFEE_YOOKASSA_WEBHOOK_NETWORKS": "*",
            **settings,
        }

    def open(self, log: str = "log") -> Program:
        argv = [sys.executable, "-m", "cloud", "run"]
        return Program(argv, log=self.folder / log, cwd=self.folder, env={"PYTHONPATH": str(ROOT), **self.env})

    def is_open(self) -> bool:
        return answers(self.port)


ROOT = Path(__file__).parents[2]


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
