"""A month that the demo's machine has behind it, written into its fresh database, so that the console has something to
show. Invented, always the same; reconciliation takes the days before today as done.
"""

import random
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from protocol.reasons import Size
from simulator.demo.fleet import DEVICE, MERCHANT, SHOP
from simulator.machine.menu import Menu
from simulator.yookassa.past import PastPayment

DAYS = 35
HOURS = {7: 3, 8: 7, 9: 8, 10: 5, 11: 4, 12: 4, 13: 5, 14: 4, 15: 4, 16: 3, 17: 2, 18: 1}
"""Cups of a usual working day by the hour, in the machine's own time."""
WEEKEND = 0.3
ZONE = timedelta(hours=3)
ACCEPTED_WITHIN = timedelta(seconds=1)
SPREAD = 0.06
"""Of the times one drink takes, as a share of them."""
_SIZES = (Size.SMALL, Size.MEDIUM, Size.MEDIUM, Size.MEDIUM, Size.LARGE)
_REFUSALS = ("rejected:no_water", "rejected:no_cups", "no_ack")
_NO_DEFAULT = {"INTEGER": 0, "BOOLEAN": 0, "BIGINT": 0, "FLOAT": 0.0}


def write(file: Path, menu: Menu, now: datetime, brew_s: float) -> list[PastPayment]:
    """Orders, payments, ledger and history of the month before `now`; what the provider must know of it, oldest first.

    `brew_s`: how long the machine takes for its usual drink.
    """
    dice = random.Random(7)  # noqa: S311  # the same month every time
    with closing(sqlite3.connect(file)) as connection, connection:
        payments = [
            _order(connection, dice, menu, number, at, brew_s) for number, at in enumerate(_moments(dice, now), 1)
        ]
        for days in range(DAYS + 1):
            day = (now + ZONE - timedelta(days=days + 1)).date().isoformat()
            for scenario, account in (("Yookassa", SHOP), ("", "")):
                _add(connection, "reconciliations", day=day, merchant_id=MERCHANT, scenario=scenario,
                     account_id=account, complete=1)  # fmt: skip
    return payments


def _moments(dice: random.Random, now: datetime) -> Iterator[datetime]:
    """When somebody came, oldest first."""
    first = (now + ZONE).replace(hour=0, minute=0, second=0, microsecond=0) - ZONE - timedelta(days=DAYS)
    for hour in range((DAYS + 1) * 24):
        begins = first + timedelta(hours=hour)
        there = begins + ZONE
        usual = HOURS.get(there.hour, 0) * (WEEKEND if there.weekday() > 4 else 1)
        cups = max(0, round(dice.gauss(usual, usual**0.5 / 2)))
        for at in sorted(begins + timedelta(seconds=dice.uniform(0, 3600)) for _ in range(cups)):
            if at < now - timedelta(minutes=10):
                yield at


def _order(
    connection: sqlite3.Connection, dice: random.Random, menu: Menu, number: int, at: datetime, brew_s: float
) -> PastPayment:
    drink, size, fate = dice.choice(list(menu.values())), dice.choice(_SIZES), dice.random()
    status, reason = "successful", ""
    if fate > 0.97:
        status, reason = "make_failed", dice.choice(_REFUSALS)
    elif fate > 0.95:
        status = "not_paid"
    price = drink.price(size)
    order_id = f"{(at + ZONE):%Y%m%d%H%M%S}{number:04d}-demo"
    paid_at = at + timedelta(seconds=dice.uniform(12, 50)) if status != "not_paid" else None
    took_s = dice.gauss(1, SPREAD) * brew_s * drink.pace
    ended = paid_at + ACCEPTED_WITHIN + timedelta(seconds=took_s) if paid_at else at + timedelta(seconds=600)
    _add(
        connection, "orders", id=order_id, device_uuid=DEVICE, merchant_id=MERCHANT, drink_no=drink.drink_no,
        drink_name=drink.name, size=int(size), price=price, payment_scenario="Yookassa", status=status, reason=reason,
        progress=100, version=6, created_at=_sql(at), expires_at=_sql(at + timedelta(minutes=15)),
        paid_at=_sql(paid_at), finished_at=_sql(ended), language="ru",
    )  # fmt: skip
    steps = [(at, "buyer", "scanned", "created", "created"), (at, "buyer", "payment_started", "created", "pending")]
    if paid_at is None:
        steps.append((ended, "provider", "payment_canceled", "pending", "not_paid"))
    else:
        steps += [
            (paid_at, "provider", "paid_in_time", "pending", "paid"),
            (paid_at, "courier", "command_published", "paid", "make_pending"),
            (ended, "device", "machine_done" if not reason else "machine_refused", "make_pending", status),
        ]
    for version, (moment, actor, event, before, after) in enumerate(steps, 1):
        _add(connection, "order_changes", order_id=order_id, version=version, at=_sql(moment), actor=actor, event=event,
             status_before=before, status_after=after, reason=reason if after == status else "")  # fmt: skip
    if paid_at is not None:
        _add(
            connection, "make_commands", id=f"mk-demo-{number}", order_id=order_id, device_uuid=DEVICE, attempt=1,
            issued_at=_sql(paid_at), deadline_at=_sql(paid_at + timedelta(minutes=1)), published_at=_sql(paid_at),
            accepted_at=_sql(paid_at + ACCEPTED_WITHIN) if not reason else None,
            result="rejected" if reason else "done", revision=1, code=reason.partition(":")[2],
            out="nothing" if reason else "full", finished_at=_sql(ended),
        )  # fmt: skip
    return _money(connection, number, order_id, price, at, paid_at, ended, good=status == "successful")


def _money(
    connection: sqlite3.Connection, number: int, order_id: str, price: int, at: datetime, paid_at: datetime | None,
    ended: datetime, *, good: bool,
) -> PastPayment:  # fmt: skip
    payment_id, provider_payment_id = f"demo{number:028d}", f"2e{number:06d}-000f-5000-8000-demo"
    state = "captured" if good else "canceled"
    _add(
        connection, "payments", id=payment_id, order_id=order_id, merchant_id=MERCHANT, scenario="Yookassa",
        account_id=SHOP, capture="on_dispense", status_check="polling", amount=price, state=state, live=int(good),
        provider_payment_id=provider_payment_id, method="bank_card", captured=price if good else 0,
        started_at=_sql(at), paid_at=_sql(paid_at),
    )  # fmt: skip
    if paid_at is not None:
        for kind, moment in (("held", paid_at), (state, ended)):
            _add(connection, "movements", payment_id=payment_id, order_id=order_id, kind=kind, amount=price,
                 at=_sql(moment))  # fmt: skip
    return PastPayment(
        id=provider_payment_id, shop_id=SHOP, amount=price,
        metadata={"order_id": order_id, "device_uuid": DEVICE, "payment": payment_id},
        started_at=at, paid_at=paid_at, ended_at=ended, is_captured=good,
    )  # fmt: skip


def _add(connection: sqlite3.Connection, table: str, **values: Any) -> None:
    """One row; columns that must hold something and are not said get their nothing."""
    row = {**_nothing(connection, table), **values}
    names, marks = ", ".join(f'"{name}"' for name in row), ", ".join("?" * len(row))
    connection.execute(f'INSERT INTO "{table}" ({names}) VALUES ({marks})', list(row.values()))  # noqa: S608  # ours


_known: dict[str, Mapping[str, Any]] = {}


def _nothing(connection: sqlite3.Connection, table: str) -> Mapping[str, Any]:
    if table not in _known:
        described = connection.execute(f'PRAGMA table_info("{table}")').fetchall()
        _known[table] = {
            name: _NO_DEFAULT.get(kind.upper().partition("(")[0], "")
            for _, name, kind, must, default, key in described
            if must and default is None and not key
        }
    return _known[table]


def _sql(moment: datetime | None) -> str | None:
    """As the cloud's SQLite keeps times: UTC, with microseconds, without saying so."""
    return None if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"
