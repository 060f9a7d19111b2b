"""A real `coffee-cloud run` that nobody sells through: what strangers send it, and what it says."""

import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.programs import Program, answers, free_port

ROOT = Path(__file__).parents[2]


class RunningCloud:
    """The program on a port of its own, with no broker and no merchant."""

    program: Program
    """The one that serves."""

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

    @contextmanager
    def serving(self) -> Iterator[None]:
        """For the length of the block, with all its children."""
        with self.open() as self.program:
            self.program.wait_until_ready(lambda: answers(self.port) and self.child() != "")
            yield

    def child(self) -> str:
        """The number of the process it started, if there is one."""
        return Path(f"/proc/{self.program.pid}/task/{self.program.pid}/children").read_text().strip()


class Client:
    """A connection that can do everything wrong."""

    def __init__(self, port: int, said: bytes) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._heard = b""
        self._socket.sendall(said)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def say(self, more: bytes) -> None:
        self._socket.sendall(more)

    def talk_until_cut_off(self, words: bytes) -> None:
        """Say it again and again, though the buffers of both sides fill with answers, until the line is cut."""
        with suppress(ConnectionError):
            while True:
                self._socket.sendall(words)

    def hears(self, words: bytes) -> None:
        """Wait for these words, and forget all up to them."""
        while words not in self._heard:
            data = self._socket.recv(65536)
            assert data, f"the end came before {words!r}"
            self._heard += data
        self._heard = self._heard.partition(words)[2]

    def statuses(self, wanted: int) -> list[int]:
        """The first so many status codes it hears; fewer if the connection is closed before."""
        while len(found := re.findall(rb"HTTP/1\.1 (\d+) ", self._heard)) < wanted:
            if not (data := self._socket.recv(65536)):
                break
            self._heard += data
        return [int(status) for status in found]

    def hears_the_end(self) -> bool:
        """True once the other side has closed."""
        try:
            while self._socket.recv(65536):
                pass
        except ConnectionError:
            pass
        return True
