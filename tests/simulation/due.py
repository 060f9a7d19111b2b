"""When the database wants a loop to look: what the real loops find by looking every second, asked once a change."""

import sqlite3
from datetime import UTC, datetime

from cloud.orders.deadlines import CLOSING

_ASKED = """
SELECT (SELECT min(due_at) FROM orders), (SELECT min(return_after) FROM orders),
       (SELECT min(p.hold_expires_at) FROM payments p JOIN orders o ON o.id = p.order_id
         WHERE o.waits_for_person AND p.state = 'held'),
       (SELECT min(coalesce(claimed_until, due_at)) FROM outbox WHERE lane = 'mqtt' AND settled_at IS NULL),
       (SELECT min(coalesce(claimed_until, due_at)) FROM outbox WHERE lane = 'provider' AND settled_at IS NULL),
       (SELECT min(next_check_at) FROM payments),
       (SELECT min(look_at) FROM provider_news WHERE handled_at IS NULL)
"""


class Due:
    """The soonest moment for each loop that looks for work in the database."""

    def __init__(self, look: sqlite3.Connection) -> None:
        self._look = look
        self._soonest: dict[str, datetime | None] = {}
        self.refresh()

    def refresh(self) -> None:
        """Something was committed."""
        told = [_moment(text) for text in self._look.execute(_ASKED).fetchone()]
        due, returns, closing, mqtt, provider, check, news = told
        self._soonest = {
            "deadlines": _first(due, returns, None if closing is None else closing - CLOSING),
            "publisher": mqtt,
            "cashier": provider,
            "recheck": _first(check, news),
        }

    def of(self, loop: str) -> datetime | None:
        """None when nothing is to be expected by time alone."""
        return self._soonest.get(loop)


def _first(*moments: datetime | None) -> datetime | None:
    return min((moment for moment in moments if moment is not None), default=None)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text).replace(tzinfo=UTC)
