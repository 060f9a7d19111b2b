"""The console over a world of each database, or of SQLite alone; `console_site` is where a browser finds it."""

from collections.abc import Iterator

import pytest

from tests.cloud.console.building import Console, a_console
from tests.cloud.console.site import Site
from tests.cloud.worlds import World


@pytest.fixture
def console(sqlite_world: World) -> Iterator[Console]:
    with a_console(sqlite_world) as made:
        yield made


@pytest.fixture
def console_on_each(world: World) -> Iterator[Console]:
    with a_console(world) as made:
        yield made


@pytest.fixture(scope="module")
def empty_site() -> Iterator[Site]:
    """One address for the tests of a module: a browser keeps its scripts and styles. Ask for `console_site` instead."""
    with Site() as site:
        yield site


@pytest.fixture
def console_site(empty_site: Site, console: Console) -> str:
    empty_site.console = console
    return empty_site.url
