"""One bounded HTTP question to somebody else's server: time, size, no redirect, nothing from the environment.

An address given by a merchant may not lead into our own network: that is judged by the address connected to.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NameResolutionError, NewConnectionError

from cloud.alerts.channels.sender import NotNow, Refused, Sending, Unknown, Why
from cloud.http.connections import NotPublic, PublicConnection, PublicTlsConnection
from protocol import json_text

CONNECT_S, ANSWER_S, WHOLE_S = 5.0, 10.0, 20.0
MOST_BYTES = 64 * 1024
AGAIN_S = 30.0


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    body: Mapping[str, Any]
    retry_after_s: float | None = None


def token_refused() -> NotNow:
    """A bot's token is ours and changed with a restart: no chat is to blame, so none is refused."""
    return NotNow(AGAIN_S, Why.BOT_REFUSED)


class _PublicPool(HTTPConnectionPool):
    ConnectionCls = PublicConnection


class _PublicTlsPool(HTTPSConnectionPool):
    ConnectionCls = PublicTlsConnection


class _PublicOnly(HTTPAdapter):
    def init_poolmanager(self, *sizes: Any, **named: Any) -> None:
        super().init_poolmanager(*sizes, **named)
        self.poolmanager.pool_classes_by_scheme = {"http": _PublicPool, "https": _PublicTlsPool}


@dataclass(frozen=True)
class Http:
    """How to reach a kind of channel."""

    proxy: str = ""
    public_only: bool = False
    """Refuse addresses that are not public."""

    def ask(
        self, verb: str, url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None, answer_s: float = ANSWER_S,
    ) -> Answer | Sending:  # fmt: skip
        """The whole answer, or what its absence proves: `NotNow` when nothing left us, `Unknown` else."""
        with requests.Session() as session:
            session.trust_env = False
            if self.public_only:
                session.mount("https://", _PublicOnly())
                session.mount("http://", _PublicOnly())
            proxies = {"https": self.proxy, "http": self.proxy} if self.proxy else None
            try:
                reply = session.request(
                    verb, url, data=body, headers=dict(headers or {}), params=params, proxies=proxies,
                    timeout=(CONNECT_S, answer_s), allow_redirects=False, stream=True,
                )  # fmt: skip
                return Answer(reply.status_code, _read(reply, answer_s), _retry_after(reply))
            except (requests.ConnectTimeout, requests.exceptions.ProxyError) as error:
                return NotNow(AGAIN_S, type(error).__name__)
            except requests.RequestException as error:
                return _of_error(error)
            except (OSError, ValueError) as error:
                return Unknown(type(error).__name__)


def _of_error(error: requests.RequestException) -> Sending:
    """Addresses and tokens are part of the exception's text: only its kind is told."""
    reason, name = getattr(error.args[0] if error.args else None, "reason", None), type(error).__name__
    if isinstance(reason, NotPublic):
        return Refused(Why.NOT_PUBLIC)
    if isinstance(reason, NewConnectionError | NameResolutionError):
        return NotNow(AGAIN_S, Why.NO_CONNECTION)
    return Unknown(name)


def _read(reply: requests.Response, answer_s: float) -> Mapping[str, Any]:
    until, whole = time.monotonic() + max(WHOLE_S, answer_s), b""
    for piece in reply.iter_content(4096):
        whole += piece
        if len(whole) > MOST_BYTES or time.monotonic() > until:
            raise ValueError("the answer is too long")
    try:
        told = json_text.decode(whole, dict[str, Any])
    except json_text.NotJson:
        return {}
    return told


def _retry_after(reply: requests.Response) -> float | None:
    text = reply.headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else None
