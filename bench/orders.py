"""Orders waiting for their payment's news, written straight into the database: only the chain behind is measured.

Everything about an order follows from its number, so the stand-ins around the cloud need no memory.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, insert, select

from cloud.database.database import Database
from cloud.fleet.models import Credential, Device, DeviceLive, Drink, Merchant
from cloud.fleet.vault import Vault
from cloud.migrations import migrate
from cloud.orders.models import Order, Payment
from cloud.orders.states import Status
from cloud.payments.status_poller import LONGEST_WAIT

SHOP, SHOP_KEY = "100500", "bench_secret"
DRINK_NO, PRICE = "americano", 14900
NO_POLLING = LONGEST_WAIT - timedelta(minutes=10)
"""No payment is asked about before its webhook, where the measuring starts. A date further ahead would be due now."""
_MERCHANT, _SCENARIO = "bench", "Yookassa"
_PREFIX = "bench-"


@dataclass(frozen=True)
class Prepared:
    """One order to be paid: its number says all but the machine that pours it."""

    number: int
    device_uuid: str


def order_id(number: int) -> str:
    return f"{_PREFIX}{number}"


def our_payment_id(number: int) -> str:
    return f"{number:032x}"


def provider_payment_id(number: int) -> str:
    """Of the shape the provider's own ids have."""
    return f"2e000000-000f-5000-8000-{number:012x}"


def number_of_payment(provider_id: str) -> int:
    """The order's number from the provider's id of its payment."""
    return int(provider_id.rpartition("-")[2], 16)


def device_uuid(index: int) -> str:
    return f"bench-machine-{index:03d}"


def payment_object(number: int, status: str) -> dict[str, object]:
    """The payment as the provider tells it, in a notification or when asked."""
    return {
        "id": provider_payment_id(number),
        "status": status,
        "amount": {"value": f"{PRICE // 100}.{PRICE % 100:02d}", "currency": "RUB"},
        "description": f"Американо, заказ {order_id(number)}",
        "recipient": {"account_id": SHOP, "gateway_id": "2000001"},
        "payment_method": {"type": "bank_card", "id": provider_payment_id(number), "saved": False},
        "created_at": "2026-11-01T12:00:00.000Z",
        "test": True,
        "paid": status in {"waiting_for_capture", "succeeded"},
        "refundable": status == "succeeded",
        "metadata": {"order_id": order_id(number), "payment": our_payment_id(number)},
    }


def prepare_fleet(database_url: str, secret_key: str, devices: int, capture: str) -> None:
    """A migrated database with one merchant and so many devices."""
    with opened(database_url) as database:
        migrate.upgrade(database)
        names = [device_uuid(index) for index in range(devices)]
        secret = Vault(secret_key).lock(SHOP_KEY)
        with database.engine.begin() as connection:
            connection.execute(insert(Merchant), {"id": _MERCHANT, "name": "Bench", "contact_email": ""})
            connection.execute(
                insert(Credential),
                {
                    "merchant_id": _MERCHANT, "scenario": _SCENARIO, "account_id": SHOP, "secret": secret,
                    "capture": capture, "status_check": "polling", "version": 1,
                },
            )  # fmt: skip
            connection.execute(insert(Device), [_device(name) for name in names])
            connection.execute(insert(DeviceLive), [{"device_uuid": name} for name in names])
            connection.execute(insert(Drink), [_drink(name) for name in names])


def prepare_orders(database_url: str, orders: Sequence[Prepared], capture: str) -> None:
    """These orders, each with an open payment; best while the cloud runs, for a starting one asks about them all."""
    now = datetime.now(UTC)
    with opened(database_url) as database, database.engine.begin() as connection:
        connection.execute(insert(Order), [_order(order, now) for order in orders])
        connection.execute(insert(Payment), [_payment(order, now, capture) for order in orders])


def statuses(database_url: str) -> dict[str, int]:
    """How many of the prepared orders stand where."""
    ours = Order.id.startswith(_PREFIX)
    with opened(database_url) as database, database.read() as session:
        counted = session.execute(select(Order.status, func.count()).where(ours).group_by(Order.status)).all()
    return {row.status: row[1] for row in counted}


@contextmanager
def opened(url: str) -> Iterator[Database]:
    database = Database(url)
    try:
        yield database
    finally:
        database.close()


def _device(name: str) -> dict[str, object]:
    return {"device_uuid": name, "merchant_id": _MERCHANT, "payment_scenario": _SCENARIO}


def _drink(name: str) -> dict[str, object]:
    return {"device_uuid": name, "drink_no": DRINK_NO, "name": "Американо", "price_medium": PRICE}


def _order(order: Prepared, now: datetime) -> dict[str, object]:
    return {
        "id": order_id(order.number), "device_uuid": order.device_uuid, "merchant_id": _MERCHANT,
        "drink_no": DRINK_NO, "drink_name": "Американо", "size": 1, "price": PRICE,
        "payment_scenario": _SCENARIO, "status": Status.PENDING.value, "created_at": now,
        "expires_at": now + NO_POLLING,
    }  # fmt: skip


def _payment(order: Prepared, now: datetime, capture: str) -> dict[str, object]:
    return {
        "id": our_payment_id(order.number), "order_id": order_id(order.number), "merchant_id": _MERCHANT,
        "scenario": _SCENARIO, "account_id": SHOP, "capture": capture, "status_check": "polling", "amount": PRICE,
        "state": "pending", "live": True, "provider_payment_id": provider_payment_id(order.number),
        "started_at": now, "next_check_at": now + NO_POLLING,
    }  # fmt: skip
