"""A merchant's month for the console's pictures: sales, machines in every condition, troubles, claims, acts."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import select

from cloud.access.acts import Act, Role
from cloud.access.journal import Author, Entry, Subject, record
from cloud.alerts import channel_settings
from cloud.alerts.channel_settings import ChannelTerms
from cloud.alerts.incident import Condition, advance, begun
from cloud.alerts.kinds import Kind
from cloud.alerts.store import write
from cloud.database.transaction import Transaction
from cloud.fleet import closing
from cloud.fleet.models import Device, DeviceLive, Drink, Merchant
from cloud.fleet.presence_history import PresenceSpell
from cloud.fleet.zones import DEFAULT, zone
from cloud.orders import claims, return_requests, sales_days
from cloud.orders.claims import ClaimKind
from cloud.orders.models import Order
from cloud.orders.return_requests import Asker, Wanted
from cloud.orders.return_rules import Limits, ReturnReason
from cloud.orders.sales_days import EVERY
from cloud.payments.reconcile.models import FoundDifference
from protocol.reasons import Size
from simulator.demo import history
from simulator.machine.menu import STANDARD_MENU
from tests.cloud.console import month_of_updates
from tests.cloud.console.building import FOREIGN, OWN, Console, post
from tests.cloud.console.made import poured
from tests.cloud.console.test_the_walk import failed
from tests.cloud.worlds import DEVICE, OTHER_DEVICE, PRICE

NOW = datetime(2026, 11, 28, 14, 20, tzinfo=zone(DEFAULT)).astimezone(UTC)
BREW_S = 34.0
PLACES = {
    DEVICE: "Невский проспект, 28, вестибюль", OTHER_DEVICE: "Лиговский, 50, 2 этаж", "m-003": "Политех, корпус 3",
    "m-004": "БЦ «Сенатор», ресепшен", "m-005": "Автовокзал, зал ожидания",
}  # fmt: skip
"""Where machines stand."""
STANDS = {
    DEVICE: ("online", "", timedelta(days=6)), OTHER_DEVICE: ("faulted", "no_water", timedelta(minutes=47)),
    "m-003": ("online", "", timedelta(days=2)), "m-004": ("offline", "", timedelta(hours=3, minutes=12)),
    "m-005": ("online", "", timedelta(hours=9)),
}  # fmt: skip
OWNER = f"owner@{OWN}"


def live(console: Console, file: Path) -> str:
    """Put it all in; the number of an order worth a look."""
    console.clock.now = NOW - timedelta(hours=2)
    transact = console.cloud.database.transact
    transact(_fleet)
    history.write(file, STANDARD_MENU, NOW, BREW_S)
    while transact(sales_days.roll_up, console.clock.now):
        pass
    order_id = _orders(console)
    console.clock.now = NOW
    _troubles(console)
    _people(console)
    _acts(console)
    transact(month_of_updates.bring_out, NOW)
    transact(sales_days.roll_up, NOW)
    console.clock.now = NOW + EVERY
    return order_id


def _fleet(tx: Transaction) -> None:
    tx.session.get_one(Merchant, FOREIGN).name = "ООО «Южный кофе»"
    merchant = tx.session.get_one(Merchant, OWN)
    merchant.name, merchant.contact_email = "ООО «Север»", "kofe@sever.example"
    for name, place in PLACES.items():
        device = tx.session.get(Device, name) or Device(device_uuid=name, merchant_id=OWN, payment_scenario="Yookassa")
        tx.session.add(device)
        device.location, device.serial_no = place, f"CN-20{name[2:]}"
        tx.session.flush()
        known = tx.session.get(DeviceLive, name) or DeviceLive(device_uuid=name)
        tx.session.add(known)
        state, reason, since = STANDS[name]
        known.online, known.agent_version, known.seen_at = state != "offline", "1.4.0", NOW
        faults = [{"code": reason, "level": "block", "drinks": []}] if reason else []
        known.state = {
            "link": "up", "machine": "fault" if reason else "ready", "selling": not reason, "faults": faults,
            "counters": {"total": 18422, "paid": 18310, "free": 71, "test": 41},
            "model": "CN-2", "agent_version": "1.4.0",
        }  # fmt: skip
        tx.session.add(PresenceSpell(device_uuid=name, state=state, reason=reason, since=NOW - since, until=None))
        _menu(tx, name)
    tx.session.get_one(Drink, (DEVICE, "latte")).price_medium = PRICE  # what today's orders pay
    device = tx.session.get_one(Device, DEVICE)
    device.client_info = "<b>Здравствуйте!</b> Стаканчики справа от автомата."


def _menu(tx: Transaction, device_uuid: str) -> None:
    for old in tx.session.scalars(select(Drink).where(Drink.device_uuid == device_uuid)).all():
        if old.drink_no != "latte":
            tx.session.delete(old)
    for place, drink in enumerate(STANDARD_MENU.values()):
        row = tx.session.get(Drink, (device_uuid, drink.drink_no)) or Drink(
            device_uuid=device_uuid, drink_no=drink.drink_no
        )
        row.name, row.position = drink.name, place
        row.price_small, row.price_medium, row.price_large = (drink.price(size) for size in Size)
        tx.session.add(row)
    tx.session.flush()


def _orders(console: Console) -> str:
    """Today's of this hour, some with a story."""
    world, transact = console.world, console.cloud.database.transact
    said: Iterable[tuple[ClaimKind, str]] = (
        (ClaimKind.NOT_POURED, "Заплатил, а стакан пустой"), (ClaimKind.BAD_DRINK, "Латте холодный"),
    )  # fmt: skip
    for kind, words in said:
        transact(claims.say, poured(world), kind, words, "ru", world.now)
        console.clock.advance(1100)
    wanted, by = Wanted(ReturnReason.BAD_DRINK, "позвонил и пожаловался"), Asker("support@example.com")
    transact(return_requests.ask, poured(world), wanted, by, Limits(1, 1), world.now)
    order_id = failed(console, "20261123044945471c8a70-9ace-cndn")
    console.clock.advance(900)
    poured(world)
    with console.cloud.database.read() as session:
        assert session.get(Order, order_id) is not None
    return order_id


def _troubles(console: Console) -> None:
    transact = console.cloud.database.transact
    for kind, machine, since in (
        (Kind.OFFLINE, "m-004", timedelta(hours=3, minutes=12)), (Kind.FAULT, OTHER_DEVICE, timedelta(minutes=47)),
    ):  # fmt: skip
        condition = Condition(kind, OWN, machine, NOW - since)
        told = advance(begun(condition, f"{machine}-{kind.value}", NOW - since), condition, NOW)
        transact(lambda tx, told=told: write(tx.session, told))
    for terms in (
        ChannelTerms("telegram", "Дежурные", "-1001234567"),
        ChannelTerms("email", "Бухгалтер", "b@s.example"),
    ):
        transact(channel_settings.add, OWN, terms, console.world.vault, NOW)
    transact(closing.close, "m-005", "latte", "breaker", "no_ack, no_ack", NOW - timedelta(hours=1))
    transact(_difference)


def _difference(tx: Transaction) -> None:
    day = (NOW - timedelta(days=1)).date()
    tx.session.add(
        FoundDifference(merchant_id=OWN, fingerprint="one", day=day, kind="amount_differs", state="open", here=17900,
                        there=14900, first_seen_at=NOW, last_seen_at=NOW)
    )  # fmt: skip
    tx.session.add(
        FoundDifference(merchant_id=OWN, fingerprint="two", day=day, kind="cups_more", state="open", here=41, there=43,
                        device_uuid="m-003", first_seen_at=NOW, last_seen_at=NOW)
    )  # fmt: skip


def _people(console: Console) -> None:
    console.add_user("guest", OWN, Role.VIEWER)


def _acts(console: Console) -> None:
    """Through the pages themselves; the day before somebody else's."""
    author = Author("cli:anna", "coffee-cloud")
    entry = Entry(Act.MANAGE_USERS, author, Subject("user", console.ids["guest"], OWN), "", {"role": None},
                  {"role": "viewer"}, at=NOW - timedelta(days=1))  # fmt: skip
    console.cloud.database.transact(record, entry, NOW)
    owner = console.client(OWNER)
    at = f"/console/settings/drink/{DEVICE}/latte"
    post(owner, at, name="Латте", price_medium="189", why="подорожало молоко")
    post(owner, "/console/machines/m-003/close", drink="latte", why="мелет громко")
    post(owner, f"/console/machines/{DEVICE}/note", note="Поменяла фильтр, запасной в шкафу")
    post(owner, f"/console/settings/{OWN}/keys/TBank", account_id="1500", secret_key="live_secret_for_a_picture")
