"""Passkeys in a real browser with its virtual authenticator: made, logging in, confirming, and refused."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import CDPSession, Page, expect

from cloud.access import passwords, users
from tests.chromium import Pages
from tests.cloud.console.building import PASSWORD, Console, a_console
from tests.cloud.console.site import Site, complaints
from tests.cloud.console.test_login import EMAIL, OWNER
from tests.cloud.console.test_the_walk import WAYS
from tests.cloud.worlds import World

pytestmark = [pytest.mark.browser, pytest.mark.any_database]
AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


@pytest.fixture
def console(world: World, empty_site: Site) -> Iterator[Console]:
    with a_console(world, empty_site.url) as made:
        fresh = passwords.hash_of(PASSWORD)
        made.cloud.database.transact(users.set_password, made.ids[OWNER], fresh, made.clock.now)
        yield made


def with_authenticator(pages: Pages, width: int = 360, language: str = "ru") -> tuple[Page, CDPSession, str]:
    """A page whose browser has a phone's authenticator."""
    locale = f"{language}-{language.upper()}"
    page = pages.open(viewport={"width": width, "height": 800}, locale=locale, bypass_csp=False)
    cdp = page.context.new_cdp_session(page)
    cdp.send("WebAuthn.enable")
    made = cdp.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
    return page, cdp, str(made["authenticatorId"])


def by_password(page: Page, site: str) -> None:
    page.goto(f"{site}/console/login?next=/console/account")
    page.fill("input[name=email]", EMAIL)
    page.fill("input[name=password]", PASSWORD)
    page.locator("form.card button.main").click()


def by_key(page: Page) -> None:
    page.locator("form.passkey button").click()


def with_a_key(page: Page, site: str) -> None:
    """Log in by the password and make a key."""
    by_password(page, site)
    page.wait_for_url(f"{site}/console/account")
    page.goto(f"{site}/console/account/passkeys/new")
    assert complaints(page) == []
    by_key(page)
    expect(page.locator("ul.codes li")).to_have_count(10)


@pytest.mark.parametrize(("width", "language"), WAYS)
def test_a_key_is_made_lets_in_alone_and_as_a_second_step_confirms_and_is_removed(
    pages: Pages, console: Console, console_site: str, width: int, language: str
) -> None:
    site = console_site
    page, _, _ = with_authenticator(pages, width, language)
    with_a_key(page, site)
    page.goto(f"{site}/console/account")
    expect(page.get_by_text("Chrome · Linux" if width > 600 else "Chrome", exact=False).first).to_be_visible()
    assert complaints(page) == []
    page.context.clear_cookies()
    page.goto(f"{site}/console/login?next=/console/account")
    assert complaints(page) == []
    by_key(page)
    page.wait_for_url(f"{site}/console/account")
    page.context.clear_cookies()
    by_password(page, site)
    page.wait_for_url("**/console/second-step**")
    by_key(page)
    page.wait_for_url(f"{site}/console/account")
    console.clock.advance(601)
    page.goto(f"{site}/console/account/passkeys/new")
    page.wait_for_url("**/console/confirm**")
    assert complaints(page) == []
    by_key(page)
    page.wait_for_url(f"{site}/console/account/passkeys/new")
    page.goto(f"{site}/console/account")
    page.locator("[data-opens^=remove-]").click()
    assert complaints(page) == []
    page.locator("dialog[open] button.main").click()
    expect(page.locator("[data-opens^=remove-]")).to_have_count(0)
    page.context.clear_cookies()
    page.goto(f"{site}/console/login")
    by_key(page)
    expect(page.locator("form.card .problem")).to_be_visible()


def test_who_is_not_verified_and_another_origin_get_no_answer_or_none_that_lets_in(
    pages: Pages, empty_site: Site, console_site: str
) -> None:
    """For another host the browser has no key. For another port it signs, and names the port: we refuse."""
    page, cdp, authenticator = with_authenticator(pages)
    with_a_key(page, console_site)
    page.context.clear_cookies()
    page.goto(f"{console_site}/console/login")
    cdp.send("WebAuthn.setUserVerified", {"authenticatorId": authenticator, "isUserVerified": False})
    by_key(page)
    expect(page.locator("[data-failed]")).to_be_visible()
    cdp.send("WebAuthn.setUserVerified", {"authenticatorId": authenticator, "isUserVerified": True})
    page.goto(f"{console_site.replace('localhost', 'evil.localhost')}/console/login")
    by_key(page)
    expect(page.locator("[data-failed]")).to_be_visible()
    with Site(empty_site.console) as other:
        page.goto(f"{other.url}/console/login")
        by_key(page)
        expect(page.locator("form.card .problem")).to_be_visible()
    assert "coffee_console" not in {cookie.get("name") for cookie in page.context.cookies()}
