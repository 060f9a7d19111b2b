"""How each database is connected to: SQLite's pragmas, PostgreSQL's patience with rested connections and locks."""

import time
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry, NullPool, QueuePool

SQLITE_BUSY_S = 15.0
TRUSTED_S = 1.0
"""A PostgreSQL connection that worked this recently is used without asking whether it still does."""


def sqlite(url: URL, begin: str, pool_size: int) -> Engine:
    """Its transactions start with `begin`."""
    engine = create_engine(
        url,
        poolclass=QueuePool if pool_size else NullPool,
        pool_size=pool_size,
        max_overflow=-1 if pool_size > 1 else 0,
        pool_timeout=60,
        hide_parameters=True,  # an error's text goes into the log, and parameters hold addresses
        connect_args={"timeout": SQLITE_BUSY_S, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves; the driver's guesses break savepoints
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def postgresql(url: URL, pool_size: int, locked_s: float = 0.0) -> Engine:
    """`locked_s`: a statement that waits longer than this for somebody else's lock fails; 0 lets it wait for ever."""
    engine = create_engine(url, pool_size=pool_size, max_overflow=pool_size, hide_parameters=True)
    _ping_when_idle(engine)
    if locked_s:

        @event.listens_for(engine, "connect")
        def _on_connect(connection: Any, _record: Any) -> None:
            connection.execute(f"SET lock_timeout = {round(1000 * locked_s)}")  # not at connecting: poolers refuse that
            connection.commit()

    return engine


def _ping_when_idle(engine: Engine) -> None:
    """Try a connection before it is used again after a rest: the server may have been restarted meanwhile.

    `pool_pre_ping` would ask before every transaction, a round trip each.
    """

    @event.listens_for(engine, "checkin")
    def _on_checkin(_connection: Any, record: ConnectionPoolEntry) -> None:
        record.info["used_at"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _on_checkout(connection: Any, record: ConnectionPoolEntry, _proxy: Any) -> None:
        if time.monotonic() - record.info.get("used_at", time.monotonic()) < TRUSTED_S:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise DisconnectionError("the connection died while nobody used it") from error
