"""A WSGI application over HTTP/1.1 on loopback, with connections kept alive; standard library only.

Why not the framework's development server: it closes every connection and waits 10 ms after every answer.
"""

import io
import itertools
import logging
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

MAX_BODY = 256 * 1024  # a receipt of 100 items is some 50 KiB
MAX_CONNECTIONS = 512  # one thread each
IDLE_SECONDS = 75.0
DRIP_MARK = "simulator.drip"
"""In the environment of a request whose answer is to drip: for how many seconds."""
DRIP_EVERY_S = 0.25
# SO_LINGER on with zero seconds: closing sends a reset instead of a goodbye.
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class WireServer(ThreadingHTTPServer):
    """Serves until `close`, which also ends the connections that are still open."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, host: str, port: int, application: "WSGIApplication") -> None:
        self.application = application
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        super().__init__((host, port), _Handler)

    @property
    def address(self) -> str:
        host, port = self.server_address[:2]
        return f"http://{host!s}:{port}"

    def start(self) -> None:
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.05}, name="http", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        if self._thread is not None:
            self.shutdown()
            self._thread.join()
        self.server_close()
        with self._lock:
            still_open = list(self._open)
        for connection in still_open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # gone meanwhile

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            full = len(self._open) >= MAX_CONNECTIONS
            if not full:
                self._open.add(request)
        if full:
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        if request.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER):
            self.close_request(request)
        else:
            super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.error("a connection failed: %r", sys.exception())


class _Handler(BaseHTTPRequestHandler):
    server: WireServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = IDLE_SECONDS
    wbufsize = -1  # one packet for headers and body

    def handle(self) -> None:
        try:
            super().handle()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def finish(self) -> None:
        try:
            super().finish()
        except ConnectionError:
            self.close_connection = True

    def handle_expect_100(self) -> bool:
        """Tell the caller to go on, at once: it waits for that before it sends its body."""
        goes_on = super().handle_expect_100()
        self.wfile.flush()
        return goes_on

    def _serve(self) -> None:
        body = self._body()
        if body is None:
            return
        answer = _Answer()
        environ = self._environ(body)
        try:
            chunks = self.server.application(environ, answer.start)
            content = _joined(chunks)
        except ConnectionResetError:
            self._reset()
            return
        if seconds := environ.get(DRIP_MARK):
            self._drip(f"HTTP/1.1 {answer.status} {answer.phrase}\r\n".encode() + content, seconds)
            return
        self.send_response(answer.status, answer.phrase)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        self.wfile.flush()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _serve  # noqa: N815

    def _body(self) -> bytes | None:
        """The whole body, so that the next request starts where this one ended; None once refused."""
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not (length.isascii() and length.isdigit()):
            self._refuse(HTTPStatus.LENGTH_REQUIRED)
            return None
        if len(length) > len(str(MAX_BODY)) or int(length) > MAX_BODY:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return None
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise ConnectionAbortedError("the caller left in the middle of its request")
        return body

    def _environ(self, body: bytes) -> "WSGIEnvironment":
        path, _, query = self.path.partition("?")
        host, port = self.server.server_address[:2]
        environ: WSGIEnvironment = {
            "REQUEST_METHOD": self.command,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query,
            "SERVER_NAME": str(host),
            "SERVER_PORT": str(port),
            "SERVER_PROTOCOL": self.request_version,
            "REMOTE_ADDR": self.client_address[0],
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for name, value in self.headers.items():
            if "_" not in name:
                environ.setdefault("HTTP_" + name.upper().replace("-", "_"), value)
        return environ

    def _refuse(self, status: HTTPStatus) -> None:
        self.close_connection = True
        self.send_error(status)

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.close_connection = True

    def _drip(self, said: bytes, seconds: float) -> None:
        """A byte now and then; the end never comes."""
        until = time.monotonic() + seconds
        for number in itertools.count():
            self.connection.sendall(said[number % len(said) :][:1])
            if time.monotonic() >= until:
                break
            time.sleep(DRIP_EVERY_S)
        self._reset()

    def log_message(self, format: str, *args: object) -> None:
        """Silent: the delivery log and the books say what happened."""


class _Answer:
    status = 500
    phrase = ""
    headers: Iterable[tuple[str, str]] = ()

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: object = None) -> Any:
        code, _, self.phrase = status.partition(" ")
        self.status = int(code)
        self.headers = headers
        return self._write

    @staticmethod
    def _write(_data: bytes) -> None:
        raise AssertionError("the application answers with an iterable")


def _joined(chunks: Iterable[bytes]) -> bytes:
    try:
        return b"".join(chunks)
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            close()
