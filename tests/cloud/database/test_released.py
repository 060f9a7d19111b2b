"""The released tree's databases become what new ones are, and its programs write on new ones."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Engine, String, inspect, text

from cloud.database.database import Database
from cloud.migrations import migrate
from tests import released
from tests.cloud.database.test_migrations import shape

MIGRATE = """\
import sys
from cloud.database.database import Database
from cloud.migrations import migrate

database = Database(sys.argv[1])
migrate.upgrade(database)
database.close()
"""
ADD_CHANNEL = """\
import sys
from datetime import UTC, datetime
from cloud.alerts.models import Channel
from cloud.database.database import Database

made = dict(id="c", merchant_id="", kind="email", name="c", address="a@acme.example", created_at=datetime.now(UTC))
database = Database(sys.argv[1])
database.transact(lambda tx: tx.session.add(Channel(**made)))
database.close()
"""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.long)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty one."""
    sqlite = f"sqlite:///{tmp_path}/coffee.db"
    opened = Database(sqlite if request.param == "sqlite" else request.getfixturevalue("postgres_url"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return released.unpacked(tmp_path_factory.mktemp("released"))


def url(database: Database) -> str:
    return database.url.render_as_string(hide_password=False)


def required(engine: Engine) -> dict[str, set[str]]:
    """Of each table, the columns that whoever adds a row must name."""
    found = inspect(engine)
    return {
        table: {c["name"] for c in found.get_columns(table) if not c["nullable"] and c["default"] is None}
        for table in found.get_table_names()
    }


def test_a_database_of_the_released_tree_becomes_what_a_new_one_is(database: Database, tree: Path) -> None:
    """Regression: two columns were added to a revision that had been released, and nobody's program started."""
    released.run(tree, MIGRATE, url(database))
    at_release, named = migrate.current(database), required(database.engine)
    assert at_release is not None
    migrate.upgrade(database)
    assert migrate.check(database) == []
    upgraded, names_now = shape(database), required(database.engine)
    migrate.downgrade(database, "base")
    migrate.upgrade(database)
    assert upgraded == shape(database)
    assert {table: names_now[table] - columns for table, columns in named.items() if names_now[table] - columns} == {}


def test_the_released_program_adds_a_channel_to_a_new_database(database: Database, tree: Path) -> None:
    migrate.upgrade(database)
    released.run(tree, ADD_CHANNEL, url(database))
    with database.engine.connect() as connection:
        assert connection.execute(text("SELECT id, failing_since, failing_why FROM alert_channels")).all() == [
            ("c", None, "")
        ]


def test_columns_that_an_unreleased_tree_made_get_their_default(database: Database, tree: Path) -> None:
    migrate.upgrade(database)
    expected = shape(database)
    migrate.downgrade(database, "0051")
    with database.engine.begin() as connection:
        changed = Operations(MigrationContext.configure(connection))
        with changed.batch_alter_table("alert_channels") as channels:
            channels.alter_column("failing_why", server_default=None, existing_type=String(128))
    migrate.upgrade(database)
    assert shape(database) == expected
    released.run(tree, ADD_CHANNEL, url(database))
