"""The planted bugs of the agent, each as patches of real functions."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timedelta
from sqlite3 import Connection
from typing import Any
from unittest.mock import patch

from agent import deadline
from agent.cloud.report_sender import Line, ReportSender
from agent.deadline import Timeliness
from agent.journal import rows
from agent.journal.journal import Journal
from agent.journal.memory import Absence, Memory
from agent.journal.records import Command, Snapshot, Verdict, Word
from agent.journal.report_queue import ReportQueue
from agent.machine.driver import Driver
from agent.making import preconditions
from agent.making.finish_command import CommandFinisher
from agent.making.follow_drink import DrinkFollower
from agent.making.send_make import MakeSender, Written
from cloud.orders import making
from cloud.orders.models import MakeCommand
from protocol.reasons import Result

Patches = list[AbstractContextManager[Any]]
Which = Callable[[bytes], bool]


def sent_again() -> Patches:
    """No verdict in time: write the make once more."""
    verdict = DrinkFollower._await_verdict

    def again(self: DrinkFollower, command: Command) -> Any:
        must_ask = yield from verdict(self, command)
        row = self._unfinished(command)
        if must_ask and row is not None and not row.resent:
            self.journal.mark_resent(row.command_id)
            self.sender.write_make(row)
            must_ask = yield from verdict(self, command)
        return must_ask

    return [patch.object(DrinkFollower, "_await_verdict", again)]


def no_deadline() -> Patches:
    return [patch.object(preconditions, "judge", lambda *_: Timeliness.FRESH)]


def hours_ahead_is_in_time() -> Patches:
    """A deadline of before the clock was set back lies hours ahead: the broker keeps the command, and it is begun."""

    def left(issued: MakeCommand, now: datetime) -> float:
        return max(0.0, (issued.deadline_at - now).total_seconds())

    day = timedelta(days=1)
    return [patch.object(making, "seconds_left", left), patch.object(deadline, "CERTAINLY_WRONG", day)]


def make_left_on_the_line() -> Patches:
    """What a line holds back it may deliver when it likes."""

    def forget(self: Driver, now: float) -> None:
        if now >= self.recall_at:
            self._arrived()

    return [patch.object(Driver, "recall_if_due", forget)]


def bytes_before_commit() -> Patches:
    """The make goes out, then the journal says so."""
    mark_sent, write = Journal.mark_sent, MakeSender.write_make

    def send(self: MakeSender, command: Command, snapshot: Snapshot) -> Written:
        written = write(self, command)
        with self.journal.transaction():
            self.journal.mark_intent(command.command_id, snapshot)
            return written if mark_sent(self.journal, command.command_id) else Written.NOTHING

    return [patch.object(MakeSender, "send_make", send)]


def restart_pours_again() -> Patches:
    """What a crash left open is begun anew, as if it had just come."""
    unsettled = Journal.unsettled

    def begin_anew(self: Journal) -> list[Command]:
        left = [command for command in unsettled(self) if command.session != self.session]
        for command in left:
            with self.transaction() as connection:
                connection.execute(
                    "UPDATE command SET state = 'received', sent_at = NULL, session = ? WHERE command_id = ?",
                    (self.session, command.command_id),
                )
        return unsettled(self)

    return [patch.object(Journal, "unsettled", begin_anew), *no_deadline()]


def told_once() -> Patches:
    """A report is done with as soon as it was handed to the broker."""
    send = ReportSender._send

    def forget(self: ReportSender, line: Line, seq: int, payload: bytes) -> None:
        send(self, line, seq, payload)
        with self._report_queue._database.transaction() as connection:
            connection.execute("DELETE FROM outgoing WHERE seq = ?", (seq,))

    return [patch.object(ReportSender, "_send", forget)]


def corrected_and_told() -> Patches:
    """What was corrected before it was sent still goes out, and first."""
    forget = ReportQueue.forget

    def keep(self: ReportQueue, connection: Connection, command_id: str, which: Which | None = None) -> None:
        if which is None:
            forget(self, connection, command_id)

    return [patch.object(ReportQueue, "forget", keep)]


def free_is_sold() -> Patches:
    """The machine's counter has grown: by whatever, it was this order."""

    def grown(self: Snapshot, now: Snapshot, *, is_free: bool) -> int | None:
        return now.total - self.total if self.counted and now.counted and now.total >= self.total else None

    return [patch.object(Snapshot, "growth", grown)]


def word_forgotten() -> Patches:
    """What the machine said before counts for nothing when it is asked now, and the cloud has not listened either."""
    return [patch.object(rows, "_word", lambda _row: Word.NOTHING), patch.object(making, "INFERRED", frozenset())]


def silence_is_done() -> Patches:
    finish = CommandFinisher.finish

    def guess(self: CommandFinisher, command: Command, verdict: Verdict) -> None:
        finish(self, command, replace(verdict, result=Result.DONE) if verdict.result is Result.UNKNOWN else verdict)

    return [patch.object(CommandFinisher, "finish", guess)]


def empty_journal_knows() -> Patches:
    """What is not in the journal never came, however young the journal is; and the cloud has not listened either."""
    return [
        patch.object(Memory, "absence", lambda *_: Absence.NEVER_CAME),
        patch.object(making, "INFERRED", frozenset()),
    ]
