"""The judged walk in a real browser: support is given a complaint, and finds its order and its truth in three taps."""

import pytest
from playwright.sync_api import Page, expect

from cloud.orders import claims
from cloud.orders.claims import ClaimKind
from cloud.orders.order_limits import OrderLimits
from cloud.orders.tasks import Task
from protocol.reasons import Result, Spout
from tests.chromium import Pages
from tests.cloud.console.building import Console, email_of
from tests.cloud.console.made import poured
from tests.cloud.console.site import complaints
from tests.cloud.orders.test_operator_actions import silent
from tests.cloud.worlds import ONE_STAGE

pytestmark = pytest.mark.browser
WAYS = [(360, "ru"), (1280, "en")]
"""Each size and each language once."""
TRUTH = {
    "ru": "Деньги возвращаются; напиток не налит: в автомате закончилась вода.",
    "en": "The money is on its way back; the drink was not poured: the machine is out of water.",
}


def failed(console: Console, order_id: str = "") -> str:
    """Paid, and the machine has run out of water."""
    world = console.world
    made = world.pay(order_id, ONE_STAGE)
    world.publish(made)
    world.report(made, Result.REJECTED, "no_water", Spout.NONE)
    return made


def a_day(console: Console) -> str:
    """An ordinary day of orders, and among them the one that is complained about; its number."""
    for _ in range(6):
        poured(console.world)
        console.clock.advance(600)
    order_id = failed(console, "20261123044945471c8a70-9ace-cndn")
    for _ in range(6):
        console.clock.advance(1500)
        poured(console.world)
    return order_id


def logged_in(pages: Pages, site: str, console: Console, who: str, width: int, language: str) -> Page:
    cookie = console.client(who).get_cookie("coffee_console", path="/console")
    assert cookie is not None
    page = pages.kept(viewport={"width": width, "height": 800}, locale=f"{language}-{language.upper()}",
                      bypass_csp=True)  # fmt: skip
    page.context.add_cookies([{"name": cookie.key, "value": cookie.value, "url": f"{site}/console"}])
    page.goto(f"{site}/console/account?lang={language}")
    return page


def find(page: Page, text: str) -> None:
    """Two taps: into the field, and "search" on the phone's keyboard."""
    field = page.locator(".find input")
    field.click()
    field.fill(text)
    field.press("Enter")


@pytest.mark.parametrize(("width", "language"), WAYS)
def test_support_finds_the_order_of_a_complaint_and_its_truth_in_three_taps(
    kept_pages: Pages, console: Console, console_site: str, width: int, language: str
) -> None:
    order_id = a_day(console)
    page = logged_in(kept_pages, console_site, console, "support@north", width, language)
    find(page, "179 13:00")  # "about one o'clock I paid 179 and got nothing"
    rows = page.locator(".orders a.item")
    expect(rows.filter(has=page.locator(".badge.warn"))).to_have_count(1)
    assert complaints(page) == []
    rows.filter(has=page.locator(".badge.warn")).click()
    expect(page.locator("h1")).to_have_text(TRUTH[language])
    expect(page.locator(".timeline")).to_be_visible()
    assert page.url.split("?")[0].endswith(order_id)
    assert complaints(page) == []


@pytest.mark.parametrize(("width", "language"), WAYS)
def test_a_drink_that_a_person_has_seen_poured_keeps_its_money(
    kept_pages: Pages, console: Console, console_site: str, width: int, language: str
) -> None:
    world = console.world
    world.rules = OrderLimits(uncertain_returns_a_day=0)
    order_id = silent(world)
    page = logged_in(kept_pages, console_site, console, "support@north", width, language)
    page.goto(f"{console_site}/console/orders/{order_id}")
    page.click("[data-opens=keep]")
    page.fill("[name=keep_words]", "Видно на камере")
    assert complaints(page) == []
    page.click("#keep button.main")
    expect(page.locator(".timeline")).to_contain_text("Видно на камере")
    assert (world.status(order_id), world.open_tasks(order_id, Task.REFUND)) == ("successful", [])
    assert page.locator("[name=keep_words]").count() == 0
    assert complaints(page) == []


def test_a_number_or_its_end_leads_there_at_once(kept_pages: Pages, console: Console, console_site: str) -> None:
    order_id = a_day(console)
    page = logged_in(kept_pages, console_site, console, "support@north", 360, "ru")
    for typed in (order_id, order_id.partition("-")[0], "…cndn"):
        page.goto(f"{console_site}/console/account")
        find(page, typed)
        if typed.startswith("…"):
            page.locator(".orders a.item").click()
        expect(page.locator("h1")).to_have_text(TRUTH["ru"])


@pytest.mark.parametrize(("width", "language"), WAYS)
def test_a_buyers_claim_stands_beside_the_machines_word_and_is_answered(
    kept_pages: Pages, console: Console, console_site: str, width: int, language: str
) -> None:
    order_id, world = a_day(console), console.world
    world.database.transact(claims.say, order_id, ClaimKind.NOT_POURED, "Стакан пустой", "ru", world.now)
    page = logged_in(kept_pages, console_site, console, "support@north", width, language)
    page.goto(f"{console_site}/console/claims")
    expect(page.locator("a.item")).to_contain_text(TRUTH[language])
    assert complaints(page) == []
    page.locator("a.item").click()
    page.fill(".talk textarea", "Автомат без воды, деньги уже возвращаются.")
    page.locator(".talk button.main").click()
    expect(page.locator(".talk .words").last).to_have_text("Автомат без воды, деньги уже возвращаются.")
    with world.database.read() as session:
        [claim] = claims.claims_of(session, order_id)
        assert (claim.state, [m.by for m in claims.messages_of(session, claim.id)]) == (
            "answered",
            ["", "Support@North"],
        )


def test_a_return_above_the_limit_is_approved_by_a_second_person(
    kept_pages: Pages, console: Console, console_site: str
) -> None:
    order_id = poured(console.world)
    console.cloud.settings.__dict__["return_limit"] = 100.0
    page = logged_in(kept_pages, console_site, console, "support@north", 360, "ru")
    page.goto(f"{console_site}/console/orders/{order_id}")
    page.get_by_role("button", name="Вернуть деньги").click()
    assert complaints(page) == []
    page.get_by_role("button", name="Вернуть", exact=True).click()
    expect(page.locator(".notice.good")).to_contain_text("второй человек")
    assert console.world.open_tasks(order_id) == []
    page = logged_in(kept_pages, console_site, console, "owner@north", 360, "ru")
    page.goto(f"{console_site}/console/claims")
    page.get_by_role("button", name="Вернуть").click()
    expect(page.locator(".notice.good")).to_contain_text("179")
    assert console.world.open_tasks(order_id) == ["refund"]
    assert email_of("owner@north") in [line.actor for line in console.world.history(order_id)]
