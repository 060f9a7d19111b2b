"""Reports on their way to the cloud: kept until the cloud itself says that it holds them. Sends nothing.

Bounded: the oldest are dropped beyond `CAP`; nothing is lost by it, since the command's row still answers a query.
"""

import sqlite3
from collections.abc import Callable, Sequence
from typing import NamedTuple

from agent.clock import Bell
from agent.database import Database

CAP = 5_000
"""A month of a busy machine without a cloud; about 5 MB."""
_JOURNAL_ID = "journal_id"


class Report(NamedTuple):
    """One waiting message, already encoded."""

    seq: int
    payload: bytes


class Outgoing:
    """The queue; each addition rings the bell of whoever publishes (who then waits at the lock for the commit)."""

    def __init__(self, database: Database, new_id: Callable[[], str], bell: Bell) -> None:
        self._database = database
        self._bell = bell
        self.journal_id = database.get(_JOURNAL_ID) or new_id()
        database.put(_JOURNAL_ID, self.journal_id)

    def add(self, connection: sqlite3.Connection, command_id: str, build: Callable[[str], bytes]) -> None:
        """Queue the encoded message that `build(message_id)` makes; inside the caller's transaction."""
        cursor = connection.execute("INSERT INTO outgoing (command_id, payload) VALUES (?, x'')", (command_id,))
        seq = cursor.lastrowid
        message_id = f"{self.journal_id}-{seq}"
        connection.execute(
            "UPDATE outgoing SET message_id = ?, payload = ? WHERE seq = ?",
            (message_id, build(message_id), seq),
        )
        connection.execute("DELETE FROM outgoing WHERE seq <= ? - ?", (seq, CAP))
        self._bell.ring()

    def forget(self, connection: sqlite3.Connection, command_id: str) -> None:
        """Drop what waits for this command, because a newer report says it all."""
        connection.execute("DELETE FROM outgoing WHERE command_id = ?", (command_id,))

    def confirm(self, message_ids: Sequence[str]) -> None:
        """The cloud holds these."""
        with self._database.write() as connection:
            connection.executemany("DELETE FROM outgoing WHERE message_id = ?", [(one,) for one in message_ids])

    def after(self, seq: int, limit: int) -> list[Report]:
        """The oldest reports behind `seq`, in the order in which they happened."""
        sql = "SELECT seq, payload FROM outgoing WHERE seq > ? ORDER BY seq LIMIT ?"
        with self._database.read() as connection:
            return [Report(*row) for row in connection.execute(sql, (seq, limit))]

    def payload(self, seq: int) -> bytes | None:
        """One report, or None when the cloud holds it meanwhile."""
        with self._database.read() as connection:
            row = connection.execute("SELECT payload FROM outgoing WHERE seq = ?", (seq,)).fetchone()
        return bytes(row[0]) if row else None

    def count(self) -> int:
        with self._database.read() as connection:
            return int(connection.execute("SELECT count(*) FROM outgoing").fetchone()[0])
