"""The commands in the journal, to look at: one, those of an order, those in a state. Changes nothing."""

from collections.abc import Iterable

from agent.journal.records import UNSETTLED, Command, CommandState, Step
from agent.journal.rows import read_command, steps
from agent.journal.sales_block import SalesBlock
from agent.journal.sqlite_file import SqliteFile
from protocol.reasons import DoubtCode, Result

AGE = "seconds_since(finished_session, finished_second)"
"""Seconds that have certainly passed since a command was finished (`Memory.at_least`)."""


class CommandQueries:
    """Raises `JournalFailed` everywhere."""

    def __init__(self, database: SqliteFile, sales_block: SalesBlock) -> None:
        self._database = database
        self.sales_block = sales_block

    def get(self, command_id: str) -> Command | None:
        return next(iter(self._commands("command_id = ?", command_id)), None)

    def of_order(self, order_id: str) -> list[Command]:
        """Every command of an order, newest first."""
        return self._commands("order_id = ? ORDER BY place DESC", order_id)

    def received(self) -> list[Command]:
        """Commands not begun, oldest first."""
        return self._in((CommandState.RECEIVED,))

    def next_received(self) -> Command | None:
        """The oldest of them."""
        return next(iter(self._commands("state = ? ORDER BY place LIMIT 1", CommandState.RECEIVED)), None)

    def begun(self) -> list[Command]:
        """Commands with intent and no byte sent: only a crash leaves them."""
        return self._in((CommandState.INTENT,))

    def unsettled(self) -> list[Command]:
        """Commands the machine may be pouring, oldest first."""
        return self._in(UNSETTLED)

    def recently_unknown(self, within: float) -> list[Command]:
        """Commands finished as unknown, unless that is certainly more seconds ago; oldest first."""
        is_late = f"{AGE} < CAST(? AS REAL)"
        return self._commands(f"state = ? AND {is_late} ORDER BY place", CommandState.UNKNOWN, str(within))

    def sent_for(self, order_id: str) -> Command | None:
        """The command whose bytes the machine may have seen last for this order."""
        return next((command for command in self.of_order(order_id) if command.was_sent), None)

    def sent_after(self, command: Command) -> int:
        """How many makes went out after this one."""
        later = "place > (SELECT place FROM command WHERE command_id = ?)"
        sql = f"SELECT count(*) FROM command WHERE sent_at IS NOT NULL AND {later}"  # noqa: S608  (our own words)
        with self._database.reading() as connection:
            return int(connection.execute(sql, (command.command_id,)).fetchone()[0])

    def is_countable(self, command: Command) -> bool:
        """Can only this command have moved the counter: no make after it, no sale of the machine's own beside it?"""
        sql = "SELECT place FROM command WHERE command_id = ?"
        with self._database.reading() as connection:
            row = connection.execute(sql, (command.command_id,)).fetchone()
        return row is not None and row["place"] > self.sales_block.distrusted_until and self.sent_after(command) == 0

    def last_sent(self) -> Command | None:
        """The newest command the machine may have seen since a person last looked at it."""
        after = str(self.sales_block.resumed_after)
        found = self._commands("sent_at IS NOT NULL AND place > CAST(? AS INTEGER) ORDER BY place DESC LIMIT 1", after)
        return next(iter(found), None)

    def recent_outcomes(self, limit: int) -> list[tuple[float, Result]]:
        """What became of the last commands the machine was sent since a person last looked at it, newest first.

        Each with the seconds that have certainly passed since. One that nobody can ever observe counts for nothing.
        """
        with self._database.reading() as connection:
            rows = connection.execute(
                f"SELECT {AGE}, result FROM command"  # noqa: S608  (our own words)
                " WHERE sent_at IS NOT NULL AND result IS NOT NULL AND code <> ? AND place > ?"
                " AND (doubted = '' OR snapshot IS NOT NULL)"
                " ORDER BY place DESC LIMIT ?",
                (DoubtCode.UNOBSERVABLE, self.sales_block.resumed_after, limit),
            )
            return [(age, Result(result)) for age, result in rows]

    def history(self, command_id: str) -> list[Step]:
        with self._database.reading() as connection:
            return steps(connection, command_id)

    def _in(self, states: Iterable[CommandState]) -> list[Command]:
        wanted = tuple(states)
        marks = ", ".join("?" * len(wanted))
        return self._commands(f"state IN ({marks}) ORDER BY place", *wanted)

    def _commands(self, where: str, *values: str) -> list[Command]:
        with self._database.reading() as connection:
            rows = connection.execute(f"SELECT * FROM command WHERE {where}", values)  # noqa: S608  (our own words)
            return [read_command(row) for row in rows]
