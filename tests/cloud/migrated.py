"""A migrated database without migrating it each time: every test's own copy of one that was migrated once.

On SQLite it is not forced onto the disk either: no test here cuts the power, and a killed program loses nothing by it.

The migrations themselves are tested in `test_migrations.py`, on databases that went through them.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from sqlalchemy import event

from cloud.database.database import Database
from cloud.migrations import migrate


def bring(database: Database) -> None:
    """Give `database` its tables, unless it has them."""
    spare_the_disk(database)
    file = Path(database.url.database or "")
    if database.is_sqlite and not file.exists():
        file.write_bytes(_sqlite())
    elif migrate.current(database) is None:
        migrate.upgrade(database)


@contextmanager
def opened(url: str) -> Iterator[Database]:
    """The database at `url` with its tables, closed at the end."""
    database = Database(url)
    try:
        bring(database)
        yield database
    finally:
        database.close()


def spare_the_disk(database: Database) -> None:
    """Have this process write to a SQLite database without waiting for the disk."""
    if database._group is not None:
        for engine in (database.engine, database._group.engine):
            event.listen(engine, "connect", lambda made, _: made.execute("PRAGMA synchronous=OFF").close())


@cache
def _sqlite() -> bytes:
    with tempfile.TemporaryDirectory(prefix="coffee-migrated-") as folder:
        file = Path(folder) / "template.db"
        upgrade(f"sqlite:///{file}")
        return file.read_bytes()


def upgrade(url: str) -> None:
    """Migrate the database at `url` and let go of it."""
    database = Database(url)
    try:
        migrate.upgrade(database)
    finally:
        database.close()
