"""`python -m bench.console_pages`: how long the pages about orders take with a million orders of a thousand machines.

The orders are written by SQL into a database of the bench's own; pages are asked one after the other of the
application itself, by a merchant's support and by the platform's admin. `--explain` prints how the database answers.
"""

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient
from sqlalchemy import Connection, create_engine, event, text

from bench.postgres import a_postgres, find
from cloud.access import sessions, users
from cloud.access.acts import Role
from cloud.access.models import User
from cloud.database.database import Database
from cloud.database.transaction import Transaction
from cloud.fleet.models import Device, Merchant
from cloud.migrations import migrate
from cloud.orders.models import MakeCommand, Movement, Order, OrderChange, Payment
from cloud.processes.app import create_app
from cloud.settings import Settings
from cloud.wiring import build

KEY = "a secret key for a bench, long enough to be one"
NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
MERCHANTS = 10
FILLED = (Order, Payment, Movement, MakeCommand, OrderChange)
CUPS_A_DAY = 30
LIMIT_MS = 300.0
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
  14900 + i % 3 * 3000, 'captured', i % 100 < 93 AND i % 250 > 0, '2c' || i || '-000f', '',
  'bank_card', '', '', 14900 + i % 3 * 3000,
  CASE WHEN i % 100 < 93 AND i % 250 > 0 THEN 0 ELSE 14900 + i % 3 * 3000 END, {at}, {at}, 0, {no}, 0,
  i % 100 < 93 FROM seq WHERE i % 100 < 95
"""
_CHANGES = """
INSERT INTO order_changes (order_id, version, at, actor, event, status_before, status_after, reason)
SELECT {id}, {version}, {at}, '{actor}', '{event}', '', '{status}', '' FROM seq WHERE i % 100 < 95
"""
_HISTORY = (
    ("buyer", "scanned", "created"), ("buyer", "payment_started", "pending"), ("provider", "paid_in_time", "paid"),
    ("courier", "command_published", "make_pending"), ("device", "machine_accepted", "make_pending"),
)  # fmt: skip
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


def main(arguments: list[str] | None = None) -> int:
    """0 when the slow end of every page is within the limit."""
    parser = argparse.ArgumentParser(prog="bench.console_pages", description=__doc__)
    parser.add_argument("--orders", type=int, default=1_000_000)
    parser.add_argument("--machines", type=int, default=1_000)
    parser.add_argument("--times", type=int, default=40, help="how often each page is asked")
    parser.add_argument("--postgres", action="store_true", help="on a PostgreSQL of its own instead of SQLite")
    parser.add_argument("--explain", action="store_true", help="print how the database answers each page's questions")
    options = parser.parse_args(arguments)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="coffee-console-")))
        folder.chmod(0o711)  # PostgreSQL's own user finds its way in
        url = f"sqlite:///{folder}/coffee.db"
        if options.postgres:
            program = find()
            if program is None:
                raise SystemExit("there is no PostgreSQL here")
            url, _ = stack.enter_context(a_postgres(program, folder / "postgres"))
        database = Database(url)
        stack.callback(database.close)
        began = time.monotonic()
        fill(database, options.orders, options.machines)
        print(
            f"{options.orders} orders of {options.machines} machines in {time.monotonic() - began:.0f} s, "
            f"load average {os.getloadavg()[1]:.1f}",
            flush=True,
        )
        return measure(url, options.orders, options.times, explain=options.explain)


def fill(database: Database, orders: int, machines: int) -> None:
    """A fleet and its orders, evenly spread until now."""
    migrate.upgrade(database)
    database.transact(_fleet, machines)
    step = 86400 / (machines * CUPS_A_DAY)
    first = (NOW - timedelta(seconds=orders * step)).timestamp()
    moment = f"{first} + i * {step}"
    at = f"strftime('%Y-%m-%d %H:%M:%f000', {moment}, 'unixepoch')" if database.is_sqlite else f"to_timestamp({moment})"
    words = {"id": ID if database.is_sqlite else ID.replace("substr('000000000' || i, -9)", "lpad(i::text, 9, '0')"),
             "at": at, "no": "0" if database.is_sqlite else "false", "status": _STATUS,
             "machines": machines, "merchants": MERCHANTS}  # fmt: skip
    plain = create_engine(database.url)  # without our own engines' impatience
    if database.is_sqlite:
        event.listen(plain, "connect", _in_haste)
    indexes = [index for kind in FILLED for index in kind.metadata.tables[kind.__tablename__].indexes]
    with plain.begin() as connection:
        for index in indexes:  # many times quicker built afterwards
            index.drop(connection)
        _count(connection, orders, is_sqlite=database.is_sqlite)
        for asked in (_ORDERS, _PAYMENTS, _MOVEMENTS, _COMMANDS):
            connection.execute(text(asked.format(**words)))
        for version, (actor, name, status) in enumerate(_HISTORY, 1):
            row = {"version": version, "actor": actor, "event": name, "status": status}
            connection.execute(text(_CHANGES.format(**(words | row))))
        for index in indexes:
            index.create(connection)
    with plain.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))
    plain.dispose()


def _in_haste(connection: Any, _record: object) -> None:
    """A file that nobody needs when the power goes."""
    for said in ("synchronous = OFF", "cache_size = -400000", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {said}")


def measure(url: str, orders: int, times: int, *, explain: bool) -> int:
    """Ask every page; print its median and its slow end."""
    cloud = build(Settings(secret_key=KEY, database_url=url), lambda: NOW)
    app = create_app(cloud, streams=2)
    people = {name: cloud.database.transact(_person, name) for name in ("support", "admin")}
    worst = 0.0
    for name, token in people.items():
        client = app.test_client()
        client.set_cookie("coffee_console", token, path="/console")
        for page, address in PAGES.items():
            figures = list(_asked(client, address, orders, times))
            slow = statistics.quantiles(figures, n=20)[-1]
            worst = max(worst, slow)
            print(f"{name:8} {page:28} p50 {statistics.median(figures):7.1f} ms   p95 {slow:7.1f} ms")
            if explain and name == "support":
                _explain(cloud.database, lambda: client.get(address(orders // 2)))  # noqa: B023  # called at once
    cloud.close()
    return 0 if worst < LIMIT_MS else 1


def _number(i: int) -> str:
    i -= i % 100 % 95  # one that was paid
    return f"2026{i:09}-9ace-{i * 7919 % 9973}"


PAGES: dict[str, Callable[[int], str]] = {
    "list": lambda _: "/console/orders",
    "list, not poured": lambda _: "/console/orders?show=failed",
    "list, under way": lambda _: "/console/orders?show=now",
    "list, waits for a person": lambda _: "/console/orders?show=waits",
    "list, given back": lambda _: "/console/orders?show=given",
    "list of a machine": lambda i: f"/console/orders?machine=m-{i // 10 % 1000 * 10}",
    "amount, time": lambda i: f"/console/orders?q=179+{i % 12:02}:{i % 60:02}",
    "amount, yesterday": lambda _: "/console/orders?q=149+yesterday",
    "an amount nobody paid": lambda _: "/console/orders?q=333",
    "last characters": lambda i: f"/console/orders?q=…{_number(i)[-9:]}",
    "number": lambda i: f"/console/orders?q={_number(i)}",
    "payment": lambda i: f"/console/orders?q=2c{i}-000f",
    "order": lambda i: f"/console/orders/{_number(i // 10 * 10)}",
    "claims": lambda _: "/console/claims",
}


def _asked(client: FlaskClient, address: Callable[[int], str], orders: int, times: int) -> Iterator[float]:
    chosen = random.Random(1)  # which order is asked for
    for _ in range(times):
        where = address(chosen.randrange(orders))
        began = time.perf_counter()
        status = client.get(where).status_code
        yield 1000 * (time.perf_counter() - began)
        if status not in {200, 303, 404}:
            raise RuntimeError(f"{where}: {status}")


def _explain(database: Database, ask: Callable[[], object]) -> None:
    asked: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        if statement.startswith("SELECT") and "orders" in statement:
            asked.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", note)
    ask()
    event.remove(database.engine, "before_cursor_execute", note)
    explain = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN (ANALYZE, COSTS OFF)"
    with database.engine.connect() as connection:
        for statement, parameters in asked:
            for row in connection.exec_driver_sql(f"{explain} {statement}", parameters):
                print("    " + str(row[-1]))
            print()


def _count(connection: Connection, orders: int, *, is_sqlite: bool) -> None:
    numbers = (
        f"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {orders - 1}) SELECT i FROM n"
        if is_sqlite
        else f"SELECT i::bigint AS i FROM generate_series(0, {orders - 1}) i"
    )
    connection.execute(text(f"CREATE TEMPORARY TABLE seq AS {numbers}"))


def _fleet(tx: Transaction, machines: int) -> None:
    for number in range(MERCHANTS):
        tx.session.add(Merchant(id=f"shop-{number}", name=f"Shop {number}"))
    tx.session.flush()
    for number in range(machines):
        tx.session.add(
            Device(device_uuid=f"m-{number}", merchant_id=f"shop-{number % MERCHANTS}", payment_scenario="Yookassa",
                   location=f"Невский проспект, {number}")
        )  # fmt: skip


def _person(tx: Transaction, name: str) -> str:
    is_admin = name == "admin"
    user = users.add(tx, f"{name}@example.com", name, NOW, is_admin=is_admin, asks_second_factor=False)
    if not is_admin:
        users.give_role(tx, user.id, "shop-0", Role.SUPPORT, None)
    return sessions.begin(tx, tx.session.get_one(User, user.id), "", "bench", NOW, complete=True)


if __name__ == "__main__":
    sys.exit(main())
