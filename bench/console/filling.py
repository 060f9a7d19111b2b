"""A fleet with a history, written by SQL: ten merchants' machines, orders evenly spread until now, their figures."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, create_engine, event, func, insert, select, text

from cloud.access.acts import Act
from cloud.access.models import JournalRow
from cloud.alerts.models import Channel, IncidentRow
from cloud.database.database import Database
from cloud.fleet.models import Device, DeviceLive, Drink, Merchant
from cloud.fleet.presence_history import PresenceSpell
from cloud.orders.claims import Claim, ClaimMessage
from cloud.orders.models import MakeCommand, Movement, Order, OrderChange, Payment
from cloud.orders.sales_days import FORM, GROWING
from cloud.orders.sales_figures import Figures
from cloud.orders.sales_tables import MerchantDay, SalesDay, SalesMark
from cloud.payments.reconcile.models import FoundDifference

FILLED = (Order, Payment, Movement, MakeCommand, OrderChange)
MERCHANTS = 10
CUPS_A_DAY = 30
SOLD_FROM, SOLD_UNTIL = 8, 23
ID = "'2026' || substr('000000000' || i, -9) || '-9ace-' || (i * 7919 % 9973)"
_ORDERS = """
INSERT INTO orders (id, device_uuid, merchant_id, drink_no, drink_name, size, price, is_test, payment_scenario, status,
  reason, stage, progress, uncertain, goodwill, version, created_at, expires_at, waits_for_person, given_back, paid_at,
  finished_at, language)
SELECT {id}, 'm-' || (i * 7919 % {machines}), 'shop-' || (i * 7919 % {machines} % {merchants}), 'latte', 'Латте', 1,
  14900 + i % 3 * 3000, {no}, 'Yookassa', {status}, CASE WHEN i % 100 IN (93, 94) THEN 'rejected:no_water' ELSE '' END,
  '', 100, {no}, {no}, 6, {at}, {at}, {no},
  CASE WHEN i % 250 = 0 THEN 14900 + i % 3 * 3000 ELSE 0 END, CASE WHEN i % 100 < 95 THEN {at} END, {at}, 'ru' FROM seq
"""
_STATUS = (
    "CASE WHEN i % 100 < 93 THEN 'successful' WHEN i % 100 < 95 THEN 'make_failed' WHEN i % 100 < 97 THEN 'not_paid' "
    "ELSE 'failed' END"
)
_PAYMENTS = """
INSERT INTO payments (id, order_id, merchant_id, scenario, account_id, capture, status_check, amount, state, live,
  provider_payment_id, confirmation_url, method, cancel_reason, problem, captured, refunded, started_at, paid_at,
  checks, key_refused, times_told, earned)
SELECT 'p' || i, {id}, 'shop-' || (i * 7919 % {machines} % {merchants}), 'Yookassa', '1', 'on_dispense', 'polling',
  14900 + i % 3 * 3000, 'captured', {yes}, '2c' || i || '-000f', '', 'bank_card', '', '', 14900 + i % 3 * 3000,
  CASE WHEN i % 100 < 93 AND i % 250 > 0 THEN 0 ELSE 14900 + i % 3 * 3000 END, {at}, {at}, 0, {no}, 0,
  i % 100 < 93 FROM seq WHERE i % 100 < 95
"""
_CHANGES = """
INSERT INTO order_changes (order_id, version, at, actor, event, status_before, status_after, reason)
SELECT {id}, {version}, {at}, '{actor}', '{event}', '', '{status}', '' FROM seq WHERE i % 100 < 95
"""
_HISTORY = (("buyer", "scanned", "created"), ("device", "machine_accepted", "make_pending"))
_MOVEMENTS = """
INSERT INTO movements (payment_id, order_id, kind, amount, reference, at)
SELECT 'p' || i, {id}, 'captured', 14900 + i % 3 * 3000, '', {at} FROM seq WHERE i % 100 < 95
"""
_COMMANDS = """
INSERT INTO make_commands (id, order_id, device_uuid, attempt, issued_at, deadline_at, live, published_at, accepted_at,
  result, revision, code, out, finished_at)
SELECT 'mk-' || i, {id}, 'm-' || (i * 7919 % {machines}), 1, {at}, {at}, {no}, {at}, {at}, 'done', 1, '', 'full', {at}
FROM seq WHERE i % 100 < 95
"""


def number_of(i: int) -> str:
    """The `i`th order's; of one that nobody paid that of another."""
    i -= 5 * (i % 100 >= 95)
    return f"2026{i:09}-9ace-{i * 7919 % 9973}"


def fill(database: Database, orders: int, machines: int, now: datetime) -> None:
    """Into a migrated database that has no orders yet."""
    step = 86400 / (machines * CUPS_A_DAY)
    first = now - timedelta(seconds=orders * step)
    moment = f"{first.timestamp()} + i * {step}"
    at = f"strftime('%Y-%m-%d %H:%M:%f000', {moment}, 'unixepoch')" if database.is_sqlite else f"to_timestamp({moment})"
    words = {"id": ID if database.is_sqlite else ID.replace("substr('000000000' || i, -9)", "lpad(i::text, 9, '0')"),
             "at": at, "no": "0" if database.is_sqlite else "false", "yes": "1" if database.is_sqlite else "true",
             "status": _STATUS,
             "machines": machines, "merchants": MERCHANTS}  # fmt: skip
    plain = create_engine(database.url)  # without our own engines' impatience
    if database.is_sqlite:
        event.listen(plain, "connect", _in_haste)
    indexes = [index for kind in FILLED for index in kind.metadata.tables[kind.__tablename__].indexes]
    with plain.begin() as connection:
        for index in indexes:  # many times quicker built afterwards
            index.drop(connection)
        fleet(connection, machines, now)
        _count(connection, orders, is_sqlite=database.is_sqlite)
        for asked in (_ORDERS, _PAYMENTS, _MOVEMENTS, _COMMANDS):
            connection.execute(text(asked.format(**words)))
        for version, (actor, name, status) in enumerate(_HISTORY, 1):
            row = {"version": version, "actor": actor, "event": name, "status": status}
            connection.execute(text(_CHANGES.format(**(words | row))))
        for index in indexes:
            index.create(connection)
        _figures(connection, machines, first.date(), now.date())
        _troubles(connection, machines, now)
    with plain.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE" if database.is_sqlite else "VACUUM ANALYZE"))  # as a server at work has it
    plain.dispose()


def _in_haste(connection: Any, _record: object) -> None:
    """A file that nobody needs when the power goes."""
    for said in ("synchronous = OFF", "cache_size = -400000", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {said}")


def _count(connection: Connection, orders: int, *, is_sqlite: bool) -> None:
    numbers = (
        f"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {orders - 1}) SELECT i FROM n"
        if is_sqlite
        else f"SELECT i::bigint AS i FROM generate_series(0, {orders - 1}) i"
    )
    connection.execute(text(f"CREATE TEMPORARY TABLE seq AS {numbers}"))


def fleet(connection: Connection, machines: int, now: datetime) -> None:
    """One machine in fifty is away; each tells of two weeks of coming and going."""
    shops = [{"id": f"shop-{number}", "name": f"Shop {number}"} for number in range(MERCHANTS)]
    connection.execute(insert(Merchant), shops)
    names = [f"m-{number}" for number in range(machines)]
    place = "Невский проспект"
    connection.execute(insert(Device), [
        {"device_uuid": name, "merchant_id": f"shop-{n % MERCHANTS}", "payment_scenario": "Yookassa",
         "location": f"{place}, {n}"}
        for n, name in enumerate(names)
    ])  # fmt: skip
    connection.execute(insert(DeviceLive), [
        {"device_uuid": name, "online": n % 50 > 0, "seen_at": now, "agent_version": "1.0"}
        for n, name in enumerate(names)
    ])  # fmt: skip
    connection.execute(insert(Drink), [
        {"device_uuid": name, "drink_no": f"drink-{k}", "name": f"Drink {k}", "position": k, "price_medium": 14900}
        for name in names for k in range(12)
    ])  # fmt: skip
    connection.execute(insert(PresenceSpell), [
        {"device_uuid": name, "state": "offline" if (day + n // 2) % 2 else "online", "reason": "",
         "since": now - timedelta(days=day + 1), "until": now - timedelta(days=day) if day else None}
        for n, name in enumerate(names) for day in range(14)
    ])  # fmt: skip


def _figures(connection: Connection, machines: int, first: date, last: date) -> None:
    """The roll-ups, as the worker would have made them of the same orders."""
    hours, figures = [0] * 24, Figures()
    for hour in range(SOLD_FROM, SOLD_UNTIL):
        hours[hour] = CUPS_A_DAY // (SOLD_UNTIL - SOLD_FROM)
    for number in range(CUPS_A_DAY):
        figures.add_cup("latte", "Латте", 17900, SOLD_FROM + number % (SOLD_UNTIL - SOLD_FROM), 40.0)
    row = {"cups": CUPS_A_DAY, "failed": 1, "taken": CUPS_A_DAY * 17900, "returned": 0, "parts": figures.stored()}
    for number in range((last - first).days):
        day = first + timedelta(days=number)
        connection.execute(insert(SalesDay), [
            row | {"device_uuid": f"m-{n}", "merchant_id": f"shop-{n % MERCHANTS}", "day": day}
            for n in range(machines)
        ])  # fmt: skip
        connection.execute(insert(MerchantDay), [_of_a_shop(row, shop, machines, day) for shop in range(MERCHANTS)])
    for table in GROWING:
        most = connection.scalar(select(func.coalesce(func.max(table.id), 0)))
        connection.execute(insert(SalesMark), {"name": f"{table.__tablename__}:{FORM}", "number": most})


def _of_a_shop(row: Mapping[str, Any], shop: int, machines: int, day: date) -> Mapping[str, Any]:
    """The same of all machines of a shop."""
    of_shop = machines // MERCHANTS
    parts = row["parts"]
    drinks = {no: [name, cups * of_shop, kopecks * of_shop] for no, (name, cups, kopecks) in parts["drinks"].items()}
    times = {name: [count * of_shop for count in parts[name]] for name in ("hours", "waits")}
    sums = {name: row[name] * of_shop for name in ("cups", "failed", "taken", "returned")}
    return {**sums, "merchant_id": f"shop-{shop}", "day": day, "parts": {**parts, **times, "drinks": drinks}}


def _troubles(connection: Connection, machines: int, now: datetime) -> None:
    """Each merchant's: an incident under way, forty that are over, a claim, differences, a channel, a long journal."""
    for number in range(MERCHANTS):
        i = next(i for i in range(machines) if i % 100 < 95 and i * 7919 % machines % MERCHANTS == number)
        shop, device, order = f"shop-{number}", f"m-{i * 7919 % machines}", number_of(i)
        connection.execute(insert(IncidentRow), [_incident(shop, device, k, now) for k in range(41)])
        connection.execute(insert(Channel), {
            "id": f"channel-{number}", "merchant_id": shop, "kind": "email", "name": "duty",
            "address": "duty@example.org", "created_at": now,
        })  # fmt: skip
        connection.execute(insert(FoundDifference), {
            "merchant_id": shop, "fingerprint": f"f-{number}", "day": now.date() - timedelta(days=1), "state": "open",
            "kind": "amount_differs", "here": 100, "there": 200, "first_seen_at": now, "last_seen_at": now,
        })  # fmt: skip
        connection.execute(insert(JournalRow), [
            {"at": now - timedelta(minutes=k), "who": "cli:bench", "who_name": "Bench", "merchant_id": shop,
             "device_uuid": device, "act": Act.EDIT_MENU.value, "kind": "drink", "object_id": f"{device}/drink-1",
             "before": {"price_medium": 14900}, "after": {"price_medium": 15900 + k}}
            for k in range(2000)
        ])  # fmt: skip
        _claim(connection, order, shop, device, now)


def _claim(connection: Connection, order_id: str, shop: str, device: str, now: datetime) -> None:
    made = connection.execute(insert(Claim), {
        "order_id": order_id, "merchant_id": shop, "device_uuid": device, "kind": "not_poured", "state": "open",
        "language": "ru", "opened_at": now, "changed_at": now,
    })  # fmt: skip
    [number] = made.inserted_primary_key or (0,)
    connection.execute(insert(ClaimMessage), {"claim_id": number, "at": now, "by": "", "words": "пусто"})


def _incident(shop: str, device: str, number: int, now: datetime) -> Mapping[str, Any]:
    since, over = now - timedelta(hours=number + 1), number > 0
    return {
        "id": f"{shop}-{number}", "merchant_id": shop, "kind": "offline", "subject": device,
        "fingerprint": f"{shop}-{number}", "state": "resolved" if over else "open", "since": since,
        "opened_at": since, "resolved_at": since + timedelta(minutes=30) if over else None, "present": not over,
        "changed_at": since, "facts": {}, "flips": [],
    }  # fmt: skip
