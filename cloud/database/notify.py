"""Tells other processes what was committed here: PostgreSQL NOTIFY, after the commit, by a thread of its own.

Inside the transaction it would cost each a round trip and a lock that all share. What is lost here costs a poll.
"""

import logging
import threading
import uuid
from collections.abc import Iterable

from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

log = logging.getLogger("cloud.database.notify")

CHANNEL = "coffee_relay"
MAX_WAITING = 10_000
"""Topics not told yet; beyond it whoever waits for the rest finds it by polling."""
STOP_WITHIN_S = 5.0
MAX_NOTICE = 7_900
"""Bytes: PostgreSQL carries a little less than 8000 in one notice."""
_NOTIFY = text("SELECT pg_notify(:channel, told) FROM unnest(CAST(:told AS text[])) AS told")
_SENT_BY = "@"


class Notifier:
    """One thread, begun with the first topic; what is committed while it tells is told together.

    `engine` commits each statement by itself.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._changed = threading.Condition()
        self._topics: set[str] = set()
        self._thread: threading.Thread | None = None
        self._ending = False
        self._is_proving = False
        self.sender = uuid.uuid4().hex
        """Names this process: our own notices need not wake us again."""

    def send(self, topics: Iterable[str]) -> None:
        """Have other processes woken for these; returns at once."""
        with self._changed:
            if len(self._topics) < MAX_WAITING:
                self._topics.update(topics)
            self._go_on()

    def prove(self) -> None:
        """Send a notice that wakes nobody: a process that hears it hears the others."""
        with self._changed:
            self._is_proving = True
            self._go_on()

    def close(self) -> None:
        """Tell the rest and end."""
        with self._changed:
            self._ending = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(STOP_WITHIN_S)

    def _go_on(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="database-notify", daemon=True)
            self._thread.start()
        self._changed.notify()

    def _run(self) -> None:
        while (topics := self._next()) is not None:
            try:
                with self._engine.connect() as connection:
                    connection.execute(_NOTIFY, {"channel": CHANNEL, "told": packed(self.sender, topics)})
            except SQLAlchemyError as error:
                log.warning("waking others is interrupted: %s", type(error).__name__)

    def _next(self) -> set[str] | None:
        """What is to be told, once there is something; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._topics or self._is_proving or self._ending)
            topics, self._topics = self._topics, set()
            is_proof, self._is_proving = self._is_proving, False
            return topics if topics or is_proof else None


def packed(sender: str, topics: Iterable[str]) -> list[str]:
    """As few notices as can hold these topics, one at least; each names its sender."""
    head = f"{_SENT_BY}{sender}"
    notices = [head]
    room = MAX_NOTICE - len(head.encode())
    for topic in topics:
        room -= len(topic.encode()) + 1
        if room < 0:
            notices.append(head)
            room = MAX_NOTICE - len(head.encode()) - len(topic.encode()) - 1
        notices[-1] += f"\n{topic}"
    return notices


def unpacked(notice: str) -> tuple[str, list[str]]:
    """Return the sender of a notice (empty: a program of an earlier version), and its topics."""
    head, *topics = notice.split("\n")
    return (head.removeprefix(_SENT_BY), topics) if head.startswith(_SENT_BY) else ("", [head, *topics])
