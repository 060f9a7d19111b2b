"""The first page over the demo's month: nothing waits, today beside its usual; it is renewed only when it changed."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select, update

from cloud.access import users
from cloud.access.acts import Role
from cloud.access.person import EVERYTHING, Scope
from cloud.buyer.brew_time_estimate import BrewTimeEstimates
from cloud.console.money.reading import read_risks
from cloud.console.now import readers
from cloud.console.now.readers import Today
from cloud.database.transaction import Transaction
from cloud.fleet import closing, presence_history, zones
from cloud.fleet.closing import BREAKER
from cloud.fleet.models import Device, DeviceLive
from cloud.orders import sales_days
from cloud.orders.at_risk import each_at_risk
from cloud.orders.models import Order, OrderChange
from cloud.orders.money import PaymentState
from cloud.orders.return_requests import ReturnRequest
from cloud.orders.sales_tables import SalesDay
from cloud.orders.states import Status
from protocol.reasons import Result, Size
from simulator.demo import history
from simulator.machine.menu import STANDARD_MENU
from tests.cloud.console.building import FOREIGN, OWN, Console, post
from tests.cloud.console.samples import SAMPLES
from tests.cloud.console.test_machines import live
from tests.cloud.orders.test_operator_actions import decide, poured, silent
from tests.cloud.worlds import DEVICE, OTHER_DEVICE, PRICE

NOON = datetime(2026, 3, 3, 9, 30, tzinfo=UTC)
"""A Tuesday, half past twelve in Moscow."""
BREW_S = 8.0


def a_month(console: Console) -> None:
    console.clock.now = NOON
    history.write(Path(str(console.cloud.database.url.database)), STANDARD_MENU, NOON, BREW_S)
    while console.cloud.database.transact(sales_days.roll_up, NOON):
        pass


def test_the_demos_month_is_in_order_and_today_is_compared_with_tuesdays(console: Console) -> None:
    a_month(console)
    with console.cloud.database.read() as session:
        assert each_at_risk(session, NOON) == []
        today = readers.today(session, EVERYTHING, NOON)
    assert today.usual_cups is not None
    assert 15 < today.cups < 45
    assert 0.6 < today.cups / today.usual_cups < 1.5


def test_the_demos_cups_took_as_long_as_they_do_now(console: Console) -> None:
    """Regression: they took half a minute, and the "time left" of the demo's buyers was false."""
    a_month(console)
    for drink in STANDARD_MENU.values():
        with console.cloud.database.read() as session:
            usual = BrewTimeEstimates().of(session, (DEVICE, drink.drink_no, Size.MEDIUM), NOON)
        assert usual is not None
        assert usual.total_seconds() == pytest.approx(BREW_S * drink.pace, rel=0.1)


def test_a_machine_that_is_gone_is_named_and_the_part_is_sent_only_when_it_changed(console: Console) -> None:
    client = console.client(f"owner@{OWN}")
    shown = client.get("/console/now").text
    [address] = re.findall(r'hx-get="([^"]+)"', shown)
    assert client.get(address).status_code == 204

    def gone(tx: Transaction) -> None:
        live = tx.session.get_one(DeviceLive, OTHER_DEVICE)
        live.online = False
        tx.session.flush()
        presence_history.note(tx, [live], console.clock.now)

    console.cloud.database.transact(gone)
    answer = client.get(address, headers={"HX-Request": "true"})
    assert answer.status_code == 200
    assert OTHER_DEVICE in answer.text
    assert "<html" not in answer.text
    assert OTHER_DEVICE not in console.client(f"owner@{FOREIGN}").get("/console/now").text
    assert OTHER_DEVICE not in console.client(f"technician@{OWN}").get("/console/now").text


def test_a_closed_machine_does_not_sell_whoever_closed_it(console: Console) -> None:
    """Regression: every machine was closed, and the first page said in green that every machine sells."""
    for device in (DEVICE, OTHER_DEVICE):
        live(console, device, online=True)
    client = console.client(f"owner@{OWN}")
    assert "Все автоматы продают" in client.get("/console/now").text
    post(client, f"/console/machines/{DEVICE}/close", why="нет крышек")
    closed_by_itself = (OTHER_DEVICE, "", BREAKER, "no_ack, no_water", console.clock.advance(60))
    console.cloud.database.transact(closing.close, *closed_by_itself)
    with console.cloud.database.read() as session:
        told = readers.not_selling(session, Scope(frozenset({OWN})))
    assert (told.machines, told.silent, told.by_hand) == (2, 2, 1)
    assert [(one.device_uuid, one.standing.state) for one in told.listed] == [
        (DEVICE, "closed"), (OTHER_DEVICE, "broken")
    ]  # fmt: skip
    shown = client.get("/console/now").text
    assert "Все автоматы продают" not in shown
    assert re.search(r"Закрыл\(а\) [^<]+: нет крышек", shown)
    assert "В автомате закончилась вода" in shown


def test_money_that_only_reconciliation_sees_waits_for_a_person_too(console: Console) -> None:
    """Regression: the first page knew the ledger alone, and nobody was called to what the page of money told."""
    fine = "Всё на своих местах"
    assert fine in console.client(f"owner@{OWN}").get("/console/now").text
    SAMPLES["difference"](console)
    with console.cloud.database.read() as session:
        told = readers.waiting(session, EVERYTHING, console.clock.now, ())
        risks = read_risks(session, EVERYTHING, (), console.clock.now)
    assert (told.payments, told.kopecks, told.since) == (1, risks.waiting, console.clock.now)
    assert fine not in console.client(f"owner@{OWN}").get("/console/now").text
    assert fine in console.client(f"owner@{FOREIGN}").get("/console/now").text


def todays_kopecks(console: Console) -> int:
    with console.cloud.database.read() as session:
        return readers.today(session, EVERYTHING, console.clock.now + timedelta(seconds=1)).kopecks


@pytest.mark.both_databases
def test_of_a_cup_that_was_returned_in_part_the_rest_is_taken(console_on_each: Console) -> None:
    """Regression: the first kopeck that went back took the whole price out of the day."""
    console, world = console_on_each, console_on_each.world
    order_id = poured(world)
    decide(world, order_id, 5050)
    assert todays_kopecks(console) == PRICE - 5050, "decided"
    world.refunded(world.payment(order_id).id, "rf-1", 5050)
    assert todays_kopecks(console) == PRICE - 5050, "gone back"
    decide(world, order_id)
    world.refunded(world.payment(order_id).id, "rf-2", PRICE - 5050)
    assert todays_kopecks(console) == 0


@pytest.mark.both_databases
def test_what_went_back_without_a_persons_word_is_not_taken_either(console_on_each: Console) -> None:
    """A hold that is paid for is; money the provider's own page returned is not, nor that of a drink told of late."""
    console, world = console_on_each, console_on_each.world
    held, in_part = world.bring_to(Status.SUCCESSFUL), poured(world)
    assert todays_kopecks(console) == 2 * PRICE
    world.refunded(world.payment(in_part).id, "rf-1", 3000)
    assert todays_kopecks(console) == 2 * PRICE - 3000
    world.tell(world.payment(held).id, PaymentState.CANCELED)
    assert todays_kopecks(console) == PRICE - 3000
    late = silent(world)
    world.refunded(world.payment(late).id, "rf-2")
    world.report(late, Result.DONE)
    assert (world.status(late), todays_kopecks(console)) == ("successful", PRICE - 3000)


@pytest.mark.both_databases
def test_of_a_hold_taken_in_part_only_that_is_taken(console_on_each: Console) -> None:
    """Regression: here and on the order's page it was the whole price, in the books what came."""
    console, world = console_on_each, console_on_each.world
    order_id = world.pay()
    world.publish(order_id)
    world.tell(world.payment(order_id).id, PaymentState.CAPTURED, captured=10000)
    world.report(order_id, Result.DONE)
    while world.database.transact(sales_days.roll_up, world.now):
        pass
    with world.database.read() as session:
        booked = session.scalar(select(func.sum(SalesDay.taken)))
    assert (todays_kopecks(console), booked) == (10000, 10000)
    assert "100\u00a0₽ получены" in console.client("support@north").get(f"/console/orders/{order_id}").text


FAR = "Asia/Vladivostok"


def sells_hourly(tx: Transaction, device: str, zone: str, until: datetime) -> None:
    """A cup at each hour from eight to seven by its own clock, every day of five weeks."""
    tx.session.execute(update(Device).where(Device.device_uuid == device).values(zone=zone))
    for ago in range(36):
        day = until.astimezone(zones.zone(zone)).date() - timedelta(days=ago)
        for hour in range(8, 20):
            at = datetime(day.year, day.month, day.day, hour, 30, tzinfo=zones.zone(zone)).astimezone(UTC)
            name, ends = f"{device}-{day}-{hour}", at + timedelta(seconds=30)
            order = {
                "id": name, "device_uuid": device, "merchant_id": OWN, "drink_no": "latte", "drink_name": "Латте",
                "size": 1, "price": PRICE, "payment_scenario": "Yookassa", "status": "successful", "created_at": at,
                "expires_at": at, "paid_at": at, "finished_at": ends,
            }  # fmt: skip
            tx.session.execute(insert(Order).values(order))
            change = {"order_id": name, "version": 2, "at": ends, "actor": "device", "event": "machine_done",
                      "status_before": "make_pending", "status_after": "successful"}  # fmt: skip
            tx.session.execute(insert(OrderChange).values(change))


@pytest.mark.both_databases
@pytest.mark.parametrize(
    ("zone", "cups"),
    [
        (FAR, {3: 2 + 2, 15: 12 + 12, 21: 0}),  # where it is seven hours later
        ("Europe/Moscow", {3: 2, 15: 12 + 7, 21: 12}),
    ],
)
def test_today_and_usual_are_of_the_same_hours_where_each_machine_stands(
    console_on_each: Console, zone: str, cups: dict[int, int]
) -> None:
    """Regression: the usual was cut at the merchant's hour, and the same cups as every day were "350 % more"."""
    database, moscow = console_on_each.cloud.database, zones.zone("Europe/Moscow")
    until = datetime(2026, 3, 31, 12, 0, tzinfo=UTC)
    for device, its in ((DEVICE, FAR), (OTHER_DEVICE, zone)):
        database.transact(sells_hourly, device, its, until)
    while database.transact(sales_days.roll_up, until):
        pass
    machines = Scope(machines=frozenset({(OWN, DEVICE), (OWN, OTHER_DEVICE)}))
    for hour, sold in cups.items():
        now = datetime(2026, 3, 31, hour, 0, tzinfo=moscow).astimezone(UTC)
        for scope in (Scope(frozenset({OWN})), machines):
            with database.read() as session:
                assert readers.today(session, scope, now) == Today(sold, sold * PRICE, sold), (hour, scope)


@pytest.mark.both_databases
def test_what_a_machine_sold_today_stays_its_merchants_when_it_goes_to_another(console_on_each: Console) -> None:
    """Regression: its cups and money were in no day of the first page once no machine of the merchant stood there."""
    database = console_on_each.cloud.database
    until = datetime(2026, 3, 31, 12, 0, tzinfo=UTC)
    for device, zone in ((DEVICE, "Europe/Moscow"), (OTHER_DEVICE, FAR)):
        database.transact(sells_hourly, device, zone, until)

    def told() -> Today:
        with database.read() as session:
            return readers.today(session, Scope(frozenset({OWN})), until)

    def goes(device: str) -> None:
        owner = update(Device).where(Device.device_uuid == device).values(merchant_id=FOREIGN)
        database.transact(lambda tx: tx.session.execute(owner))

    while database.transact(sales_days.roll_up, until):
        pass
    assert told() == Today(19, 19 * PRICE, 19)
    goes(OTHER_DEVICE)
    assert told() == Today(19, 19 * PRICE, 19)
    goes(DEVICE)
    assert told() == Today(19, 19 * PRICE, 19), "and when it has no machine left"


def test_a_cup_is_of_the_day_on_which_it_was_poured(console: Console) -> None:
    """Regression: one scanned before midnight and poured after it was in no day of the first page."""
    console.clock.now = datetime(2026, 3, 2, 20, 59, tzinfo=UTC)  # a minute to midnight
    order_id = console.world.pay()
    console.world.publish(order_id)
    console.clock.advance(120)
    console.world.report(order_id, Result.DONE)
    assert todays_kopecks(console) == PRICE


@pytest.mark.parametrize(
    ("who", "narrowed", "labels", "is_told_of_troubles"),
    [
        ("owner", "", ["Деньги ждут человека", "Не продают", "Сегодня"], True),
        ("technician", "", ["Не продают", "Сегодня"], True),
        ("accountant", "", ["Деньги ждут человека", "Сегодня"], False),
        ("owner", f"?merchant={FOREIGN}", [], False),
    ],
)
def test_nobody_is_told_anything_of_what_he_may_not_see(
    console: Console, who: str, narrowed: str, labels: list[str], is_told_of_troubles: bool
) -> None:
    """Regression: an accountant read that there were no machines, and that all was well with them."""
    shown = console.client(f"{who}@{OWN}").get(f"/console/now{narrowed}").text
    assert re.findall(r'class="label">([^<]+)<', shown) == labels
    assert ("Что не так" in shown, "Всё в порядке" in shown) == (is_told_of_troubles, is_told_of_troubles)


def test_returns_to_approve_lead_to_where_they_are_approved(console: Console) -> None:
    """Regression: they led to the page of money, which has none of them, and beside payments they were not told."""
    money, returns = ("/console/money", "Деньги ждут человека"), ("/console/claims", "Возвраты")

    def tiles(who: str = "owner") -> list[tuple[str, ...]]:
        shown = console.client(f"{who}@{OWN}").get("/console/now").text
        return re.findall(r'<a class="tile \w+" href="(/console/(?:money|claims))"><span class="label">([^<]+)<', shown)

    assert tiles() == [money]
    request = SAMPLES["return_request"](console)
    assert tiles() == [returns]
    assert f"/claims/requests/{request}/approve" in console.client(f"owner@{OWN}").get(returns[0]).text
    SAMPLES["difference"](console)
    assert tiles() == [money, returns]
    assert tiles("accountant") == [money], "who may not see claims is not led there"

    def let_expire(tx: Transaction) -> None:
        tx.session.get_one(ReturnRequest, int(request)).expires_at = console.world.now

    console.cloud.database.transact(let_expire)
    assert tiles() == [money], "a request that has expired waits for nobody"


def test_a_technician_reads_no_sum(console: Console) -> None:
    a_month(console)
    assert "₽" in console.client(f"owner@{OWN}").get("/console/now").text
    assert "₽" not in console.client(f"technician@{OWN}").get("/console/now").text


def test_who_sees_more_cups_than_sums_reads_no_sum_beside_them(console: Console) -> None:
    """Regression: beside the cups of all his merchants stood the money of some."""
    a_month(console)
    console.add_user("both", FOREIGN, Role.OWNER)
    console.world.database.transact(users.give_role, console.ids["both"], OWN, Role.TECHNICIAN, [DEVICE])
    client = console.client("both")
    sums = {
        merchant: len(re.findall("₽ · ", client.get(f"/console/now?merchant={merchant}").text))
        for merchant in ("", OWN, FOREIGN)
    }
    assert sums == {"": 0, OWN: 0, FOREIGN: 1}
