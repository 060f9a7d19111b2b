"""`python -m bench.console_charts`: how long the console's charts and books take for a fleet of a thousand machines.

Eight weeks of each machine's days are written as the worker rolls them up, in a database of the bench's own, and
summed up by merchant by the worker's own code. Pages are asked one after the other by an owner and by an admin.
"""

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import insert, text

from bench.console.explaining import KEY
from bench.console.filling import MERCHANTS, fleet
from bench.postgres import a_postgres, find
from cloud.access import sessions, users
from cloud.access.acts import Role
from cloud.access.models import User
from cloud.database.database import Database
from cloud.database.transaction import Transaction
from cloud.migrations import migrate
from cloud.orders import sales_days
from cloud.orders.sales_figures import Figures
from cloud.orders.sales_tables import SalesDay
from cloud.processes.app import create_app
from cloud.settings import Settings
from cloud.wiring import build

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)

DAYS, CUPS_A_DAY, DRINKS = 56, 30, 12
PAGES = {
    "charts, a week": "/console/charts?days=7",
    "charts, 4 weeks": "/console/charts?days=28",
    "books, 4 weeks": "/console/books?days=28",
    "charts of one machine": "/console/charts?days=28&machine=m-10",
}


def main(arguments: list[str] | None = None) -> int:
    """Print each page's median and slow end."""
    parser = argparse.ArgumentParser(prog="bench.console_charts", description=__doc__)
    parser.add_argument("--machines", type=int, default=1_000)
    parser.add_argument("--times", type=int, default=10, help="how often each page is asked")
    parser.add_argument("--postgres", action="store_true", help="on a PostgreSQL of its own instead of SQLite")
    options = parser.parse_args(arguments)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="coffee-charts-")))
        folder.chmod(0o711)  # PostgreSQL's own user finds its way in
        url = f"sqlite:///{folder}/coffee.db"
        if options.postgres:
            program = find()
            if program is None:
                raise SystemExit("there is no PostgreSQL here")
            url, _ = stack.enter_context(a_postgres(program, folder / "postgres"))
        database = Database(url)
        stack.callback(database.close)
        migrate.upgrade(database)
        database.transact(lambda tx: fleet(tx.connection, options.machines, NOW))
        _sell(database, options.machines)
        print(f"{options.machines} machines, {DAYS} days, load average {os.getloadavg()[0]:.1f}", flush=True)
        _measure(url, options.times)
    return 0


def _sell(database: Database, machines: int) -> None:
    chosen, took = random.Random(1), 0.0
    for back in range(DAYS):
        day = (NOW - timedelta(days=back)).date()
        rows = [_sold(chosen, number) | {"day": day} for number in range(machines)]
        database.transact(lambda tx, rows=rows: tx.session.execute(insert(SalesDay), rows))
        began = time.perf_counter()
        for merchant in range(MERCHANTS):
            database.transact(sales_days.sum_up, f"shop-{merchant}", day)
        took += time.perf_counter() - began
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))
    print(f"a day of all merchants is summed up in {1000 * took / DAYS:.0f} ms")


def _sold(chosen: random.Random, number: int) -> dict[str, Any]:
    figures = Figures()
    for _ in range(CUPS_A_DAY):
        drink = chosen.randrange(DRINKS)
        price = 14900 + 1000 * drink
        figures.add_cup(f"d{drink}", f"Напиток {drink}", price, chosen.randrange(7, 21), chosen.uniform(20, 90))
        figures.add_money("Yookassa", "captured", price, 626)
    figures.reasons["rejected:no_water"] = chosen.randrange(3)
    return {
        "device_uuid": f"m-{number}", "merchant_id": f"shop-{number % MERCHANTS}", "cups": figures.cups,
        "failed": figures.failed, "taken": figures.taken, "returned": 0, "parts": figures.stored(),
    }  # fmt: skip


def _measure(url: str, times: int) -> None:
    cloud = build(Settings(secret_key=KEY, database_url=url), lambda: NOW)
    app = create_app(cloud, streams=2)
    for name in ("owner", "admin"):
        client = app.test_client()
        client.set_cookie("coffee_console", cloud.database.transact(_person, name), path="/console")
        for page, address in PAGES.items():
            figures = []
            for _ in range(times):
                began = time.perf_counter()
                status = client.get(address).status_code
                figures.append(1000 * (time.perf_counter() - began))
            slow = statistics.quantiles(figures, n=20)[-1]
            print(f"{name:6} {page:22} {status}  p50 {statistics.median(figures):7.1f} ms   p95 {slow:7.1f} ms")
    cloud.close()


def _person(tx: Transaction, name: str) -> str:
    """An admin under support accesses nowhere: charts are no act upon money."""
    is_admin = name == "admin"
    user = users.add(tx, f"{name}@example.com", name, NOW, is_admin=is_admin, asks_second_factor=False)
    if not is_admin:
        users.give_role(tx, user.id, "shop-0", Role.OWNER, None)
    return sessions.begin(tx, tx.session.get_one(User, user.id), "", "bench", NOW, complete=True)


if __name__ == "__main__":
    sys.exit(main())
