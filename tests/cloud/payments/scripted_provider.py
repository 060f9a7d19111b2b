"""A provider over a real socket that answers what the test tells it to, and remembers every request it got."""

import base64
import json
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.cloud.payments.played_server import PlayedHandler, PlayedServer
from tests.cloud.payments.samples_on_disk import PENDING


@dataclass(frozen=True)
class Request:
    """What arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    client: tuple[str, int]

    @property
    def credentials(self) -> str:
        """`account:secret` out of the Basic header."""
        return base64.b64decode(self.headers["authorization"].removeprefix("Basic ")).decode()


@dataclass(frozen=True)
class Answer:
    """One HTTP answer. `promised_length` may lie about the body; `reset` and `hang` answer nothing at all.

    `drips`: the first bytes come at once, the rest a byte at a time until the test is over.
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    promised_length: int | None = None
    reset: bool = False
    hang: bool = False
    drips: bytes = b""


def says(told: object, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    """A JSON answer."""
    return Answer(status, json.dumps(told).encode(), {"Content-Type": "application/json"} | (headers or {}))


class ScriptedProvider:
    """Answers from `script` in turn, then with `always`; `answer_with` decides by the request instead."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self.connected: set[tuple[str, int]] = set()
        """Who holds a connection."""
        self.script: deque[Answer] = deque()
        self.answer_with: Callable[[Request], Answer] = lambda _: says(PENDING)
        self.hung_up = threading.Semaphore(0)
        """Released for each answer whose reader left before its end."""
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._server = _server(self)
        self._scheme = "http" if tls is None else "https"
        if tls is not None:
            # The handshake belongs to the connection's thread, not to the one that accepts.
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._server.begin()

    @property
    def url(self) -> str:
        """Where the API is."""
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}/v3"

    def answer(self, request: Request) -> Answer:
        """Remember the request and choose its answer."""
        with self._lock:
            self.requests.append(request)
            scripted = self.script.popleft() if self.script else None
        return scripted or self.answer_with(request)

    def hang(self) -> None:
        """Say nothing until the test is over."""
        self._closing.wait(60)

    def drip(self, connection: socket.socket, first: bytes) -> None:
        """Say `first`, then a byte now and then, until nobody listens."""
        try:
            connection.sendall(first)
            while not self._closing.wait(0.02):
                connection.sendall(b"x")
        except OSError:
            self.hung_up.release()

    def close(self) -> None:
        """Stop listening and let everyone who hangs go."""
        self._closing.set()
        self._server.end()


@contextmanager
def scripted_provider(tls: ssl.SSLContext | None = None) -> Iterator[ScriptedProvider]:
    """A running one, stopped at the end."""
    provider = ScriptedProvider(tls)
    try:
        yield provider
    finally:
        provider.close()


def self_signed(folder: Path) -> ssl.SSLContext:
    """TLS by a certificate nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    today = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    chain = folder / "self-signed.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    chain.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    return context


def _server(play: ScriptedProvider) -> PlayedServer:
    class Handler(PlayedHandler):
        def setup(self) -> None:
            super().setup()
            play.connected.add(self.client_address)

        def finish(self) -> None:
            play.connected.discard(self.client_address)
            super().finish()

        def handle_any(self) -> None:
            length = int(self.headers.get("Content-Length", "0"))
            headers = {name.lower(): value for name, value in self.headers.items()}
            host, port = self.client_address[:2]
            request = Request(self.command, self.path, headers, self.rfile.read(length), (str(host), port))
            answer = play.answer(request)
            if answer.drips:
                play.drip(self.connection, answer.drips)
            if answer.hang:
                play.hang()
            if answer.hang or answer.reset or answer.drips:
                self.reset()
            else:
                self._write(answer)

        do_GET = do_POST = handle_any  # noqa: N815 (the names http.server looks for)

        def _write(self, answer: Answer) -> None:
            length = len(answer.body) if answer.promised_length is None else answer.promised_length
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(answer.body)
            self.close_connection = length != len(answer.body)

    return PlayedServer(Handler)
