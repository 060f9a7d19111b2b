"""Every state, for everyone: in a real browser, both languages, light and dark in turn, small phone to desktop."""

import pytest

from tests.chromium import Pages
from tests.cloud.buyer.accessibility import complaints
from tests.cloud.buyer.orders import DEVICE, Orders
from tests.cloud.buyer.states import SCHEMES, STATES, in_turn

WIDTHS = (320, 360, 768, 1280, 1920)
NARROWEST_AND_WIDE = (320, 1280)
"""On either side of the one width at which the page changes."""


@pytest.fixture
def widths(request: pytest.FixtureRequest) -> tuple[int, ...]:
    """All with `--long`."""
    return WIDTHS if request.config.getoption("--long") else NARROWEST_AND_WIDE


@pytest.mark.parametrize(("state", "scheme"), in_turn(STATES, SCHEMES))
def test_every_state_can_be_used_by_everyone(
    kept_pages: Pages, site: str, orders: Orders, state: str, scheme: str, widths: tuple[int, ...]
) -> None:
    order_id = STATES[state](orders)
    page = kept_pages.kept(color_scheme=scheme, reduced_motion="reduce", is_mobile=False, device_scale_factor=1)
    for language in ("ru", "en"):
        page.goto(f"{site}/v1/order-status-page?order_id={order_id}&lang={language}")
        for width in widths:
            page.set_viewport_size({"width": width, "height": 740})
            assert complaints(page) == [], (language, width)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    "path", [f"/m/{DEVICE}", "/v1/pay", "/nowhere", "/v1/order-status-page?order_id=nobody", "/m/nobody"]
)
def test_so_can_the_menu_and_the_errors(
    kept_pages: Pages, site: str, orders: Orders, path: str, scheme: str, widths: tuple[int, ...]
) -> None:
    orders.machine_says(faults=[{"code": "no_milk", "level": "block", "drinks": ["latte"]}])
    page = kept_pages.kept(color_scheme=scheme, is_mobile=False, device_scale_factor=1)
    page.goto(site + path)
    for width in widths:
        page.set_viewport_size({"width": width, "height": 740})
        assert complaints(page) == [], width


def test_the_check_itself_notices(pages: Pages, site: str, orders: Orders) -> None:
    page = pages.open(f"{site}/v1/order-status-page?order_id={orders.created()}")
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
