"""One HTTP question to the Tmetr API, and what its answer or its silence proves. Never asks twice.

Connecting is a step of its own on a connection of its own: what fails there has certainly reached nobody, and an idle
connection that went away cannot make a make command doubtful. No redirect, no proxy, no cookie, bounded in size and
time. Lets no exception of the network out.
"""

import http.client
import ssl
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from cloud.http.one_deadline import Deadline, connect

MAX_ANSWER_BYTES = 256 * 1024
"""An honest answer is a few hundred bytes."""
PIECE = 16 * 1024


@dataclass(frozen=True)
class Reply:
    """One whole answer."""

    status: int
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class NotTaken:
    """Certainly nothing came of it; asking again is safe."""

    why: str


@dataclass(frozen=True)
class Unknown:
    """It may have been heard; nobody can say."""

    why: str


class TmetrHttp:
    """`post` may be called from any thread. Durations are seconds; `token` is never logged and never in an error."""

    def __init__(self, base_url: str, token: str, user_agent: str) -> None:
        self._url = urlsplit(base_url.rstrip("/"))
        self._tls = ssl.create_default_context() if self._url.scheme == "https" else None
        self._headers = {"User-Agent": user_agent, "Accept": "application/json", "Content-Type": "application/json"}
        self._headers |= {"Connection": "close"} | ({"Authorization": f"Bearer {token}"} if token else {})

    def post(
        self, path: str, body: bytes, connect_s: float, answer_s: float, headers: dict[str, str] | None = None
    ) -> Reply | NotTaken | Unknown:
        """Ask once. The whole answer must be there `answer_s` after the connection."""
        deadline = Deadline(answer_s)
        connection = self._connection(connect_s, deadline)
        try:
            try:
                connection.connect()
            except OSError as broken:
                return NotTaken(_name(broken))
            connection.sock.settimeout(answer_s)
            connection.request("POST", self._url.path + path, body, self._headers | (headers or {}))
            return _read(connection.getresponse())
        except (OSError, http.client.HTTPException) as broken:
            return Unknown(_name(broken))
        finally:
            connection.close()

    def _connection(self, timeout_s: float, deadline: Deadline) -> http.client.HTTPConnection:
        host, port = self._url.hostname or "", self._url.port
        connection = (
            http.client.HTTPSConnection(host, port, timeout=timeout_s, context=self._tls)
            if self._tls is not None
            else http.client.HTTPConnection(host, port, timeout=timeout_s)
        )
        connection._create_connection = connect  # type: ignore[attr-defined]  # the name http.client looks for
        connection.response_class = deadline.response_class  # type: ignore[assignment]  # it is only called
        return connection


def _read(response: http.client.HTTPResponse) -> Reply | Unknown:
    with response:
        body = bytearray()
        while piece := response.read1(PIECE):
            body += piece
            if len(body) > MAX_ANSWER_BYTES:
                return Unknown(f"HTTP {response.status} with an endless answer")
        if response.length:
            return Unknown(f"HTTP {response.status}, and the answer is cut short")
        return Reply(response.status, bytes(body))


def _name(broken: Exception) -> str:
    """What happened, in words that hold nothing of the request."""
    if isinstance(broken, ssl.SSLError):
        return f"{type(broken).__name__} ({broken.reason})"
    return type(broken).__name__ + (f" ({broken.strerror})" if isinstance(broken, OSError) and broken.strerror else "")
