"""SQL compiled once in a test process, not once for each of the thousands of databases opened there.

SQLAlchemy keeps what it compiled by engine and dialect object; every test has its own. What is compiled depends on the
kind of database alone, so here dialects of one kind are equal and all engines keep it in one place.
"""

from typing import Any

import sqlalchemy
from sqlalchemy import Engine
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.util import LRUCache

import cloud.database.postgresql
import cloud.database.sqlite

_compiled: LRUCache[Any, Any] = LRUCache(10_000)


def compile_once() -> None:
    """For every database opened by this process after this."""
    for kind in (SQLiteDialect_pysqlite, PGDialect_psycopg):
        kind.__eq__ = lambda self, other: type(self) is type(other)  # type: ignore[method-assign]
        kind.__hash__ = lambda self: hash(type(self))  # type: ignore[method-assign]
    for module in (cloud.database.sqlite, cloud.database.postgresql):
        module.create_engine = _create_engine  # type: ignore[attr-defined]


def _create_engine(*args: Any, **options: Any) -> Engine:
    made = sqlalchemy.create_engine(*args, **options)
    made._compiled_cache = _compiled
    return made
