"""What the database knows of the fleet, looked at from beside: how late states come in, and how orders ended."""

import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, select

from bench.orders import order_id
from cloud.database.database import Database
from cloud.fleet.models import DeviceLive
from cloud.orders.models import Order

LOOK_S = 0.25
_STATES = select(DeviceLive.device_uuid, DeviceLive.state).where(
    DeviceLive.device_uuid.in_(bindparam("names", expanding=True))
)


class StateWatch:
    """Seconds from a state's moment to the database; each is up to one look too long."""

    def __init__(self, database_url: str, names: Sequence[str]) -> None:
        self._database = Database(database_url)
        self._names = list(names)
        self._lags: list[float] = []
        self.set_back = 0
        """States replaced by an older one: a broker that was killed tells again what it had last saved."""
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def finish(self) -> list[float]:
        """All lags, those of states still missing included."""
        self._ends.set()
        self._thread.join()
        self._database.close()
        return self._lags

    def _watch(self) -> None:
        known: dict[str, str] = {}
        while not self._ends.wait(LOOK_S):
            with self._database.engine.connect() as connection:
                found = connection.execute(_STATES, {"names": self._names}).all()
            now = time.time()
            for name, state in found:
                at = str((state or {}).get("at", ""))
                if at and known.get(name, at) > at:
                    self.set_back += 1
                elif at and known.get(name, at) != at:
                    self._lags.append(now - datetime.fromisoformat(at).timestamp())
                known[name] = at


@dataclass(frozen=True)
class Ended:
    """How orders ended."""

    took: list[float]
    """Seconds from paid to finished of those that were poured and paid."""
    statuses: dict[str, int]
    """With the reason, where there is one."""
    poured_but_lost: int
    """Cups that were poured and that the books call not made."""


def ended(database_url: str, numbers: Sequence[int], poured: frozenset[str]) -> Ended:
    """Of these orders; `poured` are those whose cup was filled."""
    wanted = {order_id(number) for number in numbers}
    database = Database(database_url)
    try:
        with database.engine.connect() as connection:
            read = select(Order.id, Order.status, Order.reason, Order.paid_at, Order.finished_at)
            rows = [row for row in connection.execute(read) if row.id in wanted]
    finally:
        database.close()
    took = [(row.finished_at - row.paid_at).total_seconds() for row in rows if row.status == "successful"]
    statuses = Counter(f"{row.status} {row.reason}".strip() for row in rows)
    lost = sum(row.id in poured and row.status == "make_failed" for row in rows)
    return Ended(took, dict(statuses), lost)


def are_over(database_url: str, numbers: Sequence[int]) -> bool:
    """Whether none of them moves any more."""
    still = ended(database_url, numbers, frozenset()).statuses
    return not any(status.split()[0] in {"pending", "paid", "make_pending"} for status in still)
