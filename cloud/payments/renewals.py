"""Notices accounts that are new or have another key, and has everything that waited for them tried at once.

What was refused for a wrong key waits ever longer; the new key must not wait for that.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import exists, tuple_, update

from cloud.database.database import Database
from cloud.database.transaction import Transaction
from cloud.fleet import accounts
from cloud.fleet.accounts import Account
from cloud.orders import outbox
from cloud.orders.models import Payment
from cloud.orders.outbox import OutboxRow
from cloud.orders.tasks import Lane
from cloud.payments.provider_clients import FRESH
from cloud.payments.status_poller import NEWS

TOPIC = "credentials"
LOOK_EVERY = timedelta(seconds=2)
_UNTRACKED = {"synchronize_session": False}


class Renewals:
    """One per worker. It has seen nothing when it starts: what failed under an earlier worker is tried anew, too."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen: dict[Account, int] = {}
        self._look_at: datetime | None = None

    def step(self, now: datetime) -> datetime:
        """Look for other keys; when to look again."""
        if self._look_at is None or not timedelta() < self._look_at - now <= LOOK_EVERY:
            with self._database.read() as session:
                known = accounts.versions(session)
            changed = [account for account, version in known.items() if self._seen.get(account) != version]
            if changed:
                self._database.transact(try_anew, changed, now)
            self._seen, self._look_at = known, now + LOOK_EVERY
        return self._look_at


def try_anew(tx: Transaction, changed: Collection[Account], now: datetime) -> None:
    """What failed at these merchants' accounts is due as soon as nobody remembers the key before."""
    at = now + FRESH
    shops = sorted({(merchant_id, scenario) for merchant_id, scenario, _ in changed})
    theirs = tuple_(Payment.merchant_id, Payment.scenario).in_(shops)
    failed = update(Payment).where(theirs, Payment.checks > 0, Payment.next_check_at > at)
    tx.session.execute(failed.values(next_check_at=at), execution_options=_UNTRACKED)
    tried = update(OutboxRow).where(
        OutboxRow.lane == Lane.PROVIDER.value, OutboxRow.settled_at.is_(None), OutboxRow.due_at > at,
        OutboxRow.attempts > 0, exists().where(Payment.id == OutboxRow.subject, theirs),
    )  # fmt: skip
    tx.session.execute(tried.values(due_at=at), execution_options=_UNTRACKED)
    for topic in (NEWS, outbox.topic(Lane.PROVIDER)):
        tx.notify(topic)
