"""A database that knows no letters is refused in plain words, before anything is written into it."""

import uuid

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.exc import NotSupportedError

from cloud.database.database import Database
from cloud.migrations.migrate import upgrade
from tests.postgres import PostgresServer


def test_a_database_made_where_no_locale_is_set(postgres_server: PostgresServer) -> None:
    name = f"coffee_test_{uuid.uuid4().hex}"
    plain = postgres_server.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as admin:
        made = sql.SQL("CREATE DATABASE {} ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
        admin.execute(made.format(sql.Identifier(name)))
        database = Database(postgres_server.url.set(database=name).render_as_string(hide_password=False))
        try:
            with pytest.raises(NotSupportedError, match="encoding is SQL_ASCII: make it anew with createdb -E UTF8"):
                upgrade(database)
        finally:
            database.close()
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
