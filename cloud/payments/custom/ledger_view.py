"""What our own ledger holds for merchants with their own payment page: its addresses, what a payment is to bring,
and what was called back. Reads; changes nothing.
"""

from dataclasses import dataclass

from sqlalchemy import select

from cloud.database.database import Database
from cloud.fleet.custom_account import CUSTOM, is_by_hand
from cloud.fleet.models import Credential, FormerCredential
from cloud.orders.models import Payment
from cloud.orders.outbox import OutboxRow
from cloud.payments.custom.objects import Told, told_of
from cloud.payments.models import ERASED, StoredNotification

MAX_HEARD = 200
"""Callbacks of one payment that are looked at: a payment has a handful of changes."""


@dataclass(frozen=True)
class Addresses:
    """Where the merchant's side is. "" is not offered."""

    page_url: str
    status_url: str = ""
    action_url: str = ""
    public_only: bool = False
    """Chosen in the console: they may not lead into our own network."""


@dataclass(frozen=True)
class Booked:
    """A payment as we opened it, and its callbacks, oldest first."""

    name: str
    order_id: str
    amount: int
    heard: tuple[Told, ...] = ()
    is_erased: bool = False
    """Callbacks of it were erased: what is left may not be all."""


class LedgerView:
    """Our payments of one merchant's account."""

    def __init__(self, database: Database, account_id: str) -> None:
        self._database = database
        self._account_id = account_id

    def payment(self, name: str) -> Booked | None:
        """By the id between us and the merchant; None when it is none of this account's."""
        with self._database.read() as session:
            ours = select(Payment).where(Payment.provider_payment_id == name, Payment.scenario == CUSTOM)
            payment = session.scalars(ours.where(Payment.account_id == self._account_id)).first()
            if payment is None:
                return None
            bodies = select(StoredNotification.body).where(
                StoredNotification.provider == CUSTOM, StoredNotification.provider_payment_id == name
            )
            heard = session.scalars(bodies.order_by(StoredNotification.id.desc()).limit(MAX_HEARD)).all()
            told = (told_of(body) for body in heard if body != ERASED)
            mine = tuple(one for one in told if one.account == self._account_id)[::-1]
            return Booked(name, payment.order_id, payment.amount, mine, is_erased=ERASED in heard)

    def payment_of_refund(self, key: str) -> str | None:
        """Which payment a return we asked for belongs to."""
        with self._database.read() as session:
            asked = select(Payment.provider_payment_id).join(OutboxRow, OutboxRow.subject == Payment.id)
            return session.scalar(asked.where(OutboxRow.key == key))


def addresses_of(database: Database, account_id: str) -> Addresses | None:
    """The merchant's addresses. An account id names one merchant only: the database sees to it."""
    with database.read() as session:
        for kind in (Credential, FormerCredential):  # what was opened at an account that was left is followed there
            named = select(kind.page_url, kind.status_url, kind.action_url)
            found = session.execute(named.where(kind.scenario == CUSTOM, kind.account_id == account_id)).first()
            if found is not None:
                return Addresses(*found, public_only=is_by_hand(session, account_id))
    return None
