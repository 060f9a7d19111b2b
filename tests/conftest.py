"""What every test can ask for: the real parts, and the house rules of a test run.

A missing real part skips its tests by name, and fails them when CI=true.
"""

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import Phase
from playwright.sync_api import Browser
from sqlalchemy.engine import make_url

from cloud.processes.gc_tuning import spare_what_stays
from tests import passwords, routes, statements, templates
from tests.chromium import Pages, a_browser
from tests.cloud import migrated
from tests.mosquitto import Mosquitto, a_mosquitto
from tests.pgbouncer import a_pgbouncer
from tests.postgres import PostgresServer, a_postgres_server
from tests.postgres_copies import Copies
from tests.real_parts import ALL_PARTS, CHROMIUM, MOSQUITTO, PGBOUNCER, POSTGRES, RealPart, missing

_USED = "real part"
_MARK_BY_FIXTURE = {
    "mosquitto": "mosquitto",
    "postgres_server": "postgres",
    "browser": "browser",
}
_left_for_long = pytest.StashKey[int]()

hypothesis.settings.register_profile("house", deadline=None, print_blob=True)
hypothesis.settings.register_profile(
    "planting", deadline=None, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate],
    report_multiple_bugs=False,
)  # fmt: skip
hypothesis.settings.load_profile("house")
templates.compile_once()
routes.compile_once()
statements.compile_once()
passwords.hash_cheaply()


# The real parts


@pytest.fixture
def mosquitto(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Mosquitto]:
    """A Mosquitto of the test's own: `url`, `port`, `stop()`, `kill()`, `start()` again with its memory."""
    _use(MOSQUITTO, request.node)
    with a_mosquitto(tmp_path / "mosquitto") as broker:
        yield broker


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The PostgreSQL server of this process; ask for `postgres_url` instead."""
    _need(POSTGRES)
    with a_postgres_server() as server:
        yield server


@pytest.fixture
def postgres_url(request: pytest.FixtureRequest, postgres_server: PostgresServer) -> Iterator[str]:
    """An empty PostgreSQL database of the test's own, as a `postgresql+psycopg://` URL."""
    _use(POSTGRES, request.node)
    with postgres_server.fresh_database() as url:
        yield url


@pytest.fixture(scope="session")
def migrated_postgres(postgres_server: PostgresServer) -> Iterator[str]:
    """The name of a PostgreSQL database with tables and nothing in them, to be copied."""
    with postgres_server.fresh_database() as url:
        migrated.upgrade(url)
        yield str(make_url(url).database)


@pytest.fixture(scope="session")
def migrated_copies(postgres_server: PostgresServer, migrated_postgres: str) -> Iterator[Copies]:
    """Ask for `migrated_postgres_url` instead."""
    copies = Copies(postgres_server, migrated_postgres)
    yield copies
    copies.drop()


@pytest.fixture
def migrated_postgres_url(request: pytest.FixtureRequest, migrated_copies: Copies) -> Iterator[str]:
    """A PostgreSQL database of the test's own that has its tables already."""
    _use(POSTGRES, request.node)
    with migrated_copies.lent() as url:
        yield url


@pytest.fixture
def pgbouncer(request: pytest.FixtureRequest) -> None:
    """For tests that start one themselves."""
    _use(PGBOUNCER, request.node)


@pytest.fixture(params=["session", "transaction"])
def pooled_url(request: pytest.FixtureRequest, pgbouncer: None, migrated_postgres_url: str) -> Iterator[str]:
    """`migrated_postgres_url` through PgBouncer, once lending sessions for a session, once for a transaction."""
    with a_pgbouncer(migrated_postgres_url, request.param) as url:
        yield url


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The Chromium of this process; ask for `pages` instead."""
    _need(CHROMIUM)
    with a_browser() as chromium:
        yield chromium


@pytest.fixture
def pages(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Pages]:
    """`pages.open(address, locale="en-GB", ...)`: pages in real Chromium, a Russian phone's by default."""
    _use(CHROMIUM, request.node)
    opened = Pages(browser)
    yield opened
    opened.close()
    assert not opened.uncaught, f"errors no script caught: {opened.uncaught}"


@pytest.fixture(scope="module")
def module_pages(browser: Browser) -> Iterator[Pages]:
    """Ask for `kept_pages` instead."""
    opened = Pages(browser)
    yield opened
    opened.close()


@pytest.fixture
def kept_pages(request: pytest.FixtureRequest, module_pages: Pages) -> Iterator[Pages]:
    """`pages` whose `kept(...)` are not opened anew for each test of a module, which costs more than to load one."""
    _use(CHROMIUM, request.node)
    yield module_pages
    module_pages.leave()
    uncaught, module_pages.uncaught = module_pages.uncaught, []
    assert not uncaught, f"errors no script caught: {uncaught}"


def _need(part: RealPart) -> None:
    if part.where is None:
        missing(part)


def _use(part: RealPart, item: pytest.Item) -> None:
    _need(part)
    item.user_properties.append((_USED, part.name))


# The house rules


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="also run the tests that take minutes")


def pytest_configure() -> None:
    """Settings of the person who runs the tests must not reach the programs under test."""
    gc.disable()  # until the tests are known: they and their modules stay
    for name in [name for name in os.environ if name.startswith("COFFEE_")]:
        if not name.startswith("COFFEE_TEST_"):
            del os.environ[name]


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    spare_what_stays()
    gc.enable()


def _turn(item: pytest.Item) -> tuple[bool, bool]:
    """Playwright leaves its event loop running in its thread: nothing else may come after it.

    What one process must do alone comes first: at the end the others would wait for it.
    """
    return item.get_closest_marker("browser") is not None, item.get_closest_marker("xdist_group") is None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        for fixture in _MARK_BY_FIXTURE.keys() & set(getattr(item, "fixturenames", ())):
            item.add_marker(_MARK_BY_FIXTURE[fixture])
    items.sort(key=_turn)
    if config.getoption("--long"):
        return
    left = [item for item in items if item.get_closest_marker("long")]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if not item.get_closest_marker("long")]
    config.stash[_left_for_long] = len(left)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A pytest-xdist worker tells the main process what it left out."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["left_for_long"] = session.config.stash.get(_left_for_long, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    node.config.stash[_left_for_long] = getattr(node, "workeroutput", {}).get("left_for_long", 0)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    reports = [report for group in terminalreporter.stats.values() for report in group]
    used = [
        value
        for report in reports
        if getattr(report, "when", None) == "call"
        for name, value in report.user_properties
        if name == _USED
    ]
    terminalreporter.section("real parts")
    for part in ALL_PARTS:
        count = used.count(part.name)
        use = f"used by {count} tests" if count else "not used"
        terminalreporter.line(str(part) if part.where is None else f"{part}, {use}")
    if left := config.stash.get(_left_for_long, 0):
        terminalreporter.line(f"left for --long: {left}")
