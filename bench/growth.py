"""`python -m bench.growth`: does an old database make orders slower? The chain on an empty one, then on a full one."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, insert, text

from bench import campaign, interpreter
from bench.campaign import DEFAULT, Length, Result
from bench.orders import DRINK_NO, PRICE, device_uuid, opened
from bench.stage import DATABASES, Deployment, Missing, Stage
from cloud.orders.models import MakeCommand, Movement, Order, OrderChange, Payment
from cloud.orders.outbox import OutboxRow

AT_ONCE = 2000
CHANGES = ("created", "pending", "paid", "make_pending", "make_pending", "successful")


class FullStage(Stage):
    """A stage whose database holds so many finished orders of the last year."""

    old = 0

    def _prepare_history(self) -> None:
        with opened(self.database_url) as database, database.engine.begin() as connection:
            for first in range(0, self.old, AT_ONCE):
                _write(connection, range(first, min(first + AT_ONCE, self.old)))
        with opened(self.database_url) as database, database.engine.begin() as connection:
            connection.execute(text("ANALYZE"))


def main(arguments: list[str] | None = None) -> int:
    """0 when it was measured."""
    parser = argparse.ArgumentParser(prog="bench.growth", description=__doc__)
    parser.add_argument("--databases", nargs="+", choices=DATABASES, default=DATABASES)
    parser.add_argument("--old", type=int, default=300_000, help="finished orders")
    parser.add_argument("--seconds", type=float, default=8.0, help="at 50 orders/s, and at full load")
    parser.add_argument("--memory", action="store_true", help="all files on a disk in memory")
    options = parser.parse_args(arguments)
    if options.memory:
        interpreter.use_memory()
    length = replace(
        DEFAULT, rates=(50.0,), seconds=options.seconds, maximum_seconds=options.seconds, idle_seconds=0.0,
        buyers_seconds=0.0,
    )  # fmt: skip
    figures = ("webhook to first byte at 50/s, p50 / p99 ms", "orders/s", "processor an order, ms", "status reads/s")
    print(f"| database, old orders | {' | '.join(figures)} |")
    print("| --- | ---: | ---: | ---: | ---: |")
    found = 0
    for name in options.databases:
        for old in (0, options.old):
            try:
                print(_told(name, old, _measure(Deployment(name), old, length)), flush=True)
                found += 1
            except Missing as missing:
                print(f"{name} left out: {missing}", file=sys.stderr)
    return 0 if found else 1


def _measure(deployment: Deployment, old: int, length: Length) -> Result:
    stage = type("Stage", (FullStage,), {"old": old})
    return campaign.run(deployment, length, 2, "on_dispense", _say, stage)


def _told(name: str, old: int, result: Result) -> str:
    [latency], most = result.latencies, result.maximum
    chain = f"{latency.chain.p50:.1f} / {latency.chain.p99:.1f}" if latency.chain else ""
    cpu = sum(ms for part, ms in most.cpu.items() if part.startswith(("cloud ", "postgresql"))) if most else 0.0
    reads = next((asked.a_second for asked in result.reads if asked.callers > 1 and not asked.knows), 0.0)
    return f"| {name}, {old} | {chain} | {most.outcomes_a_second if most else 0:.0f} | {cpu:.1f} | {reads:.0f} |"


def _write(connection: Connection, numbers: Sequence[int]) -> None:
    """Each with its history, its payment, its command, its ledger and its tasks."""
    now = datetime.now(UTC)
    born = {n: now - timedelta(days=365) * (1 - n / 10_000_000) - timedelta(minutes=n % 1000) for n in numbers}
    who = {n: f"old-{n}" for n in numbers}
    connection.execute(insert(Order), [_order(n, who[n], born[n]) for n in numbers])
    connection.execute(insert(Payment), [_payment(n, who[n], born[n]) for n in numbers])
    connection.execute(insert(MakeCommand), [_command(n, who[n], born[n]) for n in numbers])
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


_TASKS = (("mqtt", "make"), ("provider", "capture"))


def _order(number: int, order_id: str, at: datetime) -> dict[str, object]:
    return {
        "id": order_id, "device_uuid": device_uuid(number % 50), "merchant_id": "bench", "drink_no": DRINK_NO,
        "drink_name": "Американо", "size": 1, "price": PRICE, "payment_scenario": "Yookassa", "status": "successful",
        "stage": "done", "version": len(CHANGES), "created_at": at, "expires_at": at, "paid_at": at, "finished_at": at,
    }  # fmt: skip


def _payment(number: int, order_id: str, at: datetime) -> dict[str, object]:
    return {
        "id": f"o{number:031x}", "order_id": order_id, "merchant_id": "bench", "scenario": "Yookassa",
        "account_id": "100500", "capture": "on_dispense", "status_check": "polling", "amount": PRICE,
        "state": "captured", "live": True, "provider_payment_id": f"old-{number}", "captured": PRICE, "started_at": at,
        "paid_at": at,
    }  # fmt: skip


def _command(number: int, order_id: str, at: datetime) -> dict[str, object]:
    return {
        "id": f"mk-{order_id}", "order_id": order_id, "device_uuid": device_uuid(number % 50), "attempt": 1,
        "issued_at": at, "deadline_at": at, "live": False, "published_at": at, "accepted_at": at, "result": "done",
        "out": "full", "finished_at": at,
    }  # fmt: skip


def _task(number: int, order_id: str, at: datetime, lane: str, task: str) -> dict[str, object]:
    return {
        "lane": lane, "task": task, "key": f"{task}-old-{number}", "order_id": order_id, "subject": f"o{number:031x}",
        "created_at": at, "due_at": at, "attempts": 1, "settled_at": at, "verdict": "done",
    }  # fmt: skip


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
