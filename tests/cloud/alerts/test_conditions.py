"""What each rule sees, out of a real database: sales, money, our own service; and the morning's summary."""

from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import delete, update

from cloud.alerts import machine_conditions, money_conditions, platform_conditions, usual_weeks
from cloud.alerts.incident import Condition
from cloud.alerts.kinds import PLATFORM, Kind
from cloud.alerts.watch import Look
from cloud.background import heartbeat
from cloud.background.heartbeat import WorkerLife
from cloud.database.transaction import Transaction
from cloud.fleet import closing, machine_events
from cloud.fleet.models import Credential, Device, Merchant
from cloud.orders.models import Order, Payment
from cloud.orders.operator_actions import give_back
from protocol.messages import Event
from protocol.reasons import Result, Spout
from tests.cloud.alerts.desk import GROUP, Desk
from tests.cloud.worlds import ACCOUNT, DEVICE, ONE_STAGE, OTHER_DEVICE, World


def _seen(world: World, look: Look) -> list[Condition]:
    with world.database.read() as session:
        return look(session, world.now)


def pour(world: World) -> str:
    order_id = world.pay(account=ONE_STAGE)
    world.accept(order_id)
    world.report(order_id, Result.DONE, out=Spout.FULL)
    return order_id


def fail(world: World) -> str:
    order_id = world.pay(account=ONE_STAGE)
    world.report(order_id, Result.REJECTED, "no_water", Spout.NONE)
    return order_id


def test_a_paid_drink_that_was_not_made(world: World) -> None:
    fail(world)
    [seen] = _seen(world, machine_conditions.drinks_not_made)
    assert (seen.kind, seen.subject, seen.facts["drinks"]) == (Kind.MAKE_FAILED, DEVICE, 1)
    world.wait(16 * 60)
    assert _seen(world, machine_conditions.drinks_not_made) == []


def test_what_was_taken_out_of_sale_by_itself(world: World) -> None:
    world.database.transact(closing.close, DEVICE, "latte", closing.BREAKER, "no_water", world.now)
    world.database.transact(closing.close, OTHER_DEVICE, "", "anna", "cleaning", world.now)
    [seen] = _seen(world, machine_conditions.closed_by_the_breaker)
    assert (seen.kind, seen.subject, seen.facts["what"]) == (Kind.CLOSED_ITSELF, DEVICE, "Латте")


def test_too_many_failures_in_a_day(world: World) -> None:
    for _ in range(8):
        pour(world)
    fail(world)
    assert _seen(world, machine_conditions.failure_rates) == []
    fail(world)
    [seen] = _seen(world, machine_conditions.failure_rates)
    assert (seen.facts["percent"], seen.facts["drinks"]) == (20, 10)


def _sold_daily(world: World, until: datetime | None = None, an_hour: int = 1) -> None:
    """Each day's cups of eight hours, for the eight weeks until then, or until now."""
    hours = range(8 * an_hour)
    first = [(until or world.now) - timedelta(days=day) for day in range(1, 57)]
    sold_at = [each + timedelta(hours=cup // an_hour) for each in first for cup in hours]

    def history(tx: Transaction) -> None:
        for number, at in enumerate(sold_at):
            order = {
                "id": f"h-{number}", "device_uuid": DEVICE, "merchant_id": "north", "drink_no": "latte", "size": 1,
                "drink_name": "Латте", "price": 100, "payment_scenario": "Yookassa", "status": "successful",
                "created_at": at, "expires_at": at, "paid_at": at, "finished_at": at,
            }  # fmt: skip
            tx.session.add(Order(**order))
        tx.session.flush()
        usual_weeks.refresh(tx, tx.session.get_one(Device, DEVICE), world.now)

    world.database.transact(history)


def _is_silent(world: World) -> bool:
    return [each.subject for each in _seen(world, machine_conditions.silent_machines)] == [DEVICE]


def test_a_machine_that_sells_nothing_at_its_hours(world: World) -> None:
    _sold_daily(world)
    assert _seen(world, machine_conditions.silent_machines) == []
    world.wait(2 * 86400)
    [seen] = _seen(world, machine_conditions.silent_machines)
    assert (seen.kind, seen.subject, seen.facts["cups_a_day"]) == (Kind.NO_SALES, DEVICE, 8)


def test_a_machine_that_got_another_zone_is_judged_by_the_hours_it_sold_at(sqlite_world: World) -> None:
    """Regression: until its week was counted anew, it was to sell in the night of its new zone."""
    world, east = sqlite_world, ZoneInfo("Asia/Vladivostok")
    today = world.now.astimezone(east).date()
    _sold_daily(world, datetime.combine(today + timedelta(days=1), time(10), east), an_hour=10)
    world.database.transact(lambda tx: tx.session.execute(update(Device).values(zone=east.key)))
    for hour, is_silent in ((6, False), (13, True)):
        at = datetime.combine(today + timedelta(days=1), time(hour), east)
        world.wait((at - world.now).total_seconds())
        assert _is_silent(world) is is_silent


def test_a_machine_that_cannot_sell_is_not_called_silent(desk: Desk) -> None:
    """Regression: one that was offline, or closed by hand, was said to sell nothing for no reason."""
    world = desk.world
    _sold_daily(world)
    world.wait(2 * 86400)
    assert _is_silent(world)
    desk.presence(DEVICE, online=False)
    assert not _is_silent(world)
    world.wait(60)
    desk.presence(DEVICE, online=True)
    assert _is_silent(world)
    world.database.transact(closing.close, DEVICE, "", "anna", "cleaning", world.now)
    assert not _is_silent(world)


def test_a_machine_that_is_back_has_time_to_sell(desk: Desk) -> None:
    """Regression: the cups of the days it was away or closed counted as missed."""
    world = desk.world
    _sold_daily(world)
    desk.presence(DEVICE, online=False)
    world.wait(2 * 86400)
    desk.presence(DEVICE, online=True)
    assert not _is_silent(world)
    world.database.transact(closing.close, DEVICE, "", "anna", "cleaning", world.now)
    world.wait(2 * 86400)
    world.database.transact(closing.open_again, DEVICE, "", "anna", world.now)
    assert not _is_silent(world)
    world.wait(2 * 86400)
    assert _is_silent(world)


def test_no_sales_end_with_a_sale(sqlite_desk: Desk) -> None:
    """Regression: two weeks after the last sale it was told as over, though nothing was sold."""
    desk = sqlite_desk
    _sold_daily(desk.world)
    desk.pass_time(2 * 86400, every=3600)
    assert desk.incidents() == [("no_sales", DEVICE, "open")]
    desk.pass_time(70 * 86400, every=86400)
    desk.world.database.transact(
        lambda tx: usual_weeks.refresh(tx, tx.session.get_one(Device, DEVICE), desk.world.now)
    )  # fmt: skip
    desk.pass_time(600)
    assert desk.incidents() == [("no_sales", DEVICE, "open")]
    desk.world.pay()
    desk.pass_time(600)
    assert ("no_sales", DEVICE, "resolved") in desk.incidents()


def test_a_short_history_is_no_usual_week(world: World) -> None:
    sold = [world.now - timedelta(days=day) for day in range(10)]
    assert usual_weeks.usual_week(sold, ZoneInfo("UTC"), world.now) == {}


def test_money_that_waits_and_returns_that_hang(world: World) -> None:
    fail(world)
    assert _seen(world, money_conditions.money_at_risk) == []
    world.wait(3700)
    [seen] = _seen(world, money_conditions.money_at_risk)
    assert (seen.kind, seen.merchant_id, seen.facts["kopecks"]) == (Kind.RETURN_STUCK, "north", 17900)
    world.database.transact(lambda tx: tx.session.execute(update(Payment).values(key_refused=True)))
    [seen] = _seen(world, money_conditions.money_at_risk)
    assert (seen.kind, seen.subject) == (Kind.KEY_REFUSED, "100500")


def test_a_hold_that_is_not_taken(world: World) -> None:
    """It ends by itself, and nobody is paid; nothing was told before a person could do nothing else any more."""
    order_id = world.pay()
    world.publish(order_id)
    world.wait(20)
    world.report(order_id, Result.DONE)
    poured_at = world.now
    world.clock.advance(3590)
    assert _seen(world, money_conditions.money_at_risk) == []
    world.clock.advance(20)
    [seen] = _seen(world, money_conditions.money_at_risk)
    assert (seen.kind, seen.merchant_id, seen.since) == (Kind.CAPTURE_STUCK, "north", poured_at)


def test_a_return_of_an_old_drink_does_not_hang_the_moment_it_is_asked_for(world: World) -> None:
    """Regression: it was as old as its drink."""
    order_id = pour(world)
    world.wait(2 * 86400)
    decided_at = world.now
    world.database.transact(give_back, order_id, None, "op@example.org", "sour", decided_at)
    world.wait(3590)
    assert _seen(world, money_conditions.money_at_risk) == []
    world.wait(20)
    [seen] = _seen(world, money_conditions.money_at_risk)
    assert (seen.kind, seen.since) == (Kind.RETURN_STUCK, decided_at)


def _found(world: World, merchant: str, scenario: str = "Yookassa") -> None:
    def build(tx: Transaction) -> None:
        tx.session.merge(Merchant(id=merchant, name=merchant))
        tx.session.flush()
        account = Credential(
            merchant_id=merchant, scenario=scenario, account_id=f"shop of {merchant}", secret=world.vault.lock("s")
        )
        tx.session.add(account)

    world.database.transact(build)


def _ask_in_vain(world: World, *merchants: str, scenario: str = "Yookassa") -> None:
    """About one payment of each, three times."""
    for merchant in merchants:
        payment_id = world.start(world.scan())
        asked = {"checks": 3, "next_check_at": world.now, "provider_payment_id": f"pp-{payment_id}"[:64]}
        _belongs_to(world, payment_id, merchant, scenario, **asked)


def _belongs_to(world: World, payment_id: str, merchant: str, scenario: str, **more: object) -> None:
    shop = ACCOUNT if (merchant, scenario) == ("north", "Yookassa") else f"shop of {merchant}"
    values = {"merchant_id": merchant, "scenario": scenario, "account_id": shop, **more}
    changed = update(Payment).where(Payment.id == payment_id).values(**values)
    world.database.transact(lambda tx: tx.session.execute(changed))


def _silent(world: World) -> list[Condition]:
    return _seen(world, money_conditions.silent_providers)


def test_a_provider_that_answers_about_nobody(world: World) -> None:
    _ask_in_vain(world, "north", "north", "north")
    [seen] = _silent(world)
    assert (seen.kind, seen.merchant_id, seen.subject) == (Kind.PROVIDER_DOWN, PLATFORM, "Yookassa")
    _found(world, "south")
    assert len(_silent(world)) == 1  # nobody but its one merchant has asked it anything
    _belongs_to(world, world.start(world.scan()), "south", "Yookassa")
    assert _silent(world) == []  # of two merchants one alone: it may be that shop
    _ask_in_vain(world, "south")
    [seen] = _silent(world)
    assert seen.facts == {"payments": 4, "merchants": ["north", "south"]}


def test_a_provider_that_answers_somebody_is_not_down(world: World) -> None:
    """Regression: payments that a shop does not know, or a shop without a key, were the provider's silence."""
    _found(world, "south")
    _ask_in_vain(world, "north", "north", "south")
    assert len(_silent(world)) == 1
    world.pay()
    assert _silent(world) == []
    world.wait(121)
    assert len(_silent(world)) == 1
    world.database.transact(lambda tx: tx.session.execute(delete(Credential).where(Credential.merchant_id == "south")))
    assert _silent(world) == []


def test_what_was_asked_about_in_vain_for_a_day_hangs_by_itself(world: World) -> None:
    _ask_in_vain(world, "north", "north", "north")
    world.wait(86401)
    assert _silent(world) == []


def test_a_merchants_own_page_is_nobodys_provider(world: World) -> None:
    """Regression: one that did not answer silenced alerts of all merchants."""
    _found(world, "north", "Custom")
    _ask_in_vain(world, "north", "north", "north", scenario="Custom")
    assert _silent(world) == []


def test_only_merchants_of_a_silent_provider_hear_less(sqlite_desk: Desk) -> None:
    """Regression: nobody was told of a machine that sold nothing, whatever it was paid with."""
    desk, world = sqlite_desk, sqlite_desk.world
    _sold_daily(world)
    world.wait(2 * 86400)
    _found(world, "south", "TBank")
    _found(world, "west", "TBank")
    _ask_in_vain(world, "south", "west", "west", scenario="TBank")
    desk.presence(DEVICE, online=False)
    desk.pass_time(30)
    desk.presence(DEVICE, online=True)
    desk.pass_time(400)
    assert {("provider_down", "TBank", "open"), ("no_sales", DEVICE, "open")} <= set(desk.incidents())


def test_what_a_silent_provider_explains_is_not_told(sqlite_desk: Desk) -> None:
    desk, world = sqlite_desk, sqlite_desk.world
    _sold_daily(world)
    world.wait(2 * 86400)
    _ask_in_vain(world, "north", "north", "north")
    desk.presence(DEVICE, online=False)
    desk.pass_time(30)
    desk.presence(DEVICE, online=True)
    desk.pass_time(400)
    assert ("provider_down", "Yookassa", "open") in desk.incidents()
    assert ("no_sales", DEVICE, "open") not in desk.incidents()


@pytest.mark.parametrize(
    ("in_days", "told"), [(15, False), (14, True), (0, True), (-7, True), (-8, False), (None, False)]
)
def test_a_contract_that_ends_is_told_until_a_week_after_its_last_day(
    world: World, in_days: int | None, told: bool
) -> None:
    """Regression: for ever, where a merchant had left. Two weeks before year 1, which is None here, is no day."""
    ends = date.min if in_days is None else world.now.date() + timedelta(days=in_days)
    world.database.transact(lambda tx: tx.session.execute(update(Merchant).values(valid_until=ends)))
    seen = [(each.kind, each.facts["last_day"]) for each in _seen(world, money_conditions.ending_contracts)]
    assert seen == ([(Kind.VALIDITY_ENDING, ends.isoformat())] if told else [])


def test_a_clock_is_wrong_until_it_is_right(world: World) -> None:
    for number, (what, wrong) in enumerate([("clock_wrong", True), ("clock_right", False), ("clock_wrong", True)]):
        said = Event(message_id=f"e{number}", at=world.now, what=what)
        world.database.transact(machine_events.keep, OTHER_DEVICE, said, world.now)
        found = _seen(world, machine_conditions.wrong_clocks)
        assert [each.subject for each in found] == [OTHER_DEVICE] * wrong


def test_our_own_way_to_the_broker(world: World) -> None:
    assert _seen(world, platform_conditions.broken_workers) == []
    world.database.transact(lambda tx: tx.session.execute(update(WorkerLife).values(broker_connected=False)))
    assert [each.kind for each in _seen(world, platform_conditions.broken_workers)] == [Kind.BROKER_DOWN]
    world.database.transact(lambda tx: tx.session.execute(delete(WorkerLife)))
    assert [each.kind for each in _seen(world, platform_conditions.broken_workers)] == [Kind.WORKER_DOWN]


@pytest.mark.parametrize(
    "lacks", [{"hears_devices": False}, {"lag_s": heartbeat.FAR_BEHIND_S + 1}], ids=["deaf", "far behind"]
)
def test_nothing_is_sold_without_an_alert(world: World, lacks: dict[str, Any]) -> None:
    """Regression: with the broker connected nobody was told, whatever `/ready` said."""
    world.database.transact(lambda tx: tx.session.execute(update(WorkerLife).values(lacks)))
    assert heartbeat.missing(world.database, world.now)
    assert [each.kind for each in _seen(world, platform_conditions.broken_workers)] == [Kind.BROKER_DOWN]


def test_without_the_broker_machines_are_told_of_to_nobody(sqlite_desk: Desk) -> None:
    desk = sqlite_desk
    desk.channel()
    desk.channel(address="-1", merchant=PLATFORM)
    desk.world.database.transact(lambda tx: tx.session.execute(update(WorkerLife).values(broker_connected=False)))
    desk.pass_time(20)
    desk.presence(DEVICE, online=False)
    desk.pass_time(600)
    assert [len(desk.messages(chat)) for chat in (GROUP, "-1")] == [0, 1]
    desk.world.database.transact(lambda tx: tx.session.execute(update(WorkerLife).values(broker_connected=True)))
    desk.pass_time(400)
    assert [len(desk.messages(chat)) for chat in (GROUP, "-1")] == [1, 1]


def test_a_blip_of_our_own_holds_nothing_up(sqlite_desk: Desk) -> None:
    desk = sqlite_desk
    desk.channel()
    for connected in (False, True):
        desk.world.database.transact(
            lambda tx, now=connected: tx.session.execute(update(WorkerLife).values(broker_connected=now))
        )
        desk.pass_time(10)
    desk.presence(DEVICE, online=False)
    desk.pass_time(150)
    assert len(desk.messages()) == 1
