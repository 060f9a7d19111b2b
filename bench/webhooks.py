"""The provider's part: posts notifications over kept connections, at a rate or as fast as permits allow."""

import queue
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import msgspec

from bench.orders import Prepared, payment_object

PATH = "/v1/yook-pay-webhook"
_ANSWER_WITHIN_S = 30.0
_READ = 4096


@dataclass(slots=True)
class Posted:
    """Seconds since 1970, by the order's number."""

    begun: dict[int, float] = field(default_factory=dict)
    """The first byte of the notification left us: here the chain begins."""
    answered: dict[int, float] = field(default_factory=dict)
    refused: int = 0
    """Answers that were not 200."""


class Notifier:
    """`connections` notifications may be on their way at once."""

    def __init__(self, cloud_url: str, capture: str, connections: int) -> None:
        self._address = (urlsplit(cloud_url).hostname or "", urlsplit(cloud_url).port or 80)
        self._status = "succeeded" if capture == "immediate" else "waiting_for_capture"
        self._work: queue.SimpleQueue[Prepared | None] = queue.SimpleQueue()
        self._posted = Posted()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._post_all, daemon=True) for _ in range(connections)]
        for thread in self._threads:
            thread.start()

    def at_rate(self, orders: Sequence[Prepared], a_second: float) -> None:
        """Evenly spaced, however slow the answers are; returns after the last."""
        start = time.monotonic()
        for index, order in enumerate(orders):
            time.sleep(max(0.0, start + index / a_second - time.monotonic()))
            self._work.put(order)

    def as_permitted(self, orders: Sequence[Prepared], permits: Any, seconds: float) -> int:
        """One for each permit until the time is up; how many were posted."""
        until = time.monotonic() + seconds
        for index, order in enumerate(orders):
            left = until - time.monotonic()
            if left <= 0 or not permits.acquire(timeout=left):
                return index
            self._work.put(order)
        return len(orders)

    def finish(self) -> Posted:
        """Wait for the last answers."""
        for _ in self._threads:
            self._work.put(None)
        for thread in self._threads:
            thread.join()
        return self._posted

    def _post_all(self) -> None:
        with socket.create_connection(self._address, _ANSWER_WITHIN_S) as line:
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while (order := self._work.get()) is not None:
                self._post(line, order.number)

    def _post(self, line: socket.socket, number: int) -> None:
        told = {"type": "notification", "event": f"payment.{self._status}"}
        body = msgspec.json.encode(told | {"object": payment_object(number, self._status)})
        head = (
            f"POST {PATH} HTTP/1.1\r\nHost: {self._address[0]}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        begun = time.time()
        line.sendall(head.encode() + body)
        answer = b""
        while b"\r\n\r\nstored\n" not in answer and (piece := line.recv(_READ)):
            answer += piece
        answered = time.time()
        with self._lock:
            self._posted.begun[number], self._posted.answered[number] = begun, answered
            self._posted.refused += not answer.startswith(b"HTTP/1.1 200 ")
