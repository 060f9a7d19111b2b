"""Finished orders rest in the archive and come back whole: nothing of them is lost, to the kopeck, for any reader."""

from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import DatabaseError

from cloud.access.person import Scope
from cloud.books.period import Period
from cloud.books.reading import Asked, LedgerLine, read_ledger
from cloud.buyer.order_reader import OrderReader
from cloud.database.base import Base
from cloud.database.database import Database
from cloud.database.transaction import Transaction
from cloud.fleet.models import Device
from cloud.migrations.migrate import TABLES
from cloud.orders import archive, claims
from cloud.orders.archive import ArchivedOrder, ArchivedPayment
from cloud.orders.archiving import BATCH, LATER, SOON, STAYS_FOR, Archiving, archive_some
from cloud.orders.claims import ClaimKind
from cloud.orders.locked_order import lock_order, lock_order_of_payment
from cloud.orders.models import Movement, Order, OrderChange, Payment
from cloud.orders.order_counts import count_on
from cloud.orders.outbox import OutboxRow
from cloud.orders.sales_days import roll_up
from cloud.orders.sales_tables import SalesDay, SalesMark
from cloud.orders.states import Status
from cloud.payments.ask_at_once import ask_at_once
from cloud.payments.notification import Notification
from protocol.reasons import Result
from tests.cloud.console.building import a_console
from tests.cloud.payments.reconciling import reconciled, refund_in_cabinet, today
from tests.cloud.tills import Till, a_till
from tests.cloud.worlds import PRICE, START, World, a_world
from tests.waiting import wait_until

AGE = timedelta(days=400)
LATELY = timedelta(minutes=5)


def poured(till: Till) -> str:
    order_id = till.paid()
    till.world.publish(order_id)
    till.world.accept(order_id)
    till.world.report(order_id, Result.DONE)
    till.work()
    return order_id


def given_back(till: Till) -> str:
    order_id = till.paid()
    till.world.publish(order_id)
    till.world.report(order_id, Result.REJECTED, "no_water")
    till.work()
    return order_id


def refunded(till: Till) -> str:
    order_id = poured(till)
    refund_in_cabinet(till, order_id)
    till.look_at(order_id)
    return order_id


def rolled_up(world: World) -> dict[tuple[Any, ...], Any]:
    while world.database.transact(roll_up, world.now) or world.database.transact(count_on):
        pass
    with world.database.read() as session:
        return {(row.device_uuid, row.day): (row.figures, row.taken, row.returned)
                for row in session.scalars(select(SalesDay))}  # fmt: skip


def rest(world: World, after: timedelta = LATELY) -> list[str]:
    """All that rests once this time is over."""
    world.clock.advance(after.total_seconds() + 1)
    rolled_up(world)
    loop = Archiving(world.database, after)
    while loop.step(world.now) != world.now + LATER:
        pass
    with world.database.read() as session:
        return sorted(session.scalars(select(ArchivedOrder.order_id)))


def rows(world: World, order_id: str) -> dict[str, list[dict[str, Any]]]:
    """Everything there is of an order, without the numbers nobody knows it by."""

    def read(tx: Transaction) -> dict[str, list[dict[str, Any]]]:
        parts = archive._read(tx.connection, [order_id])[order_id]
        for name in archive.RENUMBERED:
            for row in parts[name]:
                del row["id"]
        for order in parts["orders"]:
            del order["brought_back_at"]
        return parts

    return world.database.transact(read)


def books(world: World) -> list[tuple[Any, ...]]:
    """The ledger, in pages of two."""
    days = (world.now.date() + timedelta(days=number) for number in (-AGE.days, 1))
    asked, after, lines = Asked(Scope(everything=True), Period(*days)), None, list[LedgerLine]()
    with world.database.read() as session:
        while True:
            page, after = read_ledger(session, asked, after, 2)
            lines += page
            if after is None:
                break
    assert [line.at for line in lines] == sorted(line.at for line in lines)
    return sorted(
        (one.at, one.movement.kind, one.movement.amount, one.payment.id, one.order.id, one.order.price, one.commission)
        for one in lines
    )


def move(tx: Transaction, name: str) -> None:
    tx.session.execute(update(Device).values(zone=name))


def test_nobody_rolls_up_what_is_just_being_put_away(migrated_postgres_url: str) -> None:
    """The order would be counted among the living and in the archive."""
    with a_world(migrated_postgres_url) as world, a_till(world) as till:
        poured(till)
        rolled_up(world)
        world.clock.advance(LATELY.total_seconds() + 1)
        world.database.transact(move, "Asia/Vladivostok")
        other = Database(migrated_postgres_url)

        def put_away(tx: Transaction) -> bool:
            assert archive_some(tx, (START, ""), LATELY, world.now)[1] == 1
            return other.transact(roll_up, world.now)

        try:
            assert not world.database.transact(put_away)
            assert other.transact(roll_up, world.now)
        finally:
            other.close()


def test_a_machine_that_gets_another_zone_has_resting_orders_counted_anew(till: Till) -> None:
    world = till.world
    for ends in (poured, given_back, refunded):
        world.clock.advance(7 * 3600)
        ends(till)
    told = dict[str, Any]()
    for name in ("Asia/Vladivostok", "Europe/Moscow"):
        world.database.transact(move, name)
        told[name] = rolled_up(world)
    assert told["Asia/Vladivostok"] != told["Europe/Moscow"]
    assert len(rest(world)) == 3
    world.database.transact(move, "Asia/Vladivostok")
    assert rolled_up(world) == told["Asia/Vladivostok"]


def test_a_cup_of_which_one_heard_weeks_later_is_counted_anew_at_rest_too(till: Till) -> None:
    """Regression: the archive knew of an order's money alone until when something had happened to it."""
    world = till.world
    order_id = given_back(till)
    world.clock.advance(21 * 86400)
    world.report(order_id, Result.DONE, revision=2)
    told = rolled_up(world)
    assert sum(figures.cups for figures, *_ in told.values()) == 1
    assert rest(world) == [order_id]
    for name in ("Asia/Vladivostok", "Europe/Moscow"):
        world.database.transact(move, name)
        after = rolled_up(world)
    assert after == told


def test_what_has_ended_rests_and_comes_back_as_it_was(till: Till) -> None:
    world = till.world
    ended = {poured(till), given_back(till)}
    claimed = world.database.transact(claims.say, min(ended), ClaimKind.OTHER, "cold", "ru", world.now)
    world.database.transact(claims.answer, claimed.id, "ops", "sorry", world.now, resolves=True)
    before = {order_id: rows(world, order_id) for order_id in ended}
    assert all(before[min(ended)][name] for name in ("claims", "claim_messages", "movements", "outbox"))
    assert rest(world) == [max(ended)]  # the claim is the newest
    other = poured(till)
    world.database.transact(claims.say, other, ClaimKind.OTHER, "cold", "ru", world.now)
    assert set(rest(world)) == ended
    assert not any(rows(world, min(ended)).values())
    for order_id in ended:
        assert world.database.transact(archive.bring_back, [order_id], world.now) == [order_id]
        assert rows(world, order_id) == before[order_id]
    assert rest(world) == []  # somebody looked for them
    world.clock.advance(STAYS_FOR.total_seconds())
    assert set(rest(world)) == ended
    with world.database.read() as session:
        assert len(session.scalars(select(ArchivedPayment)).all()) == 2


def test_books_and_days_are_the_same_to_the_kopeck(till: Till) -> None:
    world = till.world
    orders = [given_back(till), refunded(till), poured(till)]
    lines, days = books(world), rolled_up(world)
    assert sorted(kind for _, kind, *_ in lines) == ["captured", "captured", "refunded"]
    assert rest(world) == sorted(orders)
    assert books(world) == lines
    world.database.transact(lambda tx: tx.session.execute(update(SalesMark).values(number=0)))
    late = poured(till)  # on the same day: it is rolled up anew
    after = rolled_up(world)
    [(device, day)] = days
    [(figures, taken, returned)] = days.values()
    now, taken_now, returned_now = after[device, day]
    assert (now.cups, now.failed) == (figures.cups + 1, figures.failed)
    assert (taken_now, returned_now) == (taken + world.order(late).price, returned)


NOT_YET: dict[str, Callable[[Transaction, str, datetime], object]] = {
    "a question": lambda tx, order, now: tx.session.execute(update(Payment).values(next_check_at=now)),
    "a hint": lambda tx, order, now: tx.session.execute(update(Payment).values(told_at=now)),
    "a task": lambda tx, order, now: tx.session.execute(update(OutboxRow).values(settled_at=None)),
    "a claim": lambda tx, order, now: claims.say(tx, order, ClaimKind.OTHER, "cold", "ru", now),
    "money": lambda tx, order, now: tx.session.execute(update(Order).values(status="make_failed")),
    "a wait": lambda tx, order, now: tx.session.execute(update(Order).values(due_at=now)),
    "a person": lambda tx, order, now: tx.session.execute(update(Order).values(waits_for_person=True)),
}  # fmt: skip


@pytest.mark.parametrize("what", NOT_YET)
def test_nothing_rests_while_something_waits(sqlite_till: Till, what: str) -> None:
    world = sqlite_till.world
    order_id = poured(sqlite_till)
    world.clock.advance(AGE.total_seconds())
    world.database.transact(NOT_YET[what], order_id, world.now)
    if what == "a claim":
        world.database.transact(claims.say, world.pay(), ClaimKind.OTHER, "cold", "ru", world.now)
    assert order_id not in rest(world)


def test_what_was_not_rolled_up_does_not_rest(sqlite_till: Till) -> None:
    world = sqlite_till.world
    poured(sqlite_till)
    world.clock.advance(AGE.total_seconds())
    world.scan()
    Archiving(world.database, AGE).step(world.now)
    with world.database.read() as session:
        assert session.scalars(select(ArchivedOrder)).all() == []


def test_a_late_refund_of_the_cabinet_brings_it_back_and_is_booked(till: Till) -> None:
    world = till.world
    order_id = poured(till)
    provider_id = till.provider_id(order_id)
    told = till.notification(provider_id)
    assert rest(world) == [order_id]
    assert till.shop.sim("POST", "/refund", {"payment_id": provider_id, "amount": None}).status_code == 200
    assert till.post(told).status_code == 200
    till.work()
    assert world.ledger(order_id) == {"held": PRICE, "captured": PRICE, "refunded": PRICE}
    assert world.order(order_id).goodwill
    assert rest(world, AGE) == [order_id]


def test_a_late_word_of_the_machine_brings_it_back(till: Till) -> None:
    world = till.world
    order_id = given_back(till)
    command = world.command(order_id)
    assert rest(world) == [order_id]
    world.database.transact(archive.bring_back, [order_id])
    world.report(order_id, Result.DONE, revision=2)
    assert (world.status(order_id), world.command(order_id).id) == ("successful", command.id)
    assert world.order(order_id).goodwill


def test_two_who_need_it_at_once_both_get_it(till: Till) -> None:
    """Regression: the one that had waited heard "no such order"; a late outcome was lost, and acknowledged."""
    world = till.world
    order_id = given_back(till)
    assert rest(world) == [order_id]
    with ThreadPoolExecutor(1) as pool:

        def status(tx: Transaction) -> str:
            return lock_order(tx, order_id).order.status

        def first(tx: Transaction) -> Future[str]:
            assert status(tx) == "make_failed"
            second = pool.submit(world.database.transact, status)
            if not world.database.is_sqlite:
                wait_until(world.somebody_waits, what="the second to wait")
            return second

        assert world.database.transact(first).result(30) == "make_failed"


@pytest.mark.parametrize("asks", ["page", "console", "payment", "notification"])
def test_who_comes_a_moment_after_another_finds_it_too(till: Till, asks: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: an empty answer of the archive was taken for "there is none", though another had just emptied it."""
    world = till.world
    order_id = given_back(till)
    payment_id, provider_id = world.payment(order_id).id, till.provider_id(order_id)
    assert rest(world) == [order_id]
    bring_back = archive.bring_back

    def bring_back_second(tx: Transaction, order_ids: Collection[str], now: datetime | None = None) -> list[str]:
        assert bring_back(tx, order_ids, now) == [order_id]
        return bring_back(tx, order_ids, now)

    monkeypatch.setattr(archive, "bring_back", bring_back_second)
    match asks:
        case "page":
            assert OrderReader(world.database).find(order_id) is not None
        case "console":
            with a_console(world) as console:
                assert console.client("support@north").get(f"/console/orders/{order_id}").status_code == 200
        case "payment":
            assert world.database.transact(lock_order_of_payment, payment_id)[1].id == payment_id
        case "notification":
            told = Notification("yookassa", "refund.succeeded", "key", provider_id, "", "")
            assert world.database.transact(ask_at_once, told, world.now) is not None


def test_its_code_and_its_page_show_the_same_order(till: Till) -> None:
    world = till.world
    order_id = poured(till)
    assert rest(world) == [order_id]
    assert world.scan(order_id) == order_id
    told = till.client().get(f"/v1/order-status/{order_id}").json or {}
    assert (told["order_id"], told["status"]) == (order_id, "successful")
    assert till.press(order_id).status_code == 409


def test_the_database_lets_no_ledger_go_but_into_the_archive_and_back(till: Till) -> None:
    world = till.world
    order_id, other = poured(till), poured(till)
    wrong = {
        "order_id": other, "merchant_id": "north", "device_uuid": "m-001", "status": "successful",
        "begins_at": world.now, "captured": 1, "refunded": 0, "archived_at": world.now, "packed": b"",
    }  # fmt: skip
    statements = [
        delete(Movement), delete(OrderChange), insert(ArchivedOrder).values(wrong), delete(ArchivedOrder),
        update(ArchivedOrder).values(captured=0),
    ]  # fmt: skip
    world.clock.advance(AGE.total_seconds())
    assert set(rest(world)) == {order_id, other}
    world.database.transact(archive.bring_back, [other], world.now)
    for statement in statements:
        with pytest.raises(DatabaseError):
            world.database.transact(lambda tx, asked=statement: tx.session.execute(asked))


def test_every_table_of_an_order_goes_with_it() -> None:
    """A new table that belongs to orders is packed with them, or said here to stay."""
    stays = {"forgotten_orders", "reservations", "reconciliation_findings", "unclaimed_outcomes",
             "archived_orders", "archived_payments"}  # fmt: skip
    refers = {
        name for name, table in TABLES.tables.items()
        if "order_id" in table.columns or any(key.column.table.name in archive.TABLES for key in table.foreign_keys)
    }  # fmt: skip
    assert refers | {"orders"} == set(archive.TABLES) | stays
    assert Base.metadata is TABLES


def test_a_round_goes_on_where_it_was_a_batch_at_a_time(sqlite_world: World) -> None:
    world = sqlite_world
    world.opens_again = True
    ids = [world.bring_to(Status.FAILED) for _ in range(2 * BATCH + 1)]
    rolled_up(world)
    world.database.transact(lambda tx: tx.session.execute(update(Order).where(Order.id == ids[0]).values(due_at=START)))
    loop, later = Archiving(world.database, LATELY), world.now + AGE
    assert [loop.step(later) - later for _ in range(3)] == [SOON, SOON, LATER]
    with world.database.read() as session:
        assert session.scalars(select(Order.id)).all() == [ids[0]]
        assert len(session.scalars(select(ArchivedOrder.order_id)).all()) == 2 * BATCH


def test_reconciling_a_day_at_rest_finds_nothing_wrong(till: Till) -> None:
    world = till.world
    order_id = poured(till)
    day = today(till)
    assert rest(world, AGE) == [order_id]
    report = reconciled(till, day)
    assert (report.findings, report.row.payments_here, report.row.taken_here) == ([], 1, PRICE)


def test_a_rest_longer_than_there_are_dates_is_never_over(till: Till) -> None:
    """Regression: the loop failed each second, for ever."""
    poured(till)
    rolled_up(till.world)
    till.world.clock.advance(AGE.total_seconds())
    never = Archiving(till.world.database, timedelta(days=10**8 - 1))
    assert never.step(till.world.now) == till.world.now + LATER
    with till.world.database.read() as session:
        assert session.scalar(select(ArchivedOrder.order_id)) is None
