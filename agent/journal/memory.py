"""How long ago something was, and since when this journal has every command: judged by the cloud's time alone.

A moment is kept as the run of the agent it fell into and that run's steady seconds. A run that has heard the cloud's
time is dated by it, all of it. Our own wall clock may be wrong by years: it never makes anything old.
"""

import sqlite3
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum

from agent.clock import Clock, CloudClock, Stamp
from agent.journal.sqlite_file import SqliteFile

FORGOTTEN_FOR_S = 90 * 24 * 3600.0
"""A finished command is forgotten when it is certainly older."""
KEEP_EVERY_S = 600.0
"""How far back the end of a run that was killed may seem to lie."""
KEEP_RUNS = 1_000
"""Runs remembered; what happened in an older one cannot be dated, and so is never too old."""
DRIFT_S = 60.0
"""A run is dated anew when the cloud's time has moved against it by more."""
_FORGOTTEN_UNTIL = "forgotten_until"


class Absence(Enum):
    """What it means that the journal does not have a command."""

    NEVER_CAME = "this journal was in use for as long as the command could have come"
    GAP = "it may have come while this journal was not in use: perhaps to another copy of it"
    BEFORE = "it may be older than this journal, or than what it remembers"


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the agent that has heard the cloud. `zero`: the cloud's time at its steady second 0."""

    began: float
    seen: float
    """The last sign of life."""
    zero: datetime

    @property
    def first(self) -> datetime:
        return self.zero + timedelta(seconds=self.began)

    @property
    def last(self) -> datetime:
        return self.zero + timedelta(seconds=self.seen)


class Memory:
    """The runs of this journal, the present one included."""

    def __init__(self, database: SqliteFile, clock: Clock, cloud: CloudClock, session: str) -> None:
        self.session = session
        self._database = database
        self._clock = clock
        self._cloud = cloud
        self._began = clock.monotonic()
        self._kept: Run | None = None
        with database.reading() as connection:
            connection.create_function("seconds_since", 2, self._seconds_since)
            rows = connection.execute("SELECT session, began, seen, zero FROM run").fetchall()
        self._runs = {row["session"]: Run(row["began"], row["seen"], _moment(row["zero"])) for row in rows}

    def stamp(self) -> Stamp:
        """This moment."""
        return Stamp(self.session, self._clock.monotonic())

    def at_least(self, stamp: Stamp | None) -> float:
        """Seconds that have certainly passed since: of another run as long as this one, or more when both are dated."""
        steady = self._clock.monotonic()
        if stamp is None:
            return steady - self._began
        session, second = stamp
        if session == self.session:
            return steady - second
        run, now = self._runs.get(session), self._cloud.now()
        if run is None or now is None:
            return steady - self._began
        return max(steady - self._began, (now - run.zero).total_seconds() - second)

    def absence(self, issued_at: datetime | None, deadline_at: datetime | None, now: datetime | None) -> Absence:
        """Of a command that could come from `issued_at` to its deadline, by the cloud's time `now`; None: not known."""
        forgotten_until = self._database.get(_FORGOTTEN_UNTIL)
        if issued_at is None or now is None or (forgotten_until and issued_at <= _moment(forgotten_until)):
            return Absence.BEFORE
        if self.had_begun(self.session, issued_at, now):
            return Absence.NEVER_CAME
        until = now if deadline_at is None else min(deadline_at, now)
        existed = [run for run in self._runs.values() if run.first <= issued_at]
        if any(until <= run.last for run in existed):
            return Absence.NEVER_CAME
        return Absence.GAP if existed else Absence.BEFORE

    def had_begun(self, session: str, moment: datetime, now: datetime | None) -> bool:
        """Was it certainly in this run, or later? By the cloud's time `now`; None: not known."""
        if session == self.session:
            return now is not None and moment >= now - timedelta(seconds=self._clock.monotonic() - self._began)
        run = self._runs.get(session)
        return run is not None and run.first <= moment

    def keep_run(self, *, at_the_end: bool = False) -> None:
        """Write down that this run lasts, and its date, when that is news. Raises `JournalFailed`."""
        now, steady = self._cloud.now(), self._clock.monotonic()
        if now is None:
            return
        kept, zero = self._kept, now - timedelta(seconds=steady)
        drifted = kept is None or abs((zero - kept.zero).total_seconds()) > DRIFT_S
        if kept is not None and not (drifted or at_the_end or steady - kept.seen >= KEEP_EVERY_S):
            return
        run = Run(self._began, steady, zero) if kept is None or drifted else replace(kept, seen=steady)
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO run (session, began, seen, zero) VALUES (?, ?, ?, ?) ON CONFLICT (session)"
                " DO UPDATE SET seen = excluded.seen, zero = excluded.zero",
                (self.session, run.began, run.seen, run.zero.isoformat()),
            )
            connection.execute("DELETE FROM run WHERE rowid <= (SELECT max(rowid) FROM run) - ?", (KEEP_RUNS,))
        self._kept = run

    def forget_runs(self, connection: sqlite3.Connection) -> None:
        """From now on this journal was never in use before this run."""
        connection.execute("DELETE FROM run")
        self._runs.clear()

    def forget(self, connection: sqlite3.Connection, which: str, *values: object) -> None:
        """Delete these commands, and remember up to when commands may be missing now."""
        sql = f"SELECT max(issued_at) FROM command WHERE {which}"  # noqa: S608  (our own words)
        newest = connection.execute(sql, values).fetchone()[0]
        if newest is not None and newest > self._database.get(_FORGOTTEN_UNTIL):
            self._database.put(_FORGOTTEN_UNTIL, newest)
        connection.execute(f"DELETE FROM command WHERE {which}", values)  # noqa: S608  (our own words)

    def _seconds_since(self, session: str | None, second: float | None) -> float:
        """`at_least`, for SQL."""
        return self.at_least(None if session is None or second is None else Stamp(session, second))


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
