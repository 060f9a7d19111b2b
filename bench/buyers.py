"""The load the published predecessor was measured with: 32 buyers at once; each pays, asks until it is over, again."""

import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec

from bench.figures import Spread, spread
from bench.orders import Prepared, order_id, payment_object
from bench.parts import Part
from bench.reads import answer
from bench.webhooks import PATH

BUYERS = 32
ASKS_EVERY_S = 0.1
GIVES_UP_S = 20.0
OVER = (b'"status":"successful"', b'"status":"make_failed"', b'"status":"failed"')


@dataclass(frozen=True)
class Bought:
    """What the buyers saw."""

    orders: int
    orders_a_second: float
    paid_to_seen: Spread | None
    """From the webhook's first byte to the answer that says that it is over; up to 100 ms too long."""
    unfinished: int


class Buyers:
    """A part: buys the orders for `seconds`, then is done."""

    def __init__(self, url: str, plan: Sequence[Prepared], seconds: float, status: str) -> None:
        self._place = (urlsplit(url).hostname or "127.0.0.1", urlsplit(url).port or 80)
        self._plan, self._status = iter(plan), status
        self._took: list[float] = []
        self._unfinished = 0
        self._lock = threading.Lock()
        self._until = time.monotonic() + seconds
        self._threads = [threading.Thread(target=self._buy_all, daemon=True) for _ in range(BUYERS)]
        for thread in self._threads:
            thread.start()

    def address(self) -> None:
        return None

    def take(self) -> tuple[list[float], int]:
        """When all are done."""
        for thread in self._threads:
            thread.join()
        return self._took, self._unfinished

    def close(self) -> None:
        return None

    def _buy_all(self) -> None:
        with socket.create_connection(self._place) as line:
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while time.monotonic() < self._until:
                with self._lock:
                    order = next(self._plan, None)
                if order is None:
                    return
                took = self._buy(line, order.number)
                with self._lock:
                    if took is None:
                        self._unfinished += 1
                    else:
                        self._took.append(took)

    def _buy(self, line: socket.socket, number: int) -> float | None:
        told = {"type": "notification", "event": f"payment.{self._status}"}
        body = msgspec.json.encode(told | {"object": payment_object(number, self._status)})
        head = f"POST {PATH} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        began = time.monotonic()
        line.sendall(f"{head}\r\n\r\n".encode() + body)
        answer(line)
        while time.monotonic() - began < GIVES_UP_S:
            line.sendall(f"GET /v1/order-status/{order_id(number)} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
            _, said = answer(line)
            if any(over in said for over in OVER):
                return time.monotonic() - began
            time.sleep(ASKS_EVERY_S)
        return None


def measure(url: str, plan: Sequence[Prepared], seconds: float, capture: str) -> Bought:
    """Let them buy these orders for so long."""
    status = "succeeded" if capture == "immediate" else "waiting_for_capture"
    began = time.monotonic()
    with Part("buyers", Buyers, url, plan, seconds, status) as part:
        took, unfinished = part.take()
    return Bought(len(took) + unfinished, round(len(took) / (time.monotonic() - began), 1), spread(took), unfinished)
