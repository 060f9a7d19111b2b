"""One person, one browser: from the demo's front page to the cup, clicking only what the pages offer; then Ctrl-C."""

import re
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import requests
from playwright.sync_api import expect

from tests.chromium import Pages
from tests.system.demo_runs import a_demo

POURED_WITHIN_MS = 60_000


def test_it_prints_one_address_where_a_coffee_is_bought_until_it_is_interrupted(tmp_path: Path, pages: Pages) -> None:
    with a_demo(tmp_path / "demo", "--port", "0") as run:
        address = run.address()
        check_links(address)
        buy_by_clicking(pages, address)
        assert run.interrupt() == 0, run.output
        assert run.output.splitlines()[-1] == "Ending."
        assert run.left_behind() == []
        assert is_deaf(address)


def check_links(address: str) -> None:
    links = re.findall(r'href="([^"]+)"', requests.get(address, timeout=10).text)
    assert len(links) >= 6
    usual = {8000, 8070, 8080, 8090}
    assert not usual & {urlsplit(urljoin(address, link)).port for link in links}, "others may have a demo here too"
    answers = {link: requests.get(urljoin(address, link), timeout=10).status_code for link in links}
    assert set(answers.values()) == {200}, answers


def buy_by_clicking(pages: Pages, address: str) -> None:
    front = pages.open(address)
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
    front.reload()
    for name, heading in (("Забрать кофе", "Готово!"), ("Оплатить", re.compile("Оплачено|Сумма удержана"))):
        with front.expect_popup() as opened:
            front.get_by_role("link", name=name).click()
        expect(opened.value.get_by_role("heading", name=heading)).to_be_visible()


def is_deaf(address: str) -> bool:
    try:
        requests.get(address, timeout=5)
    except requests.ConnectionError:
        return True
    return False
