"""Reports on their way to the cloud: kept until the cloud itself says that it holds them. Sends nothing.

Bounded: the oldest are dropped beyond `CAP`; nothing is lost by it, since the command's row still answers a query.
Events have a cap of their own, so that no number of them ever drops a report on a drink; those dropped are counted.
"""

import sqlite3
from collections.abc import Callable, Sequence
from typing import NamedTuple

from agent.clock import Bell
from agent.journal.sqlite_file import SqliteFile

CAP = 5_000
"""Reports. A month of a busy machine without a cloud; about 5 MB."""
EVENT_CAP = 500
"""Events. Weeks of an ordinary machine; about 200 KB."""
_EVENTS_LOST = "events_lost"
_EVENT = ""
"""Stands where a report names its command. No new table: an agent put back to an older version reads this journal."""


class Report(NamedTuple):
    """One waiting message, already encoded."""

    seq: int
    payload: bytes


class ReportQueue:
    """The queue; each addition rings the bell of the link, which then waits at the lock for the commit."""

    def __init__(self, database: SqliteFile, session: str, bell: Bell) -> None:
        """`session` begins the ids of what this run says: an older copy of the journal must not use one again."""
        self._database = database
        self._bell = bell
        self._takes_events = False
        self._session = session

    def add(self, connection: sqlite3.Connection, command_id: str, build: Callable[[str], bytes]) -> None:
        """Queue the encoded message that `build(message_id)` makes; inside the caller's transaction."""
        seq = self._insert(connection, command_id, build)
        first = connection.execute("SELECT seq FROM outgoing ORDER BY seq LIMIT 1").fetchone()[0]
        if seq - first >= CAP:
            connection.execute(
                "DELETE FROM outgoing WHERE command_id <> ? AND seq <="
                " (SELECT seq FROM outgoing WHERE command_id <> ? ORDER BY seq DESC LIMIT 1 OFFSET ?)",
                (_EVENT, _EVENT, CAP),
            )
        self._bell.ring()

    def add_event(self, connection: sqlite3.Connection, build: Callable[[str, int], bytes], unheard: int = 0) -> None:
        """Queue what `build(message_id, lost)` makes, the oldest event making room; `unheard` were lost before."""
        dropped = connection.execute(
            "DELETE FROM outgoing WHERE command_id = ? AND seq <="
            " (SELECT seq FROM outgoing WHERE command_id = ? ORDER BY seq DESC LIMIT 1 OFFSET ?)",
            (_EVENT, _EVENT, EVENT_CAP - 1),
        ).rowcount
        lost = self.events_lost + dropped + unheard
        if dropped + unheard:
            self._database.put(_EVENTS_LOST, str(lost))
        self._insert(connection, _EVENT, lambda message_id: build(message_id, lost))
        self._bell.ring()

    def forget(
        self, connection: sqlite3.Connection, command_id: str, which: Callable[[bytes], bool] = lambda _payload: True
    ) -> None:
        """Drop what waits for this command, or `which` of it, because a newer report says it all.

        One that is on its way may still arrive; it is not sent again.
        """
        waiting = connection.execute("SELECT seq, payload FROM outgoing WHERE command_id = ?", (command_id,)).fetchall()
        dropped = [(seq,) for seq, payload in waiting if which(payload)]
        connection.executemany("DELETE FROM outgoing WHERE seq = ?", dropped)

    def forget_all(self, connection: sqlite3.Connection) -> None:
        """Drop whatever waits, events too."""
        connection.execute("DELETE FROM outgoing")

    def confirm(self, message_ids: Sequence[str]) -> None:
        """The cloud holds these. Nothing waits for the disk: one that is forgotten by a power cut is told once more."""
        with self._database.relaxed() as connection:
            connection.executemany("DELETE FROM outgoing WHERE message_id = ?", [(one,) for one in message_ids])

    def after(self, seq: int, limit: int) -> list[Report]:
        """The oldest reports behind `seq`, in the order in which they happened; no events."""
        sql = "SELECT seq, payload FROM outgoing WHERE seq > ? AND command_id <> ? ORDER BY seq LIMIT ?"
        with self._database.reading() as connection:
            return [Report(*row) for row in connection.execute(sql, (seq, _EVENT, limit))]

    def events_after(self, seq: int, limit: int) -> list[Report]:
        """The oldest events behind `seq`."""
        sql = "SELECT seq, payload FROM outgoing WHERE command_id = ? AND seq > ? ORDER BY seq LIMIT ?"
        with self._database.reading() as connection:
            return [Report(*row) for row in connection.execute(sql, (_EVENT, seq, limit))]

    def payload(self, seq: int) -> bytes | None:
        """One report or event, or None when the cloud holds it meanwhile."""
        with self._database.reading() as connection:
            row = connection.execute("SELECT payload FROM outgoing WHERE seq = ?", (seq,)).fetchone()
        return bytes(row[0]) if row else None

    def count(self) -> int:
        """Reports waiting; events are no reports on a drink."""
        with self._database.reading() as connection:
            return int(connection.execute(f"SELECT {REPORTS_WAITING}").fetchone()[0])

    def count_events(self) -> int:
        with self._database.reading() as connection:
            return int(connection.execute(f"SELECT {EVENTS_WAITING}").fetchone()[0])

    @property
    def events_lost(self) -> int:
        """Events dropped at the cap since this journal began."""
        return int(self._database.get(_EVENTS_LOST) or 0)

    @property
    def takes_events(self) -> bool:
        """Whether the cloud has said, on this connection, that it stores events."""
        return self._takes_events

    @takes_events.setter
    def takes_events(self, taken: bool) -> None:
        is_news, self._takes_events = taken and not self._takes_events, taken
        if is_news:
            self._bell.ring()

    def _insert(self, connection: sqlite3.Connection, command_id: str, build: Callable[[str], bytes]) -> int:
        cursor = connection.execute("INSERT INTO outgoing (command_id, payload) VALUES (?, x'')", (command_id,))
        seq = int(cursor.lastrowid or 0)
        message_id = f"{self._session}-{seq}"
        connection.execute(
            "UPDATE outgoing SET message_id = ?, payload = ? WHERE seq = ?", (message_id, build(message_id), seq)
        )
        return seq


REPORTS_WAITING = "count(*) FROM outgoing WHERE command_id <> ''"
EVENTS_WAITING = "count(*) FROM outgoing WHERE command_id = ''"
"""For programs that only look at the journal, too."""
