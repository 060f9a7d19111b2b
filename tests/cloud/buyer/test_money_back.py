"""What the page says of the money on its way back: how, by when, and what nobody promises."""

import pytest
from flask.testing import FlaskClient

from cloud.orders import order_tasks, paying
from cloud.orders.locked_order import lock_order
from cloud.orders.money import PaymentAnswer, PaymentState
from cloud.orders.outbox import Lease, claim
from cloud.orders.tasks import FOR_A_PERSON, Lane
from protocol.reasons import Result
from tests.cloud.buyer.orders import PRICE, RULES, Orders, TestClock
from tests.cloud.buyer.test_status_page import page

UNDATED = "Возвращаем 179\u00a0₽ на карту. Назвать срок не можем: если деньги не придут, обратитесь в поддержку"


def test_make_failed_tells_the_reason_and_by_when_the_money_comes(client: FlaskClient, orders: Orders) -> None:
    html = page(client, orders.make_failed(method="sbp"))

    assert "В автомате закончилось молоко." in html
    assert "Возвращаем 179\u00a0₽ через СБП. Деньги придут не позднее 3\u00a0марта." in html
    assert 'data-refresh="20"' in html


def test_a_held_amount_is_not_called_a_refund(client: FlaskClient, orders: Orders) -> None:
    assert "банк их только придержал" in page(client, orders.make_failed(hold=True))

    assert "Удержание снято" in page(client, orders.returned("o-1"))


def test_a_return_is_told_of_the_payment_that_goes_back(client: FlaskClient, orders: Orders, clock: TestClock) -> None:
    """Regression: whichever was opened last gave the words, a hold let go for the money that had been taken."""
    orders.not_paid("o-1")
    [first] = orders.payments("o-1")
    clock.forward(1)
    orders.pay_again("o-1")
    taken = PaymentAnswer(PaymentState.CAPTURED, f"yk-{first.id}", captured=PRICE, method="sbp")
    orders.database.transact(paying.record_payment_answer, first.id, taken, RULES, clock())
    clock.forward(1)
    orders.answered("o-1", PaymentState.HELD, method="bank_card")
    assert "Уже снимаем удержание." in page(client, "o-1")
    orders.answered("o-1", PaymentState.CANCELED)
    orders.outcome("o-1", Result.REJECTED, "no_milk")
    assert "Возвращаем 179\u00a0₽ через СБП." in page(client, "o-1")


@pytest.mark.parametrize("verdict", sorted(FOR_A_PERSON))
def test_of_a_return_that_is_left_to_a_person_no_day_is_promised(
    client: FlaskClient, orders: Orders, clock: TestClock, verdict: str
) -> None:
    """Regression: it arrived "by 5 March" for ever, and nobody had returned anything."""
    orders.make_failed()
    *_, call = orders.database.transact(claim, Lane.PROVIDER, clock(), Lease("cashier", 120))
    orders.database.transact(
        lambda tx: order_tasks.settle_task(lock_order(tx, "o-1"), call.key, "cashier", verdict, clock())
    )

    assert UNDATED in page(client)
    assert client.get("/v1/order-status/o-1").get_json()["return"]["expected_by"] is None


def test_a_day_that_is_over_is_promised_no_more(client: FlaskClient, orders: Orders, clock: TestClock) -> None:
    orders.make_failed()
    clock.forward(3 * 24 * 3600 + 3600)
    assert "Деньги придут не позднее 5\u00a0марта." in page(client), "the day is not over"
    clock.forward(24 * 3600)
    assert UNDATED in page(client)


def test_once_the_money_is_back_the_page_rests(client: FlaskClient, orders: Orders, clock: TestClock) -> None:
    orders.returned(orders.make_failed())

    html = page(client)

    assert "Вернули 179\u00a0₽ на карту. Деньги придут не позднее 5\u00a0марта." in html
    assert 'data-refresh="0"' in html
    assert "http-equiv" not in html
    clock.forward(4 * 24 * 3600)
    assert "Вернули 179\u00a0₽ на карту.</dd>" in page(client)


def test_money_that_does_not_fit_goes_back_in_words(client: FlaskClient, orders: Orders) -> None:
    html = page(client, orders.failed())

    assert "Платёж не совпал с заказом." in html
    assert "Возвращаем 1\u00a0₽ на карту." in html


def test_a_hold_that_is_gone_is_told(client: FlaskClient, orders: Orders) -> None:
    orders.make_failed(hold=True)
    orders.answered("o-1", PaymentState.CANCELED)

    assert "Удержание снято, 179\u00a0₽ снова ваши." in page(client)
