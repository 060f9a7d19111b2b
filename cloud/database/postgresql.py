"""How PostgreSQL is spoken to: never waited for without a limit, never left with anything set beyond a transaction.

So it works through a pooler too, where each transaction may meet another of the server's sessions. Without one, the
session has the limits as well.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus
from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.engine import Dialect, ExceptionContext
from sqlalchemy.engine.characteristics import ConnectionCharacteristic
from sqlalchemy.exc import DBAPIError, DisconnectionError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool
from sqlalchemy.util.queue import Empty

log = logging.getLogger("cloud.database.postgresql")

T = TypeVar("T")
LOCKED_S = 3.0
"""A statement that waits longer than this for somebody else's lock fails."""
STATEMENT_S = 5.0
"""The server gives up a statement after this, and keeps no lock for one that nobody waits for any more."""
ANSWER_S = 6.0
"""We give up a server that says nothing, and the connection with it: nobody can know what became of the statement."""
ABANDONED_S = 30.0
"""The server ends a transaction whose program says nothing, and frees its locks: its host may be gone."""
CONNECT_S = 3
"""Whole seconds; the driver takes no less than 2."""
PING_S = 2.0
FREE_S = 5.0
"""So long somebody waits for one of the pool's connections."""
TRUSTED_S = 1.0
"""A connection that worked this recently is used without asking whether it still does."""
ASKED_EVERY_S = 10.0
"""One that is always at work is asked this often: a server that became a read-only copy goes on answering."""
BEGIN = "begin"
"""Execution option: the words a transaction starts with."""
STATEMENT_ALONE = ""
"""No BEGIN: the server commits each statement by itself."""
_LOCKED = frozenset({"55P03", "40P01"})
"""Waited too long for a lock; the one of two that wait for each other which the server gave up."""
_READ_ONLY = "25006"
_NO_NUMBER_LEFT = "2200H"
_CACHED_PLAN = "0A000"
_KEEPALIVE = {"keepalives_idle": 15, "keepalives_interval": 5, "keepalives_count": 3}


class Unlimited(psycopg.Connection[Any]):
    """Waits as long as it takes; says whether a pooler stands between us and the server."""

    begins_with: str | None = None
    """The words its transactions start with, where they are not the dialect's."""

    @property
    def is_pooled(self) -> bool:
        """Another of the server's sessions answers than the one that greeted us: a pooler makes up that number."""
        [answers] = self.execute("SELECT pg_backend_pid()", prepare=False).fetchone() or (0,)
        return bool(answers != self.info.backend_pid)


class Limited(Unlimited):
    """Gives up a server that says nothing for `answer_s`, and closes itself: the answer would be taken for the next."""

    answer_s = ANSWER_S

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Wait for one answer. Raises `OperationalError`."""
        if timeout is not None:  # and no look in between: only a main thread hears Ctrl-C, and none of ours waits here
            return super().wait(gen, timeout, timeout)
        ends = time.monotonic() + self.answer_s
        try:
            return super().wait(gen, interval, self.answer_s)
        except psycopg.OperationalError as error:
            if time.monotonic() < ends:
                raise
            self.close()
            raise psycopg.OperationalError(f"no answer within {self.answer_s:g} s") from error


class Beginning(ConnectionCharacteristic):
    """The execution option `BEGIN`, put on a connection for as long as it is lent."""

    def set_characteristic(self, dialect: Dialect, dbapi_conn: Any, value: str) -> None:
        """Start transactions with these words."""
        _driver(dbapi_conn).begins_with = value

    def reset_characteristic(self, dialect: Dialect, dbapi_conn: Any) -> None:
        """Start them as the dialect does."""
        _driver(dbapi_conn).begins_with = None

    def get_characteristic(self, dialect: Dialect, dbapi_conn: Any) -> str | None:
        """The words that were put on."""
        return _driver(dbapi_conn).begins_with


class ToldHowToBegin(PGDialect_psycopg):
    """SQLAlchemy's, but for the start of a transaction. An event would do too, and make every statement dearer."""

    supports_statement_cache = True
    connection_characteristics = PGDialect_psycopg.connection_characteristics.union({BEGIN: Beginning()})

    def __init__(self, begin: str = "BEGIN", **more: Any) -> None:
        super().__init__(**more)  # type: ignore[no-untyped-call]  # SQLAlchemy left it so
        self._begin = begin

    def do_begin(self, dbapi_connection: Any) -> None:
        """Say it ourselves, and the limits in the same breath."""
        driver = _driver(dbapi_connection.dbapi_connection)
        words = self._begin if driver.begins_with is None else driver.begins_with
        if words != STATEMENT_ALONE:
            driver.execute(words, prepare=False)

    def do_rollback(self, dbapi_connection: Any) -> None:
        """COMMIT where nothing can have been written: at a ROLLBACK psycopg forgets all that is prepared.

        Not after a failure: what was prepared may have been the reason.
        """
        driver = _driver(dbapi_connection.dbapi_connection)
        if driver.begins_with == TO_READ and driver.info.transaction_status == TransactionStatus.INTRANS:
            dbapi_connection.commit()
        else:
            super().do_rollback(dbapi_connection)  # type: ignore[no-untyped-call]  # SQLAlchemy left it so


registry.register("postgresql.told_how_to_begin", __name__, ToldHowToBegin.__name__)


class Connections(QueuePool):
    """Keeps connections for the next caller, the last that came back first.

    Behind a pooler only that one stays connected at rest: a pooler that lends sessions for as long as we are connected
    soon has no more for other programs. The others wait as empty records, which connect when they are taken. One that
    comes back when all is closed is closed as well: `QueuePool` would keep it, and nobody ask for it again.
    """

    is_pooled = False
    _is_closed = False

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **{**named, "use_lifo": True})
        self._returning = threading.RLock()

    def dispose(self) -> None:
        """Close what is here now, and later what is lent."""
        self._is_closed = True
        super().dispose()

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        if self._is_closed:
            try:
                record.close()
            finally:
                self._dec_overflow()
        elif self.is_pooled:
            self._return_on_top(record)
        else:
            super()._do_return_conn(record)

    def _return_on_top(self, record: ConnectionPoolEntry) -> None:
        """Put an empty record below a connected one: whoever waits is woken by either."""
        with self._returning:  # the garbage collector may return another one in the same thread
            try:
                resting = self._pool.get(False)
            except Empty:
                super()._do_return_conn(record)
                return
            below, top = (record, resting) if record.dbapi_connection is None else (resting, record)
            try:
                below.close()
            finally:
                super()._do_return_conn(below)
                super()._do_return_conn(top)


def engine(url: URL, pool_size: int, locked_s: float = LOCKED_S) -> Engine:
    """An engine whose every wait has a limit; `pool_size` connections at most."""
    made = create_engine(
        _as_ours(url),
        begin=begin_with_limits(locked_s),
        isolation_level="AUTOCOMMIT",  # the driver says no BEGIN
        poolclass=Connections,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=FREE_S,
        hide_parameters=True,
    )
    _connect_with(made, Limited.connect)
    _ask_before_use(made)
    event.listen(made, "handle_error", _leave_read_only)
    event.listen(made, "handle_error", _leave_what_was_prepared)
    return made


def patient_engine(url: URL) -> Engine:
    """Return an engine that waits as long as it takes, for a program that changes tables."""
    made = create_engine(_as_ours(url), isolation_level="AUTOCOMMIT", pool_size=1, max_overflow=0, hide_parameters=True)
    _connect_with(made, Unlimited.connect)
    return made


def _as_ours(url: URL) -> URL:
    return url.set(drivername="postgresql+told_how_to_begin")


def listener(url: URL) -> Limited:
    """A connection of its own, to hear notices."""
    args, named = url.get_dialect()().create_connect_args(url)
    return Limited.connect(*args, autocommit=True, **_with_defaults(dict(named)))


def is_locked(error: BaseException) -> bool:
    """Whether work failed only because somebody else holds a row it needs, perhaps while waiting for ours."""
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in _LOCKED


def is_away(error: BaseException) -> bool:
    """Whether the database could not be reached, or not be written to."""
    return isinstance(error, DBAPIError) and (isinstance(error, OperationalError) or error.connection_invalidated)


def is_read_only(error: BaseException | None) -> bool:
    """Whether the server refused to write: our session was left on one that does not, or does not any more."""
    return getattr(error, "sqlstate", None) == _READ_ONLY


def hosts_of(url: URL) -> list[str]:
    """The servers that an address names."""
    named = url.query.get("host", ())
    parts = [url.host or "", *((named,) if isinstance(named, str) else named)]
    return [host for part in parts for host in part.split(",") if host]


def is_out_of_numbers(error: BaseException) -> bool:
    """Whether a table has no number left for a new row: to the driver wrong data, which the same data would not be."""
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) == _NO_NUMBER_LEFT


def begin_with_limits(locked_s: float, begin: str = "BEGIN") -> str:
    """The words, as one message: a pooler hands on no settings at connecting, and keeps none beyond the transaction."""
    return "; ".join([begin, *_limits("SET LOCAL", locked_s)])


def lock_limit(locked_s: float) -> str:
    """The words for the rest of a transaction that waits no longer for each lock from now on."""
    return _limits("SET LOCAL", locked_s)[0]


def _limits(set_it: str, locked_s: float) -> list[str]:
    limits = {"lock": locked_s, "statement": STATEMENT_S, "idle_in_transaction_session": ABANDONED_S}
    return [f"{set_it} {name}_timeout = {round(1000 * s)}" for name, s in limits.items()]


TO_READ = begin_with_limits(LOCKED_S, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
"""The words for a transaction that can only read, and sees one moment, as on SQLite.

What moves between two tables meanwhile, such as an order into the archive, is seen once.
"""


def _connect_with(engine: Engine, connect: Callable[..., Unlimited]) -> None:
    @event.listens_for(engine, "do_connect")
    def _on_connect(_dialect: Dialect, _record: Any, args: tuple[Any, ...], named: dict[str, Any]) -> Unlimited:
        connection = connect(*args, autocommit=True, **_with_defaults(named))
        _refuse_other_encodings(connection)
        if connection.is_pooled:
            connection.prepare_threshold = None  # prepared in one of the server's sessions, wanted in another
            if isinstance(engine.pool, Connections):
                engine.pool.is_pooled = True
        elif isinstance(connection, Limited):  # for statements that are sent alone
            connection.execute("; ".join(_limits("SET", LOCKED_S)), prepare=False)
        return connection


def _refuse_other_encodings(connection: Unlimited) -> None:
    """A server made where no locale is set has databases that know no letters: texts would come back as bytes."""
    encoding = connection.info.parameter_status("server_encoding")
    if encoding not in {None, "UTF8"}:
        connection.close()
        raise psycopg.NotSupportedError(
            f"the database's encoding is {encoding}: make it anew with createdb -E UTF8 -T template0"
        )


def _with_defaults(named: dict[str, Any]) -> dict[str, Any]:
    """What the URL says itself goes first."""
    return {"connect_timeout": CONNECT_S, **_KEEPALIVE, **named}


def _ask_before_use(engine: Engine) -> None:
    """Try a connection before it is used again after a rest, and now and then: the server may be another by now.

    `pool_pre_ping` would ask before every transaction, a round trip each, and take a read-only server for good.
    """

    @event.listens_for(engine, "checkin")
    def _on_checkin(_connection: Any, record: ConnectionPoolEntry) -> None:
        record.info["used_at"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _on_checkout(connection: Any, record: ConnectionPoolEntry, _proxy: Any) -> None:
        now = time.monotonic()
        asked_at = record.info.setdefault("asked_at", now)
        is_new = asked_at == now
        if is_new or (now - record.info["used_at"] < TRUSTED_S and now - asked_at < ASKED_EVERY_S):
            return
        record.info["asked_at"] = now
        try:
            if _is_read_only(_driver(connection)):
                raise DisconnectionError("the server has become read-only")
        except psycopg.Error as error:
            raise DisconnectionError("the connection died while nobody used it") from error


def _is_read_only(connection: Unlimited) -> bool:
    if isinstance(connection, Limited):
        connection.answer_s = PING_S
    try:
        return connection.execute("SHOW transaction_read_only", prepare=False).fetchone() == ("on",)
    finally:
        if isinstance(connection, Limited):
            connection.answer_s = ANSWER_S


def _leave_read_only(context: ExceptionContext) -> None:
    """After a failover our sessions may be left on a server that will never write again: all are made anew."""
    if is_read_only(context.original_exception):
        context.is_disconnect = True


def _leave_what_was_prepared(context: ExceptionContext) -> None:
    """A migration changed what a prepared SELECT gives: its connection would refuse it for ever, the others not yet."""
    if getattr(context.original_exception, "sqlstate", None) == _CACHED_PLAN:
        context.is_disconnect, context.invalidate_pool_on_disconnect = True, False


def _driver(connection: Any) -> Unlimited:
    if not isinstance(connection, Unlimited):
        raise TypeError("a connection that is not ours")
    return connection
