"""A thousand phones with the order's page open: each one an event stream, all read by one thread."""

import re
import selectors
import socket
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_STAGE = re.compile(rb'data-stage="(\w+)"')
_CHUNK = 65536
_LOOK_S = 0.2
CONNECTS_AT_ONCE = 20
"""More new pages within a moment than any machine's buyers make."""


@dataclass(slots=True)
class Seen:
    """Seconds since 1970."""

    shown: dict[tuple[str, str], float] = field(default_factory=dict)
    """By order and stage: when the page's new part had come whole."""
    open: int = 0
    refused: int = 0
    """Streams that were not accepted: those pages poll."""
    lost: int = 0


class Readers:
    """Opens one stream for each order and notes what comes."""

    def __init__(self, cloud_url: str, order_ids: list[str]) -> None:
        parts = urlsplit(cloud_url)
        self._place = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._order_ids = order_ids
        self._seen = Seen()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._selector = selectors.DefaultSelector()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def address(self) -> int:
        return len(self._order_ids)

    def take(self) -> Seen:
        with self._lock:
            taken = self._seen
            self._seen = Seen(open=taken.open, refused=taken.refused, lost=taken.lost)
        return taken

    def close(self) -> None:
        self._closing.set()
        self._thread.join()
        self._selector.close()

    def _read(self) -> None:
        waiting = list(self._order_ids)
        while not self._closing.is_set():
            for order_id in waiting[:CONNECTS_AT_ONCE]:
                self._connect(order_id)
            del waiting[:CONNECTS_AT_ONCE]
            for key, _ in self._selector.select(0.01 if waiting else _LOOK_S):
                self._take_in(key.data)
        for key in list(self._selector.get_map().values()):
            key.data.line.close()

    def _connect(self, order_id: str) -> None:
        line = socket.create_connection(self._place)
        line.sendall(
            f"GET /v1/orders/{order_id}/events?lang=ru&view=1 HTTP/1.1\r\n"
            f"Host: {self._place[0]}\r\nAccept: text/event-stream\r\n\r\n".encode()
        )
        line.setblocking(False)
        self._selector.register(line, selectors.EVENT_READ, _Page(order_id, line))

    def _take_in(self, page: "_Page") -> None:
        try:
            came = page.line.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            came = b""
        now = time.time()
        with self._lock:
            if not came:
                self._seen.lost += page.is_open
                self._seen.open -= page.is_open
                self._selector.unregister(page.line)
                page.line.close()
                return
            for stage in page.heard(came):
                self._seen.shown.setdefault((page.order_id, stage), now)
            if page.status and not page.counted:
                page.counted = True
                page.is_open = page.status == 200
                self._seen.open += page.is_open
                self._seen.refused += not page.is_open


class _Page:
    def __init__(self, order_id: str, line: socket.socket) -> None:
        self.order_id = order_id
        self.line = line
        self.status = 0
        self.counted = self.is_open = False
        self._rest = b""

    def heard(self, came: bytes) -> list[str]:
        """The stages of the page parts that are complete now."""
        self._rest += came
        if not self.status:
            head, found, rest = self._rest.partition(b"\r\n\r\n")
            if not found:
                return []
            self.status, self._rest = int(head.split()[1]), rest
        *events, self._rest = self._rest.split(b"\n\n")
        return [stage.decode() for event in events for stage in _STAGE.findall(event)]
