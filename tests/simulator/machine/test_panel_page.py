"""The front panel in a real browser: a buyer's way, a fault, a phone's width."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from protocol.machine import MakeDrink, to_frame
from simulator.machine import MachineSimulator, Timing
from simulator.machine.framing import encode
from tests.chromium import Pages


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[MachineSimulator]:
    with MachineSimulator(tty=tmp_path / "tty", timing=Timing(brew_s=1.5, boot_s=0.3, heating_s=0.0)) as running:
        yield running


def make(simulator: MachineSimulator, order_uuid: str) -> None:
    frame = to_frame(MakeDrink(order_uuid=order_uuid, drink_no="latte", text_flag="1", price=100))
    with open(simulator.tty, "wb", buffering=0) as line:
        line.write(encode(frame))


def test_a_drink_chosen_on_the_screen_becomes_a_qr_that_is_also_a_link(
    simulator: MachineSimulator, pages: Pages
) -> None:
    page = pages.open(simulator.url)
    page.get_by_role("button", name="Латте").click()
    link = page.get_by_role("link", name="Открыть страницу оплаты").last
    expect(link).to_have_attribute("href", _paying("latte", 1))
    page.get_by_role("button", name="Большой").click()
    expect(link).to_have_attribute("href", _paying("latte", 2))
    expect(page.locator("#qr svg")).to_be_visible()
    expect(page.get_by_text("Нажмите на код")).to_be_visible()
    page.get_by_role("button", name="Меню").click()
    expect(page.get_by_text("Выберите напиток")).to_be_visible()


def test_a_pour_is_seen_from_the_first_stage_to_the_cup(simulator: MachineSimulator, pages: Pages) -> None:
    page = pages.open(simulator.url)
    expect(page.get_by_text("Выберите напиток")).to_be_visible()
    make(simulator, "o1")
    expect(page.get_by_text("Заказ o1")).to_be_visible()
    expect(page.get_by_text("Приятного аппетита!")).to_be_visible()
    expect(page.locator("#cups li")).to_have_count(1)
    expect(page.locator("#cups .much")).to_have_text("100 %")


def test_a_machine_that_dies_mid_pour_goes_dark_and_comes_back_with_half_a_cup(
    simulator: MachineSimulator, pages: Pages
) -> None:
    page = pages.open(simulator.url)
    page.get_by_role("switch", name="Гаснет посреди налива").first.click()
    expect(page.locator('[data-switch="mid_pour_crash"]').first).to_have_attribute("aria-checked", "true")
    make(simulator, "o1")
    expect(page.get_by_text("Напиток прерван")).to_be_visible()
    expect(page.locator("#cups .part")).to_be_visible()


def test_without_milk_the_milk_drinks_are_closed_with_the_reason(simulator: MachineSimulator, pages: Pages) -> None:
    page = pages.open(f"{simulator.url}/?lang=en", locale="en-GB")
    page.get_by_role("switch", name="Out of milk").first.click()
    expect(page.get_by_role("button", name="Latte no milk")).to_be_disabled()
    expect(page.get_by_role("button", name="Espresso")).to_be_enabled()


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_sticks_out_sideways(simulator: MachineSimulator, pages: Pages, width: int) -> None:
    page = pages.open(simulator.url, viewport={"width": width, "height": 800})
    page.get_by_text("Все переключатели").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def _paying(drink_no: str, size: int) -> re.Pattern[str]:
    return re.compile(rf"/v1/pay\?deviceUuid=m-001&drinkNo={drink_no}&size={size}&")
