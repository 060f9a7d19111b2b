"""In a real browser: what was typed into a form that is refused stands there again; no secret is kept for that."""

import pytest
from playwright.sync_api import Locator, Page, expect

from cloud.access import passwords, users
from cloud.orders import claims
from cloud.orders.claims import ClaimKind
from tests.chromium import Pages
from tests.cloud.console.building import OWN, PASSWORD, Console, post
from tests.cloud.console.made import poured
from tests.cloud.console.site import complaints
from tests.cloud.console.test_the_walk import logged_in
from tests.cloud.worlds import DEVICE

pytestmark = pytest.mark.browser
MACHINE = f"/console/settings/machine/{DEVICE}"
TEXT = f"{MACHINE}/text/client_info"
INVITE = f"/console/people/invite/{OWN}"
KEYS = f"/console/settings/{OWN}/keys/Yookassa"


def kept(page: Page) -> str:
    """All that the browser holds for the site, but for where htmx is."""
    held: dict[str, str] = page.evaluate("({...sessionStorage})")
    return " ".join(words for key, words in held.items() if not key.startswith("htmx"))


def saved(page: Page, button: Locator) -> None:
    button.click()
    expect(page.locator(".notice.good")).to_be_visible()
    assert kept(page) == ""


@pytest.mark.parametrize(("width", "language"), [(360, "ru"), (1280, "en")])
def test_what_was_typed_into_a_refused_form_stands_there_again(
    kept_pages: Pages, console: Console, console_site: str, width: int, language: str
) -> None:
    """Regression: the page was drawn anew after a refusal, and all that had been typed was gone."""
    order_id, world, other = poured(console.world), console.world, console.client(f"manager@{OWN}")
    page = logged_in(kept_pages, console_site, console, f"owner@{OWN}", width, language)

    page.goto(f"{console_site}{TEXT}")
    post(other, TEXT, client_info="Theirs")
    text = page.locator("textarea")
    text.fill("Mine")
    page.locator("form.card button.main").click()
    expect(page.locator(".notice.bad")).to_be_visible()
    expect(text).to_have_value("Mine")
    expect(page.locator(".hint.words")).to_contain_text("Theirs")
    assert complaints(page) == []
    saved(page, page.locator("form.card button.main"))
    expect(text).to_have_value("Mine")

    page.goto(f"{console_site}{MACHINE}")
    page.locator("[data-opens=drink-1]").click()
    drink = page.locator("#drink-1")
    drink.locator("[name=price_medium]").fill("much")
    post(other, f"/console/settings/drink/{DEVICE}/latte", name="Their name")
    drink.locator("button.main").click()
    expect(drink.locator(".notice.bad")).to_be_in_viewport()
    expect(drink.locator("[name=price_medium]")).to_have_value("much")
    expect(drink.locator("[name=name]")).to_have_value("Their name")
    assert complaints(page) == []
    drink.locator("[name=price_medium]").fill("180")
    saved(page, drink.locator("button.main"))

    world.database.transact(claims.say, order_id, ClaimKind.BAD_DRINK, "cold", "ru", world.now)
    page.goto(f"{console_site}/console/orders/{order_id}")
    page.locator("[data-opens=return]").click()
    giving = page.locator("#return")
    giving.locator("[name=roubles]").fill("1790")
    giving.locator("[name=reason]").select_option("bad_drink")
    giving.locator("[name=words]").fill("Cold")
    giving.locator("button.main").click()
    expect(giving.locator(".notice.bad")).to_be_in_viewport()
    expect(giving.locator("[name=roubles]")).to_have_value("1790")
    expect(giving.locator("[name=reason]")).to_have_value("bad_drink")
    expect(giving.locator("[name=words]")).to_have_value("Cold")
    assert complaints(page) == []
    giving.locator("[data-closes]").click()

    world.database.transact(claims.say, order_id, None, "my hand is burnt", "ru", world.now)
    answer = page.locator("[name=answer]")
    answer.fill("Sorry " * 100)
    page.locator(".talk button.main").click()
    expect(page.locator(".notice.bad").first).to_be_visible()
    expect(page.locator(".talk")).to_contain_text("my hand is burnt")
    expect(answer).to_have_value("Sorry " * 100)
    saved(page, page.locator(".talk button.main"))


def test_what_is_ticked_stands_there_again_and_is_gone_with_the_next_page(
    kept_pages: Pages, console: Console, console_site: str
) -> None:
    page = logged_in(kept_pages, console_site, console, f"owner@{OWN}", 360, "ru")
    page.goto(f"{console_site}{INVITE}")
    email, role = page.locator("main [name=email]"), page.locator("main [name=role]")
    ticked = page.locator(f"[name=machines][value={DEVICE}]")
    email.fill("new@example.com")
    role.select_option("technician")
    ticked.check()
    ticked.evaluate("(box) => box.form.insertAdjacentHTML('beforeend', '<input type=hidden name=machines value=a-99>')")
    page.locator("main form button.main").click()
    expect(page.locator(".notice.bad")).to_contain_text("a-99")
    expect(email).to_have_value("new@example.com")
    expect(role).to_have_value("technician")
    expect(page.locator("[name=machines]:checked")).to_have_count(1)
    expect(ticked).to_be_checked()
    page.goto(f"{console_site}{INVITE}")
    expect(email).to_have_value("")
    expect(ticked).not_to_be_checked()


def test_who_had_to_show_first_who_he_is_finds_what_he_typed_but_for_the_secret(
    kept_pages: Pages, console: Console, console_site: str
) -> None:
    fresh, now = passwords.hash_of(PASSWORD), console.clock.now
    console.cloud.database.transact(users.set_password, console.ids[f"owner@{OWN}"], fresh, now)
    page = logged_in(kept_pages, console_site, console, f"owner@{OWN}", 360, "ru")
    page.goto(f"{console_site}{KEYS}")
    account, secret = page.locator("[name=account_id]"), page.locator("[name=secret_key]")
    account.fill("12345")
    secret.fill("s3cret")
    console.clock.advance(700)
    page.locator("main form button.main").click()
    page.locator("[name=password]").fill(PASSWORD)
    page.locator("main form button.main").click()
    expect(page.locator(".notice.warn")).to_be_visible()
    expect(account).to_have_value("12345")
    expect(secret).to_have_value("")


def test_a_secret_is_never_kept_for_the_next_page(kept_pages: Pages, console: Console, console_site: str) -> None:
    page = logged_in(kept_pages, console_site, console, f"owner@{OWN}", 360, "ru")
    page.goto(f"{console_site}/console/settings/{OWN}")
    page.set_input_files("[name=file]", {"name": "fleet.toml", "mimeType": "text/plain", "buffer": b"x = 1"})
    page.click("form[action$=import] button")
    page.fill("[name=text]", "s3cret_key = 's3cret'")
    page.route("**", lambda route: route.fulfill(body="-", content_type="text/html")
               if route.request.method == "POST" else route.continue_())  # fmt: skip
    page.click("main form button")
    page.wait_for_function("document.body.innerText === '-'")
    assert kept(page) == ""
    for at, form, fields, known in (
        (KEYS, "main form", {"account_id": "12345", "secret_key": "s3cret"}, "12345"),
        ("/console/account", "form[action$=password]", {"old": "s3cret", "new": "s3cret-s3cret"}, ""),
        ("/console/account/second-factor", "main form", {"code": "s3cret"}, ""),
    ):
        page.goto(f"{console_site}{at}")
        for name, words in fields.items():
            page.fill(f"{form} [name={name}]", words)
        page.click(f"{form} button")
        page.wait_for_function("document.body.innerText === '-'")
        assert (known in kept(page), "s3cret" in kept(page), bool(known) == bool(kept(page))) == (True, False, True)
