"""The agent's durable memory: one row a command, from received to finished, each state committed before its act.

Decides nothing about drinks; guards only the order of states and that nothing said is taken back wrongly.
"""

import sqlite3
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from agent import breaker, reports
from agent.chronicle import Chronicle
from agent.clock import Bell, Clock
from agent.database import Database
from agent.outgoing import Outgoing
from agent.records import FINISHED, STATE_OF, UNSETTLED, Command, CommandState, Snapshot, Step, Verdict
from agent.rows import read_command, steps
from agent.standing import FORGOTTEN_FOR, Standing
from protocol.messages import Make
from protocol.reasons import DoubtCode, Happening, Result

KEEP_COMMANDS = 10_000
"""A finished command of which nothing waits to be sent is forgotten beyond this count, or after `FORGOTTEN_FOR`."""
PRUNE_EVERY = 500
"""New commands between two looks at what may be forgotten: a flood cannot outgrow the disk in a day."""
MAX_NOTES = 64
"""Lines of a command's history beyond which a mere note is not added."""


class Journal:
    """Commands and their history, and the words that outlive a restart. Safe to share between threads."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        new_id: Callable[[], str],
        reported_at: Callable[[], datetime],
        outgoing_bell: Bell,
    ) -> None:
        self.outgoing = Outgoing(database, new_id, outgoing_bell)
        self.session = new_id()
        """This run of the agent."""
        self._database = database
        self._clock = clock
        self._reported_at = reported_at
        self._cancels: set[str] = set()
        self.transaction = database.write
        self.standing = Standing(database, clock)
        self.chronicle = Chronicle(self.outgoing, database, clock, reported_at)
        if database.damaged:
            self.chronicle.tell(Happening.JOURNAL_LOST, words=f"put aside as {database.damaged}")

    @classmethod
    def open(
        cls,
        folder: Path,
        clock: Clock,
        new_id: Callable[[], str],
        reported_at: Callable[[], datetime],
        outgoing_bell: Bell,
    ) -> "Journal":
        """`reported_at` gives the time that reports carry. Raises `JournalFailed`."""
        return cls(Database.open(folder, clock.wall()), clock, new_id, reported_at, outgoing_bell)

    def close(self) -> None:
        self._database.close()

    # What the whole agent remembers

    @property
    def failure(self) -> str:
        """Why the last commit failed, or ""."""
        return self._database.failure

    @property
    def is_damaged(self) -> bool:
        """Found damaged while in use: only a new start, which puts it aside, helps."""
        return self._database.is_damaged

    def stopped(self) -> str:
        """Why nothing may be sold now, or ""."""
        return self.standing.why_stopped()

    def may_have_forgotten(self) -> bool:
        """True after a damaged journal: "I never had this command" would be a guess."""
        return self.standing.may_have_forgotten()

    def stop_selling(self, reason: str) -> None:
        """Until a person has looked."""
        self.standing.stop_selling(reason)

    def resume_selling(self) -> None:
        """A person has looked at the machine."""
        with self.transaction() as connection:
            last = connection.execute("SELECT coalesce(max(place), 0) FROM command").fetchone()[0]
            self.standing.resume_selling(int(last))

    def accept_loss(self) -> None:
        """A person has decided to go on without what the damaged journal knew."""
        self.standing.accept_loss()

    def prove_writable(self) -> None:
        """Raises `JournalFailed` while there is no room for a command and its reports."""
        self.standing.prove_writable()

    # Commands, to look at

    def get(self, command_id: str) -> Command | None:
        return next(iter(self._commands("command_id = ?", command_id)), None)

    def of_order(self, order_id: str) -> list[Command]:
        """Every command of an order, newest first."""
        return self._commands("order_id = ? ORDER BY place DESC", order_id)

    def received(self) -> list[Command]:
        """Commands not begun, oldest first."""
        return self._in((CommandState.RECEIVED,))

    def begun(self) -> list[Command]:
        """Commands with intent and no byte sent: only a crash leaves them."""
        return self._in((CommandState.INTENT,))

    def unsettled(self) -> list[Command]:
        """Commands the machine may be pouring, oldest first."""
        return self._in(UNSETTLED)

    def doubtful(self, since: datetime) -> list[Command]:
        """Commands finished as unknown since then, oldest first."""
        return self._commands("state = ? AND finished_at > ? ORDER BY place", CommandState.UNKNOWN, since.isoformat())

    def sent_for(self, order_id: str) -> Command | None:
        """The command whose bytes the machine may have seen last for this order."""
        return next((command for command in self.of_order(order_id) if command.was_sent), None)

    def sent_after(self, command: Command) -> int:
        """How many makes went out after this one."""
        later = "place > (SELECT place FROM command WHERE command_id = ?)"
        sql = f"SELECT count(*) FROM command WHERE sent_at IS NOT NULL AND {later}"  # noqa: S608  (our own words)
        with self._database.read() as connection:
            return int(connection.execute(sql, (command.command_id,)).fetchone()[0])

    def last_sent(self) -> Command | None:
        """The newest command the machine may have seen since a person last looked at it."""
        after = str(self.standing.resumed_after)
        found = self._commands("sent_at IS NOT NULL AND place > CAST(? AS INTEGER) ORDER BY place DESC LIMIT 1", after)
        return next(iter(found), None)

    def history(self, command_id: str) -> list[Step]:
        with self._database.read() as connection:
            return steps(connection, command_id)

    def is_cancel_asked(self, command_id: str) -> bool:
        return command_id in self._cancels

    # Commands, moved on

    def insert(self, make: Make, state: CommandState, note: str = "") -> None:
        """A command seen for the first time."""
        self._insert(
            make.command_id,
            make.order_id,
            state,
            note,
            drink_no=make.drink_no,
            size=int(make.size),
            price=make.price,
            issued_at=make.issued_at.isoformat(),
            deadline_at=make.deadline_at.isoformat(),
        )

    def insert_bare(self, command_id: str, order_id: str, state: CommandState, note: str) -> None:
        """A command that was only asked about."""
        self._insert(command_id, order_id, state, note, drink_no="", size=0, price=0)

    def ask_cancel(self, command_id: str) -> None:
        """Whoever is driving this command finds it here."""
        self._cancels.add(command_id)

    def drop_cancel(self, command_id: str) -> None:
        """The wish was passed on, or came too late."""
        self._cancels.discard(command_id)

    def intend(self, command_id: str, snapshot: Snapshot) -> bool:
        """False when it was taken back meanwhile."""
        kept = msgspec.json.encode(snapshot).decode()
        return self._advance(command_id, CommandState.INTENT, (CommandState.RECEIVED,), snapshot=kept)

    def mark_sent(self, command_id: str) -> bool:
        """Commit this, then write the bytes. False when it was taken back meanwhile."""
        with self.transaction():
            if command_id in self._cancels:
                return False
            now = self._clock.wall().isoformat()
            return self._advance(command_id, CommandState.SENT, (CommandState.INTENT,), sent_at=now)

    def mark_resent(self, command_id: str) -> bool:
        """Commit this, then write the same bytes again. False the second time: once only."""
        with self.transaction():
            command = self.get(command_id)
            if command is None or command.resent:
                return False
            return self._advance(command_id, command.state, (command.state,), "sent again", resent=1)

    def mark_accepted(self, command_id: str, note: str = "") -> None:
        """The machine has taken it; queued for the cloud."""
        with self.transaction() as connection:
            if self._advance(command_id, CommandState.ACCEPTED, (CommandState.SENT,), note):
                self._report_accepted(connection, command_id)

    def mark_brewing(self, command_id: str) -> None:
        """Something moves; a verdict that was lost on the way is thereby known."""
        with self.transaction():
            self.mark_accepted(command_id, "seen by its progress")
            self._advance(command_id, CommandState.BREWING, (CommandState.ACCEPTED,))

    def finish(self, command_id: str, verdict: Verdict) -> bool:
        """Commit the outcome and queue it; a later truth becomes a new revision. False when it changes nothing."""
        with self.transaction() as connection:
            command = self.get(command_id)
            if command is None or not command.would_correct(verdict):
                return False
            self._write_verdict(connection, command, verdict)
            self._report_outcome(connection, command_id)
            self._stop_if_unknown(verdict)
        self._cancels.discard(command_id)
        return True

    def note(self, command_id: str, note: str) -> None:
        """A line in the history, without a new state."""
        with self.transaction() as connection:
            command = self.get(command_id)
            if command is not None and len(steps(connection, command_id)) < MAX_NOTES:
                self._remember(connection, command_id, command.state, note)

    def report_again(self, command: Command) -> None:
        """Queue the latest word on this command anew, in place of what waits for it."""
        with self.transaction() as connection:
            self.outgoing.forget(connection, command.command_id)
            if command.is_finished:
                self._report_outcome(connection, command.command_id)
            elif command.state in (CommandState.ACCEPTED, CommandState.BREWING):
                self._report_accepted(connection, command.command_id)

    def prune(self) -> None:
        """Forget what is finished, reported, and old or beyond the count."""
        before = (self._clock.wall() - FORGOTTEN_FOR).isoformat()
        marks = ", ".join("?" * len(FINISHED))
        with self.transaction() as connection:
            connection.execute(
                f"DELETE FROM command WHERE state IN ({marks})"  # noqa: S608  (only question marks are put in)
                " AND (finished_at < ? OR place <= (SELECT max(place) FROM command) - ?)"
                " AND command_id NOT IN (SELECT command_id FROM outgoing)",
                (*FINISHED, before, KEEP_COMMANDS),
            )

    # Within

    def _in(self, states: Iterable[CommandState]) -> list[Command]:
        found: list[Command] = []
        for state in states:
            found += self._commands("state = ? ORDER BY place", state)
        return found

    def _commands(self, where: str, *values: str) -> list[Command]:
        with self._database.read() as connection:
            rows = connection.execute(f"SELECT * FROM command WHERE {where}", values)  # noqa: S608  (our own words)
            return [read_command(row) for row in rows]

    def _insert(self, command_id: str, order_id: str, state: CommandState, note: str, **columns: Any) -> None:
        now = self._clock.wall().isoformat()
        columns |= {
            "command_id": command_id,
            "order_id": order_id,
            "state": state,
            "session": self.session,
            "received_at": now,
            "received_mono": self._clock.monotonic(),
            "sent_at": now if state is CommandState.SENT else None,
        }
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        with self.transaction() as connection:
            connection.execute(
                f"INSERT INTO command ({names}, place)"  # noqa: S608  (our own column names)
                f" VALUES ({marks}, (SELECT coalesce(max(place), 0) + 1 FROM command))",
                tuple(columns.values()),
            )
            self._remember(connection, command_id, state, note)
            if connection.execute("SELECT max(place) FROM command").fetchone()[0] % PRUNE_EVERY == 0:
                self.prune()

    def _advance(
        self, command_id: str, to: CommandState, allowed: tuple[CommandState, ...], note: str = "", **columns: Any
    ) -> bool:
        sets = "".join(f", {name} = ?" for name in columns)
        marks = ", ".join("?" * len(allowed))
        with self.transaction() as connection:
            cursor = connection.execute(
                f"UPDATE command SET state = ?{sets} WHERE command_id = ? AND state IN ({marks})",  # noqa: S608  (ours)
                (to, *columns.values(), command_id, *allowed),
            )
            if cursor.rowcount:
                self._remember(connection, command_id, to, note)
            return bool(cursor.rowcount)

    def _remember(self, connection: sqlite3.Connection, command_id: str, state: str, note: str) -> None:
        now = (self._clock.wall().isoformat(), self._clock.monotonic())
        connection.execute("INSERT INTO history VALUES (?, ?, ?, ?, ?)", (command_id, state, *now, note))

    def _write_verdict(self, connection: sqlite3.Connection, command: Command, verdict: Verdict) -> None:
        state = STATE_OF[verdict.result]
        connection.execute(
            "UPDATE command SET state = ?, result = ?, code = ?, out = ?, evidence = ?, revision = revision + 1,"
            " finished_at = ? WHERE command_id = ?",
            (
                state,
                verdict.result,
                verdict.code,
                verdict.out,
                msgspec.json.encode(verdict.evidence).decode(),
                self._clock.wall().isoformat(),
                command.command_id,
            ),
        )
        self._remember(connection, command.command_id, state, verdict.code or verdict.evidence.rule)

    def _report_accepted(self, connection: sqlite3.Connection, command_id: str) -> None:
        command, at = self._known(command_id), self._reported_at()
        self.outgoing.add(connection, command_id, lambda message_id: reports.accepted(message_id, command, at))

    def _report_outcome(self, connection: sqlite3.Connection, command_id: str) -> None:
        command, at, history = self._known(command_id), self._reported_at(), steps(connection, command_id)
        verdict = command.verdict
        if verdict is not None:
            self.outgoing.add(
                connection,
                command_id,
                lambda message_id: reports.outcome(message_id, command, verdict, history, at),
            )

    def _stop_if_unknown(self, verdict: Verdict) -> None:
        if verdict.result is not Result.UNKNOWN or self.standing.is_stopped or verdict.code == DoubtCode.UNOBSERVABLE:
            return
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT finished_at, result FROM command"
                " WHERE sent_at IS NOT NULL AND result IS NOT NULL AND code <> ? AND place > ?"
                " ORDER BY place DESC LIMIT ?",
                (DoubtCode.UNOBSERVABLE, self.standing.resumed_after, breaker.LOOK_BACK),
            )
            outcomes = [(datetime.fromisoformat(at), Result(result)) for at, result in rows]
        reason = breaker.why_stop(outcomes, self._clock.wall())
        if reason:
            self.stop_selling(reason)

    def _known(self, command_id: str) -> Command:
        command = self.get(command_id)
        if command is None:
            raise KeyError(command_id)
        return command
