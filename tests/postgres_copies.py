"""Copies of a migrated PostgreSQL database, each lent to many tests: emptied after each, dropped if not as it was.

Making one and dropping it costs three times as much as emptying it, and its first connection has all to learn.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql
from sqlalchemy.engine import make_url

from tests.postgres import PostgresServer

MOST_LENT = 50
"""Tests that one copy serves: what they deleted stays in its files."""
_SHAPE = """\
SELECT md5(string_agg(line, ';' ORDER BY line)) FROM (
    SELECT concat_ws(' ', oid, relname, relowner, relacl, reltuples, reloptions) FROM pg_class WHERE relnamespace = {0}
    UNION ALL SELECT concat_ws(' ', attrelid, attname, atttypid, attnotnull, attisdropped, attacl)
        FROM pg_attribute WHERE attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = {0})
    UNION ALL SELECT concat_ws(' ', oid, tgname, tgenabled) FROM pg_trigger
    UNION ALL SELECT concat_ws(' ', oid, conname) FROM pg_constraint WHERE connamespace = {0}
    UNION ALL SELECT concat_ws(' ', oid, proname, proacl, prosrc) FROM pg_proc WHERE pronamespace = {0}
    UNION ALL SELECT concat_ws(' ', oid, nspname, nspacl) FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp'
    UNION ALL SELECT concat_ws(' ', datname, datdba, datacl) FROM pg_database WHERE datname = current_database()
    UNION ALL SELECT concat_ws(' ', setdatabase, setrole, setconfig) FROM pg_db_role_setting
) AS shape(line)""".format("'public'::regnamespace")
"""Tables with what was analysed of them, columns, triggers, constraints, functions, rights, settings."""
_TABLES = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1"
_OTHERS = """\
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"""
_USED_SEQUENCES = """\
SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false)
FROM pg_sequences WHERE last_value IS NOT NULL"""


@dataclass
class _Copy:
    url: str
    shape: str
    drop: ExitStack
    lent: int = 0


class Copies:
    """Of the database called `original`, for the tests of one process."""

    def __init__(self, server: PostgresServer, original: str) -> None:
        self._server = server
        self._original = original
        self._free: list[_Copy] = []
        with server.connected(original) as connection:
            tables = [name for (name,) in connection.execute(_TABLES)]
            rows = {name: _rows(connection, name) for name in tables}
        self._kept = {name: held for name, held in rows.items() if held}
        """The tables that are not empty after migrating, with their rows."""
        self._emptied = [name for name in tables if name not in self._kept]

    @contextmanager
    def lent(self) -> Iterator[str]:
        """One for the length of the block that holds what the original holds: its URL."""
        copy = self._free.pop() if self._free else self._fresh()
        copy.lent += 1
        try:
            yield copy.url
        finally:
            if copy.lent < MOST_LENT and self._is_emptied(copy):
                self._free.append(copy)
            else:
                copy.drop.close()

    def drop(self) -> None:
        """All that are not lent."""
        while self._free:
            self._free.pop().drop.close()

    def _fresh(self) -> _Copy:
        drop = ExitStack()
        url = drop.enter_context(self._server.fresh_database(like=self._original))
        with self._connected(url) as connection:
            return _Copy(url, _shape(connection), drop)

    def _is_emptied(self, copy: _Copy) -> bool:
        """Whether it can be lent again: nothing but rows has changed, and they are gone."""
        try:
            with self._connected(copy.url) as connection:
                connection.execute(_OTHERS)
                is_as_it_was = _shape(connection) == copy.shape and all(
                    _rows(connection, name) == rows for name, rows in self._kept.items()
                )
                if is_as_it_was:
                    self._empty(connection)
                return is_as_it_was
        except psycopg.Error:
            return False

    def _empty(self, connection: psycopg.Connection) -> None:
        connection.execute("SET session_replication_role = replica")  # no trigger forbids it, no key is checked
        looks = [sql.SQL("SELECT {} WHERE EXISTS (SELECT 1 FROM {})").format(name, sql.Identifier(name))
                 for name in self._emptied]  # fmt: skip
        for (name,) in connection.execute(sql.SQL(" UNION ALL ").join(looks)).fetchall():
            connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(name)))
        connection.execute(_USED_SEQUENCES)

    def _connected(self, url: str) -> psycopg.Connection:
        return self._server.connected(make_url(url).database or "")


def _shape(connection: psycopg.Connection) -> str:
    (shape,) = connection.execute(_SHAPE).fetchall()[0]
    return str(shape)


def _rows(connection: psycopg.Connection, table: str) -> list[str]:
    held = connection.execute(sql.SQL("SELECT held::text FROM {} AS held ORDER BY 1").format(sql.Identifier(table)))
    return [row for (row,) in held]
