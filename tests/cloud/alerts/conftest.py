"""`desk` runs a test on both databases, `sqlite_desk` on SQLite."""

from collections.abc import Iterator

import pytest

from tests.cloud.alerts.desk import Desk, a_desk
from tests.cloud.worlds import World


@pytest.fixture
def desk(world: World) -> Iterator[Desk]:
    with a_desk(world) as made:
        yield made


@pytest.fixture
def sqlite_desk(sqlite_world: World) -> Iterator[Desk]:
    with a_desk(sqlite_world) as made:
        yield made
