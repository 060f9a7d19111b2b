"""The agent's durable memory: one row a command, from received to finished, each state committed before its act.

Decides nothing about drinks; guards only the order of states and that nothing said is taken back wrongly.
"""

import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET

from agent.clock import Bell, Clock, CloudClock
from agent.journal import report_message
from agent.journal.command_queries import AGE
from agent.journal.command_requests import CommandRequests
from agent.journal.command_table import CommandTable
from agent.journal.event_log import EventLog
from agent.journal.fault_memory import FaultMemory
from agent.journal.memory import FORGOTTEN_FOR_S, Absence, Memory
from agent.journal.records import CERTAIN, FINISHED, Command, CommandState, Snapshot, Verdict, Word, refused
from agent.journal.report_queue import ReportQueue
from agent.journal.rows import steps
from agent.journal.sales_block import SalesBlock
from agent.journal.sqlite_file import SqliteFile
from protocol.messages import Asked, Cancel, Make
from protocol.reasons import AgentCode, EventKind

KEEP_COMMANDS = 10_000
"""A finished command of which nothing waits to be sent is forgotten beyond this count, or after `FORGOTTEN_FOR_S`."""
PRUNE_EVERY = 500
"""New commands between two looks at what may be forgotten: a flood cannot outgrow the disk in a day."""
MAX_NOTES = 64
"""Lines of a command's history beyond which a mere note is not added."""
_DEVICE = "device_uuid"
log = logging.getLogger(__name__)


class Journal(CommandTable):
    """Commands and their history, and the words that outlive a restart. Safe to share between threads."""

    def __init__(
        self,
        database: SqliteFile,
        clock: Clock,
        new_id: Callable[[], str],
        cloud: CloudClock,
        report_bell: Bell,
    ) -> None:
        memory = Memory(database, clock, cloud, session=new_id())
        super().__init__(database, SalesBlock(database, clock), memory, clock)
        self.report_queue = ReportQueue(database, self.session, report_bell)
        self.requests = CommandRequests()
        self.device_uuid = ""
        """The device it belongs to."""
        self.was_of = ""
        """The device it belonged to until this start; "" in a new one, or where an older agent did not write it."""
        self._cloud = cloud
        self._reported_at = cloud.best
        self.faults = FaultMemory(self.sales_block, clock)
        self.event_log = EventLog(self.report_queue, database, clock, cloud.best)
        if database.damaged:
            self.event_log.record_event(EventKind.JOURNAL_LOST, words=f"put aside as {database.damaged}")

    @classmethod
    def open(
        cls,
        folder: Path,
        device_uuid: str,
        clock: Clock,
        new_id: Callable[[], str],
        cloud: CloudClock,
        report_bell: Bell,
    ) -> "Journal":
        """Raises `JournalFailed`."""
        journal = cls(SqliteFile.open(folder, clock.wall()), clock, new_id, cloud, report_bell)
        journal.belong_to(device_uuid)
        return journal

    def belong_to(self, device_uuid: str) -> None:
        """Of another device's machine what this journal saw and counted proves nothing, nor may it speak for it.

        What is not certain of its commands only that machine could tell: it is forgotten.
        """
        before = self._database.get(_DEVICE)
        self.device_uuid, self.was_of = device_uuid, before
        if before == device_uuid:
            return
        with self.transaction() as connection:
            if before:
                self.memory.forget_runs(connection)
                self.report_queue.forget_all(connection)
                self.sales_block.begin_anew()
                self.memory.forget(connection, f"state NOT IN ({', '.join('?' * len(CERTAIN))})", *CERTAIN)
                self.log_after_commit(
                    log.warning, "this journal was %s's; begun anew for %s", before, device_uuid, extra={}
                )
            self._database.put(_DEVICE, device_uuid)

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

    # Unrecorded commands

    def mark_unrecorded(self, command: Command) -> bool:
        """Count a make from before our memory as sent, so that the machine is asked first. True when it was one."""
        if command.unrecorded_code or command.issued_at is None or command.state is not CommandState.RECEIVED:
            return False
        now = self._cloud.now()  # our own wall clock proves nothing
        absence = self.memory.absence(command.issued_at, command.deadline_at, now)
        if absence is Absence.NEVER_CAME or self.memory.had_begun(command.session, command.issued_at, now):
            return False
        return self.count_as_sent(command, absence.value)

    def count_as_sent(self, command: Command, why: str) -> bool:
        """Have it settled by what the machine says. False when it was taken back meanwhile."""
        sent = {"doubted": AgentCode.EXPIRED} | self.sent_now()
        return self.advance(command.command_id, CommandState.SENT, (CommandState.RECEIVED,), why, **sent)

    def existed_at_issue(self, command: Command) -> bool:
        """Was this journal there when the command was issued?"""
        absence = self.memory.absence(command.issued_at, command.deadline_at, self._cloud.now())
        return absence is not Absence.BEFORE

    def begin_again(self, command: Command) -> bool:
        """Undo `count_as_sent`: it was never sent, and waits its turn like any other."""
        unsent = {"sent_at": None, "sent_session": None, "sent_second": None}
        note = "it had not been sent before"
        return self.advance(command.command_id, CommandState.RECEIVED, (CommandState.SENT,), note, **unsent)

    def elapsed(self, command: Command) -> float:
        """Seconds that have certainly passed since it was sent, by what the journal knows of it now."""
        row = self.get(command.command_id) or command
        return self.memory.at_least(row.sent)

    def questions(self) -> list[Command]:
        """What the machine is to be asked about, though it is told already."""
        asked = (self.get(command_id) for command_id in self.requests.asked_about())
        return [command for command in asked if command is not None and command.is_finished]

    # Commands, moved on

    def insert_command(self, make: Make, state: CommandState) -> None:
        """A command seen for the first time."""
        self._insert(
            make.command_id,
            make.order_id,
            state,
            note="",
            drink_no=make.drink_no,
            size=int(make.size),
            price=make.price,
            issued_at=make.issued_at.isoformat(),
            deadline_at=make.deadline_at.isoformat(),
        )

    def refuse_unseen(self, named: Asked | Cancel, code: str, rule: str) -> None:
        """A command that never came is refused from now on; of what may be older the machine is asked first."""
        absence = self._absence(named)
        bare = {"drink_no": "", "size": 0, "price": 0}
        with self.transaction():
            if absence is Absence.NEVER_CAME:
                self._insert(named.command_id, named.order_id, CommandState.RECEIVED, rule, **bare)
                self.finish(named.command_id, refused(code, rule))
            else:
                note = absence.value
                self._insert(named.command_id, named.order_id, CommandState.SENT, note, **bare, doubted=code)

    def mark_intent(self, command_id: str, snapshot: Snapshot) -> bool:
        """False when it was taken back meanwhile."""
        kept = msgspec.json.encode(snapshot).decode()
        return self.advance(command_id, CommandState.INTENT, (CommandState.RECEIVED,), snapshot=kept)

    def mark_sent(self, command_id: str) -> bool:
        """Commit this, then write the bytes. False when it was taken back meanwhile."""
        with self.transaction():
            if self.requests.is_cancel_asked(command_id):
                return False
            return self.advance(command_id, CommandState.SENT, (CommandState.INTENT,), **self.sent_now())

    def mark_resent(self, command_id: str) -> bool:
        """Commit this, then write the same bytes again. False the second time, and when either end has spoken since.

        The machine has the order, or it was taken back meanwhile.
        """
        with self.transaction():
            command = self.get(command_id)
            if command is None or command.resent or command.word > Word.NOTHING:
                return False
            if self.requests.is_cancel_asked(command_id):
                return False
            return self.advance(command_id, command.state, (command.state,), "sent again", resent=1)

    def mark_taken(self, command_id: str, note: str) -> bool:
        """Not begun, and the machine says that it has it: sent, though not by what this journal knows."""
        return self.advance(command_id, CommandState.SENT, (CommandState.RECEIVED,), note, **self.sent_now())

    def mark_accepted(self, command_id: str, note: str = "") -> None:
        """The machine has taken it; queued for the cloud."""
        with self.transaction() as connection:
            self.raise_word(command_id, Word.TAKEN)
            if self.advance(command_id, CommandState.ACCEPTED, (CommandState.SENT,), note):
                self._report_accepted(connection, command_id)

    def mark_brewing(self, command_id: str) -> None:
        """Something moves; a verdict that was lost on the way is thereby known."""
        with self.transaction():
            self.mark_accepted(command_id, "seen by its progress")
            self.raise_word(command_id, Word.MOVING)
            self.advance(command_id, CommandState.BREWING, (CommandState.ACCEPTED,))

    def raise_word(self, command_id: str, word: Word) -> None:
        """What the machine has said of having this order, for ever; never lowered."""
        with self.transaction() as connection:
            connection.execute(
                "UPDATE command SET word = ? WHERE command_id = ? AND word < ?", (word, command_id, word)
            )

    def finish(self, command_id: str, verdict: Verdict) -> bool:
        """Commit the outcome and queue it; a later truth becomes a new revision. False when it changes nothing.

        What it corrects is told no more: the cloud would act on it. The later one has it in its evidence.
        """
        with self.transaction() as connection:
            command = self.get(command_id)
            if command is None or not command.would_correct(verdict):
                return False
            self.write_verdict(connection, command, verdict)
            self.report_queue.forget(connection, command_id, report_message.is_outcome)
            self._report_outcome(connection, command_id)
        self.requests.drop_cancel(command_id)
        return True

    def add_note(self, command_id: str, note: str) -> None:
        """A line in the history, without a new state."""
        with self.transaction() as connection:
            command = self.get(command_id)
            if command is not None and len(steps(connection, command_id)) < MAX_NOTES:
                self.add_history(connection, command_id, command.state, note)

    def report_again(self, command: Command) -> None:
        """Queue the latest word on this command anew, in place of what waits for it."""
        with self.transaction() as connection:
            self.report_queue.forget(connection, command.command_id)
            if command.is_finished:
                self._report_outcome(connection, command.command_id)
            elif command.state in (CommandState.ACCEPTED, CommandState.BREWING):
                self._report_accepted(connection, command.command_id)

    def prune(self) -> None:
        """Forget what is finished, reported, and certainly old or beyond the count."""
        marks = ", ".join("?" * len(FINISHED))
        which = (
            f"state IN ({marks}) AND ({AGE} > ? OR place <= (SELECT max(place) FROM command) - ?)"  # noqa: S608  (ours)
            " AND command_id NOT IN (SELECT command_id FROM outgoing)"
        )
        with self.transaction() as connection:
            self.memory.forget(connection, which, *FINISHED, FORGOTTEN_FOR_S, KEEP_COMMANDS)

    # Within

    def _absence(self, named: Asked | Cancel) -> Absence:
        """What it means that this command is not here."""
        issued_at = None if named.issued_at is UNSET else named.issued_at
        deadline_at = None if named.deadline_at is UNSET else named.deadline_at
        return self.memory.absence(issued_at, deadline_at, self._cloud.now())

    def _insert(self, command_id: str, order_id: str, state: CommandState, note: str, **columns: Any) -> None:
        with self.transaction():
            place = self.insert_row(command_id, order_id, state, note, **columns)
            if place % PRUNE_EVERY == 0:
                self.prune()

    def _report_accepted(self, connection: sqlite3.Connection, command_id: str) -> None:
        command, at = self._known(command_id), self._reported_at()
        self.report_queue.add(
            connection, command_id, lambda message_id: report_message.accepted(message_id, command, at)
        )

    def _report_outcome(self, connection: sqlite3.Connection, command_id: str) -> None:
        command, at, history = self._known(command_id), self._reported_at(), steps(connection, command_id)
        verdict = command.verdict
        if verdict is not None:
            self.report_queue.add(
                connection,
                command_id,
                lambda message_id: report_message.outcome(message_id, command, verdict, history, at),
            )

    def _known(self, command_id: str) -> Command:
        command = self.get(command_id)
        if command is None:
            raise KeyError(command_id)
        return command
