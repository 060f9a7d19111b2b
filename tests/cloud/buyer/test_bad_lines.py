"""Lines that are slow, or lose what was asked for: the page ends up right."""

import pytest
from playwright.sync_api import APIResponse, Route, expect

from cloud.buyer import stream, template_context
from cloud.orders.money import PaymentState
from protocol.reasons import Result, Spout
from tests.chromium import Pages
from tests.cloud.buyer.conftest import Counter
from tests.cloud.buyer.orders import RULES, Orders, TestClock
from tests.cloud.buyer.test_browser import address, turn
from tests.waiting import wait_until


def test_a_part_that_got_lost_is_asked_for_again_though_the_stream_lives(
    pages: Pages, site: str, orders: Orders, counter: Counter, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: the page waited for the payment until the stream ended by itself, up to ten minutes."""
    monkeypatch.setattr(stream, "HEARTBEAT_S", 0.1)
    orders.pending()
    page = pages.open()
    page.clock.install()
    page.goto(address(site, "o-1"))
    wait_until(lambda: turn(page) and counter.of("/events"), what="the stream")
    lost = list[Route]()

    def lose(route: Route) -> None:
        lost.append(route)
        route.abort()

    page.route("**/*part=1*", lose, times=1)
    clock.forward(RULES.fast_track_s + 1)
    orders.answered("o-1", PaymentState.HELD, method="bank_card")
    wait_until(lambda: turn(page) and lost, what="the part being lost")

    page.clock.run_for(6_000)

    expect(page.locator("h1")).to_have_text("Напиток ждёт вас")


def test_a_slow_line_shows_everything_later_and_nothing_wrong(pages: Pages, site: str, orders: Orders) -> None:
    orders.sent()
    page = pages.open()
    slow = {"offline": False, "latency": 400, "downloadThroughput": 50_000, "uploadThroughput": 50_000}
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", slow)
    page.goto(address(site, "o-1"))
    expect(page.locator("h1")).to_have_text("Заказ отправлен автомату")
    orders.outcome("o-1", Result.DONE, out=Spout.FULL)

    expect(page.locator("h1")).to_have_text("Готово!")
    expect(page.locator("#lost")).to_be_hidden()


def test_a_stream_that_has_ended_is_not_opened_anew_at_once(
    pages: Pages, site: str, orders: Orders, counter: Counter
) -> None:
    streams: list[Route] = []

    def ends(route: Route) -> None:
        streams.append(route)
        route.fulfill(content_type="text/event-stream", body="event: end\ndata: {}\n\n")

    page = pages.open()
    page.route("**/events*", ends)
    page.goto(address(site, orders.sent()))
    wait_until(lambda: turn(page) and counter.of("/v1/order-status/") >= 2, what="asking instead")

    assert len(streams) == 1


def test_a_late_answer_undoes_nothing_that_came_after_it_was_asked_for(
    pages: Pages, site: str, orders: Orders, counter: Counter
) -> None:
    """Regression: the drink was being poured, and the page offered the button again."""
    page = pages.open(address(site, orders.manual_make()))
    wait_until(lambda: turn(page) and counter.of("/events"), what="the stream")
    late = list[tuple[Route, APIResponse]]()
    page.route("**/*part=1*", lambda route: late.append((route, route.fetch())), times=1)
    page.evaluate("window.dispatchEvent(new Event('online'))")
    wait_until(lambda: turn(page) and late, what="a part being asked for")
    page.get_by_role("button", name="Я у автомата").click()
    expect(page.locator("h1")).to_have_text("Оплата получена")
    page.evaluate(
        """window.seen = [];
        const look = () => seen.push(view.querySelector("h1").textContent);
        new MutationObserver(look).observe(view, { childList: true })"""
    )

    [(route, answer)] = late
    route.fulfill(response=answer)

    wait_until(lambda: turn(page) and counter.of("part=1") == 2, what="the part being asked for anew")
    expect(page.locator("h1")).to_have_text("Оплата получена")
    assert "Напиток ждёт вас" not in page.evaluate("seen")


STOPS_HALF_WAY = """
const whole = window.fetch;
window.fetch = async (url, options) => {
  const answer = await whole(url, options);
  if (window.stopped || !String(url).includes("STOPS")) return answer;
  window.stopped = true;
  return new Response(new ReadableStream({
    start(body) { options.signal.addEventListener("abort", () => body.error(new DOMException("", "AbortError"))); },
  }), answer);
};
"""


@pytest.mark.parametrize("stops", ["part=1", "/v1/order-status/"])
def test_an_answer_that_stops_half_way_is_given_up(
    pages: Pages, site: str, orders: Orders, stops: str, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: the page waited for its rest for ever, and asked nothing any more."""
    monkeypatch.setattr(template_context, "BEAT_S", 0)
    orders.pending()
    page = pages.open()
    page.clock.install()
    page.add_init_script(STOPS_HALF_WAY.replace("STOPS", stops))
    page.route("**/events*", lambda _route: None)  # it neither opens nor fails
    page.goto(address(site, "o-1"))
    clock.forward(RULES.fast_track_s + 1)
    orders.answered("o-1", PaymentState.HELD, method="bank_card")
    wait_until(lambda: turn(page) and page.evaluate("window.stopped"), what="an answer that stops")

    page.clock.run_for(15_000)

    expect(page.locator("h1")).to_have_text("Напиток ждёт вас")
