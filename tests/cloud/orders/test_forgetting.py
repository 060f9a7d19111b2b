"""Orders that nobody paid are removed after a week; their old codes stay over, and nothing else can be removed."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import delete, insert, select
from sqlalchemy.exc import DatabaseError

from cloud.database.transaction import Transaction
from cloud.orders import forgetting, making
from cloud.orders.forgetting import IDS_KEPT_FOR, KEPT_FOR, Forgetting, ForgottenOrder
from cloud.orders.models import Order, OrderChange
from cloud.orders.qr_signature import QrCode
from cloud.orders.scanning import NotForSale, Scan, Why, open_order
from tests.cloud.worlds import DEVICE, OTHER_DEVICE, World

SCAN = Scan("ord-old", DEVICE, "latte", 1, QrCode(marks="dice"))


def expired(world: World, scan: Scan = SCAN) -> str:
    order_id = world.database.transact(open_order, scan, "ru", world.rules, world.now).id
    world.clock.advance(world.rules.order_expiration_s + 1)
    world.database.transact(making.handle_deadline, order_id, world.rules, world.now)
    return order_id


def there(world: World) -> set[str]:
    with world.database.read() as session:
        ids = set(session.scalars(select(Order.id)))
        assert set(session.scalars(select(OrderChange.order_id))) == ids
        return ids


def after(world: World, time: timedelta) -> None:
    Forgetting(world.database).step(world.clock.advance(time.total_seconds()))


@pytest.mark.any_database
def test_who_paid_or_tried_to_is_kept_and_the_rest_goes(world: World) -> None:
    expired(world)
    paid, tried = world.pay("ord-paid"), world.scan("ord-tried")
    world.start(tried)
    after(world, KEPT_FOR - timedelta(minutes=1))
    assert there(world) == {"ord-old", "ord-tried", "ord-paid"}, paid
    after(world, timedelta(minutes=2))
    assert there(world) == {"ord-tried", "ord-paid"}


@pytest.mark.any_database
def test_its_old_code_is_over_and_anothers_is_not(world: World) -> None:
    expired(world)
    after(world, KEPT_FOR)
    with pytest.raises(NotForSale) as refused:
        world.database.transact(open_order, SCAN, "ru", world.rules, world.now)
    assert refused.value.why is Why.EXPIRED
    others = Scan("ord-old", DEVICE, "latte", 1, QrCode(marks="other dice"))
    assert world.database.transact(open_order, others, "ru", world.rules, world.now).id.startswith("ord-old-")
    elsewhere = replace(SCAN, device_uuid=OTHER_DEVICE)
    assert world.database.transact(open_order, elsewhere, "ru", world.rules, world.now).id.startswith("ord-old-")
    after(world, IDS_KEPT_FOR)
    after(world, timedelta(seconds=1))
    with world.database.read() as session:
        assert session.get(ForgottenOrder, "ord-old") is None


def test_many_go_a_few_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forgetting, "BATCH", 2)
    for number in range(3):
        expired(world, Scan(f"ord-{number}", DEVICE, "latte", 1))
    now = world.clock.advance(KEPT_FOR.total_seconds())
    assert Forgetting(world.database).step(now) == now + forgetting.SOON
    assert Forgetting(world.database).step(now) == now + forgetting.LATER
    assert there(world) == set()


def test_the_database_itself_forbids_the_rest(world: World) -> None:
    expired(world)
    world.pay("ord-paid")

    def forget(tx: Transaction, order_id: str) -> None:
        tx.session.execute(insert(ForgottenOrder), [{"order_id": order_id, "at": world.now}])

    def erase(tx: Transaction) -> None:
        tx.session.execute(delete(OrderChange).where(OrderChange.order_id == "ord-old"))

    with pytest.raises(DatabaseError, match="with a payment"):
        world.database.transact(forget, "ord-paid")
    with pytest.raises(DatabaseError, match=r"no delete of such a row|only grows"):
        world.database.transact(erase)
