"""Gives each merchant's credential its own client, and no other (promise 9); notices a change without a restart."""

import threading
from collections.abc import Callable

from sqlalchemy import select

from cloud.db import Database
from cloud.fleet.models import Credential
from cloud.fleet.vault import SecretUnreadable, Vault
from cloud.orders.models import Payment
from cloud.payments.provider import CaptureMode, Provider, Shop

Connect = Callable[[Shop, str], Provider]
"""Makes the client of one shop for one payment scenario."""


class NoCredential(LookupError):
    """The merchant has no (or no longer this) account for the scenario; an operator must mend it."""


class Shops:
    """The clients in use, one per merchant and scenario."""

    def __init__(self, database: Database, vault: Vault, connect: Connect) -> None:
        self._database = database
        self._vault = vault
        self._connect = connect
        self._lock = threading.Lock()
        self._clients: dict[tuple[str, str], tuple[int, Provider]] = {}

    def of(self, merchant_id: str, scenario: str) -> tuple[Credential, Provider]:
        """The merchant's credential for a scenario and its client. Raises `NoCredential`."""
        with self._database.read() as session:
            credential = session.get(Credential, (merchant_id, scenario))
        if credential is None:
            raise NoCredential(f"merchant {merchant_id} has no account for {scenario}")
        return credential, self._client(credential)

    def of_payment(self, payment: Payment) -> Provider:
        """The client of the shop the payment was opened at. Raises `NoCredential`, also when that is no longer ours."""
        credential, client = self.of(payment.merchant_id, payment.scenario)
        if credential.account_id != payment.account_id:
            raise NoCredential(f"payment was opened at shop {payment.account_id}, now it is {credential.account_id}")
        return client

    def of_account(self, account_id: str) -> Provider | None:
        """The client of a shop by the provider's own id of it; None when it is nobody's here."""
        with self._database.read() as session:
            credential = session.scalars(select(Credential).where(Credential.account_id == account_id)).first()
        return self._client(credential) if credential is not None else None

    def close(self) -> None:
        """Close every client's connections."""
        with self._lock:
            for _, client in self._clients.values():
                client.close()
            self._clients.clear()

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
