"""Rows of commands and their history as they are written: inserted once, moved from state to state, each move noted."""

import sqlite3
from typing import Any

import msgspec

from agent.clock import Clock
from agent.journal.command_queries import CommandQueries
from agent.journal.memory import Memory
from agent.journal.records import STATE_OF, Command, CommandState, Verdict
from agent.journal.sales_block import SalesBlock
from agent.journal.sqlite_file import SqliteFile


class CommandTable(CommandQueries):
    """Raises `JournalFailed` everywhere. Every write is a transaction, or part of the caller's."""

    def __init__(self, database: SqliteFile, sales_block: SalesBlock, memory: Memory, clock: Clock) -> None:
        super().__init__(database, sales_block)
        self.memory = memory
        self.session = memory.session
        """This run of the agent."""
        self.transaction = database.transaction
        self.log_after_commit = database.log_after_commit
        self._clock = clock

    def insert_row(self, command_id: str, order_id: str, state: CommandState, note: str, **columns: Any) -> int:
        """The new row's place among all there ever were, those forgotten since a person last looked included."""
        now = self._clock.wall().isoformat()
        columns |= {
            "command_id": command_id,
            "order_id": order_id,
            "state": state,
            "session": self.session,
            "received_at": now,
            "received_mono": self._clock.monotonic(),
        } | (self.sent_now() if state is CommandState.SENT else {})
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        with self.transaction() as connection:
            connection.execute(
                f"INSERT INTO command ({names}, place)"  # noqa: S608  (our own column names)
                f" VALUES ({marks}, (SELECT max(coalesce(max(place), 0), ?) + 1 FROM command))",
                (*columns.values(), self.sales_block.resumed_after),
            )
            self.add_history(connection, command_id, state, note)
            return int(connection.execute("SELECT max(place) FROM command").fetchone()[0])

    def advance(
        self, command_id: str, to: CommandState, allowed: tuple[CommandState, ...], note: str = "", **columns: Any
    ) -> bool:
        """False when it is in none of the states from which it may come."""
        sets = "".join(f", {name} = ?" for name in columns)
        marks = ", ".join("?" * len(allowed))
        with self.transaction() as connection:
            cursor = connection.execute(
                f"UPDATE command SET state = ?{sets} WHERE command_id = ? AND state IN ({marks})",  # noqa: S608  (ours)
                (to, *columns.values(), command_id, *allowed),
            )
            if cursor.rowcount:
                self.add_history(connection, command_id, to, note)
            return bool(cursor.rowcount)

    def write_verdict(self, connection: sqlite3.Connection, command: Command, verdict: Verdict) -> None:
        state = STATE_OF[verdict.result]
        connection.execute(
            "UPDATE command SET state = ?, result = ?, code = ?, out = ?, evidence = ?, revision = ?,"
            " finished_at = ?, finished_session = ?, finished_second = ? WHERE command_id = ?",
            (
                state,
                verdict.result,
                verdict.code,
                verdict.out,
                msgspec.json.encode(verdict.evidence).decode(),
                command.revision_of(verdict),
                self._clock.wall().isoformat(),
                *self.memory.stamp(),
                command.command_id,
            ),
        )
        self.add_history(connection, command.command_id, state, verdict.code or verdict.evidence.rule)

    def add_history(self, connection: sqlite3.Connection, command_id: str, state: str, note: str) -> None:
        now = (self._clock.wall().isoformat(), self._clock.monotonic())
        connection.execute("INSERT INTO history VALUES (?, ?, ?, ?, ?)", (command_id, state, *now, note))

    def sent_now(self) -> dict[str, Any]:
        """The columns that say when it was sent, for as long as anybody may ask."""
        session, second = self.memory.stamp()
        return {"sent_at": self._clock.wall().isoformat(), "sent_session": session, "sent_second": second}
