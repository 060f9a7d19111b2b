"""Tells other processes what was committed here: PostgreSQL NOTIFY, after the commit, over a connection of its own.

Inside the transaction it would cost each a round trip and a lock that all share. What is lost here costs a poll.
"""

import logging
import threading
from collections.abc import Iterable

from psycopg import Error as DriverError
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

log = logging.getLogger("cloud.notices")

CHANNEL = "coffee_relay"
MAX_WAITING = 10_000
"""Topics not told yet; beyond it whoever waits for the rest finds it by polling."""
STOP_WITHIN_S = 5.0
MAX_NOTICE = 7_900
"""Bytes: PostgreSQL carries a little less than 8000 in one notice."""
_NOTIFY = text("SELECT pg_notify(:channel, told) FROM unnest(CAST(:told AS text[])) AS told")


class Notices:
    """One thread, begun with the first topic; what is committed while it tells is told together."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._changed = threading.Condition()
        self._topics: set[str] = set()
        self._thread: threading.Thread | None = None
        self._ending = False
        self.sender = 0
        """The server's number of our connection: our own notices need not wake us again."""

    def tell(self, topics: Iterable[str]) -> None:
        """Have other processes woken for these; returns at once."""
        with self._changed:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="notices", daemon=True)
                self._thread.start()
            if len(self._topics) < MAX_WAITING:
                self._topics.update(topics)
            self._changed.notify()

    def close(self) -> None:
        """Tell the rest and end."""
        with self._changed:
            self._ending = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(STOP_WITHIN_S)

    def _run(self) -> None:
        while (topics := self._next()) is not None:
            try:
                with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                    self.sender = _number_of(connection)
                    while topics:
                        connection.execute(_NOTIFY, {"channel": CHANNEL, "told": packed(topics)})
                        topics = self._next() or set()
            except (SQLAlchemyError, DriverError) as error:  # the connection's own number is asked of the driver itself
                log.warning("waking others is interrupted: %s", type(error).__name__)

    def _next(self) -> set[str] | None:
        """What is to be told, once there is something; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._topics or self._ending)
            topics, self._topics = self._topics, set()
            return topics or None


def packed(topics: Iterable[str]) -> list[str]:
    """As few notices as can hold these topics."""
    notices: list[str] = []
    room = 0
    for topic in topics:
        room -= len(topic.encode()) + 1
        if room < 0:
            notices.append(topic)
            room = MAX_NOTICE - len(topic.encode())
        else:
            notices[-1] += f"\n{topic}"
    return notices


def unpacked(notice: str) -> list[str]:
    """The topics of one notice."""
    return notice.split("\n")


def _number_of(connection: Connection) -> int:
    driver = connection.connection.driver_connection
    return int(driver.info.backend_pid) if driver is not None else 0
