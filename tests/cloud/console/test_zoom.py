"""Charts that zoom, in a real browser under our content policy: by drag and keys; without scripts the drawing stays."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from cloud.orders.sales_days import roll_up
from tests.chromium import Pages
from tests.cloud.console.building import Console
from tests.cloud.console.made import poured

pytestmark = pytest.mark.browser


def charts(pages: Pages, site: str, console: Console, **how: Any) -> Page:
    poured(console.world)
    console.world.database.transact(roll_up, console.world.now)
    cookie = console.client("owner@north").get_cookie("coffee_console", path="/console")
    assert cookie is not None
    page = pages.open(viewport={"width": 360, "height": 800}, **how)
    page.context.add_cookies([{"name": cookie.key, "value": cookie.value, "url": f"{site}/console"}])
    page.on("console", lambda message: pytest.fail(message.text))  # the content policy complains there
    page.on("pageerror", lambda error: pytest.fail(str(error)))
    page.goto(f"{site}/console/charts?days=28")
    return page


def test_they_zoom_by_drag_and_keys(pages: Pages, console_site: str, console: Console) -> None:
    page = charts(pages, console_site, console)
    drawn, plot, whole = (page.locator(name).first for name in ("svg.chart", ".plot", "[data-whole]"))
    expect(drawn).to_be_hidden()
    expect(whole).to_be_hidden()
    plot.scroll_into_view_if_needed()
    box = plot.locator(".u-over").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + 60, steps=4)
    page.mouse.up()
    expect(whole).to_be_visible()
    plot.press("Escape")
    expect(whole).to_be_hidden()
    plot.press("+")
    expect(page.locator("[data-whole]").last).to_be_visible()  # all of them together


def test_without_scripts_the_servers_drawing_stays(pages: Pages, console_site: str, console: Console) -> None:
    page = charts(pages, console_site, console, java_script_enabled=False)
    expect(page.locator("svg.chart").first).to_be_visible()
    expect(page.locator(".zoom").first).to_be_hidden()
