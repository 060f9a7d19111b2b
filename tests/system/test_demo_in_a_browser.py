"""One person, one browser: from the demo's front page to the cup, clicking only what the pages offer."""

import re
from pathlib import Path

from playwright.sync_api import expect

from tests.chromium import Pages
from tests.system.demo_runs import a_demo

POURED_WITHIN_MS = 60_000


def test_a_whole_purchase_by_clicking(tmp_path: Path, pages: Pages) -> None:
    with a_demo(tmp_path / "demo", "--port", "0") as run:
        front = pages.open(run.address())
        with front.expect_popup() as opened:
            front.get_by_role("link", name="Подойти к автомату").click()
        panel = opened.value
        panel.get_by_role("button", name="Американо").click()
        expect(panel.locator("#qr svg")).to_be_visible()
        with panel.expect_popup() as opened:
            panel.locator("#qr").click()
        order = opened.value
        expect(order.get_by_role("heading", name="Проверьте заказ и оплатите")).to_be_visible()
        number = order.locator(".number").inner_text()
        order.get_by_role("button", name=re.compile("^Оплатить")).click()
        expect(order.get_by_text("Симулятор ЮKassa.")).to_be_visible()
        order.get_by_role("button", name=re.compile("^Оплатить \\d")).click()
        expect(order.locator(".number")).to_have_text(number)
        order.evaluate("window.isTheSamePage = true")
        expect(order.get_by_role("heading", name="Готово!")).to_be_visible(timeout=POURED_WITHIN_MS)
        assert order.evaluate("window.isTheSamePage"), "the page was loaded anew"
        expect(panel.locator("#cups .much")).to_have_text("100 %")
        expect(front.get_by_role("link", name="Книги платёжной системы")).to_be_visible()
        assert run.interrupt() == 0
        assert run.left_behind() == []
