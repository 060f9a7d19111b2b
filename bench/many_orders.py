"""`python -m bench.many_orders`: what is asked all day by itself, with three million orders: money at risk, counts,
`/metrics`, and a step of each loop that looks for old things.

The orders are those of `bench.console`, written by SQL into a database of the bench's own that is deleted
afterwards. `--explain` prints how the database answers.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import event, func, select, text

from bench.console.filling import fill
from bench.postgres import a_postgres, find
from cloud.database.database import Database
from cloud.migrations import migrate
from cloud.operators.metrics import Metrics
from cloud.operators.retention import Retention
from cloud.orders.archiving import Archiving
from cloud.orders.at_risk import each_at_risk, summed
from cloud.orders.forgetting import Forgetting
from cloud.orders.models import Order, OrderChange
from cloud.orders.order_counts import MARK
from cloud.orders.order_hours import by_status
from cloud.orders.sales_days import SalesRollup
from cloud.orders.sales_tables import SalesMark

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
LIMIT_MS = 100.0
ROUNDS = 20
HEAVY = timedelta(days=400)


def main(arguments: list[str] | None = None) -> int:
    """0 when money at risk, counts and `/metrics` are within the limit."""
    parser = argparse.ArgumentParser(prog="bench.many_orders", description=__doc__)
    parser.add_argument("--orders", type=int, default=3_000_000)
    parser.add_argument("--machines", type=int, default=1_000)
    parser.add_argument("--postgres", action="store_true", help="on a PostgreSQL of its own instead of SQLite")
    parser.add_argument("--explain", action="store_true", help="print how the database answers each question")
    parser.add_argument("--folder", help="where the database is made; a temporary one by itself")
    options = parser.parse_args(arguments)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="coffee-many-", dir=options.folder)))
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
        migrate.upgrade(database)
        fill(database, options.orders, options.machines, NOW)
        database.transact(_all_is_rolled_up)
        used = shutil.disk_usage(folder).used
        print(f"{options.orders} orders in {time.monotonic() - began:.0f} s, {database.engine.dialect.name}, "
              f"load average {os.getloadavg()[1]:.1f}, disk used {used / 1e9:.0f} GB", flush=True)  # fmt: skip
        return measure(database, explain=options.explain)


def measure(database: Database, *, explain: bool) -> int:
    """Ask each; print what it took at best, its median and its slow end."""
    worst = 0.0
    for name, (ask, is_limited) in _questions(database).items():
        figures = list(_asked(ask))
        spent = [cpu for _, cpu in figures]
        took = [ms for ms, _ in figures]
        slow = statistics.quantiles(took, n=20)[-1]
        worst = max(worst, slow if is_limited else 0.0)
        print(f"{name:24} least {min(took):8.1f} ms   p50 {statistics.median(took):8.1f}   p95 {slow:8.1f}   "
              f"our processor {statistics.median(spent):8.1f}", flush=True)  # fmt: skip
        if explain:
            _explain(database, ask)
    return 0 if worst < LIMIT_MS else 1


def _questions(database: Database) -> Mapping[str, tuple[Callable[[], object], bool]]:
    """By name: how it is asked, and whether it is limited."""
    loops = {"retention": Retention(database), "forgetting": Forgetting(database),
             "archiving, nothing due": Archiving(database, HEAVY * 100), "sales": SalesRollup(database)}  # fmt: skip
    asked: dict[str, tuple[Callable[[], object], bool]] = {
        "money at risk": (lambda: _read(database, lambda session: summed(each_at_risk(session, NOW), NOW)), True),
        "orders by status": (lambda: _read(database, by_status), True),
        "counting them instead": (lambda: _read(database, _count_them), False),
        "/metrics": (lambda: Metrics(database, tuple).text(NOW), True),
    }
    steps = {name: (lambda loop=loop: loop.step(NOW), False) for name, loop in loops.items()}
    archiving = Archiving(database, timedelta(days=30))
    return asked | steps | {"archiving, 50 orders": (lambda: archiving.step(NOW), False)}


def _count_them(session: Any) -> object:
    return session.execute(select(Order.status, func.count()).group_by(Order.status)).all()


def _read(database: Database, ask: Callable[[Any], object]) -> object:
    with database.read() as session:
        return ask(session)


def _asked(ask: Callable[[], object]) -> Iterator[tuple[float, float]]:
    """Milliseconds by the clock, and of this thread's processor."""
    for _ in range(ROUNDS):
        began, cpu = time.perf_counter(), time.thread_time()
        ask()
        yield 1000 * (time.perf_counter() - began), 1000 * (time.thread_time() - cpu)


def _all_is_rolled_up(tx: Any) -> None:
    """As it is on any day but that of an upgrade."""
    tx.session.add(SalesMark(name=MARK, number=tx.session.scalar(select(func.max(OrderChange.id))) or 0))
    is_sqlite = tx.connection.dialect.name == "sqlite"
    hour = "strftime('%Y-%m-%d %H:00:00.000000', created_at)" if is_sqlite else "date_trunc('hour', created_at)"
    counted = f"SELECT {hour}, status, count(*) FROM orders GROUP BY 1, 2"  # our own words
    tx.session.execute(text(f"INSERT INTO order_hours (hour, status, number) {counted}"))


def _explain(database: Database, ask: Callable[[], object]) -> None:
    asked: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        if statement.startswith(("SELECT", "WITH")):
            asked.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", note)
    ask()
    event.remove(database.engine, "before_cursor_execute", note)
    explain = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN (ANALYZE, COSTS OFF)"
    with database.engine.connect() as connection:
        for statement, parameters in asked:
            print("  " + " ".join(statement.split())[:400])
            for row in connection.exec_driver_sql(f"{explain} {statement}", parameters):
                print("      " + str(row[-1]))


if __name__ == "__main__":
    sys.exit(main())
