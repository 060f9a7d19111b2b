"""What begins alike is found in a database that sorts as a dictionary does, where it need not stand together."""

import uuid
from collections.abc import Iterator

import pytest
from psycopg import sql

from cloud.access.person import Scope
from cloud.console.orders.rows import named
from cloud.migrations import migrate
from cloud.orders import archive
from tests.cloud.database.test_indexes import listening
from tests.cloud.worlds import World, a_world
from tests.postgres import PostgresServer
from tests.real_parts import missing

NORTH = Scope(frozenset({"north"}))
BEGINNING, NUMBER = "20261123-c", "20261123-ch1"
"""In Czech "ch" is one letter, which comes behind all that begins with "c"."""
MAKE = "CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C' LOCALE_PROVIDER icu ICU_LOCALE 'cs'"


@pytest.fixture
def dictionary(postgres_server: PostgresServer) -> Iterator[World]:
    """A world in a database that sorts as the Czech do."""
    name = f"coffee_test_{uuid.uuid4().hex}"
    with postgres_server.connected() as admin:
        known = admin.execute("SELECT 1 FROM pg_collation WHERE collname = 'cs-x-icu'").fetchone()
        if known is None or admin.info.server_version < 150_000:
            missing("PostgreSQL that makes databases with ICU: missing (install one of 15 or later, with ICU)")
        admin.execute(sql.SQL(MAKE).format(sql.Identifier(name)))
        try:
            with a_world(postgres_server.url.set(database=name).render_as_string(hide_password=False)) as world:
                yield world
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def test_a_beginning_names_an_order_where_letters_stand_otherwise(dictionary: World) -> None:
    assert migrate.check(dictionary.database) == []
    dictionary.scan(NUMBER)
    with listening(dictionary.database) as plans, dictionary.database.read() as session:
        assert named(session, NORTH, BEGINNING) == [NUMBER]
        assert named(session, NORTH, BEGINNING.upper()) == []
    assert "ix_orders_beginnings" in plans.text
    assert plans.whole_tables == []


def test_and_one_at_rest(dictionary: World) -> None:
    dictionary.scan(NUMBER)
    dictionary.database.transact(archive.put_away, [NUMBER], dictionary.now)
    with listening(dictionary.database) as plans, dictionary.database.read() as session:
        assert named(session, NORTH, BEGINNING) == [NUMBER]
    assert "ix_archived_orders_beginnings" in plans.text
