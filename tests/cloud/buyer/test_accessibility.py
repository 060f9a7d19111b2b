"""Every state, for everyone: real Chromium, both languages and schemes, phone to desktop, and as axe-core sees it.

Each state in Russian, whose words are longest, and one look by axe always run; the rest with `--long`.
"""

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from cloud.buyer import page_state
from cloud.database.database import Database
from cloud.orders import claims
from tests.chromium import Pages
from tests.cloud.buyer.accessibility import complaints
from tests.cloud.buyer.orders import DEVICE, Orders, TestClock
from tests.cloud.buyer.states import LANGUAGES, SCHEMES, STATES, in_turn

WIDTHS = (320, 360, 768, 1280, 1920)
NARROWEST_AND_WIDE = (1280, 320)
"""On either side of the one width at which the page changes."""
WAYS = {f"{scheme} {language}": (scheme, language) for language in LANGUAGES for scheme in SCHEMES}


@pytest.fixture(scope="module")
def axe() -> Axe:
    return Axe()


@pytest.fixture
def page(kept_pages: Pages) -> Page:
    return kept_pages.kept(  # axe brings its own script
        reduced_motion="reduce", is_mobile=False, device_scale_factor=1, bypass_csp=True
    )


@pytest.fixture
def look(request: pytest.FixtureRequest, page: Page) -> Callable[[str], None]:
    """Open an address; nobody may have complaints about it."""
    widths = WIDTHS if request.config.getoption("--long") else NARROWEST_AND_WIDE

    def _look(address: str) -> None:
        page.goto(address)
        for width in widths:
            page.set_viewport_size({"width": width, "height": 740})
            for scheme in SCHEMES:
                page.emulate_media(color_scheme=scheme)
                assert complaints(page) == [], (width, scheme)

    return _look


def axe_finds_nothing(axe: Axe, page: Page) -> None:
    found = axe.run(page)
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize(("state", "way"), in_turn(STATES, tuple(WAYS)))
def test_every_state_can_be_used_by_everyone(
    request: pytest.FixtureRequest, page: Page, look: Callable[[str], None], axe: Axe, site: str, orders: Orders,
    state: str, way: str,
) -> None:  # fmt: skip
    order_id, (scheme, axes_language) = STATES[state](orders), WAYS[way]
    address = f"{site}/v1/order-status-page?order_id={order_id}&lang="
    for language in LANGUAGES if request.config.getoption("--long") else ("ru",):
        look(address + language)
    page.goto(address + axes_language)
    page.emulate_media(color_scheme=scheme)
    axe_finds_nothing(axe, page)


@pytest.mark.parametrize(
    "path", [f"/m/{DEVICE}", "/v1/pay", "/nowhere", "/v1/order-status-page?order_id=nobody", "/m/nobody"]
)
def test_so_can_the_menu_and_the_errors(
    page: Page, look: Callable[[str], None], axe: Axe, site: str, orders: Orders, path: str
) -> None:
    orders.machine_says(faults=[{"code": "no_milk", "level": "block", "drinks": ["latte"]}])
    look(site + path)
    axe_finds_nothing(axe, page)


@pytest.mark.parametrize("language", LANGUAGES)
def test_so_can_what_a_buyer_said_and_the_answer(
    page: Page, look: Callable[[str], None], axe: Axe, site: str, orders: Orders, database: Database, clock: TestClock,
    language: str,
) -> None:  # fmt: skip
    order_id = orders.make_failed()
    database.transact(claims.say, order_id, claims.ClaimKind.NOT_POURED, "The cup is empty.", language, clock())
    database.transact(claims.answer, 1, "anna@example.org", "Your money is on its way.", clock(), resolves=False)
    look(f"{site}/v1/order-claim?order_id={order_id}&lang={language}")
    assert page.locator(".ours").is_visible()
    axe_finds_nothing(axe, page)


def test_a_button_that_comes_under_the_same_title_is_said(
    page: Page, site: str, orders: Orders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: who cannot see the page never learnt that their drink could be poured now."""
    monkeypatch.setattr(page_state, "REFRESH_BLOCKED_S", 1)
    orders.manual_make()
    orders.machine_says(online=False)
    page.goto(f"{site}/v1/order-status-page?order_id=o-1&lang=en")
    expect(page.locator(".why")).to_be_visible()
    orders.machine_says()
    expect(page.locator("h1")).to_have_text("Your drink is waiting for you")
    expect(page.locator("#spoken")).to_contain_text("I’m at the machine")


def test_the_checks_themselves_notice(page: Page, axe: Axe, site: str, orders: Orders) -> None:
    page.goto(f"{site}/v1/order-status-page?order_id={orders.created()}")
    page.emulate_media(color_scheme="light")
    page.evaluate(
        """() => {
          document.querySelector("main").insertAdjacentHTML("beforeend",
            '<img src="x"><button></button><h4>deep</h4><p id="view"></p><div role="banana"></div>');
          document.querySelector("h1").style.color = "#eee";
          document.documentElement.lang = "";
        }"""
    )

    rules = {complaint.partition(":")[0] for complaint in complaints(page)}

    assert {"image-alt", "control-name", "heading-order", "unique-id", "known-role", "contrast", "html-lang"} <= rules
    assert {"image-alt", "button-name"} <= {violation["id"] for violation in axe.run(page).response["violations"]}
