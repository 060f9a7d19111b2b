"""The payment provider as fast as it can be: answers GET, capture and cancel of prepared payments; notes the times.

Its answer time is measured here and taken out of the chain's, so that what remains is ours.
"""

import socket
import threading
import time
from dataclasses import dataclass, field

import msgspec

from bench.orders import number_of_payment, payment_object

_READ = 65_536


@dataclass(slots=True)
class ProviderTimes:
    """Seconds since 1970, by the order's number."""

    asked: dict[int, float] = field(default_factory=dict)
    """The first question's last byte arrived."""
    answered: dict[int, float] = field(default_factory=dict)
    """Our answer to it was handed to the network."""
    captured: dict[int, float] = field(default_factory=dict)


class Provider:
    """HTTP/1.1 with connections kept open, one thread each."""

    def __init__(self, capture: str) -> None:
        self._paid = "succeeded" if capture == "immediate" else "waiting_for_capture"
        self._times = ProviderTimes()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        threading.Thread(target=self._accept, daemon=True).start()

    def address(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/v3"

    def take(self) -> ProviderTimes:
        taken, self._times = self._times, ProviderTimes()
        return taken

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._talk, args=(line,), daemon=True).start()

    def _talk(self, line: socket.socket) -> None:
        with line:
            waiting = b""
            while piece := line.recv(_READ):
                waiting += piece
                while (request := _whole_request(waiting)) is not None:
                    waiting = waiting[len(request) :]
                    self._answer(line, request)

    def _answer(self, line: socket.socket, request: bytes) -> None:
        asked = time.time()
        path = request.split(b" ", 2)[1].decode().split("/")
        if len(path) < 4:  # a list, asked for by the nightly comparison: nothing was sold yesterday
            _reply(line, b'{"type":"list","items":[]}')
            return
        number = number_of_payment(path[3])
        act = path[4] if len(path) > 4 else ""
        status = {"capture": "succeeded", "cancel": "canceled"}.get(act, self._paid)
        _reply(line, msgspec.json.encode(payment_object(number, status)))
        if act:
            self._times.captured[number] = asked
        elif number not in self._times.asked:
            self._times.asked[number], self._times.answered[number] = asked, time.time()


def _reply(line: socket.socket, body: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    line.sendall(head + body)


def _whole_request(waiting: bytes) -> bytes | None:
    """The first request if all of it is there."""
    head, blank, rest = waiting.partition(b"\r\n\r\n")
    if not blank:
        return None
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return head + blank + rest[:length] if len(rest) >= length else None
