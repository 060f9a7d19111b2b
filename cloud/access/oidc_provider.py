"""The identity provider over HTTP: what it says of itself, its keys, and a code given for an identity token.

All it sends is bounded in size and time, and no redirect is followed. What it says is kept an hour.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

import requests

from protocol import json_text

CONNECT_S, WAIT_S, WHOLE_S = 3.0, 5.0, 10.0
MOST_BYTES = 256 * 1024
KEPT = timedelta(hours=1)
KEYS_AGAIN = timedelta(minutes=1)
"""An unknown key has the provider's keys asked for anew, at most this often."""


class NotVouched(Exception):
    """Nobody is vouched for; the text says why, for the log."""


class ProviderAway(NotVouched):
    """It did not answer, or not as a provider does."""


@dataclass(frozen=True)
class Client:
    """We, as the provider knows us."""

    issuer: str
    id: str
    secret: str = field(repr=False)
    callback: str


@dataclass(frozen=True)
class Description:
    """Where the provider is asked what."""

    authorize: str
    token: str
    keys: str
    takes_basic: bool


@dataclass(frozen=True)
class Given:
    """What a code was given for."""

    id_token: str
    access_token: str


class Provider:
    """Asks one provider. Any number of threads share it."""

    def __init__(self, client: Client, clock: Callable[[], datetime]) -> None:
        self._client = client
        self._clock = clock
        self._lock = Lock()
        self._kept: dict[str, tuple[datetime, Mapping[str, Any]]] = {}

    def description(self) -> Description:
        """Raises `ProviderAway`, also where it calls itself by another name than the one that was set."""
        told = self._known(f"{self._client.issuer.rstrip('/')}/.well-known/openid-configuration", KEPT)
        if told.get("issuer") != self._client.issuer:
            raise ProviderAway("it calls itself by another name")
        methods = told.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        return Description(
            self._safe(told.get("authorization_endpoint")), self._safe(told.get("token_endpoint")),
            self._safe(told.get("jwks_uri")), "client_secret_basic" in methods,
        )  # fmt: skip

    def keys(self, *, anew: bool = False) -> Mapping[str, Any]:
        """The keys it signs with; `anew` when one is not among them. Raises `ProviderAway`."""
        return self._known(self.description().keys, KEYS_AGAIN if anew else KEPT)

    def give(self, code: str, verifier: str) -> Given:
        """The tokens for a code. Raises `NotVouched` for a code that is worth nothing (any more)."""
        known, client = self.description(), self._client
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": client.callback,
                "code_verifier": verifier}  # fmt: skip
        if not known.takes_basic:
            form |= {"client_id": client.id, "client_secret": client.secret}
        status, told = self._ask("POST", known.token, form, (client.id, client.secret) if known.takes_basic else None)
        id_token, access_token = told.get("id_token"), told.get("access_token", "")
        if status != 200 or not isinstance(id_token, str) or not isinstance(access_token, str):
            raise NotVouched(f"the code was not taken ({status})")
        return Given(id_token, access_token)

    def _known(self, url: str, kept: timedelta) -> Mapping[str, Any]:
        now = self._clock()
        with self._lock:
            at, told = self._kept.get(url, (now, {}))
        if told and now - at < kept:
            return told
        status, told = self._ask("GET", url)
        if status != 200 or not told:
            raise ProviderAway(f"answered {status}")
        with self._lock:
            self._kept[url] = (now, told)
        return told

    def _safe(self, url: object) -> str:
        """An address with TLS, like the issuer's own; the description does not lead anywhere else."""
        if not isinstance(url, str) or urlsplit(url).scheme not in {"https", urlsplit(self._client.issuer).scheme}:
            raise ProviderAway("an address without TLS")
        return url

    @staticmethod
    def _ask(verb: str, url: str, form: Mapping[str, str] | None = None,
             login: tuple[str, str] | None = None) -> tuple[int, Mapping[str, Any]]:  # fmt: skip
        with requests.Session() as session:
            session.trust_env = False
            try:
                reply = session.request(
                    verb, url, data=form, auth=login, timeout=(CONNECT_S, WAIT_S), allow_redirects=False, stream=True,
                    headers={"Accept": "application/json"},
                )  # fmt: skip
                return reply.status_code, _read(reply)
            except (requests.RequestException, OSError) as error:
                raise ProviderAway(type(error).__name__) from None  # the text holds addresses


def _read(reply: requests.Response) -> Mapping[str, Any]:
    until, whole = time.monotonic() + WHOLE_S, b""
    for piece in reply.iter_content(8192):
        whole += piece
        if len(whole) > MOST_BYTES or time.monotonic() > until:
            raise ProviderAway("its answer is too long")
    try:
        return json_text.decode(whole, dict[str, Any])
    except json_text.NotJson:
        return {}
