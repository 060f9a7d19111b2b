"""HTTP to one provider with one merchant's credential: a question out; a whole reply back, or what its absence proves.

A `requests` adapter for each call under way and no session over it: no retry, no redirect, no cookie, nothing from the
environment (which could put a .netrc credential in place of the merchant's, or a proxy in between); bounded in size and
time. Logs nothing and lets no exception of the network out: both could carry the Authorization header.
"""

import ssl
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth
from requests.structures import CaseInsensitiveDict
from urllib3 import BaseHTTPResponse, HTTPConnectionPool
from urllib3 import exceptions as urllib3_errors
from urllib3.connection import HTTPConnection

from cloud.http.connections import BoundedConnection, BoundedTlsConnection, PublicConnection, PublicTlsConnection
from cloud.http.one_deadline import Deadline
from cloud.payments.kept_connections import KeptConnections
from cloud.payments.outcomes import NotSent, Unknown

MAX_ANSWER_BYTES = 2 * 1024 * 1024
"""The largest honest answer, a list of 100 payments with full metadata, stays under this."""

READ_PIECE = 64 * 1024


@dataclass(frozen=True)
class Question:
    """One request. The whole answer must be there `read_timeout_s` after it has left."""

    verb: str
    path: str
    read_timeout_s: float
    params: Mapping[str, str] | None = None
    key: str | None = None
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Reply:
    """One HTTP answer. `body` None was too large to read."""

    status: int
    body: bytes | None = field(repr=False)
    retry_after: str | None = None


_ANY: Mapping[str | None, type[BoundedConnection]] = {"http": BoundedConnection, "https": BoundedTlsConnection}
_PUBLIC: Mapping[str | None, type[BoundedConnection]] = {"http": PublicConnection, "https": PublicTlsConnection}


class NoAuthorities(OSError):
    """The file of those to trust is gone; no connection was begun."""


class _OneHost(HTTPAdapter):
    """One connection to one host with one trust: what `requests` finds out for each call is found out once.

    A repeat is decided by the code that stored the call, never here. urllib3 sets TCP_NODELAY by itself. `deadline` is
    when the answer under way must be whole.
    """

    def __init__(self, *, public_only: bool = False) -> None:
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)
        self._kinds = _PUBLIC if public_only else _ANY
        self._pool: HTTPConnectionPool | None = None
        self.deadline = Deadline()

    def get_connection_with_tls_context(self, *told: Any, **more: Any) -> HTTPConnectionPool:
        """The pool of the first call."""
        if self._pool is None:
            self._pool = super().get_connection_with_tls_context(*told, **more)
            self._pool.ConnectionCls = self._connection  # type: ignore[assignment]  # it is only called
        return self._pool

    def _connection(self, **named: Any) -> HTTPConnection:
        connection = self._kinds[self._pool.scheme if self._pool is not None else "http"](**named)
        connection.response_class = self.deadline.response_class  # type: ignore[assignment]  # it is only called
        return connection

    def cert_verify(self, conn: HTTPConnectionPool, *told: Any, **more: Any) -> None:
        """Trust is set before the pool's first connection and never changed."""
        if conn.num_connections:
            return
        try:
            super().cert_verify(conn, *told, **more)
        except OSError as error:
            raise NoAuthorities from error

    def close(self) -> None:
        """The socket too: `requests` only forgets its pools, and this one would wait for the garbage collector."""
        super().close()
        if self._pool is not None:
            self._pool.close()

    def build_response(self, req: requests.PreparedRequest, resp: BaseHTTPResponse) -> requests.Response:
        """Status, headers, body: no cookie is kept, no text decoded."""
        response = requests.Response()
        response.status_code, response.headers = resp.status, CaseInsensitiveDict(resp.headers)
        response.raw, response.request, response.url = resp, req, req.url or ""
        return response


KEPT: KeptConnections[_OneHost] = KeptConnections()
"""Of all transports of this process, for they share its sockets."""


class Transport:
    """Connections of one credential; `exchange` may be called from any thread.

    `authorities` names a PEM file of the authorities to trust instead of the usual ones. `public_only`: the address is
    a merchant's choice, and may not lead into our own network.
    """

    def __init__(
        self,
        base_url: str,
        *,
        user_agent: str,
        basic_auth: tuple[str, str] | None,
        connect_timeout_s: float,
        authorities: str = "",
        public_only: bool = False,
        kept: KeptConnections[_OneHost] = KEPT,
    ) -> None:
        self.base_url = _checked_base_url(base_url)
        # Made once: each call has the same beginning.
        self._blank = requests.Request(
            "GET", self.base_url, auth=_auth(basic_auth),
            headers={"User-Agent": user_agent, "Accept": "application/json", "Accept-Encoding": "identity"},
        ).prepare()  # fmt: skip
        self._connect_timeout_s = connect_timeout_s
        self._verify: str | bool = authorities or True
        self._public_only = public_only
        self._kept = kept
        self._resting: deque[_OneHost] = deque()

    def exchange(self, question: Question) -> Reply | NotSent | Unknown:
        """Ask once. NotSent only when certainly no byte of the question left."""
        adapter = self._kept.take(self._resting) or _OneHost(public_only=self._public_only)
        adapter.deadline.seconds = question.read_timeout_s
        try:
            request = self._prepare(question)
            timeout = (self._connect_timeout_s, question.read_timeout_s)
            with adapter.send(request, stream=True, timeout=timeout, verify=self._verify) as response:
                body = _read_bounded(response)
                return Reply(response.status_code, body, response.headers.get("Retry-After"))
        except (OSError, urllib3_errors.HTTPError) as broken:
            return _lost(broken)
        finally:
            self._kept.give_back(adapter, self._resting)

    def _prepare(self, question: Question) -> requests.PreparedRequest:
        request = self._blank.copy()
        request.prepare_method(question.verb)
        request.prepare_url(self.base_url + question.path, question.params)
        request.prepare_body(question.body, None)
        request.headers.update(_headers(question))
        return request

    def close(self) -> None:
        """Close the connections, when nobody uses them any more."""
        self._kept.close(self._resting)


def _read_bounded(response: requests.Response) -> bytes | None:
    """The body, or None when it is too large."""
    body = bytearray()
    while piece := response.raw.read1(READ_PIECE, decode_content=True):
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            return None
    return bytes(body)


def _auth(pair: tuple[str, str] | None) -> HTTPBasicAuth | None:
    """Bytes: `requests` would encode text as Latin-1 and put a mistyped secret into the UnicodeEncodeError."""
    return None if pair is None else HTTPBasicAuth(*(part.encode() for part in pair))


def _headers(question: Question) -> dict[str, str]:
    headers = {}
    if question.body is not None:
        headers["Content-Type"] = "application/json"
    if question.key is not None:
        headers["Idempotence-Key"] = question.key
    return headers


def _checked_base_url(base_url: str) -> str:
    """ValueError now rather than a surprise at the first payment."""
    parts = urlsplit(base_url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("a provider's base URL is http or https with a host")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("a provider's base URL takes no user, query or fragment")
    requests.Request("GET", base_url).prepare()
    return base_url.rstrip("/")


def _lost(broken: Exception) -> NotSent | Unknown:
    """What a broken exchange proves. Only names of errors leave here: their texts and requests stay behind."""
    if isinstance(broken, NoAuthorities):
        return NotSent(type(broken).__name__)
    cause = broken.args[0] if broken.args else None
    reason = getattr(cause, "reason", None)
    why = type(broken).__name__ if reason is None else f"{type(broken).__name__} ({type(reason).__name__})"
    return NotSent(why) if _never_connected(reason) else Unknown(why)


def _never_connected(reason: object) -> bool:
    """Whether the connection itself failed: no name, refused, timed out, no trust, or the wrong certificate."""
    if isinstance(reason, urllib3_errors.SSLError):
        return any(isinstance(inner, ssl.SSLCertVerificationError) or _no_trust(inner) for inner in reason.args)
    return isinstance(reason, urllib3_errors.ConnectTimeoutError | urllib3_errors.NewConnectionError)


def _no_trust(inner: object) -> bool:
    """Whether the file of authorities could not be read, or holds none: what breaks later is of OpenSSL's part SSL."""
    return isinstance(inner, OSError) and getattr(inner, "library", "X509") == "X509"
