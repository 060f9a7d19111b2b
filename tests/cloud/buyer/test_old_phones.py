"""Old phones, and those that scripts do not reach: what `order.js` may be written in, and the page without it."""

import re

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import expect

from cloud.buyer.assets import style
from cloud.orders.money import PaymentState
from protocol.reasons import Result, Spout
from tests.chromium import Pages
from tests.cloud.buyer.conftest import Counter
from tests.cloud.buyer.orders import DEVICE, Orders
from tests.cloud.buyer.test_browser import address
from tests.cloud.buyer.test_status_page import Elements, static_file
from tests.cloud.buyer.test_status_page import page as html_of

NEWER_THAN_2018 = re.compile(
    r"""\?\.(?!\d) | \?\? | \|\|= | &&= | \d_\d | \d+n\b | \(\?<[=!] | \bstatic\b | \.\#\w
    | \b(?:replaceChildren|fromEntries|flat|flatMap|at|replaceAll|matchAll|allSettled|any|trimStart|trimEnd|hasOwn
        |findLast|findLastIndex|toSorted|toReversed|with|timeout)\(
    | \b(?:globalThis|structuredClone|queueMicrotask|randomUUID|BigInt|WeakRef|ResizeObserver)\b""",
    re.VERBOSE,
)
"""What iOS 11.3 and Chrome 66 cannot read, or do not have."""


def test_the_script_is_written_for_the_phones_it_names(client: FlaskClient, orders: Orders) -> None:
    """Regression: one newer word is a syntax error of the whole script, and the page said that it updates by itself."""
    [script] = [attributes["src"] for attributes in Elements(html_of(client, orders.created())).all("script")]
    assert script is not None
    code = re.sub(r"\s//.*", "", static_file(client, script)[1].decode())

    assert "async function" in code
    assert NEWER_THAN_2018.findall(code) == []
    assert all(NEWER_THAN_2018.search(word) for word in ("a?.b", "a ??= b", "a ||= b", "b.replaceChildren(c)", "1_000"))


NEWER_VALUE = re.compile(r"\b(?:min|max)\(|\banywhere\b")
"""What Chrome 66 to 78, or iOS 11.3, passes over together with the whole declaration."""


def test_what_an_old_phone_passes_over_in_the_style_stands_there_in_older_words_too() -> None:
    """Regression: the page stuck to the edges of the screen, and long words left it."""
    newer = 0
    for rule in re.findall(r"\{([^{}]*)\}", style()):
        older = set[str]()
        for name, _, value in (declaration.partition(":") for declaration in rule.split(";")):
            if NEWER_VALUE.search(value):
                newer += 1
                assert name in older, f"{name}:{value}"
            else:
                older.add(name)
    assert newer


STOP_THE_CLOCK_OF_THE_LINK = """
document.addEventListener("DOMContentLoaded", () => {
  const link = document.getElementById("again");
  if (link) link.getAnimations()[0].pause();
});
"""


@pytest.mark.parametrize("without", ["order.js", "AbortController"])
def test_a_phone_that_the_script_does_not_run_on_has_a_link_to_look_again(
    pages: Pages, site: str, orders: Orders, without: str
) -> None:
    """Regression: scripts are on there, so what stands in `noscript` did nothing."""
    page = pages.open()
    page.route("**/order.js*", lambda route: route.abort() if without == "order.js" else route.continue_())
    page.add_init_script("delete window.AbortController")
    page.add_init_script(STOP_THE_CLOCK_OF_THE_LINK)
    page.goto(address(site, orders.pending(), lang="en"))
    link = page.get_by_role("link", name="Not changing? Refresh the page")
    expect(link).to_be_hidden()
    page.evaluate("document.getElementById('again').getAnimations()[0].finish()")  # six seconds are over
    orders.answered("o-1", PaymentState.HELD, method="bank_card")

    link.click()

    expect(page.locator("h1")).to_have_text("Payment received")


def test_a_phone_of_2018_follows_and_pays(pages: Pages, site: str, orders: Orders, counter: Counter) -> None:
    page = pages.open()
    page.add_init_script("delete Element.prototype.replaceChildren; delete Object.fromEntries")
    page.goto(address(site, orders.sent("o-2")))
    orders.outcome("o-2", Result.DONE, out=Spout.FULL)
    expect(page.locator("h1")).to_have_text("Готово!")
    page.goto(address(site, orders.created()))
    page.get_by_role("button", name="Оплатить").click()

    expect(page).to_have_title("provider")
    assert counter.checkout_got == [{"order_id": "o-1", "slot": "1"}]


def test_everything_works_without_scripts(pages: Pages, site: str, orders: Orders, counter: Counter) -> None:
    page = pages.open(f"{site}/m/{DEVICE}", java_script_enabled=False)
    page.get_by_role("button", name="Капучино, средний").click()
    expect(page.locator("h1")).to_have_text("Проверьте заказ и оплатите")
    page.get_by_role("button", name="Оплатить").click()
    expect(page).to_have_title("provider")
    assert counter.checkout_got == [{"order_id": "menu-0", "slot": "1"}]

    orders.sent("o-2")
    page.goto(address(site, "o-2"))
    expect(page.locator("h1")).to_have_text("Заказ отправлен автомату")
    orders.outcome("o-2", Result.DONE, out=Spout.FULL)

    expect(page.locator("h1")).to_have_text("Готово!")

    page.goto(address(site, orders.manual_make()))
    page.get_by_role("button", name="Я у автомата").click()

    expect(page.locator("h1")).to_have_text("Оплата получена")
