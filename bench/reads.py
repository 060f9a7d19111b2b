"""How many questions about an order are answered a second: what open pages ask again and again."""

import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from bench.figures import Spread, spread
from bench.parts import Part

CALLERS = (1, 4, 32)
ORDERS_A_CALLER = 3
_HEAD = (
    "GET {path} HTTP/1.1\r\nHost: bench\r\nAccept: application/json\r\nAccept-Encoding: gzip\r\n"
    "Accept-Language: ru-RU,ru;q=0.9,en;q=0.8\r\n{more}\r\n"
)
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_TAG = re.compile(rb"(?i)\r\netag: *([^\r]+)")


@dataclass(frozen=True)
class Reads:
    """So many callers, each with one kept connection, each asking again as soon as it is answered."""

    callers: int
    knows: bool
    """Sends the `ETag` it has, as the page does."""
    a_second: float
    latency: Spread | None
    unchanged: int
    """Answers 304."""
    failed: int
    cpu_ms: float
    """Processor of the cloud's programs and the database for one answer."""


class Callers:
    """A part: asks for `seconds`, then is done."""

    def __init__(self, url: str, path: str, numbers: int, callers: int, seconds: float, knows: bool) -> None:
        self._place = (urlsplit(url).hostname or "127.0.0.1", urlsplit(url).port or 80)
        self._path, self._numbers, self._knows = path, numbers, knows
        self._took: list[float] = []
        self._codes: dict[bytes, int] = {}
        self._lock = threading.Lock()
        self._until = time.monotonic() + seconds
        self._threads = [threading.Thread(target=self._ask, args=(n,), daemon=True) for n in range(callers)]
        for thread in self._threads:
            thread.start()

    def address(self) -> None:
        return None

    def take(self) -> tuple[list[float], dict[bytes, int]]:
        """When all are done."""
        for thread in self._threads:
            thread.join()
        return self._took, self._codes

    def close(self) -> None:
        return None

    def _ask(self, caller: int) -> None:
        tags: dict[str, str] = {}
        took: list[float] = []
        codes: dict[bytes, int] = {}
        with socket.create_connection(self._place) as line:
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while time.monotonic() < self._until:
                number = caller * ORDERS_A_CALLER + len(took) % ORDERS_A_CALLER
                path = self._path.format(1 + number % self._numbers)
                more = f"If-None-Match: {tags[path]}\r\n" if self._knows and path in tags else ""
                began = time.monotonic()
                line.sendall(_HEAD.format(path=path, more=more).encode())
                head, _ = answer(line)
                took.append(time.monotonic() - began)
                code = head.split(b" ", 2)[1]
                codes[code] = codes.get(code, 0) + 1
                if (tag := _TAG.search(head)) is not None:
                    tags[path] = tag[1].decode()
        with self._lock:
            self._took += took
            for code, count in codes.items():
                self._codes[code] = self._codes.get(code, 0) + count


def measure(
    url: str, cpu: Callable[[], float], numbers: int, callers: int, seconds: float, *, knows: bool,
    path: str = "/v1/order-status/bench-{}",
) -> Reads:  # fmt: skip
    """Of the orders 1 to `numbers`; `cpu` tells the processor seconds used so far."""
    before = cpu()
    with Part("callers", Callers, url, path, numbers, callers, seconds, knows) as part:
        took, codes = part.take()
    used, answers = cpu() - before, max(1, sum(codes.values()))
    bad = sum(count for code, count in codes.items() if code not in {b"200", b"304"})
    return Reads(
        callers, knows, round(answers / seconds, 1), spread(took), codes.get(b"304", 0), bad,
        round(1000 * used / answers, 3),
    )  # fmt: skip


def answer(line: socket.socket) -> tuple[bytes, bytes]:
    """Head and body, once all of it has come."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _piece(line)
    head, _, body = data.partition(b"\r\n\r\n")
    length = _LENGTH.search(head)
    while length is not None and len(body) < int(length[1]):
        body += _piece(line)
    return head, body


def _piece(line: socket.socket) -> bytes:
    piece = line.recv(65536)
    if not piece:
        raise ConnectionError("hung up in the middle of an answer")
    return piece
