"""Logging in by an identity provider (OpenID Connect): code, PKCE, state, nonce. It lets in whom we know already.

Nobody is made and nobody is given anything by it: a user is found by the subject he was bound to, or once by his
verified e-mail address, which binds him.
"""

import base64
import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from sqlalchemy import select

from cloud.access import challenges, second_factor, sessions, throttle, users
from cloud.access.challenges import Purpose
from cloud.access.journal import Author, Entry, Subject, record
from cloud.access.login import Entered, Refused, count, not_too_often
from cloud.access.models import Identity, User
from cloud.access.oidc_provider import Client, NotVouched, Provider, ProviderAway
from cloud.access.oidc_token import UnknownKey, Vouched, read
from cloud.access.throttle import Try
from cloud.database.database import Database
from cloud.database.transaction import Transaction
from cloud.fleet.vault import derive

log = logging.getLogger("cloud.access.oidc")
AWAY, FAILED, UNKNOWN = "sso_away", "sso_failed", "sso_unknown"
"""What a person who is refused is told."""


class _Stranger(NotVouched):
    """Vouched for, and no user of ours."""


@dataclass(frozen=True)
class Came:
    """A browser that came back from the provider."""

    browser: str
    state: str
    code: str
    address: str
    agent: str


class OidcLogin:
    """One provider. `trusts_factors`: a user who has shown it several factors is not asked for ours."""

    def __init__(self, database: Database, client: Client, secret_key: str, clock: Callable[[], datetime],
                 *, trusts_factors: bool) -> None:  # fmt: skip
        self._database = database
        self._client = client
        self._secret_key = secret_key
        self._clock = clock
        self._trusts_factors = trusts_factors
        self._provider = Provider(client, clock)

    def begin(self, browser: str, address: str) -> str:
        """Where to send the browser. Raises `Refused`."""
        self._not_too_often(address)
        try:
            known = self._provider.description()
        except ProviderAway as error:
            raise self._refused(error) from None
        asked = self._database.transact(challenges.ask, Purpose.VOUCH, browser, address, self._clock())
        state = _text(asked)
        digest = hashlib.sha256(self._secret("verifier", state).encode()).digest()
        query = {
            "response_type": "code", "scope": "openid email", "client_id": self._client.id,
            "redirect_uri": self._client.callback, "state": state, "nonce": self._secret("nonce", state),
            "code_challenge": _text(digest), "code_challenge_method": "S256",
        }  # fmt: skip
        return f"{known.authorize}{'&' if '?' in known.authorize else '?'}{urlencode(query)}"

    def finish(self, came: Came) -> Entered:
        """Let him in, or half in where our second step follows. Raises `Refused`; failures are counted."""
        now = self._clock()
        counted = count(self._database, throttle.keys_of_address(came.address), now)
        try:
            if not self._database.transact(challenges.take, came.state, Purpose.VOUCH, came.browser, now):
                raise NotVouched("no such login was begun in this browser")
            vouched = self._vouched(came)
            return self._database.transact(self._enter, vouched, came, counted)
        except NotVouched as error:
            raise self._refused(error) from None

    def _vouched(self, came: Came) -> Vouched:
        given = self._provider.give(came.code, self._secret("verifier", came.state))
        nonce, client = self._secret("nonce", came.state), self._client
        try:
            return read(given.id_token, self._provider.keys(), client.issuer, client.id, nonce, given.access_token,
                        self._clock())  # fmt: skip
        except UnknownKey:
            keys = self._provider.keys(anew=True)
            return read(given.id_token, keys, client.issuer, client.id, nonce, given.access_token, self._clock())

    def _enter(self, tx: Transaction, vouched: Vouched, came: Came, counted: Try) -> Entered:
        now, user = self._clock(), self._user(tx, vouched, came)
        asks_second = second_factor.has_any(tx.session, user)
        asks_second = asks_second and not (self._trusts_factors and vouched.by_many_factors)
        record(tx, Entry("login", self._author(user, came), Subject("user", user.id), after={"by": "oidc"}), now)
        token = sessions.begin(tx, user, came.address, came.agent, now, complete=not asks_second)
        throttle.give_back(tx, counted)
        return Entered(token, asks_second)

    def _user(self, tx: Transaction, vouched: Vouched, came: Came) -> User:
        """Return the user it vouches for, locked. Raises `NotVouched`."""
        bound = select(Identity.user_id).where(
            Identity.issuer == self._client.issuer, Identity.subject == vouched.subject
        )  # fmt: skip
        user = _held(tx, tx.session.scalar(bound))
        if user is None or tx.session.scalar(bound) is None:  # or a reset has just taken the binding away
            user = self._bind(tx, vouched, came)
        if user is None or user.disabled_at is not None:
            raise _Stranger("nobody of ours")
        return user

    def _bind(self, tx: Transaction, vouched: Vouched, came: Came) -> User | None:
        """Bind a user by a verified address, once: another subject with this address never takes over a bound user."""
        found = users.by_email(tx.session, vouched.email) if vouched.email else None
        user = _held(tx, found.id if found else None)
        if user is None or user.disabled_at is not None:
            return None
        taken = select(Identity).where(Identity.issuer == self._client.issuer, Identity.user_id == user.id)
        if tx.session.scalar(taken) is not None:
            return None
        now = self._clock()
        tx.session.add(
            Identity(issuer=self._client.issuer, subject=vouched.subject, user_id=user.id, bound_at=now)
        )  # fmt: skip
        about = {"issuer": self._client.issuer, "subject": vouched.subject}
        record(tx, Entry("identity_bound", self._author(user, came), Subject("user", user.id), after=about), now)
        return user

    def _secret(self, what: str, state: str) -> str:
        """Derive a secret from the state, so that nothing of a login under way is kept but its hash."""
        key = derive(self._secret_key, b"oidc " + what.encode())
        return _text(hashlib.blake2b(state.encode(), key=key[:64], digest_size=32).digest())

    def _not_too_often(self, address: str) -> None:
        with self._database.read() as session:
            not_too_often(throttle.waits_until(session, throttle.keys_of_address(address), self._clock()))

    @staticmethod
    def _author(user: User, came: Came) -> Author:
        return Author(user.id, user.name or user.email, came.address)

    @staticmethod
    def _refused(error: NotVouched) -> Refused:
        log.info("the identity provider lets nobody in: %s", error)
        return Refused(AWAY if isinstance(error, ProviderAway) else UNKNOWN if isinstance(error, _Stranger) else FAILED)


def _held(tx: Transaction, user_id: str | None) -> User | None:
    """Lock him as he is now: whoever resets or disables him waits, and ends the session that begins."""
    if user_id is None:
        return None
    return tx.session.get_one(User, user_id, with_for_update=True, populate_existing=True)


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
