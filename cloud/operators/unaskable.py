"""Money nobody can be asked about, for `/ready`: its account's key is gone, cannot be read, or is refused there."""

import threading
from datetime import datetime, timedelta

from cloud.database.database import Database
from cloud.operators.at_risk_report import roubles
from cloud.orders.at_risk import each_at_risk
from cloud.payments.provider_clients import Shops

KEPT = timedelta(seconds=10)
"""However many ask, the database is asked this often."""


class Unaskable:
    """Looks, and keeps for a few seconds what it saw."""

    def __init__(self, database: Database, shops: Shops) -> None:
        self._database = database
        self._shops = shops
        self._lock = threading.Lock()
        self._seen: tuple[datetime, list[str]] | None = None

    def warnings(self, now: datetime) -> list[str]:
        """A sentence for each account; empty when somebody can be asked about everything."""
        with self._lock:
            if self._seen is None or not self._seen[0] <= now < self._seen[0] + KEPT:
                self._seen = now, self._look(now)
            return self._seen[1]

    def _look(self, now: datetime) -> list[str]:
        unreadable = self._shops.unreadable()
        sums: dict[tuple[str, str, str], list[int]] = {}
        with self._database.read() as session:
            for money in each_at_risk(session, now, unreadable=unreadable):
                if money.key_is_refused or not money.has_credential:
                    account = (money.merchant_id, money.scenario, money.account_id)
                    sums.setdefault(account, []).append(money.kopecks)
        return [_sentence(account, kopecks) for account, kopecks in sorted(sums.items())]


def _sentence(account: tuple[str, str, str], kopecks: list[int]) -> str:
    merchant, scenario, shop = account
    money = f"{len(kopecks)} payment(s), {roubles(sum(kopecks))} roubles"
    why = "its key is gone, cannot be read or is refused, nobody can be asked"
    return f"{money} at shop {shop} ({scenario} of {merchant}): {why}"
