"""Passkeys in a real browser with its virtual authenticator: made, logging in, confirming, and refused."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import CDPSession, Page, expect
from werkzeug.serving import make_server

from cloud.access import passkeys, passwords, users
from cloud.access.models import Passkey
from tests.chromium import Pages
from tests.cloud.console.building import PASSWORD, Console, a_console
from tests.cloud.console.test_login import EMAIL, OWNER
from tests.cloud.console.test_the_walk import WAYS, fits
from tests.cloud.worlds import World

pytestmark = pytest.mark.browser
AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


class Site:
    """A console at `http://localhost`, where browsers make keys without TLS."""

    def __init__(self) -> None:
        self.console: Console | None = None
        self.server = make_server("127.0.0.1", 0, self.answer, threaded=True)
        self.url = f"http://localhost:{self.server.server_port}"

    def answer(self, environ: Any, start: Any) -> Any:
        assert self.console is not None
        return self.console.app(environ, start)


@pytest.fixture
def site(sqlite_world: World) -> Iterator[Site]:
    site = Site()
    with a_console(sqlite_world, site.url) as site.console:
        fresh = passwords.hash_of(PASSWORD)
        site.console.cloud.database.transact(
            users.set_password, site.console.ids[OWNER], fresh, site.console.clock.now
        )  # fmt: skip
        thread = threading.Thread(target=site.server.serve_forever, name="passkey-site")
        thread.start()
        yield site
        site.server.shutdown()
        thread.join()
        site.server.server_close()


def with_authenticator(pages: Pages, width: int = 360, language: str = "ru") -> tuple[Page, CDPSession, str]:
    """A page whose browser has a phone's authenticator."""
    locale = f"{language}-{language.upper()}"
    page = pages.open(viewport={"width": width, "height": 800}, locale=locale, bypass_csp=False)
    cdp = page.context.new_cdp_session(page)
    cdp.send("WebAuthn.enable")
    made = cdp.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
    return page, cdp, str(made["authenticatorId"])


def by_password(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/console/login?next=/console/account")
    page.fill("input[name=email]", EMAIL)
    page.fill("input[name=password]", PASSWORD)
    page.locator("form.card button.main").click()


def by_key(page: Page) -> None:
    page.locator("form.passkey button").click()


def with_a_key(page: Page, site: Site) -> None:
    """Log in by the password and make a key."""
    by_password(page, site)
    page.goto(f"{site.url}/console/account/passkeys/new")
    by_key(page)
    expect(page.locator("ul.codes li")).to_have_count(10)


@pytest.mark.parametrize(("width", "language"), WAYS)
def test_a_key_is_made_lets_in_alone_and_as_a_second_step_and_confirms(
    pages: Pages, site: Site, width: int, language: str
) -> None:
    page, _, _ = with_authenticator(pages, width, language)
    with_a_key(page, site)
    page.goto(f"{site.url}/console/account")
    expect(page.get_by_text("Chrome · Linux" if width > 600 else "Chrome", exact=False).first).to_be_visible()
    assert fits(page)
    page.context.clear_cookies()
    page.goto(f"{site.url}/console/login?next=/console/account")
    assert fits(page)
    by_key(page)
    page.wait_for_url(f"{site.url}/console/account")
    page.context.clear_cookies()
    by_password(page, site)
    page.wait_for_url("**/console/second-step**")
    by_key(page)
    page.wait_for_url(f"{site.url}/console/account")
    assert site.console is not None
    site.console.clock.advance(601)
    page.goto(f"{site.url}/console/account/passkeys/new")
    page.wait_for_url("**/console/confirm**")
    assert fits(page)
    by_key(page)
    page.wait_for_url(f"{site.url}/console/account/passkeys/new")
    assert pages.uncaught == []


@pytest.mark.parametrize(("width", "language"), [(360, "ru"), (1280, "en")])
def test_pages_with_keys_are_for_everybody(pages: Pages, site: Site, width: int, language: str) -> None:
    page = pages.open(
        viewport={"width": width, "height": 800}, locale=f"{language}-{language.upper()}", bypass_csp=True
    )
    page.goto(f"{site.url}/console/login")
    assert Axe().run(page).violations_count == 0
    cdp = page.context.new_cdp_session(page)
    cdp.send("WebAuthn.enable")
    cdp.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
    with_a_key(page, site)
    page.goto(f"{site.url}/console/account")
    assert Axe().run(page).violations_count == 0
    page.locator("[data-opens^=remove-]").click()
    assert Axe().run(page).violations_count == 0
    page.goto(f"{site.url}/console/account/passkeys/new")
    assert Axe().run(page).violations_count == 0


def test_another_origin_gets_no_answer_or_none_that_lets_in(pages: Pages, site: Site) -> None:
    """For another host the browser has no key. For another port it signs, and names the port: we refuse."""
    page, _, _ = with_authenticator(pages)
    with_a_key(page, site)
    page.context.clear_cookies()
    page.goto(f"{site.url.replace('localhost', 'evil.localhost')}/console/login")
    by_key(page)
    expect(page.locator("[data-failed]")).to_be_visible()
    other = make_server("127.0.0.1", 0, site.answer, threaded=True)
    thread = threading.Thread(target=other.serve_forever, name="other-origin")
    thread.start()
    try:
        page.goto(f"http://localhost:{other.server_port}/console/login")
        by_key(page)
        expect(page.locator("form.card .problem")).to_be_visible()
        assert "coffee_console" not in {cookie.get("name") for cookie in page.context.cookies()}
    finally:
        other.shutdown()
        thread.join()
        other.server_close()


def test_a_removed_key_and_one_whose_owner_is_not_verified_are_refused(pages: Pages, site: Site) -> None:
    page, cdp, authenticator = with_authenticator(pages)
    with_a_key(page, site)
    page.context.clear_cookies()
    page.goto(f"{site.url}/console/login")
    cdp.send("WebAuthn.setUserVerified", {"authenticatorId": authenticator, "isUserVerified": False})
    by_key(page)
    expect(page.locator("[data-failed]")).to_be_visible()
    cdp.send("WebAuthn.setUserVerified", {"authenticatorId": authenticator, "isUserVerified": True})
    console = site.console
    assert console is not None
    console.cloud.database.transact(lambda tx: passkeys.remove(tx, tx.session.query(Passkey).one()))
    by_key(page)
    expect(page.locator("form.card .problem")).to_be_visible()
    page.goto(f"{site.url}/console/account")
    page.wait_for_url("**/console/login**")


def test_an_answer_that_was_sent_once_is_worth_nothing_again(pages: Pages, site: Site) -> None:
    page, _, _ = with_authenticator(pages)
    with_a_key(page, site)
    page.context.clear_cookies()
    page.goto(f"{site.url}/console/login?next=/console/account")
    with page.expect_request(lambda asked: asked.method == "POST" and "passkey=" in (asked.post_data or "")) as caught:
        by_key(page)
    page.wait_for_url(f"{site.url}/console/account")
    kept: Any = [one for one in page.context.cookies() if one.get("name") != "coffee_console"]
    page.context.clear_cookies()
    page.context.add_cookies(kept)
    again = page.request.post(
        caught.value.url, data=caught.value.post_data or "", max_redirects=0,
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )  # fmt: skip
    assert again.status == 400
