"""A PostgreSQL database that its administrator uses for more than ours is restored too, and so is one in a schema."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg import sql
from sqlalchemy import make_url

from cloud.backup import postgres_dump, programs
from cloud.backup.archive import BackupError
from cloud.migrations import migrate
from cloud.orders.models import Order
from tests.cloud.backup.restoring import Restorable
from tests.cloud.tills import a_till
from tests.cloud.worlds import a_world
from tests.postgres import PostgresServer
from tests.real_parts import missing

EXTENSION = "pg_stat_statements"


@pytest.fixture
def owners_url(postgres_url: str, postgres_server: PostgresServer) -> Iterator[str]:
    """Of a database whose owner is nothing else; another one has put an extension there."""
    url, owner = make_url(postgres_url), f"coffee_owner_{uuid.uuid4().hex}"
    with postgres_server.connected(url.database or "") as connection:
        if not connection.execute("SELECT FROM pg_available_extensions WHERE name = %s", [EXTENSION]).fetchall():
            missing(f"PostgreSQL's extension {EXTENSION} (Debian: postgresql-contrib)")
        its, name = sql.Identifier(url.database or ""), sql.Identifier(owner)
        connection.execute(f"CREATE EXTENSION {EXTENSION}")
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'secret'").format(name))
        connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(its, name))
        yield url.set(username=owner, password="secret").render_as_string(hide_password=False)
        connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO CURRENT_USER").format(its))
        connection.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(name))
        connection.execute(sql.SQL("DROP ROLE {}").format(name))


@pytest.fixture
def schemas_url(postgres_url: str, postgres_server: PostgresServer) -> str:
    """Of a database whose programs have a schema of their own."""
    database = make_url(postgres_url).database or ""
    with postgres_server.connected(database) as connection:
        connection.execute("CREATE SCHEMA coffee")
        connection.execute(sql.SQL("ALTER DATABASE {} SET search_path = coffee").format(sql.Identifier(database)))
    return postgres_url


def comes_back(url: str, folder: Path) -> None:
    """A backup of it replaces it."""
    with a_world(url) as world, a_till(world) as till:
        there = Restorable(till, folder)
        kept = world.scan()
        there.back_up()
        later = world.scan()
        programs.look_into(till.cloud, there.file)
        there.restore()
        with world.database.read() as session:
            assert session.get(Order, kept) is not None
            assert session.get(Order, later) is None
        assert migrate.check(world.database) == []


def test_an_extension_of_somebody_elses_is_left_alone(
    owners_url: str, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    comes_back(owners_url, tmp_path)
    with postgres_server.connected(make_url(owners_url).database or "") as connection:
        assert connection.execute("SELECT FROM pg_extension WHERE extname = %s", [EXTENSION]).fetchall()


def test_a_schema_of_its_own_is_replaced(schemas_url: str, tmp_path: Path) -> None:
    comes_back(schemas_url, tmp_path)


def test_a_missing_schema_is_made_and_another_one_refused(
    schemas_url: str, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    with a_world(schemas_url) as world, a_till(world) as till:
        there = Restorable(till, tmp_path)
        kept = world.scan()
        there.back_up()
        there.let_go()
        database = world.database.url.database or ""
        with postgres_server.connected(database) as connection:
            its = sql.Identifier(database)
            connection.execute("DROP SCHEMA coffee CASCADE")
            connection.execute(sql.SQL("ALTER DATABASE {} RESET search_path").format(its))
            with pytest.raises(BackupError, match="search_path"):
                programs.restore(till.cloud, there.file, replaces=False)
            there.let_go()
            connection.execute(sql.SQL("ALTER DATABASE {} SET search_path = coffee").format(its))
        programs.restore(till.cloud, there.file, replaces=False)
        with world.database.read() as session:
            assert session.get(Order, kept) is not None


def test_a_script_of_a_newer_client_suits_an_older_server(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = postgres_dump.unpack

    def unpack_as_17(dumped: Path, schema: str, to: Path) -> None:
        real(dumped, schema, to)
        was = to.read_text()
        to.write_text(
            was.replace("\nSET lock_timeout = 0;\n", "\nSET lock_timeout = 0;\nSET transaction_timeout = 0;\n")
        )
        assert to.read_text() != was

    monkeypatch.setattr(postgres_dump, "unpack", unpack_as_17)
    comes_back(postgres_url, tmp_path)
