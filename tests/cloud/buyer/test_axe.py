"""Every state as axe-core sees it on a phone: light and dark, Russian and English in turn; all with `--long`."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.chromium import Pages
from tests.cloud.buyer.orders import DEVICE, Orders
from tests.cloud.buyer.states import SCHEMES, STATES, in_turn

WAYS = [f"{scheme} {language}" for language in ("ru", "en") for scheme in SCHEMES]


@pytest.fixture(scope="module")
def axe() -> Axe:
    return Axe()


@pytest.mark.parametrize(("state", "way"), in_turn(STATES, WAYS))
def test_axe_finds_nothing_in_any_state(
    kept_pages: Pages, site: str, orders: Orders, axe: Axe, state: str, way: str
) -> None:
    order_id, (scheme, language) = STATES[state](orders), way.split()
    page = kept_pages.kept(color_scheme=scheme, reduced_motion="reduce", bypass_csp=True)  # axe brings its own script
    page.goto(f"{site}/v1/order-status-page?order_id={order_id}&lang={language}")
    found = axe.run(page)
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("path", [f"/m/{DEVICE}", "/v1/pay", "/nowhere", "/m/nobody"])
def test_nor_in_the_menu_and_the_errors(kept_pages: Pages, site: str, orders: Orders, axe: Axe, path: str) -> None:
    orders.machine_says(faults=[{"code": "no_milk", "level": "block", "drinks": ["latte"]}])
    page = kept_pages.kept(bypass_csp=True)
    page.goto(site + path)
    found = axe.run(page)
    assert found.violations_count == 0, found.generate_report()


def test_axe_would_notice(pages: Pages, site: str, orders: Orders, axe: Axe) -> None:
    page = pages.open(f"{site}/v1/order-status-page?order_id={orders.created()}", bypass_csp=True)
    page.evaluate("document.querySelector('main').insertAdjacentHTML('beforeend', '<img src=x><button></button>')")
    assert axe.run(page).violations_count >= 2
