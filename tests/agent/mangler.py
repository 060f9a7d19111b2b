"""A line between machine and agent that damages what passes, in ever other ways. Seeded, so a finding comes again."""

import json
import select
import socket
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from random import Random

from protocol.frames import Frame
from protocol.machine import CODES
from simulator.machine.framing import encode

_LOOK_S = 0.05
_LONGEST = 64
"""Frames remembered for a replay."""
_WORDS = (
    "o1",
    "b7",
    "done",
    "failed",
    "brewing",
    "ready",
    "unknown",
    "none",
    "full",
    "nv",
    "ram",
    "americano",
    "",
    "\x00",
)
_KEYS = (
    "orderUuid", "bootId", "evt", "msgId", "state", "faults", "phase", "out", "hist", "ok", "code", "dup", "caps",
    "stage", "pct", "total", "paid", "free", "test", "byDrink", "level", "on", "drinks", "why", "boots", "jobUuid",
)  # fmt: skip


class Mangler:
    """The agent connects to `port`; behind it is the machine at `to_port`. `is_clean` lets everything through."""

    def __init__(self, to_port: int, random: Random) -> None:
        self._to_port = to_port
        self._random = random
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.is_clean = False
        self.damaged = 0
        self._passed: deque[bytes] = deque(maxlen=_LONGEST)
        self._ways: tuple[Callable[[bytes], bytes], ...] = (
            _same, self._flip, self._drop, self._cut, self._noise, self._replay, self._invent, self._shuffle,
        )  # fmt: skip
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ending.set()
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(10)

    def _serve(self) -> None:
        while not self._ending.is_set():
            try:
                agent, _ = self._server.accept()
            except OSError:
                return
            with agent, socket.create_connection(("127.0.0.1", self._to_port)) as machine, suppress(OSError):
                self._carry(agent, machine)

    def _carry(self, agent: socket.socket, machine: socket.socket) -> None:
        while not self._ending.is_set():
            ready = select.select([agent, machine], [], [], _LOOK_S)[0]
            for end in ready:
                heard = end.recv(65536)
                if not heard:
                    return
                if end is agent:
                    machine.sendall(heard)  # the machine's own deafness is not what is tried here
                else:
                    self._passed.append(heard)
                    agent.sendall(heard if self.is_clean else self._damage(heard))
            if not ready and not self.is_clean and self._random.random() < 0.3:
                agent.sendall(self._invent(b""))
            if not self.is_clean and self._random.random() < 0.002:
                return  # the cable

    def _damage(self, data: bytes) -> bytes:
        way = self._random.choice(self._ways)
        self.damaged += way is not _same
        return way(data)

    def _flip(self, data: bytes) -> bytes:
        changed = bytearray(data)
        for _ in range(self._random.randint(1, 4)):
            changed[self._random.randrange(len(changed))] = self._random.randrange(256)
        return bytes(changed)

    def _drop(self, data: bytes) -> bytes:
        start = self._random.randrange(len(data))
        return data[:start] + data[start + self._random.randint(1, 15) :]

    def _cut(self, data: bytes) -> bytes:
        return data[: self._random.randrange(len(data))]

    def _noise(self, data: bytes) -> bytes:
        return self._random.randbytes(self._random.randint(1, 2000)) + data

    def _replay(self, data: bytes) -> bytes:
        return data + b"".join(self._random.sample(list(self._passed), self._random.randint(1, len(self._passed))))

    def _shuffle(self, data: bytes) -> bytes:
        return data + data if self._random.random() < 0.5 else b""

    def _invent(self, data: bytes) -> bytes:
        """Well-formed frames that say anything at all: the events and answers of a mad machine."""
        made = []
        for _ in range(self._random.randint(1, 5)):
            fields = {key: self._value() for key in self._random.sample(_KEYS, self._random.randint(0, 8))}
            command = self._random.choice([*CODES, 0x31, 0xCF])
            made.append(encode(Frame(command, json.dumps(fields).encode())))
        return data + b"".join(made)

    def _value(self) -> object:
        random = self._random
        return random.choice(
            [
                random.choice(_WORDS),
                random.randint(-1, 70_000),
                2**63,
                True,
                None,
                [],
                ["x"] * random.randint(0, 70),
                {},
                1.5,
            ]
        )


def _same(data: bytes) -> bytes:
    return data
