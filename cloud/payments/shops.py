"""Gives each merchant's credential its own client, and no other (promise 9); notices a change without a restart."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, bindparam, select
from sqlalchemy.orm import Session

from cloud.db import Database
from cloud.fleet.models import Credential
from cloud.fleet.vault import SecretUnreadable, Vault
from cloud.loops import Clock
from cloud.orders.models import Payment
from cloud.payments.provider import CaptureMode, Provider, Shop
from cloud.rows import plain, table_of

_credentials = table_of(Credential)
_OF_MERCHANT = select(_credentials).where(
    _credentials.c.merchant_id == bindparam("merchant_id"), _credentials.c.scenario == bindparam("scenario")
)
_OF_ACCOUNT = select(_credentials).where(_credentials.c.account_id == bindparam("account_id"))

FRESH = timedelta(seconds=1)
"""How long a credential is used as it was read: a change is noticed within it, and most reads are spared."""
Connect = Callable[[Shop, str], Provider]
"""Makes the client of one shop for one payment scenario."""


class NoCredential(LookupError):
    """The merchant has no (or no longer this) account for the scenario; an operator must mend it."""


class Shops:
    """The clients in use, one per merchant and scenario."""

    def __init__(self, database: Database, vault: Vault, connect: Connect, clock: Clock) -> None:
        self._database = database
        self._vault = vault
        self._connect = connect
        self._clock = clock
        self._read_at: dict[tuple[str, str], tuple[datetime, Credential]] = {}
        self._lock = threading.Lock()
        self._clients: dict[tuple[str, str], tuple[int, Provider]] = {}

    def of(self, merchant_id: str, scenario: str, session: Session | None = None) -> tuple[Credential, Provider]:
        """The merchant's credential for a scenario and its client. Raises `NoCredential`.

        Inside a transaction give its session: a second connection could have to wait for those who wait for it.
        """
        now, slot = self._clock(), (merchant_id, scenario)
        read_at, credential = self._read_at.get(slot, (now, None))
        if credential is None or not timedelta() <= now - read_at < FRESH:
            credential = self._read(_OF_MERCHANT, {"merchant_id": merchant_id, "scenario": scenario}, session)
            if credential is None:
                raise NoCredential(f"merchant {merchant_id} has no account for {scenario}")
            self._read_at[slot] = (now, credential)
        return credential, self._client(credential)

    def of_payment(self, payment: Payment, session: Session | None = None) -> Provider:
        """The client of the shop the payment was opened at. Raises `NoCredential`, also when that is no longer ours."""
        credential, client = self.of(payment.merchant_id, payment.scenario, session)
        if credential.account_id != payment.account_id:
            raise NoCredential(f"payment was opened at shop {payment.account_id}, now it is {credential.account_id}")
        return client

    def of_account(self, account_id: str) -> Provider | None:
        """The client of a shop by the provider's own id of it; None when it is nobody's here."""
        credential = self._read(_OF_ACCOUNT, {"account_id": account_id})
        return self._client(credential) if credential is not None else None

    def close(self) -> None:
        """Close every client's connections."""
        with self._lock:
            for _, client in self._clients.values():
                client.close()
            self._clients.clear()

    def _read(self, statement: Select[Any], wanted: dict[str, str], within: Session | None = None) -> Credential | None:
        if within is not None:
            found = within.connection().execute(statement, wanted).first()
        else:
            with self._database.engine.connect() as connection:
                found = connection.execute(statement, wanted).first()
        return plain(Credential, found) if found is not None else None

    def _client(self, credential: Credential) -> Provider:
        slot = (credential.merchant_id, credential.scenario)
        with self._lock:
            version, client = self._clients.get(slot, (0, None))
            if client is None or version != credential.version:
                shop = Shop(credential.account_id, self._open(credential), CaptureMode(credential.capture))
                client = self._connect(shop, credential.scenario)
                self._clients[slot] = (credential.version, client)
            return client

    def _open(self, credential: Credential) -> str:
        try:
            return self._vault.open(credential.secret)
        except SecretUnreadable as error:
            raise NoCredential(f"merchant {credential.merchant_id}: {error}") from error
