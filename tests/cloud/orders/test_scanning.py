"""A scan becomes an order at our own price, or a refusal that says why."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from cloud.database.transaction import Transaction
from cloud.fleet.models import Credential, Device, Drink, Merchant
from cloud.orders.models import Order
from cloud.orders.scanning import NotForSale, Scan, Why, open_order
from tests.cloud.worlds import DEVICE, OTHER_DEVICE, PRICE, START, World

pytestmark = pytest.mark.any_database

LATTE = Scan("ord-1", DEVICE, "latte", 1)


def opened(world: World, scan: Scan = LATTE) -> Order:
    return world.database.transact(open_order, scan, "ru", world.rules, world.now)


def test_a_scan_is_an_order_at_our_price_for_a_quarter_of_an_hour(world: World) -> None:
    order = opened(world)
    assert (order.status, order.price, order.drink_name, order.merchant_id) == ("created", PRICE, "Латте", "north")
    assert order.expires_at == order.due_at == START + timedelta(minutes=15)
    assert [change.event for change in world.history("ord-1")] == ["scanned"]


@pytest.mark.both_databases
def test_the_same_scan_again_is_the_same_order(world: World) -> None:
    first = opened(world)
    world.clock.advance(5)
    assert opened(world).expires_at == first.expires_at
    assert len(world.history("ord-1")) == 1


@pytest.mark.parametrize(
    "other",
    [Scan("ord-1", OTHER_DEVICE, "latte", 1), Scan("ord-1", DEVICE, "mocha", 1), Scan("ord-1", DEVICE, "latte", 2)],
)
def test_one_phone_cannot_use_an_orders_id_for_another_drink(sqlite_world: World, other: Scan) -> None:
    opened(sqlite_world)
    world, is_holder = sqlite_world, (lambda order_id: order_id == "ord-1")
    with pytest.raises(NotForSale) as refused:
        world.database.transact(open_order, other, "ru", world.rules, world.now, None, None, is_holder)
    assert refused.value.why is Why.OTHER_ORDER


def test_another_phone_gets_another_id(world: World) -> None:
    first, other = opened(world), Scan("ord-1", OTHER_DEVICE, "latte", 1)
    mine = opened(world, other)
    assert (mine.device_uuid, mine.id == first.id, mine.id.startswith("ord-1-")) == (OTHER_DEVICE, False, True)
    assert opened(world, other).id == mine.id, "the same code leads to it again"
    assert (
        opened(world, Scan("x" * 255, DEVICE, "latte", 1)).id
        != opened(world, Scan("x" * 255, OTHER_DEVICE, "latte", 1)).id
    )


def change(model: type[Any], key: object, **values: object) -> Callable[[Transaction], None]:
    def work(tx: Transaction) -> None:
        row = tx.session.get_one(model, key)
        for name, value in values.items():
            setattr(row, name, value)

    return work


@pytest.mark.parametrize(
    ("spoil", "scan", "why"),
    [
        (None, Scan("o", "nobody", "latte", 1), Why.UNKNOWN_DEVICE),
        (None, Scan("o", DEVICE, "tea", 1), Why.UNKNOWN_DRINK),
        (None, Scan("o", DEVICE, "latte", 0), Why.NOT_SOLD),
        (change(Device, DEVICE, status="closed"), LATTE, Why.CLOSED),
        (change(Device, DEVICE, payment_scenario="TBank"), LATTE, Why.NO_PAYMENT),
        (change(Merchant, "north", valid_until=date(2026, 3, 1)), LATTE, Why.CONTRACT_OVER),
    ],
)
def test_what_cannot_be_sold_is_refused_with_its_reason(
    world: World, spoil: Callable[[Session], None] | None, scan: Scan, why: Why
) -> None:
    if spoil is not None:
        world.database.transact(spoil)
    with pytest.raises(NotForSale) as refused:
        opened(world, scan)
    assert refused.value.why is why
    with world.database.read() as session:
        assert session.get(Order, scan.order_id) is None


def test_the_contracts_last_day_still_counts(sqlite_world: World) -> None:
    """Regression: it ended with the day in London, at noon of the next one in Kamchatka."""
    sqlite_world.database.transact(change(Merchant, "north", valid_until=START.date(), zone="Asia/Kamchatka"))
    sqlite_world.clock.now = START.replace(hour=11, minute=59)
    assert opened(sqlite_world).status == "created"
    sqlite_world.clock.advance(60)
    with pytest.raises(NotForSale):
        opened(sqlite_world, Scan("ord-2", DEVICE, "latte", 1))


def test_a_price_changed_later_does_not_change_the_order(sqlite_world: World) -> None:
    opened(sqlite_world)
    sqlite_world.database.transact(change(Drink, (DEVICE, "latte"), price_medium=1))
    assert opened(sqlite_world).price == PRICE


def test_a_test_machines_orders_are_marked(sqlite_world: World) -> None:
    sqlite_world.database.transact(change(Device, DEVICE, status="test"))
    assert opened(sqlite_world).is_test


def test_a_known_order_is_found_even_when_nothing_is_sold_any_more(sqlite_world: World) -> None:
    opened(sqlite_world)
    sqlite_world.database.transact(change(Device, DEVICE, status="closed"))

    def remove(tx: Transaction) -> None:
        tx.session.delete(tx.session.get_one(Credential, ("north", "Yookassa")))

    sqlite_world.database.transact(remove)
    assert opened(sqlite_world).status == "created"
