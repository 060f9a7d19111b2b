"""One unit of work: what a use case reads, what it changes, and what is to happen once that is committed.

Use cases take a `Transaction`; nothing of it outlives its commit, and of the process it sees the dispatchers only. Rows
come in two kinds: tracked by the ORM session, which is made when it is first asked for, and plain ones
(`plain_rows.py`) that `rows` writes back. There is one truth: before the session asks anything, plain rows that were
changed are written.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, CursorResult, Executable, event
from sqlalchemy.orm import ORMExecuteState, Session

from cloud.database.storage import PlainRows


class Part(Protocol):
    """What a package keeps for one transaction, such as the orders it has locked."""

    def __init__(self, tx: "Transaction") -> None: ...


P = TypeVar("P", bound=Part)


class Dispatchers(dict[type, Any]):
    """The receivers, in this process, of what a commit wrote, by type: tasks, payments to ask about, orders to count.

    What has no worker here is worked at in another process.
    """

    def add(self, dispatcher: object) -> None:
        """Let transactions find it; one of a type."""
        self[type(dispatcher)] = dispatcher

    def remove(self, kind: type) -> None:
        """Transactions begun from now on do not find it."""
        self.pop(kind, None)


class WorkSession(Session):
    """The ORM session of a transaction. It never commits: whoever runs the work does."""

    def __init__(self, tx: "Transaction") -> None:
        super().__init__(tx.connection, expire_on_commit=False, join_transaction_mode="rollback_only")
        self.tx = tx


@event.listens_for(WorkSession, "do_orm_execute")
def _write_plain_rows_first(state: ORMExecuteState) -> None:
    if isinstance(state.session, WorkSession) and state.session.tx.rows.are_changed:
        state.session.tx.write()


class Transaction:
    """What use cases take. `keys` names what all the work that shares it is about: a read for one serves all."""

    def __init__(self, connection: Connection, dispatchers: Dispatchers, keys: Sequence[str] = ()) -> None:
        self.connection = connection
        """For prepared statements about rows that no plain row of this transaction is a copy of."""
        self.rows = PlainRows(connection)
        """Plain rows read or added; what changed of them is written at the end."""
        self.dispatchers = dispatchers
        self.keys = keys
        self.topics: set[str] = set()
        """Whoever waits for one of these is woken once this is committed."""
        self.acts: list[Callable[[], None]] = []
        """Called, in this order and in this process, once this is committed."""
        self.lines: list[Callable[[], None]] = []
        """What is logged then, after all that somebody waits for."""
        self._ends: list[tuple[str, Callable[[], object]]] = []
        self._session: WorkSession | None = None
        self._parts: dict[type, Any] = {}

    @property
    def session(self) -> Session:
        """The ORM's."""
        if self._session is None:
            self._session = WorkSession(self)
        return self._session

    def execute(self, statement: Executable, values: Mapping[str, Any] | None = None) -> CursorResult[Any]:
        """Run a prepared statement on the rows as this transaction has them now."""
        self.write()
        return self.connection.execute(statement, values or {})

    def part(self, kind: type[P]) -> P:
        """This transaction's one object of a type; made when first asked for."""
        found: P | None = self._parts.get(kind)
        if found is None:
            found = self._parts[kind] = kind(self)
        return found

    def notify(self, topic: str) -> None:
        """Wake all that wait for `topic`, in every process, once this is committed."""
        self.topics.add(topic)

    def at_the_end(self, place: str, act: Callable[[], object]) -> None:
        """Have `act` called before the commit, when all work that shares it is done; in the order of the places.

        For rows that the work of many orders locks (their machines): each where the work comes to it, two who commit
        many would wait for each other.
        """
        self._ends.append((place, act))

    def after_commit(self, act: Callable[[], None]) -> None:
        """Have `act` called in this process once this is committed. It must return at once.

        It asks no database, and should not fail; if it does, that is logged and all else that follows is done.
        """
        self.acts.append(act)

    def log_after_commit(
        self, say: Callable[..., None], words: str, *parts: object, extra: Mapping[str, object]
    ) -> None:
        """Log what this transaction did, once it is done: what is undone, or done again, is logged as it ended."""
        self.lines.append(partial(say, words, *parts, extra=extra))

    def finish(self) -> None:
        """Do what was left to the end, and write. Raises as `write` does."""
        for _, act in sorted(self._ends, key=itemgetter(0)):
            act()
        self.write()

    def write(self) -> None:
        """Write what was changed and added so far. Raises `IntegrityError` for what the database will not hold."""
        if self._session is not None:
            self._session.flush()
        self.rows.write()

    def close(self) -> None:
        """No more is read or changed; the rows that the session gave stay readable."""
        if self._session is not None:
            self._session.close()
