"""A second payment: only after the first has brought nothing, and the database itself sees to it."""

from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from cloud.database.transaction import Transaction
from cloud.orders.models import MakeCommand, Movement, Order, Payment
from cloud.orders.states import Status
from simulator.yookassa.instruments import DECLINED_CARDS
from tests.cloud.money.market import Market
from tests.cloud.worlds import ONE_STAGE, PRICE, World


def declined(market: Market, order_id: str) -> None:
    market.yookassa.pay(market.provider_id(order_id), DECLINED_CARDS[0].pan)
    market.hint(market.provider_id(order_id))
    market.work()


def test_after_a_decline_it_is_a_new_payment_under_a_new_key(market: Market) -> None:
    order_id = market.scan("o-1")
    for attempt in range(1, 4):
        assert market.press(order_id).startswith("http")
        assert len(market.wire.keys("pay")) == len(market.theirs()) == attempt
        market.clock.advance(1)
        if attempt < 3:
            declined(market, order_id)
            assert market.world.status(order_id) == "not_paid"
    market.yookassa.pay(market.provider_id(order_id))
    market.hint(market.provider_id(order_id))
    market.work()
    assert market.world.status(order_id) == "paid"
    assert [payment.live for payment in market.payments(order_id)] == [False, False, True]


@pytest.mark.parametrize("bought", [False, True])
def test_pressing_again_never_opens_a_second_payment(market: Market, bought: bool) -> None:
    order_id = market.buys("o-1") if bought else market.scan("o-1")
    answers = {market.press(order_id) for _ in range(3)}
    assert len(answers) == 1
    assert len(market.theirs()) == len(market.wire.keys("pay")) == 1


PAYMENT: dict[str, Any] = {
    "id": "second", "merchant_id": "north", "scenario": "Yookassa", "account_id": "100500", "capture": "immediate",
    "status_check": "polling", "amount": PRICE, "state": "creating", "live": True, "confirmation_url": "", "method": "",
    "cancel_reason": "", "problem": "", "captured": 0, "refunded": 0, "checks": 0,
}  # fmt: skip


@pytest.mark.parametrize("status", [Status.PENDING, Status.PAID, Status.MANUAL_MAKE, Status.SUCCESSFUL])
def test_no_code_can_open_a_second_payment_beside_a_live_or_successful_one(world: World, status: Status) -> None:
    order_id = world.bring_to(status, ONE_STAGE)
    with pytest.raises(IntegrityError):
        refuse(world, Payment, PAYMENT | {"order_id": order_id, "started_at": world.now})


IMPOSSIBLE: dict[str, tuple[Any, dict[str, Any]]] = {
    "a payment of less than nothing": (Payment, PAYMENT | {"live": False, "amount": -1}),
    "more than nothing taken less than once": (Payment, PAYMENT | {"live": False, "captured": -1}),
    "a movement of less than nothing": (Movement, {"kind": "refunded", "amount": -1, "reference": "rf-1"}),
    "a movement of no known kind": (Movement, {"kind": "lost", "amount": 1, "reference": "rf-1"}),
    "the same movement twice": (Movement, {"kind": "captured", "amount": PRICE, "reference": ""}),
    "a second live command": (MakeCommand, {"id": "mk-2", "device_uuid": "m-001", "attempt": 2, "live": True}),
}


@pytest.mark.parametrize("what", IMPOSSIBLE)
def test_the_database_itself_refuses(world: World, what: str) -> None:
    order_id = world.pay(account=ONE_STAGE)
    table, values = IMPOSSIBLE[what]
    missing = {"order_id": order_id, "at": world.now, "started_at": world.now, "issued_at": world.now}
    missing |= {
        "payment_id": world.payment(order_id).id,
        "deadline_at": world.now,
        "revision": 0,
        "code": "",
        "out": "",
    }
    columns = set(table.__table__.columns.keys())
    with pytest.raises(IntegrityError):
        refuse(world, table, {name: value for name, value in (missing | values).items() if name in columns})


@pytest.mark.parametrize("kopecks", [-1, PRICE + 1])
def test_no_more_than_the_price_is_given_back_nor_less_than_nothing(world: World, kopecks: int) -> None:
    order_id = world.bring_to(Status.SUCCESSFUL, ONE_STAGE)

    def careless(tx: Transaction) -> None:
        tx.session.get_one(Order, order_id).given_back = kopecks

    with pytest.raises(IntegrityError):
        world.database.transact(careless)


def refuse(world: World, table: Any, values: dict[str, Any]) -> None:
    world.database.transact(lambda tx: tx.session.execute(insert(table).values(values)))
