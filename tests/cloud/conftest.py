"""Worlds for the cloud's tests: `world` and `till` run a test on SQLite and on PostgreSQL, `sqlite_...` on SQLite."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud.database.database import Database
from tests.cloud import migrated
from tests.cloud.payments.fiscal_till import FiscalTill, a_fiscal_till
from tests.cloud.tills import Till, a_till
from tests.cloud.worlds import World, a_world


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/coffee.db"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture(params=["sqlite", "postgresql"])
def migrated_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where `migrated.opened` finds or puts a database of each kind in turn, copied from one migrated before."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/coffee.db"
    return str(request.getfixturevalue("migrated_postgres_url"))


@pytest.fixture
def migrated_database(migrated_url: str) -> Iterator[Database]:
    with migrated.opened(migrated_url) as opened:
        yield opened


@pytest.fixture
def migrated_sqlite(tmp_path: Path) -> Iterator[Database]:
    with migrated.opened(f"sqlite:///{tmp_path}/coffee.db") as opened:
        yield opened


@pytest.fixture
def world(migrated_url: str) -> Iterator[World]:
    with a_world(migrated_url) as made:
        yield made


@pytest.fixture
def sqlite_world(tmp_path: Path) -> Iterator[World]:
    with a_world(f"sqlite:///{tmp_path}/coffee.db") as made:
        yield made


@pytest.fixture
def till(world: World) -> Iterator[Till]:
    """A world with a simulated YooKassa, on each database."""
    with a_till(world) as made:
        yield made


@pytest.fixture
def sqlite_till(sqlite_world: World) -> Iterator[Till]:
    with a_till(sqlite_world) as made:
        yield made


@pytest.fixture
def fiscal(world: World) -> Iterator[FiscalTill]:
    """A till whose merchant sends fiscal receipts, on each database."""
    with a_fiscal_till(world) as made:
        yield made


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`any_database` leaves PostgreSQL for `--long`: every statement said in such a test is said to it in another."""
    for item in items:
        cell = getattr(item, "callspec", None)
        is_postgresql = cell is not None and cell.params.get("migrated_url") == "postgresql"
        decides_nothing = item.get_closest_marker("any_database") and not item.get_closest_marker("both_databases")
        if is_postgresql and decides_nothing:
            item.add_marker(pytest.mark.long)
