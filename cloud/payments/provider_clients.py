"""Gives each merchant's account its own client, and no other (promise 9); notices a change without a restart.

An account the merchant has left keeps its client while its money is open: what was opened there is asked about there.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import chain
from typing import Any, Protocol

from sqlalchemy import Select, bindparam, select

from cloud.background.loops import Clock
from cloud.database.database import Database
from cloud.database.plain_rows import Row, plain, table_of
from cloud.database.transaction import Transaction
from cloud.fleet import accounts
from cloud.fleet.accounts import Account, Known
from cloud.fleet.models import Credential, FormerCredential
from cloud.fleet.vault import SecretUnreadable, Vault
from cloud.payments.admission import Admission, Gate
from cloud.payments.provider import CaptureMode, Provider, Shop

log = logging.getLogger("cloud.payments.provider_clients")

_credentials, _former = table_of(Credential), table_of(FormerCredential)
_OF_MERCHANT = select(_credentials).where(
    _credentials.c.merchant_id == bindparam("merchant_id"), _credentials.c.scenario == bindparam("scenario")
)
_LEFT = select(_former).where(
    _former.c.merchant_id == bindparam("merchant_id"),
    _former.c.scenario == bindparam("scenario"),
    _former.c.account_id == bindparam("account_id"),
)
_OF_ACCOUNT, _LEFT_ACCOUNT = (
    select(known).where(known.c.account_id == bindparam("account_id"), known.c.scenario == bindparam("scenario"))
    for known in (_credentials, _former)
)
MOST_ALIKE = 50
"""Accounts of one id that are looked at: as many merchants, of whom the platform makes each."""

FRESH = timedelta(seconds=1)
"""How long a credential is used as it was read: a change is noticed within it, and most reads are spared."""
Connect = Callable[[Shop, str], Provider]
"""Makes the client of one shop for one payment scenario."""


class AtShop(Protocol):
    """A payment, or work that is due: what belongs to one shop."""

    @property
    def merchant_id(self) -> str: ...

    @property
    def scenario(self) -> str: ...

    @property
    def account_id(self) -> str: ...


class NoCredential(LookupError):
    """The merchant has no (or no longer this) account for the scenario; an operator must mend it."""


class ProviderClients:
    """The clients in use, one per account, and which calls they admit now."""

    def __init__(self, database: Database, vault: Vault, connect: Connect, clock: Clock) -> None:
        self._database = database
        self._vault = vault
        self._connect = connect
        self._clock = clock
        self.admission = Admission()
        self._read_at: dict[tuple[str, str], tuple[datetime, Credential]] = {}
        self._lock = threading.Lock()
        self._clients: dict[Account, tuple[tuple[int, str], Provider]] = {}
        self._is_ending = False

    def of(self, merchant_id: str, scenario: str, tx: Transaction | None = None) -> tuple[Credential, Provider]:
        """The merchant's credential for a scenario and its client. Raises `NoCredential`.

        Inside a transaction pass it: a second connection could wait for transactions that wait for this one.
        """
        credential = self._in_use(merchant_id, scenario, tx)
        if credential is None:
            raise NoCredential(f"merchant {merchant_id} has no account for {scenario}")
        return credential, self._client(credential)

    def of_payment(self, payment: AtShop, tx: Transaction | None = None) -> Provider:
        """The client of the shop the payment was opened at. Raises `NoCredential`, also when its key is gone."""
        return self.at((payment.merchant_id, payment.scenario, payment.account_id), tx)

    def at(self, account: Account, tx: Transaction | None = None) -> Provider:
        """The client of one account, in use or left. Raises `NoCredential`."""
        merchant_id, scenario, account_id = account
        in_use = self._in_use(merchant_id, scenario, tx)
        if in_use is not None and in_use.account_id == account_id:
            return self._client(in_use)
        wanted = {"merchant_id": merchant_id, "scenario": scenario, "account_id": account_id}
        left = self._read(FormerCredential, _LEFT, wanted, tx)
        if left is None:
            now = f"now it is {in_use.account_id}" if in_use is not None else "now it has none"
            raise NoCredential(f"merchant {merchant_id} has no key of shop {account_id} any more, {now}")
        return self._client(left)

    def gate_of(self, what: AtShop, tx: Transaction | None = None) -> Gate | None:
        """What its calls are let through by; None when nobody can call."""
        try:
            return self.of_payment(what, tx).gate
        except NoCredential:
            return None

    def all_of_account(self, account_id: str, scenario: str) -> Iterator[Provider]:
        """The clients of all merchants that say this shop is theirs: the provider's id of it is no proof of that.

        Those in use first. One whose secret cannot be read is logged and left out.
        """
        in_use = self._read_alike(Credential, _OF_ACCOUNT, account_id, scenario)
        left = self._read_alike(FormerCredential, _LEFT_ACCOUNT, account_id, scenario)
        for account in chain[Known](in_use, left):
            try:
                yield self._client(account)
            except NoCredential as error:
                log.error("%s", error)

    def of_account(self, account_id: str, scenario: str) -> Provider | None:
        """The client of a shop by the provider's own id of it; None when it is nobody's here."""
        wanted = {"account_id": account_id, "scenario": scenario}
        known: Known | None = self._read(Credential, _OF_ACCOUNT, wanted)
        known = known or self._read(FormerCredential, _LEFT_ACCOUNT, wanted)
        return self._client(known) if known is not None else None

    def unreadable(self) -> frozenset[Account]:
        """Accounts whose secret none of our keys opens."""
        with self._database.read() as session:
            return accounts.unreadable(session, self._vault)

    def begin_nothing(self) -> None:
        """Let no more calls begin: this process ends. Those under way go on to their answers."""
        with self._lock:
            self._is_ending = True
            for _, client in self._clients.values():
                client.gate.close()

    def close(self) -> None:
        """Close every client's connections."""
        with self._lock:
            for _, client in self._clients.values():
                client.close()
            self._clients.clear()

    def _in_use(self, merchant_id: str, scenario: str, tx: Transaction | None) -> Credential | None:
        now, slot = self._clock(), (merchant_id, scenario)
        read_at, credential = self._read_at.get(slot, (now, None))
        if credential is None or not timedelta() <= now - read_at < FRESH:
            wanted = {"merchant_id": merchant_id, "scenario": scenario}
            credential = self._read(Credential, _OF_MERCHANT, wanted, tx)
            if credential is not None:
                self._read_at[slot] = (now, credential)
        return credential

    def _read(
        self, kind: type[Row], statement: Select[Any], wanted: dict[str, str], tx: Transaction | None = None
    ) -> Row | None:
        if tx is not None:
            found = tx.connection.execute(statement, wanted).first()
        else:
            found = next(iter(self._database.look(statement, wanted)), None)
        return plain(kind, found) if found is not None else None

    def _read_alike(self, kind: type[Row], asked: Select[Any], account_id: str, scenario: str) -> list[Row]:
        few, wanted = asked.order_by(asked.selected_columns.merchant_id).limit(MOST_ALIKE), {"account_id": account_id}
        return [plain(kind, found) for found in self._database.look(few, wanted | {"scenario": scenario})]

    def _client(self, credential: Known) -> Provider:
        """Made anew for another version or a secret locked anew: an account entered again begins at version 1 again."""
        slot, as_stored = accounts.of(credential), (credential.version, credential.secret)
        with self._lock:
            made_of, client = self._clients.get(slot, (None, None))
            if client is None or made_of != as_stored:
                shop = Shop(credential.account_id, self._open(credential), CaptureMode(credential.capture))
                client = self._connect(shop, credential.scenario)
                if self._is_ending:
                    client.gate.close()
                self._clients[slot] = (as_stored, client)
            return client

    def _open(self, credential: Known) -> str:
        try:
            return self._vault.open(credential.secret)
        except SecretUnreadable as error:
            raise NoCredential(f"merchant {credential.merchant_id}: {error}") from error
