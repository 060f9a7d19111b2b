"""Odd, late, strange and wrong news of a payment: accepted whatever the order's state, never kept for nothing."""

import json
import logging

import pytest

from cloud.orders.models import Payment
from cloud.orders.money import PaymentState
from cloud.orders.states import Status
from cloud.orders.tasks import Task
from protocol.reasons import Result
from tests.cloud.money.market import Market
from tests.cloud.money.wire import Fate
from tests.cloud.payments.samples_on_disk import SAMPLES, names
from tests.cloud.worlds import PRICE, World

pytestmark = pytest.mark.any_database

P = PaymentState
RETURNS = (Task.CANCEL, Task.REFUND)


def test_a_hold_in_a_one_stage_shop_is_money_and_is_taken_when_the_drink_is_made(market: Market) -> None:
    """Our shop takes money at once, and yet the provider says `waiting_for_capture`."""
    order_id = market.scan("o-1")
    market.press(order_id)

    def one_stage_by_our_books(tx: object) -> None:
        tx.session.get_one(Payment, market.world.payment(order_id).id).capture = "immediate"  # type: ignore[attr-defined]  # a session

    market.database.transact(one_stage_by_our_books)
    market.yookassa.pay(market.provider_id(order_id))
    market.work(2)
    assert market.world.status(order_id) == "paid"
    market.world.publish(order_id)
    market.world.report(order_id, Result.DONE)
    market.work()
    assert market.world.ledger(order_id) == {"held": PRICE, "captured": PRICE}
    assert market.kept(order_id) == PRICE


@pytest.mark.parametrize("state", [P.HELD, P.CAPTURED])
def test_money_that_comes_after_the_provider_said_canceled_goes_back(world: World, state: PaymentState) -> None:
    order_id = world.bring_to(Status.NOT_PAID)
    world.tell(world.payment(order_id).id, state)
    assert world.status(order_id) == "not_paid"
    assert world.open_tasks(order_id, *RETURNS) == ["cancel" if state is P.HELD else "refund"]
    assert world.commands(order_id) == []


@pytest.mark.parametrize("state", [P.HELD, P.CAPTURED])
def test_money_of_a_canceled_payment_beside_a_new_one_pays_once(world: World, state: PaymentState) -> None:
    order_id = world.bring_to(Status.NOT_PAID)
    first = world.payment(order_id).id
    world.clock.advance(1)
    second = world.start(order_id)
    world.tell(second, P.PENDING)
    world.tell(first, state)
    world.clock.advance(1)
    world.tell(second, state)
    assert world.status(order_id) == "paid"
    assert len(world.commands(order_id)) == 1
    [back] = world.rows(order_id, *RETURNS)
    assert back.subject == second, "what came first pays, every other kopeck goes back"


def test_a_hold_seen_again_after_it_was_given_back_is_old_news(world: World) -> None:
    order_id = world.pay()
    payment_id = world.payment(order_id).id
    world.tell(payment_id, P.CANCELED)
    world.tell(payment_id, P.HELD)
    assert world.payment(order_id).state == "canceled"
    assert world.open_tasks(order_id, *RETURNS) == []


@pytest.mark.parametrize("capture", ["on_dispense", "immediate"])
@pytest.mark.parametrize("result", [Result.DONE, Result.REJECTED])
def test_fields_and_methods_nobody_has_documented_change_nothing(market: Market, capture: str, result: Result) -> None:
    market.change_credential("north", capture=capture)
    market.wire.standing = Fate.STRANGERS
    order_id = market.buys("o-1")
    assert market.world.payment(order_id).method == "quantum_wallet"
    market.world.publish(order_id)
    market.world.report(order_id, result, "" if result is Result.DONE else "no_water")
    market.work()
    assert market.kept(order_id) == (PRICE if result is Result.DONE else 0)
    assert market.world.open_tasks(order_id, Task.CAPTURE, *RETURNS) == []


def test_wrong_money_alerts_and_is_never_poured_for(market: Market, caplog: pytest.LogCaptureFixture) -> None:
    order_id = market.scan("o-1")
    market.press(order_id)
    payment_id = market.world.payment(order_id).id
    with caplog.at_level(logging.ERROR):
        market.world.tell(payment_id, P.CAPTURED, provider_payment_id=market.provider_id(order_id), problem="currency")
    assert "money does not fit the order: currency" in caplog.text
    assert (market.world.status(order_id), market.world.order(order_id).reason) == ("failed", "wrong_currency")
    assert market.world.commands(order_id) == []
    assert market.world.open_tasks(order_id, *RETURNS) == ["refund"]


def test_every_notification_in_any_order_tells_one_story(market: Market) -> None:
    """All that the provider ever sent of a purchase and its return, backwards, twice."""
    market.change_credential("north", capture="immediate")
    order_id = market.buys("o-1")
    market.world.publish(order_id)
    market.world.report(order_id, Result.REJECTED, "no_water")
    market.work()
    market.collect_letters()
    letters = list(market.letters)
    assert {json.loads(letter)["event"] for letter in letters} == {"payment.succeeded", "refund.succeeded"}
    before = market.world.ledger(order_id), market.world.status(order_id), len(market.world.commands(order_id))
    for letter in [*reversed(letters), *letters]:
        assert market.notify(letter) == 200
        market.work()
    assert (
        market.world.ledger(order_id),
        market.world.status(order_id),
        len(market.world.commands(order_id)),
    ) == before
    assert [refund.amount for refund in market.refunds()] == [PRICE]


def test_news_of_one_shops_payment_said_to_be_anothers_is_asked_about_where_it_was_opened(market: Market) -> None:
    order_id = market.scan("o-1")
    market.press(order_id)
    market.yookassa.pay(market.provider_id(order_id))
    assert market.hint(market.provider_id(order_id), account="100501") == 200
    market.work()
    assert market.world.status(order_id) == "paid"
    assert {account for account, _ in market.wire.tried} == {"100500"}


@pytest.mark.parametrize("name", [name for name in names("webhooks") if "bad-" not in name])
def test_somebody_elses_true_notification_is_kept_and_moves_nothing(market: Market, name: str) -> None:
    """The published samples, at our door: replayed and misaddressed news of payments that are not ours."""
    order_id = market.buys("o-1")
    before = market.world.order(order_id).version, market.world.ledger(order_id)
    assert market.notify((SAMPLES / f"{name}.json").read_bytes()) == 200
    market.work()
    market.work(60)
    assert (market.world.order(order_id).version, market.world.ledger(order_id)) == before
    assert len(market.theirs()) == 1
