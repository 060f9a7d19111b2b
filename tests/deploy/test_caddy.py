"""A real Caddy with the shipped Caddyfile: slow requests end before the cloud hears of them, event streams go on."""

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cloud.http.request_framing import MAX_BODY, MAX_FILE
from tests.deploy.running_cloud import Client
from tests.deploy.shipped import DEPLOY
from tests.programs import Program, answers, free_port
from tests.real_parts import CADDY, missing

BEGUN = b"POST /v1/tbank-webhook HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n{"


class Upstream(ThreadingHTTPServer):
    """In the cloud's place: remembers what was asked, and holds one event stream."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.beat = threading.Semaphore(0)


class Handler(BaseHTTPRequestHandler):
    """Answers with a stream that gives an event for each beat."""

    server: Upstream

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for number in range(2):
            self.server.beat.acquire()
            self.wfile.write(b"data: %d\n\n" % number)

    def do_POST(self) -> None:
        self.server.asked.append(self.path)
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def caddy(request: pytest.FixtureRequest, upstream: Upstream, tmp_path: Path) -> Iterator[int]:
    """Its port. Plain HTTP: a certificate is another subject."""
    if CADDY.where is None:
        missing(CADDY)
    request.node.user_properties.append(("real part", CADDY.name))
    port = free_port()
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "CADDY_ADMIN": f"127.0.0.1:{free_port()}",
        "SITE": f"http://127.0.0.1:{port}",
        "UPSTREAM": f"127.0.0.1:{upstream.server_port}",
    }
    argv = [CADDY.program, "run", "--config", DEPLOY / "caddy" / "Caddyfile", "--adapter", "caddyfile"]
    with Program(argv, log=tmp_path / "log", env=env) as program:
        program.wait_until_ready(lambda: answers(port))
        yield port


def test_slow_requests_end_and_the_cloud_never_hears_of_them_while_streams_go_on(
    caddy: int, upstream: Upstream
) -> None:
    with ExitStack() as closing:
        buyer = closing.enter_context(Client(caddy, b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"))
        upstream.beat.release()
        buyer.hears(b"data: 0")
        slow = [closing.enter_context(Client(caddy, said)) for said in [BEGUN[:20], BEGUN] * 100]
        whole = closing.enter_context(Client(caddy, BEGUN + b"12345678"))
        assert whole.statuses(1) == [204]
        assert all(client.hears_the_end() for client in slow)
        upstream.beat.release()
        buyer.hears(b"data: 1")
    assert upstream.asked == ["/events", "/v1/tbank-webhook"]


@pytest.mark.parametrize(
    ("path", "size", "is_taken"),
    [
        ("/console/settings/north/import?merchant=north", MAX_FILE * 9 // 10, True),
        ("/console/settings/north/import", MAX_FILE, False),
        ("/console/settings/north", MAX_BODY, False),
        ("/console/settings/north", MAX_BODY * 9 // 10, True),
    ],
)
def test_a_merchants_file_may_be_larger_than_all_else(caddy: int, path: str, size: int, *, is_taken: bool) -> None:
    told = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {size}\r\n\r\n"
    with Client(caddy, told.encode()) as client:
        with suppress(ConnectionError):  # who is refused may hear so before he has said all
            client.say(b"x" * size)
        assert client.statuses(1) == [204] if is_taken else client.statuses(1)[0] in {413, 502}, "by its version"
