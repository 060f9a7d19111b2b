"""The console over a world of each database, or of SQLite alone."""

from collections.abc import Iterator

import pytest

from tests.cloud.console.building import Console, a_console
from tests.cloud.worlds import World


@pytest.fixture
def console(sqlite_world: World) -> Iterator[Console]:
    with a_console(sqlite_world) as made:
        yield made


@pytest.fixture
def console_on_each(world: World) -> Iterator[Console]:
    with a_console(world) as made:
        yield made
