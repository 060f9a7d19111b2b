"""A migrated database without migrating it each time: every test's own copy of one that was migrated once.

The migrations themselves are tested in `test_migrations.py`, on databases that went through them.
"""

import tempfile
from functools import cache
from pathlib import Path

from cloud import migrate
from cloud.db import Database


def bring(database: Database) -> None:
    """Give `database` its tables, unless it has them."""
    file = Path(database.url.database or "")
    if database.is_sqlite and not file.exists():
        file.write_bytes(_sqlite())
    elif migrate.current(database) is None:
        migrate.upgrade(database)


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
