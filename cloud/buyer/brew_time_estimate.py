"""How long a drink usually takes on its machine, from its last cups: the buyer gets an honest time left or none."""

import statistics
import threading
from collections import OrderedDict
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud.orders.models import MakeCommand, Order
from protocol.reasons import Result

LAST_CUPS = 15
ENOUGH_CUPS = 3
"""Fewer say nothing yet."""
REMEMBERED = 2000
"""Drinks whose usual time is kept in memory."""
FRESH_FOR = timedelta(minutes=10)

Drink = tuple[str, str, int]
"""Of which machine, its number there, its size."""


class BrewTimeEstimates:
    """Remembers, for a while, the median time from "accepted" to "done" of each machine's drinks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[Drink, tuple[datetime, timedelta | None]] = OrderedDict()

    def of(self, session: Session, drink: Drink, now: datetime) -> timedelta | None:
        """The usual time of this drink, None when too few were made."""
        with self._lock:
            looked_at, usual = self._known.get(drink, (None, None))
        if looked_at is not None and now - looked_at < FRESH_FOR:
            return usual
        usual = _median(session, drink)
        with self._lock:
            self._known[drink] = (now, usual)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return usual


def _median(session: Session, drink: Drink) -> timedelta | None:
    device_uuid, drink_no, size = drink
    cups = session.execute(
        select(MakeCommand.accepted_at, MakeCommand.finished_at)
        .join(Order, Order.id == MakeCommand.order_id)
        .where(Order.device_uuid == device_uuid, Order.drink_no == drink_no, Order.size == size)
        .where(MakeCommand.result == Result.DONE.value, MakeCommand.accepted_at.is_not(None))
        .order_by(Order.created_at.desc())
        .limit(LAST_CUPS)
    )
    took = [(done - begun).total_seconds() for begun, done in cups if begun is not None and done is not None]
    return timedelta(seconds=statistics.median(took)) if len(took) >= ENOUGH_CUPS else None
