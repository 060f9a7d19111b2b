"""Carries wake-ups between processes: PostgreSQL NOTIFY, or SQLite's change counter. Polling stays the truth."""

import contextlib
import logging
import sqlite3
import threading

import psycopg

from cloud.db import Database
from cloud.notices import CHANNEL, unpacked

log = logging.getLogger("cloud.watch")

SQLITE_LOOK_S = 0.01
"""Reading the counter costs microseconds; it matters only when web and worker are two processes on one SQLite file."""
RECONNECT_S = 2.0
LISTEN_SLICE_S = 1.0


class Watch:
    """Rings this process's bell for what other processes commit."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stopping = threading.Event()
        look = self._watch_sqlite if database.is_sqlite else self._watch_postgresql
        self._thread = threading.Thread(target=look, name="watch", daemon=True)

    def start(self) -> None:
        """Begin watching."""
        self._thread.start()

    def stop(self) -> None:
        """End watching."""
        self._stopping.set()
        self._thread.join(RECONNECT_S + LISTEN_SLICE_S + 1)

    def _watch_sqlite(self) -> None:
        path = self._database.url.database or ""
        while not self._stopping.is_set():
            try:
                self._look(path)
            except sqlite3.Error as error:
                log.warning("waking by the database is interrupted: %s", error)
                self._stopping.wait(RECONNECT_S)

    def _look(self, path: str) -> None:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            seen = None
            while not self._stopping.wait(SQLITE_LOOK_S):
                now = connection.execute("PRAGMA data_version").fetchone()
                if seen is not None and now != seen:
                    self._database.bell.ring_all()
                seen = now

    def _watch_postgresql(self) -> None:
        url = self._database.url.set(drivername="postgresql").render_as_string(hide_password=False)
        while not self._stopping.is_set():
            try:
                self._listen(url)
            except psycopg.Error as error:
                log.warning("waking by the database is interrupted: %s", type(error).__name__)
                self._database.bell.ring_all()
                self._stopping.wait(RECONNECT_S)

    def _listen(self, url: str) -> None:
        own = self._database.notices
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"LISTEN {CHANNEL}")
            self._database.bell.ring_all()
            while not self._stopping.is_set():
                for notice in connection.notifies(timeout=LISTEN_SLICE_S):
                    if own is None or notice.pid != own.sender:
                        self._database.bell.ring(unpacked(notice.payload))
                    if self._stopping.is_set():
                        return
