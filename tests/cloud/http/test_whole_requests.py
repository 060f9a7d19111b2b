"""The worker's own loop over real sockets, where what comes together must come in one order."""

import os
import selectors
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.sock import TCPSocket

from cloud.http.addresses import parse_networks
from cloud.http.request_framing import MAX_LINE
from cloud.http.whole_requests import LARGE_ONES, WholeRequests

A_FILE = b"POST /console/settings/x/import HTTP/1.1\r\nTransfer-Encoding: chunked\r\nX-Forwarded-For: %s\r\n\r\n"
ROOM_FOR_ALL = pytest.mark.parametrize("places", [3 * LARGE_ONES])


@pytest.fixture
def listener() -> Iterator[Any]:
    config = Config()
    listener = TCPSocket(("127.0.0.1", 0), config, Logger(config))
    yield listener
    listener.close()


@pytest.fixture
def ended() -> list[bool]:
    """Something in it: the worker told that it ends."""
    return []


@pytest.fixture
def places() -> int:
    """For connections that wait."""
    return 1


@pytest.fixture
def worker(listener: Any, ended: list[bool], places: int) -> Iterator[Any]:
    """One that accepts; its loop turns where a test says so."""
    config = Config()
    kind = WholeRequests.with_limits(places, parse_networks("127.0.0.1"), lambda: ended.append(True))
    worker = kind(0, os.getpid(), [listener], None, 30, config, Logger(config))
    worker.poller = selectors.DefaultSelector()
    worker.method_queue.init()
    worker.poller.register(worker.method_queue.fileno(), selectors.EVENT_READ, worker.method_queue.run_callbacks)
    worker.set_accept_enabled(True)
    yield worker
    for conn in {*worker.pending_conns, *worker._leaving, *worker._large}:
        conn.close()
    worker.poller.close()
    worker.method_queue.close()
    worker.tmp.close()


def test_who_comes_at_the_moment_of_the_end_is_not_accepted(worker: Any, listener: Any, ended: list[bool]) -> None:
    """Regression: the event of a listener just closed ended the process before it had answered what had come."""
    address = listener.getsockname()
    worker.handle_exit(signal.SIGTERM, None)
    with socket.create_connection(address):
        worker.wait_for_and_dispatch_events(5)
    assert ended == [True]
    assert worker.nr_conns == 0


def test_who_is_let_go_is_not_listened_to(worker: Any, listener: Any) -> None:
    """Regression: the event of a connection just closed ended the process."""
    address = listener.getsockname()
    with socket.create_connection(address) as first:
        worker.wait_for_and_dispatch_events(5)
        with socket.create_connection(address):
            first.sendall(b"G")
            worker.wait_for_and_dispatch_events(5)
            assert worker.nr_conns == len(worker.pending_conns) == 1


class Senders:
    """Who begins to send files, and by whose homes they are still read."""

    def __init__(self, worker: Any, address: tuple[str, int], closing: ExitStack) -> None:
        self._worker = worker
        self._address = address
        self._closing = closing

    def begin(self, home: str) -> socket.socket:
        client = self._closing.enter_context(socket.create_connection(self._address, timeout=30))
        client.sendall(A_FILE % home.encode())
        self._worker.wait_for_and_dispatch_events(5)
        return client

    def finish(self, client: socket.socket) -> None:
        self.send(client, b"0\r\n\r\n")

    def send(self, client: socket.socket, more: bytes) -> None:
        client.sendall(more)
        self._worker.wait_for_and_dispatch_events(5)

    def are_read(self) -> Counter[str]:
        return Counter(conn.home for conn in self._worker.pending_conns)


@pytest.fixture
def senders(worker: Any, listener: Any) -> Iterator[Senders]:
    with ExitStack() as closing:
        yield Senders(worker, listener.getsockname(), closing)


@ROOM_FOR_ALL
def test_a_stranger_keeps_nobody_from_sending_a_file(senders: Senders) -> None:
    """Regression: eight heads took all places for files, and whoever came with another was sent away."""
    oldest, *_ = [senders.begin("192.0.2.1") for _ in range(LARGE_ONES)]
    senders.begin("198.51.100.1")
    assert senders.are_read() == {"192.0.2.1": LARGE_ONES - 1, "198.51.100.1": 1}
    assert oldest.recv(100).startswith(b"HTTP/1.1 408 ")

    for _ in range(2 * LARGE_ONES):
        senders.begin("192.0.2.1")
    assert senders.are_read() == {"192.0.2.1": LARGE_ONES - 1, "198.51.100.1": 1}, "they cost him his own"


@ROOM_FOR_ALL
def test_who_has_as_many_as_anybody_takes_a_second_place_from_nobody(senders: Senders) -> None:
    homes = [f"192.0.2.{n}" for n in range(LARGE_ONES)]
    for home in [*homes, homes[-1]]:
        senders.begin(home)
    assert senders.are_read() == Counter(homes)


@ROOM_FOR_ALL
def test_while_so_many_files_are_looked_at_who_sends_one_more_comes_again(
    worker: Any, senders: Senders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "enqueue_req", lambda _conn: None)
    for _ in range(LARGE_ONES):
        senders.finish(senders.begin("192.0.2.1"))
    assert senders.begin("198.51.100.1").recv(100).startswith(b"HTTP/1.1 503 ")


@ROOM_FOR_ALL
def test_who_is_sent_away_leaves_his_place_for_a_file_at_once(senders: Senders) -> None:
    """Regression: it was his until he had gone, and could not be taken: eight such kept everybody out."""
    for client in [senders.begin("192.0.2.1") for _ in range(LARGE_ONES)]:
        senders.send(client, b"0" * (MAX_LINE + 1))
        assert client.recv(100).startswith(b"HTTP/1.1 413 ")
    senders.begin("198.51.100.1")
    assert senders.are_read() == {"198.51.100.1": 1}
