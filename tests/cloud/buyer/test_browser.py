"""The page in a real browser: it lives, it fits, and it is honest about the connection."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import ConsoleMessage, Page, Request, Response, Route, expect

from cloud.buyer import page_state, stream, template_context, versions
from cloud.buyer.services import Services
from cloud.orders.money import PaymentState
from cloud.orders.states import Status
from protocol.reasons import Result, Spout, Stage
from tests.chromium import Pages
from tests.cloud.buyer.conftest import Counter
from tests.cloud.buyer.orders import Orders, TestClock
from tests.cloud.buyer.states import STATES
from tests.waiting import wait_until


@pytest.fixture
def page(kept_pages: Pages) -> Page:
    """A phone that was here before: to open a page anew costs more than to load what it shows."""
    return kept_pages.kept()


class Complaints:
    """What the browser's console complained about, and what was fetched from elsewhere."""

    def __init__(self, site: str) -> None:
        self._site = site
        self.heard: list[str] = []

    def listen(self, page: Page) -> None:
        page.on("console", self._hear)
        page.on("request", self._follow)

    def leave(self, page: Page) -> None:
        page.remove_listener("console", self._hear)
        page.remove_listener("request", self._follow)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.heard.append(message.text)

    def _follow(self, request: Request) -> None:
        if not request.url.startswith(self._site):
            self.heard.append(request.url)


@pytest.fixture
def complaints(page: Page, site: str) -> Iterator[Complaints]:
    """Violations of the content policy are complaints too."""
    complaints = Complaints(site)
    complaints.listen(page)
    yield complaints
    complaints.leave(page)
    assert not complaints.heard


def address(site: str, order_id: str, **query: str) -> str:
    more = "".join(f"&{name}={value}" for name, value in query.items())
    return f"{site}/v1/order-status-page?order_id={order_id}{more}"


def test_from_sent_to_ready_without_a_reload(page: Page, site: str, orders: Orders, complaints: Complaints) -> None:
    orders.accepted()
    page.goto(address(site, "o-1"))
    page.evaluate("window.sameDocument = true")
    expect(page.locator("h1")).to_have_text("Автомат принял заказ")
    expect(page.locator("#again")).to_have_attribute("hidden", "")

    orders.progress("o-1", Stage.BREW, 40)
    expect(page.locator("h1")).to_have_text("Варим кофе")
    orders.progress("o-1", Stage.BREW, 60)
    expect(page.locator("#cup")).to_have_attribute("aria-valuenow", "60")
    orders.outcome("o-1", Result.DONE, out=Spout.FULL)

    expect(page.locator("h1")).to_have_text("Готово!")
    expect(page.locator("#cup")).to_have_attribute("data-mood", "ready")
    expect(page.locator("#spoken")).to_contain_text("Готово!")
    assert page.evaluate("window.sameDocument")


@pytest.mark.parametrize("by", ["streams", "polling"])
def test_make_failed_says_so_and_stops_asking(
    page: Page, site: str, orders: Orders, counter: Counter, services: Services, by: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(page_state, "REFRESH_RETURN_S", 1)
    monkeypatch.setattr(stream, "HEARTBEAT_S", 0.1)
    monkeypatch.setattr(versions, "LOOK_S", 0.1)
    orders.change_device(client_info_make_failed="Звоните <b>812</b>")
    orders.accepted()
    unchanged: list[Response] = []
    page.on("response", lambda answer: unchanged.append(answer) if answer.status == 304 else None)
    if by == "polling":
        page.route("**/events*", lambda route: route.abort())
    page.goto(address(site, "o-1"))
    wait_until(lambda: turn(page) and (unchanged if by == "polling" else counter.of("/events")), what=by)

    orders.outcome("o-1", Result.REJECTED, "no_milk")

    expect(page.locator(".plea")).to_have_text(
        "Не удалось отправить команду на приготовление. Пожалуйста, обратитесь в поддержку."
    )
    expect(page.locator(".sign")).to_contain_text("⚠")
    expect(page.locator(".note b")).to_have_text("812")
    expect(page.locator("button")).to_have_count(0)
    wait_until(lambda: turn(page) and services.streams.taken == 0, what="the stream being left")
    polls, streams, parts = counter.of("/v1/order-status/"), counter.of("/events"), counter.of("part=1")
    wait_until(lambda: turn(page) and counter.of("part=1") >= parts + 2, what="the return being looked after")
    assert (counter.of("/v1/order-status/"), counter.of("/events")) == (polls, streams)

    orders.returned("o-1")

    expect(page.locator(".money")).to_contain_text("Вернули")
    expect(page.locator("#view > section")).to_have_attribute("data-refresh", "0")


def test_once_the_money_is_back_nothing_is_asked_any_more(
    pages: Pages, site: str, orders: Orders, counter: Counter
) -> None:
    orders.returned(orders.make_failed())
    page = pages.open()
    page.clock.install()
    page.goto(address(site, "o-1"))
    expect(page.locator(".money")).to_contain_text("Вернули")
    asked = len(counter.paths)

    page.clock.run_for(10 * 60_000)

    turn(page)
    assert len(counter.paths) == asked


def test_a_new_state_crosses_the_line_once(page: Page, site: str, orders: Orders, counter: Counter) -> None:
    orders.accepted()
    page.goto(address(site, "o-1"))
    wait_until(lambda: turn(page) and counter.of("/events"), what="the stream")

    orders.progress("o-1", Stage.MILK, 70)
    expect(page.locator("h1")).to_have_text("Взбиваем молоко")
    expect(page.locator("#cup")).to_have_attribute("data-stage", "milk")

    assert counter.of("part=1") == counter.of("/v1/order-status/") == 0


def test_a_declined_page_waits_for_its_machine_without_a_stream(
    page: Page, site: str, orders: Orders, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: the stream of a declined order ends at once, and the page opened it anew without any pause."""
    monkeypatch.setattr(page_state, "REFRESH_WAITING_S", 1)
    page.goto(address(site, STATES["not_paid, busy"](orders)))

    wait_until(lambda: turn(page) and counter.of("part=1") >= 2, what="the page looking again")
    assert counter.of("/events") == counter.of("/v1/order-status/") == 0
    orders.outcome("o-2", Result.DONE, out=Spout.FULL)

    expect(page.get_by_role("button", name="Попробовать ещё раз")).to_be_visible()


def test_a_line_that_died_without_a_word_is_doubted(
    page: Page, site: str, orders: Orders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(template_context, "BEAT_S", 0)
    orders.sent()
    page.route("**/events*", lambda _route: None)  # it neither opens nor fails
    page.goto(address(site, "o-1"))
    orders.outcome("o-1", Result.DONE, out=Spout.FULL)

    expect(page.locator("h1")).to_have_text("Готово!")


def test_the_second_buyer_waits_and_gets_the_button_by_itself(
    page: Page, site: str, orders: Orders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_state, "REFRESH_WAITING_S", 1)
    orders.created("o-2")
    page.goto(address(site, orders.created("o-1")))
    expect(page.get_by_role("button", name="Оплатить")).to_be_visible()
    orders.reserves("o-2")
    orders.pay_again("o-2")

    page.get_by_role("button", name="Оплатить").click()
    expect(page.locator("h1")).to_have_text("Сейчас платит другой покупатель")
    expect(page.locator(".left")).to_have_text(re.compile(r"^(1:00|0:5\d)$"))
    expect(page.get_by_role("button")).to_have_count(0)
    orders.answered("o-2", PaymentState.CANCELED)

    expect(page.get_by_role("button", name="Оплатить")).to_be_visible()


def test_an_expired_order_leads_back_to_the_menu(page: Page, site: str, orders: Orders) -> None:
    page.goto(address(site, orders.expired()))

    page.get_by_role("link", name="Открыть меню автомата").click()

    expect(page.locator("h1")).to_have_text("Что приготовить?")


def test_a_locked_phone_catches_up_when_it_wakes(page: Page, site: str, orders: Orders, counter: Counter) -> None:
    orders.sent()
    page.goto(address(site, "o-1"))
    wait_until(lambda: turn(page) and counter.of("/events"), what="the stream")
    _set_hidden(page, True)
    orders.outcome("o-1", Result.DONE, out=Spout.FULL)
    expect(page.locator("h1")).to_have_text("Заказ отправлен автомату")

    _set_hidden(page, False)

    expect(page.locator("h1")).to_have_text("Готово!")


def test_a_lost_connection_is_told_and_found_again(page: Page, site: str, orders: Orders, counter: Counter) -> None:
    orders.sent()
    page.goto(address(site, "o-1"))
    wait_until(lambda: turn(page) and counter.of("/events"), what="the stream")

    page.context.set_offline(True)
    expect(page.locator("#lost")).to_contain_text("Нет связи")
    orders.outcome("o-1", Result.DONE, out=Spout.FULL)
    page.context.set_offline(False)

    expect(page.locator("h1")).to_have_text("Готово!")
    expect(page.locator("#lost")).to_be_hidden()


def test_a_final_page_says_no_longer_than_it_is_true_that_the_connection_is_lost(
    page: Page, site: str, orders: Orders
) -> None:
    orders.accepted()
    orders.outcome("o-1", Result.DONE, out=Spout.FULL)
    page.goto(address(site, "o-1"))
    expect(page.locator("h1")).to_have_text("Готово!")

    page.context.set_offline(True)
    expect(page.locator("#lost")).to_contain_text("Нет связи")
    page.context.set_offline(False)

    expect(page.locator("#lost")).to_be_hidden()


def test_paying_leads_to_the_provider(page: Page, site: str, orders: Orders, counter: Counter) -> None:
    orders.change_device(payment_scenario="YookassaReceipt")
    page.goto(address(site, orders.created()))

    page.get_by_label("E-mail для чека").fill("buyer@example.org")
    page.get_by_role("button", name="Оплатить").click()

    expect(page).to_have_title("provider")
    assert counter.checkout_got == [{"order_id": "o-1", "slot": "1", "email": "buyer@example.org"}]


@pytest.mark.parametrize("status", [0, 502], ids=["nobody answers", "the proxy answers"])
def test_who_presses_while_the_service_restarts_presses_once(
    page: Page, site: str, orders: Orders, counter: Counter, status: int
) -> None:
    page.goto(address(site, orders.created()))
    times = iter(range(2))

    def restarting(route: Route) -> None:
        if next(times, None) is None:
            route.continue_()
        elif status:
            route.fulfill(status=status, body="Bad Gateway")
        else:
            route.abort()

    page.route("**/initiate-payment?*", restarting)
    page.get_by_role("button", name="Оплатить").click()

    expect(page).to_have_title("provider")
    assert len(counter.checkout_got) == 1


def test_a_payment_that_does_not_open_is_told_in_words(page: Page, site: str, orders: Orders, counter: Counter) -> None:
    page.goto(address(site, orders.created()))
    for status, says in ((503, "Платёжный сервис не отвечает"), (410, "Время заказа вышло")):
        counter.checkout_status = status

        page.get_by_role("button", name="Оплатить").click()

        expect(page.locator(".problem")).to_contain_text(says)
        expect(page.get_by_role("button", name="Оплатить")).to_be_enabled()


def test_who_goes_back_to_the_payment_is_not_told_that_nothing_was_charged(
    page: Page, site: str, orders: Orders, counter: Counter
) -> None:
    """Regression: it may have been paid already, and the provider's word is on its way."""
    page.goto(address(site, orders.pending()))
    back = page.get_by_role("button", name="Вернуться к оплате")
    counter.checkout_status = 503
    back.click()
    expect(page.locator(".problem")).to_contain_text("Если вы уже заплатили, подождите")
    page.context.set_offline(True)
    back.click()
    expect(page.locator(".problem")).to_contain_text("Если вы уже заплатили, страница сообщит об этом")
    assert "Деньги не списаны" not in page.content()


def test_the_pay_button_comes_and_goes_with_the_machine(
    page: Page, site: str, orders: Orders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_state, "REFRESH_PAYABLE_S", 1)
    monkeypatch.setattr(page_state, "REFRESH_BLOCKED_S", 1)
    orders.change_device(payment_scenario="YookassaReceipt")
    page.goto(address(site, orders.created()))
    page.get_by_label("E-mail для чека").fill("buyer@")

    orders.machine_says(online=False)
    expect(page.locator(".why")).to_have_text("Автомат сейчас не на связи.")
    expect(page.locator("button")).to_have_count(0)
    orders.machine_says()

    expect(page.get_by_role("button", name="Оплатить")).to_be_visible()
    expect(page.get_by_label("E-mail для чека")).to_have_value("buyer@")


def test_typing_is_not_disturbed_by_looking_again(
    page: Page, site: str, orders: Orders, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_state, "REFRESH_PAYABLE_S", 1)
    orders.change_device(payment_scenario="YookassaReceipt")
    page.goto(address(site, orders.created()))
    field = page.get_by_label("E-mail для чека")
    field.fill("buyer@exam")

    wait_until(lambda: turn(page) and counter.of("part=1") >= 2, what="the page looking again")

    expect(field).to_have_value("buyer@exam")
    expect(field).to_be_focused()


def test_pouring_now_by_a_press(page: Page, site: str, orders: Orders, complaints: Complaints) -> None:
    orders.manual_make()
    page.goto(address(site, "o-1"))

    page.get_by_role("button", name="Я у автомата").click()

    expect(page.locator("h1")).to_have_text("Оплата получена")
    assert orders.order("o-1").status == Status.PAID


def test_the_time_left_is_counted_down(page: Page, site: str, orders: Orders) -> None:
    page.goto(address(site, orders.created()))

    expect(page.locator(".left")).to_have_text(re.compile(r"14:5\d"))


def test_an_order_that_expires_before_the_buyers_eyes(page: Page, site: str, orders: Orders, clock: TestClock) -> None:
    orders.created()
    clock.forward(899)
    page.goto(address(site, "o-1"))
    expect(page.get_by_role("button", name="Оплатить")).to_be_visible()
    clock.forward(2)

    expect(page.locator("h1")).to_have_text("Время заказа вышло")


def test_the_language_can_be_changed(page: Page, site: str, orders: Orders) -> None:
    page.goto(address(site, orders.making()))
    expect(page.locator("h1")).to_have_text("Варим кофе")

    page.get_by_role("link", name="English").click()
    expect(page.locator("h1")).to_have_text("Brewing coffee")
    orders.outcome("o-1", Result.DONE, out=Spout.FULL)

    expect(page.locator("h1")).to_have_text("It’s ready!")


def turn(page: Page) -> bool:
    """Let the browser's own events through while the test waits, and ask nothing of it."""
    page.wait_for_timeout(20)
    return True


def _set_hidden(page: Page, hidden: bool) -> None:
    page.evaluate(
        """(hidden) => {
          Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )
