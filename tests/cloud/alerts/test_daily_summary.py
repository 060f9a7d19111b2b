"""The morning's summary: once, and with the words for what the day had."""

from datetime import timedelta

import pytest
from sqlalchemy import update

from cloud.alerts.daily_summary import DailySummaries
from cloud.orders import paying
from cloud.orders.models import Order
from cloud.orders.money import PaymentState
from cloud.orders.sales_days import roll_up
from tests.cloud.alerts.desk import Desk
from tests.cloud.alerts.test_conditions import fail, pour
from tests.cloud.worlds import ONE_STAGE, PRICE


def _next_morning(desk: Desk) -> list[str]:
    """The lines of the one summary."""
    desk.world.database.transact(roll_up, desk.world.now)
    summaries = DailySummaries(desk.world.database, "https://c.example/console")
    summaries.step(desk.world.clock.advance(86400 - 3 * 3600 - 60))
    for _ in range(3):
        summaries.step(desk.world.clock.advance(60))
        desk.alert_sender.step(desk.world.clock.advance(10))
    [summary] = desk.messages()
    return summary.text.splitlines()


def _returns(desk: Desk) -> str:
    return _next_morning(desk)[3]


def test_the_morning_is_summed_up_once_also_when_all_is_well(desk: Desk) -> None:
    desk.channel()
    desk.channel("email", "quiet@example.org", summary=False)
    for _ in range(2):
        pour(desk.world)
    desk.world.refunded(desk.world.payment(fail(desk.world)).id)
    assert _next_morning(desk) == [
        "Итоги дня 02.03", "",
        "Чашек: 2, на 358,00\u00a0₽. Неделей раньше: 0, на 0,00\u00a0₽.",
        "Возвратов: 1, на 179,00\u00a0₽. Чаще всего: нет воды.",
        "Ничего не продали: m-002",
        "Открытых тревог нет.",
    ]  # fmt: skip
    assert desk.messages("quiet@example.org") == []


def test_a_summary_counts_a_cup_on_the_day_it_ended_and_has_words_for_goodwill(sqlite_desk: Desk) -> None:
    """Regression: a cup counted on the day of its scan, otherwise than in the charts; "Mostly: ." of goodwill."""
    desk = sqlite_desk
    desk.channel()
    poured = pour(desk.world)
    scanned = update(Order).where(Order.id == poured).values(created_at=desk.world.now - timedelta(days=1))
    desk.world.database.transact(lambda tx: tx.session.execute(scanned))
    desk.world.refunded(desk.world.payment(poured).id)
    _, _, cups, returns, *_ = _next_morning(desk)
    assert cups.startswith("Чашек: 1, на 179,00\u00a0₽.")
    assert returns == "Возвратов: 1, на 179,00\u00a0₽. Чаще всего: напиток был приготовлен."


def test_money_that_never_paid_its_order_is_a_return_too(sqlite_desk: Desk) -> None:
    """Regression: what came wrong and what was back before we heard of it went back, and it said "no returns"."""
    desk, world = sqlite_desk, sqlite_desk.world
    desk.channel()
    for number in range(2):
        wrong = world.start(world.scan(), ONE_STAGE)
        world.tell(wrong, PaymentState.CAPTURED, captured=10000, problem="amount,currency")
        world.refunded(wrong, f"rf-{number}", 10000)
    in_the_cabinet = world.start(world.scan(), ONE_STAGE)
    world.tell(in_the_cabinet, PaymentState.CAPTURED, refunded=PRICE, refunds={"rf-9": PRICE})
    assert _returns(desk) == "Возвратов: 3, на 379,00\u00a0₽. Чаще всего: платёж не совпал с заказом."


def test_a_second_payment_is_none_of_a_drink_that_was_poured_for_nothing(sqlite_desk: Desk) -> None:
    """Regression: it said "the drink was poured" of money beside that of a drink which was poured and kept."""
    desk, world = sqlite_desk, sqlite_desk.world
    desk.channel()
    first = world.payment(pour(world)).id
    world.clock.advance(5)
    second = world.database.transact(paying.adopt_second, first, "yk-2", world.now, world.now).id
    world.tell(second, PaymentState.CAPTURED, provider_payment_id="yk-2")
    world.refunded(second)
    assert _returns(desk) == "Возвратов: 1, на 179,00\u00a0₽. Чаще всего: второй платёж за тот же заказ."


@pytest.mark.parametrize("is_refused", [False, True])
def test_money_that_came_when_the_order_was_over_is_of_no_poured_drink(sqlite_desk: Desk, is_refused: bool) -> None:
    """Regression: it said "the drink was poured", and of an order whose payment was refused, the provider's code."""
    desk, world = sqlite_desk, sqlite_desk.world
    desk.channel()
    payment_id = world.start(world.scan(), ONE_STAGE)
    if is_refused:
        world.database.transact(paying.record_payment_refused, payment_id, "invalid_request", world.now)
    else:
        world.tell(payment_id, PaymentState.CANCELED)
    world.tell(payment_id, PaymentState.CAPTURED)
    world.refunded(payment_id)
    assert _returns(desk) == "Возвратов: 1, на 179,00\u00a0₽. Чаще всего: деньги пришли слишком поздно."


def test_a_return_in_parts_is_one_and_its_reason_has_one_vote(sqlite_desk: Desk) -> None:
    """Regression: one cup given back in three parts was "returns: 3", and its reason that of most."""
    desk, world = sqlite_desk, sqlite_desk.world
    desk.channel()
    in_parts = world.payment(pour(world)).id
    for number, kopecks in enumerate((5000, 5000, PRICE - 10000)):
        world.refunded(in_parts, f"rf-{number}", kopecks)
    for _ in range(2):
        world.refunded(world.payment(fail(world)).id)
    assert _returns(desk) == "Возвратов: 3, на 537,00\u00a0₽. Чаще всего: нет воды."
