"""What was sold before anything is measured: an empty database is not what a merchant runs.

A table that was empty when PostgreSQL first planned a statement is read from end to end by that plan, until the server
looks at the table again, within a minute or so. So the past is written beforehand, and the server told to look.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, insert, select, text

from bench.orders import DRINK_NO, PRICE, device_uuid, opened
from cloud.orders import order_counts
from cloud.orders.models import MakeCommand, Movement, Order, OrderChange, Payment
from cloud.orders.outbox import OutboxRow
from cloud.orders.sales_days import GROWING, mark_of
from cloud.orders.sales_tables import SalesMark

ORDERS = 2000
AT_ONCE = 2000
CHANGES = ("created", "pending", "paid", "make_pending", "make_pending", "successful")
_TASKS = (("mqtt", "make"), ("provider", "capture"))


def write(database_url: str, orders: int, machines: int) -> None:
    """So many finished orders, one a second until now, each with all that belongs to it, and counted already."""
    now = datetime.now(UTC)
    with opened(database_url) as database, database.engine.begin() as connection:
        for first in range(0, orders, AT_ONCE):
            _write(connection, range(first, min(first + AT_ONCE, orders)), machines, now)
        if orders:
            connection.execute(insert(SalesMark), _marks(connection))


def let_server_look(database_url: str) -> None:
    """What PostgreSQL does by itself once a minute where much has changed; SQLite does nothing of the kind."""
    with opened(database_url) as database:
        if not database.is_sqlite:
            with database.engine.begin() as connection:
                connection.execute(text("ANALYZE"))


def _marks(connection: Connection) -> list[dict[str, Any]]:
    last = {table: connection.scalar(select(func.max(table.id))) or 0 for table in GROWING}
    marks = [{"name": mark_of(table), "number": number} for table, number in last.items()]
    return [*marks, {"name": order_counts.MARK, "number": last[OrderChange]}]


def _write(connection: Connection, numbers: Sequence[int], machines: int, now: datetime) -> None:
    """Each with its history, its payment, its command, its ledger and its tasks."""
    born = {n: now - timedelta(seconds=n + 1) for n in numbers}
    who = {n: f"old-{n}" for n in numbers}
    connection.execute(insert(Order), [_order(who[n], device_uuid(n % machines), born[n]) for n in numbers])
    connection.execute(insert(Payment), [_payment(n, who[n], born[n]) for n in numbers])
    connection.execute(insert(MakeCommand), [_command(who[n], device_uuid(n % machines), born[n]) for n in numbers])
    connection.execute(
        insert(OrderChange),
        [
            {
                "order_id": who[n], "version": version, "at": born[n], "actor": "bench", "event": status,
                "status_before": status, "status_after": status,
            }
            for n in numbers
            for version, status in enumerate(CHANGES, 1)
        ],
    )  # fmt: skip
    connection.execute(
        insert(Movement),
        [
            {"payment_id": f"o{n:031x}", "order_id": who[n], "kind": kind, "amount": PRICE, "at": born[n]}
            for n in numbers
            for kind in ("held", "captured")
        ],
    )
    connection.execute(
        insert(OutboxRow), [_task(n, who[n], born[n], lane, task) for n in numbers for lane, task in _TASKS]
    )


def _order(order_id: str, device: str, at: datetime) -> dict[str, object]:
    return {
        "id": order_id, "device_uuid": device, "merchant_id": "bench", "drink_no": DRINK_NO,
        "drink_name": "Американо", "size": 1, "price": PRICE, "payment_scenario": "Yookassa", "status": "successful",
        "stage": "done", "version": len(CHANGES), "created_at": at, "expires_at": at, "paid_at": at, "finished_at": at,
    }  # fmt: skip


def _payment(number: int, order_id: str, at: datetime) -> dict[str, object]:
    return {
        "id": f"o{number:031x}", "order_id": order_id, "merchant_id": "bench", "scenario": "Yookassa",
        "account_id": "100500", "capture": "on_dispense", "status_check": "polling", "amount": PRICE,
        "state": "captured", "earned": True, "live": True, "provider_payment_id": f"old-{number}", "captured": PRICE,
        "started_at": at, "paid_at": at,
    }  # fmt: skip


def _command(order_id: str, device: str, at: datetime) -> dict[str, object]:
    return {
        "id": f"mk-{order_id}", "order_id": order_id, "device_uuid": device, "attempt": 1,
        "issued_at": at, "deadline_at": at, "live": False, "published_at": at, "accepted_at": at, "result": "done",
        "out": "full", "finished_at": at,
    }  # fmt: skip


def _task(number: int, order_id: str, at: datetime, lane: str, task: str) -> dict[str, object]:
    return {
        "lane": lane, "task": task, "key": f"{task}-old-{number}", "order_id": order_id, "subject": f"o{number:031x}",
        "created_at": at, "due_at": at, "attempts": 1, "settled_at": at, "verdict": "done",
    }  # fmt: skip
