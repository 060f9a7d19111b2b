"""A web program from before passkeys beside this one: whom it lets in by the password alone."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from cloud.access import passwords, users
from tests import released
from tests.cloud.console.building import PASSWORD, Console, a_console
from tests.cloud.console.software_key import SoftwareKey
from tests.cloud.console.test_login import EMAIL, OWNER, send, set_up
from tests.cloud.console.test_passkeys import HOST, PLACE, asked, register
from tests.cloud.worlds import World

ENTER = """\
import sys
from datetime import datetime
from cloud.access.login import Login
from cloud.database.database import Database

url, email, password, now = sys.argv[1:]
database = Database(url)
print(Login(database, None, lambda: datetime.fromisoformat(now)).enter(email, password, "192.0.2.1", "test").token)
database.close()
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return released.unpacked(tmp_path_factory.mktemp("released"))


@pytest.fixture
def console(sqlite_world: World) -> Iterator[Console]:
    """Its owner has a password and nothing else."""
    with a_console(sqlite_world, PLACE) as made:
        fresh = passwords.hash_of(PASSWORD)
        made.cloud.database.transact(users.set_password, made.ids[OWNER], fresh, made.clock.now)
        yield made


def entered_there(console: Console, tree: Path) -> FlaskClient:
    """A browser that the older program let in by the password."""
    url = console.cloud.database.url.render_as_string(hide_password=False)
    token = released.run(tree, ENTER, url, EMAIL, PASSWORD, console.clock.now.isoformat()).strip()
    browser = console.client()
    browser.set_cookie("coffee_console", token, path="/console")
    return browser


def test_who_has_a_passkey_is_asked_for_it(console: Console, tree: Path) -> None:
    """Regression: the older program knew no second step, and the newer one took its word."""
    key = SoftwareKey(PLACE, HOST)
    register(console.client(OWNER), key)
    browser = entered_there(console, tree)
    assert browser.get("/console/account").headers["Location"] == "/console/second-step?next=/console/account"
    answer = key.show(asked(browser, "/console/passkey/second_step"))
    assert send(browser, "/console/second-step", passkey=answer) == "/console/"
    assert browser.get("/console/account").status_code == 200


def test_who_has_none_is_let_in_and_stays_when_he_makes_one(console: Console, tree: Path) -> None:
    browser = entered_there(console, tree)
    console.clock.advance(11 * 60)
    assert send(browser, "/console/confirm", password=PASSWORD, next="/console/account") == "/console/account"
    register(browser, SoftwareKey(PLACE, HOST))
    assert browser.get("/console/account").status_code == 200


def test_the_code_of_an_authenticator_is_a_second_step_there_too(console: Console, tree: Path) -> None:
    browser = entered_there(console, tree)
    set_up(console, browser)
    register(browser, SoftwareKey(PLACE, HOST))
    assert browser.get("/console/account").status_code == 200
