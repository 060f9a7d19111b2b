"""Keys that hold money up, for `/ready`: nobody can be asked about it, or no payment can be opened."""

import threading
from datetime import datetime, timedelta

from sqlalchemy import select

from cloud.database.database import Database
from cloud.operators.at_risk_report import roubles
from cloud.orders.at_risk import each_at_risk
from cloud.orders.models import Payment
from cloud.orders.outbox import OutboxRow
from cloud.orders.tasks import KEY_REFUSED, Lane, Task
from cloud.payments.provider_clients import ProviderClients

UNNAMED = "a shop's key is gone, cannot be read or is refused: /ready says which to whoever may see /metrics"
"""What a stranger is told: whose trouble it is and how much money waits are nobody else's business."""
KEPT = timedelta(seconds=10)
"""However many ask, the database is asked this often."""
_UNOPENED = (
    select(Payment.merchant_id, Payment.scenario, Payment.account_id)
    .join(OutboxRow, OutboxRow.subject == Payment.id)
    .where(
        OutboxRow.lane == Lane.PROVIDER.value, OutboxRow.task == Task.CREATE.value, OutboxRow.settled_at.is_(None),
        OutboxRow.last_error.like(f"{KEY_REFUSED}%"),
    )
    .distinct()
)  # fmt: skip


class Unaskable:
    """Looks, and keeps for a few seconds what it saw."""

    def __init__(self, database: Database, clients: ProviderClients) -> None:
        self._database = database
        self._clients = clients
        self._lock = threading.Lock()
        self._seen: tuple[datetime, list[str]] | None = None

    def warnings(self, now: datetime, *, names_shops: bool) -> list[str]:
        """A sentence for each account, or one that names none; empty when somebody can be asked about everything."""
        with self._lock:
            if self._seen is None or not self._seen[0] <= now < self._seen[0] + KEPT:
                self._seen = now, self._look(now)
            sentences = self._seen[1]
        return sentences if names_shops or not sentences else [UNNAMED]

    def _look(self, now: datetime) -> list[str]:
        unreadable = self._clients.unreadable()
        sums: dict[tuple[str, str, str], list[int]] = {}
        with self._database.read() as session:
            for money in each_at_risk(session, now, unreadable=unreadable):
                if money.key_is_refused or not money.has_credential:
                    account = (money.merchant_id, money.scenario, money.account_id)
                    sums.setdefault(account, []).append(money.kopecks)
            unopened = session.execute(_UNOPENED).all()
        sentences = [_sentence(account, kopecks) for account, kopecks in sorted(sums.items())]
        return sentences + [
            f"no payment can be opened at shop {shop} ({scenario} of {merchant}): its key is refused"
            for merchant, scenario, shop in sorted(map(tuple, unopened))
        ]


def _sentence(account: tuple[str, str, str], kopecks: list[int]) -> str:
    merchant, scenario, shop = account
    money = f"{len(kopecks)} payment(s), {roubles(sum(kopecks))} roubles"
    why = "its key is gone, cannot be read or is refused, nobody can be asked"
    return f"{money} at shop {shop} ({scenario} of {merchant}): {why}"
