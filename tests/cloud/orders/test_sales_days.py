"""Sales by day are the ledger's, to the kopeck, in the machine's own zone, whatever was corrected later."""

from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import func, select, update

from cloud.database.transaction import Transaction
from cloud.fleet.models import Device
from cloud.fleet.zones import day_at
from cloud.orders import sales_days, trusted_outcome
from cloud.orders.commissions import Commission
from cloud.orders.models import Movement, Order
from cloud.orders.money import PaymentState
from cloud.orders.operator_actions import keep_money
from cloud.orders.order_limits import OrderLimits
from cloud.orders.sales_days import roll_up
from cloud.orders.sales_figures import Figures, ProviderSums, percentile, total
from cloud.orders.sales_tables import MerchantDay, SalesDay
from cloud.orders.states import DONE
from protocol.reasons import Result
from tests import released
from tests.cloud.orders.test_operator_actions import silent
from tests.cloud.worlds import DEVICE, ONE_STAGE, OTHER_DEVICE, PRICE, World

EAST = "Asia/Vladivostok"
ROLL_UP = """\
import sys
from cloud.database.database import Database
from cloud.orders.sales_days import roll_up

database = Database(sys.argv[1])
while database.transact(roll_up):
    pass
database.close()
"""


def set_up(tx: Transaction) -> None:
    tx.session.execute(update(Device).where(Device.device_uuid == OTHER_DEVICE).values(zone=EAST))


def rolled_up(world: World) -> dict[tuple[str, date], SalesDay]:
    while world.database.transact(roll_up, world.now):
        pass
    with world.database.read() as session:
        return {(row.device_uuid, row.day): row for row in session.scalars(select(SalesDay))}


def by_hand(world: World) -> dict[tuple[str, date], tuple[int, int, int, int]]:
    """Cups, failures, taken, returned, straight from orders and ledger."""
    sums: dict[tuple[str, date], list[int]] = {}
    with world.database.read() as session:
        zones = {device.device_uuid: device.zone for device in session.scalars(select(Device))}
        orders = {order.id: order for order in session.scalars(select(Order))}
        movements = list(session.scalars(select(Movement)))
    for order in orders.values():
        if order.status in {"successful", "make_failed"} and order.finished_at is not None:
            key = order.device_uuid, day_at(order.finished_at, zones[order.device_uuid])
            sums.setdefault(key, [0] * 4)[order.status == "make_failed"] += 1
    for movement in movements:
        device = orders[movement.order_id].device_uuid
        if movement.kind in {"captured", "refunded"}:
            key = device, day_at(movement.at, zones[device])
            sums.setdefault(key, [0] * 4)[2 + (movement.kind == "refunded")] += movement.amount
    return {key: (one[0], one[1], one[2], one[3]) for key, one in sums.items()}


def figures(told: dict[tuple[str, date], SalesDay]) -> dict[tuple[str, date], tuple[int, int, int, int]]:
    return {key: (row.cups, row.failed, row.taken, row.returned) for key, row in told.items()}


def money_by_hand(world: World) -> dict[date, ProviderSums]:
    """Taken, returned, the commission and of how much it is known, straight from ledger and commissions."""
    zones = {DEVICE: "Europe/Moscow", OTHER_DEVICE: EAST}
    sums: dict[date, ProviderSums] = {}
    with world.database.read() as session:
        devices = {order.id: order.device_uuid for order in session.scalars(select(Order))}
        kept = {one.payment_id: one.amount for one in session.scalars(select(Commission))}
        for movement in session.scalars(select(Movement).where(Movement.kind.in_(("captured", "refunded")))):
            one = sums.setdefault(day_at(movement.at, zones[devices[movement.order_id]]), ProviderSums())
            if movement.kind == "refunded":
                one.add(0, movement.amount, 0, 0)
            else:
                is_told = movement.payment_id in kept
                one.add(movement.amount, 0, kept.get(movement.payment_id, 0), movement.amount if is_told else 0)
    return sums


def buy(world: World, device: str, **more: object) -> str:
    order_id = world.scan(device=device)
    world.tell(world.start(order_id, ONE_STAGE), PaymentState.CAPTURED, **more)
    return order_id


@pytest.mark.parametrize(
    ("migrated_url", "seed"),
    [
        *(("sqlite", seed) for seed in range(3)),
        ("postgresql", 0),
        *(pytest.param("sqlite", seed, marks=pytest.mark.long) for seed in range(3, 6)),
        *(pytest.param("postgresql", seed, marks=pytest.mark.long) for seed in range(1, 6)),
    ],
    indirect=["migrated_url"],
)
def test_equal_to_the_ledger(world: World, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sales_days, "BATCH", 40)
    random = Random(seed)
    world.database.transact(set_up)
    failed: list[tuple[str, str]] = []
    untold: list[str] = []
    for _ in range(40):
        world.clock.advance(random.uniform(600, 5 * 3600))
        device = random.choice((DEVICE, OTHER_DEVICE))
        order_id = buy(world, device, income=random.choice((None, PRICE - 626, PRICE - 87)))
        if random.random() < 0.2:  # what the provider tells late, and tells otherwise later
            untold.append(world.payment(order_id).id)
        if untold and random.random() < 0.3:
            world.tell(untold.pop(0), PaymentState.CAPTURED, income=PRICE - 500)
        world.publish(order_id)
        ends = random.choice((Result.DONE, Result.DONE, Result.REJECTED, Result.UNKNOWN))
        world.report(order_id, ends, "" if ends is Result.DONE else "brewer", device=device)
        if ends is Result.UNKNOWN:
            failed.append((order_id, device))
        if ends is Result.REJECTED and random.random() < 0.7:
            world.clock.advance(random.uniform(1, 40 * 3600))
            world.refunded(world.payment(order_id).id, f"rf-{order_id}")
        if failed and random.random() < 0.3:  # late truth, perhaps of another day
            order_id, device = failed.pop()
            world.report(order_id, Result.DONE, revision=2, device=device)
        if random.random() < 0.3:
            rolled_up(world)
    told = rolled_up(world)
    expected = by_hand(world)
    assert figures(told) == expected
    whole = total(row.figures for row in told.values())
    assert (whole.cups, whole.kept) == (
        sum(one[0] for one in expected.values()),
        sum(o[2] - o[3] for o in expected.values()),
    )
    assert (sum(whole.hours), whole.drinks["Латте"].cups) == (whole.cups,) * 2
    assert whole.drinks["Латте"].kopecks == whole.cups * PRICE
    with world.database.read() as session:
        in_time = session.scalar(select(func.count()).select_from(Order).where(Order.stage == DONE))
        assert sum(whole.waits) == in_time
        days = {row.day: row.figures for row in session.scalars(select(MerchantDay))}
    assert days == {day: total(row.figures for row in told.values() if row.day == day) for _, day in told}
    money = money_by_hand(world)
    assert {day: one.providers["Yookassa"] for day, one in days.items() if one.providers} == money
    assert 0 < sum(one.told for one in money.values()) < sum(one.taken for one in money.values())


def test_a_number_committed_late_is_found(sqlite_world: World) -> None:
    world = sqlite_world
    buy(world, DEVICE)
    rolled_up(world)

    def forget(tx: Transaction) -> None:  # as if this row had not been there to see, and the mark had gone on
        tx.session.execute(update(SalesDay).values(taken=0, cups=99))

    world.database.transact(forget)
    order_id = buy(world, DEVICE)
    world.publish(order_id)
    world.report(order_id, Result.DONE)
    [row] = rolled_up(world).values()
    assert (row.taken, row.cups) == (2 * PRICE, 1)


@pytest.mark.both_databases
def test_what_an_older_program_rolled_up_is_rolled_up_anew(world: World, tmp_path: Path) -> None:
    """Regression: its days lacked what providers kept, and stayed so."""
    tree, url = released.unpacked(tmp_path), world.database.url.render_as_string(hide_password=False)
    for _ in range(2):
        buy(world, DEVICE, income=PRICE - 626)
        rolled_up(world)
        released.run(tree, ROLL_UP, url)
        assert [row.figures.providers for row in stored(world)] == [{}]
        [row] = rolled_up(world).values()
        assert row.figures.providers["Yookassa"].commission == 626 * row.taken // PRICE


def test_of_two_forms_the_higher_writes_last(sqlite_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world, form = sqlite_world, sales_days.FORM

    def taken(by: int) -> int:
        """After programs of this form have worked, on days that hold what no program writes."""
        world.database.transact(lambda tx: tx.session.execute(update(SalesDay).values(taken=-1)))
        monkeypatch.setattr(sales_days, "FORM", by)
        return sum(row.taken for row in rolled_up(world).values())

    buy(world, DEVICE)
    assert taken(form) == taken(form + 1) == PRICE
    assert taken(form) == PRICE, "the other came past here"
    assert taken(form + 1) == PRICE, "and this one over it"
    assert taken(form) == taken(form + 1) == -1, "and that is all"
    buy(world, DEVICE)
    assert taken(form + 1) == 2 * PRICE
    assert taken(form) == 2 * PRICE, "going back is the same"


def stored(world: World) -> list[SalesDay]:
    with world.database.read() as session:
        return list(session.scalars(select(SalesDay)))


def test_a_commission_told_late_belongs_to_the_day_of_its_payment(sqlite_world: World) -> None:
    world = sqlite_world
    order_id = buy(world, DEVICE)
    payment = world.payment(order_id).id
    [before] = rolled_up(world).values()
    world.clock.advance(5 * 86400)
    for income in (PRICE + 1, -1):  # cannot be
        world.tell(payment, PaymentState.CAPTURED, income=income)
    world.tell(payment, PaymentState.CAPTURED, income=PRICE - 626)
    world.tell(payment, PaymentState.CAPTURED, income=PRICE)  # its first word stays
    [after] = rolled_up(world).values()
    assert before.figures.providers["Yookassa"] == ProviderSums(PRICE, 0, 0, 0)
    assert (after.day, after.figures.providers["Yookassa"]) == (before.day, ProviderSums(PRICE, 0, 626, PRICE))


@pytest.mark.both_databases
@pytest.mark.parametrize("kept", [True, False], ids=["kept by a person", "told by its machine"])
def test_a_cup_of_which_one_hears_weeks_later_is_counted_then(world: World, kept: bool) -> None:
    """Regression: its failure was taken back, and the cup was too old for the day on which it was told."""
    world.rules = OrderLimits(uncertain_returns_a_day=0)
    order_id = silent(world)
    [before] = rolled_up(world).values()
    assert (before.cups, before.failed) == (0, 1)
    world.clock.advance(21 * 86400)
    if kept:
        world.database.transact(keep_money, order_id, "anna@example.org", "seen", world.now)
    else:
        world.report(order_id, Result.DONE, revision=2)
    after = rolled_up(world)
    assert figures(after) == by_hand(world)
    assert {row.day - before.day: (row.cups, row.failed, row.taken) for row in after.values()} == {
        timedelta(): (0, 0, PRICE), timedelta(days=21): (1, 0, 0)
    }  # fmt: skip


def test_a_test_device_sells_nothing(sqlite_world: World) -> None:
    world = sqlite_world
    world.database.transact(lambda tx: tx.session.execute(update(Device).values(status="test")))
    order_id = buy(world, DEVICE)
    world.publish(order_id)
    world.report(order_id, Result.DONE)
    assert rolled_up(world) == {}


def test_figures_add_up_and_are_stored_whole() -> None:
    one = Figures(taken=100, returned=30, reasons=Counter({"no_ack": 2}))
    for hour, wait in ((8, 12.0), (9, 31.0), (9, 700.0)):
        one.add_cup("latte", "Латте", 14900, hour, wait)
    again = Figures.restored(one.cups, one.taken, one.returned, one.stored())
    assert again == one
    one.add_money("TBank", "captured", 20, None)
    one.add_money("TBank", "refunded", 5, None)
    both = total([one, again])
    assert both.providers["TBank"] == ProviderSums(20, 5, 0, 0)
    assert both.providers["TBank"].net is None
    assert (both.cups, both.failed, both.kept, both.hours[9]) == (6, 4, 155, 4)
    assert both.failure_rate == pytest.approx(0.4)
    assert both.drinks["Латте"].kopecks == 6 * 14900


def test_percentiles() -> None:
    waits = Figures().waits
    assert percentile(waits, 0.5) is None
    for seconds in range(1, 101):
        one = Figures(waits=waits)
        one.add_cup("latte", "Латте", 1, 0, float(seconds))
    assert percentile(waits, 0.5) == pytest.approx(50, abs=1)
    assert percentile(waits, 0.95) == pytest.approx(95, rel=0.05)


def kept(world: World) -> None:
    order_id = silent(world)
    world.clock.advance(3 * 3600)
    world.database.transact(keep_money, order_id, "op@example.org", "seen", world.now)


def told_late(world: World) -> None:
    order_id = silent(world)
    world.clock.advance(3 * 3600)
    world.report(order_id, Result.DONE)


def trusted(world: World) -> None:
    order_id = world.pay(account=ONE_STAGE)
    world.publish(order_id)
    world.in_docket(order_id, trusted_outcome.trust, world.now)


@pytest.mark.parametrize("ends", [kept, told_late, trusted])
def test_a_cup_of_which_nobody_knows_when_it_was_full_has_no_wait(world: World, ends: Callable[[World], None]) -> None:
    """Regression: the hours until a person kept its money were told as the way from payment to cup."""
    world.rules = OrderLimits(uncertain_returns_a_day=0)
    ends(world)
    whole = total(row.figures for row in rolled_up(world).values())
    assert (whole.cups, sum(whole.waits)) == (1, 0)
