"""Charts and files of sales: periods, pictures, what Excel makes of them, and nobody else's sums."""

from datetime import date

import pytest

from cloud.books.cells import Roubles
from cloud.books.csv_file import MARK, as_csv, safe
from cloud.books.period import Period, read_period
from cloud.console.charts.drawing import bars, nice, shades
from cloud.orders.money import PaymentState
from cloud.orders.sales_days import roll_up
from protocol.reasons import Result
from tests.cloud.console.building import Console
from tests.cloud.worlds import ONE_STAGE

TODAY = date(2026, 3, 2)


def test_a_period_and_the_one_before() -> None:
    week = read_period("7", None, None, TODAY)
    assert (week.first, week.last, week.length) == (date(2026, 2, 24), TODAY, 7)
    assert week.before == Period(date(2026, 2, 17), date(2026, 2, 23))
    assert read_period("", date(2026, 1, 1), date(2026, 12, 31), TODAY).last == TODAY
    assert read_period("nonsense", None, TODAY, TODAY).length == 28
    assert read_period("", date(2001, 1, 1), date(2026, 3, 1), TODAY).length == 732


def test_a_file_excel_opens_and_no_formula_in_it() -> None:
    told = as_csv(["День", "Сумма"], [["=HYPERLINK(1)", Roubles(-14950)], ["@x", 12.5], ["+7", None]])
    assert told.startswith(MARK + "День;Сумма\r\n")
    assert told.splitlines()[1:] == ["'=HYPERLINK(1);-149,50", "'@x;12,50", "'+7;"]
    assert safe("-cmd") == "'-cmd"
    assert str(Roubles(-5)) == "-0,05"


def test_pictures_fit_their_frame() -> None:
    chart = bars([0, 5, 10], [20, 0, 0], ["a", "b", "c"], ["a", "", "c"])
    assert all(0 <= bar.y <= chart.height and bar.before_y >= 0 for bar in chart.bars)
    assert chart.bars[0].before_height > chart.bars[2].height > chart.bars[1].height > chart.bars[0].height == 0
    assert [nice(most) for most in (1, 7, 100, 1501)] == [1.5, 9, 150, 3000]
    assert shades([[0, 1], [10, 5]]) == [[0, 1], [9, 5]]
    assert shades([[0]]) == [[0]]


def test_what_went_back_is_drawn_under_the_zero_line() -> None:
    """Regression: a bar of a negative height, which no browser draws, and a scale that began at zero."""
    for values, before in (([-500, 100, 0], [0, -40, 50]), ([-0.5, 0, 0], [0, 0, 0]), ([-20_000, 0, 900], [900, 0, 0])):
        chart = bars(values, before, ["a", "b", "c"], ["", "", ""])
        zero = next(y for y, words in chart.grid if words == "0")
        assert {y for y, _ in chart.grid} >= {160, 8}
        for bar, now, then in zip(chart.bars, values, before, strict=True):
            for value, y, height in ((now, bar.y, bar.height), (then, bar.before_y, bar.before_height)):
                assert 8 <= y <= y + height <= 160.15
                assert (y if value < 0 else y + height) == pytest.approx(zero, abs=0.15)
                assert (height > 0) == (value != 0)
    assert [words for _, words in bars([-500, 100], [], ["", ""], ["", ""]).grid] == [
        "−600",
        "−400",
        "−200",
        "0",
        "200",
    ]


def test_more_went_back_than_came_in(console: Console) -> None:
    """Regression: the day after such a one was said to be worse than it, whatever was sold."""
    world, client = console.world, console.client("owner@north")

    def sell(ends: Result) -> str:
        order_id = world.scan()
        world.tell(world.start(order_id, ONE_STAGE), PaymentState.CAPTURED)
        world.publish(order_id)
        world.report(order_id, ends, "" if ends is Result.DONE else "no_milk")
        return order_id

    def shown(language: str) -> str:
        world.database.transact(roll_up, world.now)
        today = f"{world.now:%Y-%m-%d}"
        page = f"/console/charts?since={today}&until={today}"
        return client.get(page, headers={"Accept-Language": language}).text

    failed = sell(Result.REJECTED)
    world.clock.advance(86400)
    world.refunded(world.payment(failed).id)
    assert "▼ 200,0\u00a0% к прошлому периоду" in shown("ru")
    assert f"<title>{world.now:%d.%m}: −179\u00a0₽</title>" in shown("ru")
    assert 'height="-' not in shown("ru")
    world.clock.advance(86400)
    sell(Result.DONE)
    assert "сравнить не с чем" in shown("ru")
    assert "nothing to compare with" in shown("en")
    assert "▼" not in shown("en")


@pytest.fixture
def sold(console: Console) -> Console:
    world = console.world
    for ends in (Result.DONE, Result.DONE, Result.REJECTED):
        order_id = world.scan()
        world.tell(world.start(order_id, ONE_STAGE), PaymentState.CAPTURED)
        world.publish(order_id)
        world.clock.advance(40)
        world.report(order_id, ends, "" if ends is Result.DONE else "no_milk")
    world.database.transact(roll_up, world.now)
    return console


def test_the_page_shows_them_and_others_do_not_see_them(sold: Console) -> None:
    shown = sold.client("owner@north").get("/console/charts").get_data(as_text=True)
    assert "537\u00a0₽" in shown
    assert "В автомате закончилось молоко" in shown
    assert "537" not in sold.client("owner@south").get("/console/charts").get_data(as_text=True)


def test_money_at_risk_of_ones_own(sold: Console) -> None:
    shown = sold.client("owner@north").get("/console/money").get_data(as_text=True)
    assert "179\u00a0₽" in shown  # the drink that failed goes back
    assert "179" not in sold.client("owner@south").get("/console/money").get_data(as_text=True)
