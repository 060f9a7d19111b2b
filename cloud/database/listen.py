"""Carries wake-ups between processes: PostgreSQL NOTIFY, or SQLite's change counter. Polling stays the truth.

Keeps the process's time by the database's as well.
"""

import contextlib
import logging
import sqlite3
import threading
import time

import psycopg
from sqlalchemy.exc import SQLAlchemyError

from cloud.database import postgresql
from cloud.database.clock import MEASURED_EVERY_S
from cloud.database.database import Database
from cloud.database.notify import CHANNEL, Notifier, unpacked

log = logging.getLogger("cloud.database.listen")

SQLITE_LOOK_S = 0.01
"""Reading the counter costs microseconds; it matters only when web and worker are two processes on one SQLite file."""
SQLITE_RESTING_LOOK_S = 0.25
"""When nobody has changed anything for a while."""
RESTS_AFTER_S = 1.0
RECONNECT_S = 2.0
LISTEN_SLICE_S = 1.0
PROVED_EVERY_S = 15.0
"""A notice of our own must come back to us: a server left behind by a failover stays silent, and a pooler always."""
PROOF_WITHIN_S = 5.0
NOT_HEARD_S = 300.0
"""Through a pooler that carries no notices it is tried again this rarely."""


class NotHeard(Exception):
    """Our own notice did not come back."""

    def __init__(self, is_pooled: bool) -> None:
        super().__init__(
            "notices do not come through this pooler, changes are found by polling: COFFEE_DATABASE_LISTEN_URL"
            if is_pooled
            else "no notice comes from the database any more, listening anew"
        )
        self.is_pooled = is_pooled
        """Nor ever will: a pooler stands between, and none came yet."""


class ChangeListener:
    """Wakes this process's waiters for what other processes commit."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stopping = threading.Event()
        notifier = database.notifier
        look = self._watch_sqlite if notifier is None else lambda: self._watch_postgresql(notifier)
        self._thread = threading.Thread(target=look, name="database-listen", daemon=True)
        self._ask_time_at = 0.0
        self._has_complained = False
        self._hearing = threading.Event()

    def start(self) -> None:
        """Start listening."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening."""
        self._stopping.set()
        self._thread.join(RECONNECT_S + LISTEN_SLICE_S + 1)

    def wait_hearing(self, timeout: float) -> bool:
        """True once what others commit is known to be heard."""
        return self._hearing.wait(timeout)

    def _set_notified(self, hears: bool) -> None:
        self._database.wakeups.are_notified = hears
        if hears:
            self._hearing.set()

    # SQLite

    def _watch_sqlite(self) -> None:
        path = self._database.url.database or ""
        while not self._stopping.is_set():
            try:
                self._look(path)
            except (sqlite3.Error, SQLAlchemyError) as error:
                log.warning("waking by the database is interrupted: %s", error)
                self._set_notified(False)
                self._stopping.wait(RECONNECT_S)

    def _look(self, path: str) -> None:
        """Watch the file's version. Our own commits, seen as well, wake nobody: the woken would only commit again."""
        self._database.changed_elsewhere()
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            seen, changed_at, pause = None, time.monotonic(), SQLITE_LOOK_S
            while not self._stopping.wait(pause):
                now = connection.execute("PRAGMA data_version").fetchone()
                if now != seen and (self._database.changed_elsewhere() or seen is None):
                    changed_at = time.monotonic()
                    self._database.wakeups.wake_all()
                seen = now
                self._set_notified(True)
                pause = SQLITE_LOOK_S if time.monotonic() - changed_at < RESTS_AFTER_S else SQLITE_RESTING_LOOK_S

    # PostgreSQL

    def _watch_postgresql(self, notifier: Notifier) -> None:
        while not self._stopping.is_set():
            pause = RECONNECT_S
            try:
                self._listen(notifier)
            except NotHeard as error:
                pause = NOT_HEARD_S if error.is_pooled else RECONNECT_S
                log.warning(str(error))
            except (psycopg.Error, SQLAlchemyError) as error:
                log.warning("waking by the database is interrupted: %s", type(error).__name__)
            self._set_notified(False)
            self._database.wakeups.wake_all()
            self._rest(pause)

    def _listen(self, notifier: Notifier) -> None:
        with contextlib.closing(postgresql.listener(self._database.listen_url)) as connection:
            connection.execute(f"LISTEN {CHANNEL}")
            self._database.wakeups.wake_all()
            proof = _Proof(notifier, connection)
            while not self._stopping.is_set():
                self._keep_time()
                proof.look()
                for notice in connection.notifies(timeout=LISTEN_SLICE_S):
                    sender, topics = unpacked(notice.payload)
                    if sender == notifier.sender:
                        proof.came()
                        self._set_notified(True)
                    self._database.wakeups.wake(topics if sender != notifier.sender else ())
                    if self._stopping.is_set():
                        return

    def _rest(self, seconds: float) -> None:
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0 and not self._stopping.wait(min(left, LISTEN_SLICE_S)):
            self._keep_time()

    def _keep_time(self) -> None:
        """Ask the server for the time now and then; a process that cannot ask goes by the time it knows."""
        if time.monotonic() < self._ask_time_at:
            return
        self._ask_time_at = time.monotonic() + MEASURED_EVERY_S
        with contextlib.suppress(SQLAlchemyError):
            self._database.set_clock()
        complaint = self._database.clock.complaint()
        if complaint and not self._has_complained:
            log.warning("%s; ours go by the database's", complaint)
        self._has_complained = bool(complaint)


class _Proof:
    """Whether what is told in the database arrives at this connection. Raises `NotHeard`."""

    def __init__(self, notifier: Notifier, connection: postgresql.Unlimited) -> None:
        self._notifier = notifier
        self._connection = connection
        self._is_pooled = connection.is_pooled
        self._asked_at: float | None = None
        self._due_at = time.monotonic()

    def look(self) -> None:
        now = time.monotonic()
        if self._asked_at is None and now >= self._due_at:
            self._notifier.prove()
            self._asked_at = now
        elif self._asked_at is not None and now - self._asked_at > PROOF_WITHIN_S:
            with contextlib.suppress(psycopg.Error):
                self._connection.execute("UNLISTEN *")  # the session may be somebody else's next
            raise NotHeard(self._is_pooled)

    def came(self) -> None:
        self._asked_at, self._due_at, self._is_pooled = None, time.monotonic() + PROVED_EVERY_S, False
