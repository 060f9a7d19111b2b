"""The worker's own loop over real sockets, where what comes together must come in one order."""

import os
import selectors
import signal
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.sock import TCPSocket

from cloud.http.whole_requests import WholeRequests


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
def worker(listener: Any, ended: list[bool]) -> Iterator[Any]:
    """One that accepts; its loop turns where a test says so."""
    config = Config()
    kind = WholeRequests.with_limits(1, (), lambda: ended.append(True))
    worker = kind(0, os.getpid(), [listener], None, 30, config, Logger(config))
    worker.poller = selectors.DefaultSelector()
    worker.method_queue.init()
    worker.poller.register(worker.method_queue.fileno(), selectors.EVENT_READ, worker.method_queue.run_callbacks)
    worker.set_accept_enabled(True)
    yield worker
    for conn in [*worker.pending_conns]:
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
