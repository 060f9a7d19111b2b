"""How a full database answers one page: its statements, what they took and their plans."""

import random
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event

from bench.console import filling
from bench.console.pages import Fleet, every_page
from bench.postgres import a_postgres, find
from bench.stage import Deployment, Missing
from cloud.access import sessions, users
from cloud.access.acts import Role
from cloud.database.database import Database
from cloud.database.transaction import Transaction
from cloud.migrations import migrate
from cloud.processes.app import create_app
from cloud.settings import Settings
from cloud.wiring import build

KEY = "a secret key for a bench, long enough to be one"


def explain(deployment: Deployment, size: Fleet, name: str) -> None:
    """Fill a database of this kind; print what the pages with `name` in theirs ask, as a merchant's owner and admin."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="coffee-console-")))
        folder.chmod(0o711)  # PostgreSQL's own user finds its way in
        url = f"sqlite:///{folder}/coffee.db"
        if deployment is Deployment.POSTGRESQL:
            program = find()
            if program is None:
                raise Missing("no PostgreSQL on this machine")
            url, _ = stack.enter_context(a_postgres(program, folder / "postgres"))
        database = Database(url)
        stack.callback(database.close)
        migrate.upgrade(database)
        filling.fill(database, size.orders, size.machines, datetime.now(UTC))
        ask(url, size, name)


def ask(url: str, size: Fleet, name: str) -> None:
    """The same of a database that is full already."""
    cloud = build(Settings(secret_key=KEY, database_url=url), lambda: datetime.now(UTC))
    app = create_app(cloud, streams=2)
    asked: list[tuple[str, Any, float]] = []
    _note(cloud.database, asked)
    for is_admin in (False, True):
        client = app.test_client()
        client.set_cookie("coffee_console", cloud.database.transact(_person, is_admin), path="/console")
        for page in (page for page in every_page() if name in page.name):
            where, chosen = "", random.Random(1)
            for _ in range(3):  # the first ones are slow by themselves
                where = page.address(size, 0, chosen)
                asked.clear()
                began, worked = time.perf_counter(), time.thread_time()
                status = client.get(where).status_code
                took, worked = time.perf_counter() - began, time.thread_time() - worked
            database = sum(seconds for _, _, seconds in asked)
            who = "admin" if is_admin else "owner"
            words = f"{1000 * took:.0f} ms, {1000 * worked:.0f} of our processor, {len(asked)} statements in"
            print(f"{who} {page.name} {status}: {words} {1000 * database:.0f} ms  {where}", flush=True)
            with cloud.database.engine.connect() as connection:
                for statement, parameters, seconds in sorted(asked, key=lambda one: -one[2])[:3]:
                    if seconds > 0.005:
                        _plan(connection, statement, parameters, seconds, is_sqlite=cloud.database.is_sqlite)
    cloud.close()


def _note(database: Database, asked: list[tuple[str, Any, float]]) -> None:
    began = 0.0

    def before(*_: object) -> None:
        nonlocal began
        began = time.perf_counter()

    def after(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        if statement.startswith(("SELECT", "WITH")):
            asked.append((statement, parameters, time.perf_counter() - began))

    event.listen(database.engine, "before_cursor_execute", before)
    event.listen(database.engine, "after_cursor_execute", after)


def _plan(connection: Connection, statement: str, parameters: Any, seconds: float, *, is_sqlite: bool) -> None:
    print(f"  {1000 * seconds:.0f} ms: {' '.join(statement.split())[:300]}")
    explains = "EXPLAIN QUERY PLAN" if is_sqlite else "EXPLAIN (ANALYZE, COSTS OFF)"
    for row in connection.exec_driver_sql(f"{explains} {statement}", parameters).all():
        print(f"    {row[-1]}")


def _person(tx: Transaction, is_admin: bool) -> str:
    now = datetime.now(UTC)
    user = users.add(tx, f"{is_admin}@example.com", "One", now, is_admin=is_admin, asks_second_factor=False)
    if not is_admin:
        users.give_role(tx, user.id, "shop-0", Role.OWNER)
    return sessions.begin(tx, user, "", "bench", now, complete=True)
