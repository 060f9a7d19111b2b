"""Every state the page can be in, by name: what brings an order there."""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import pytest

from protocol.reasons import DoubtCode, Result, Spout, Stage
from tests.cloud.buyer.orders import RULES, Orders

NOTE = 'Звоните <a href="tel:+78120000000">+7 812 000-00-00</a>, мы <b>рядом</b>.'


def _needs_email(orders: Orders) -> str:
    orders.change_device(payment_scenario="YookassaReceipt")
    return orders.created()


def _offline(orders: Orders) -> str:
    orders.machine_says(online=False)
    return orders.created()


def _no_water(orders: Orders) -> str:
    orders.machine_says(faults=[{"code": "no_water", "level": "block", "drinks": []}])
    return orders.created()


def _rinsing(orders: Orders) -> str:
    orders.machine_says(machine="rinsing")
    return orders.created()


def _checking(orders: Orders) -> str:
    """The machine has answered before, and takes its time now."""
    orders.machine_says()
    orders.answers_probes("cappuccino")
    orders.clock.forward(10)
    return orders.created()


def _reserved(orders: Orders) -> str:
    orders.pending("o-2")
    orders.reserves("o-2")
    return orders.created()


def _busy(orders: Orders) -> str:
    orders.usual_cups(40)
    orders.making("o-2")
    orders.clock.forward(10)
    return orders.created()


def _second_in_line(orders: Orders) -> str:
    orders.usual_cups(40)
    orders.making("o-2")
    orders.clock.forward(10)
    return orders.sent()


def _third_in_line(orders: Orders) -> str:
    orders.making("o-2")
    orders.clock.forward(1)
    orders.sent("o-3")
    orders.clock.forward(1)
    return orders.paid()


def _with_time_left(orders: Orders) -> str:
    orders.usual_cups(40)
    orders.making(stage=Stage.BREW, pct=55)
    orders.clock.forward(15)
    return "o-1"


def _late(orders: Orders) -> str:
    orders.usual_cups(40)
    orders.making(stage=Stage.MILK, pct=80)
    orders.clock.forward(75)
    return "o-1"


def _branded(orders: Orders) -> str:
    orders.change_device(client_info='Сегодня <b>−20 %</b> на капучино. <a href="https://example.org">О нас</a>')
    return orders.created()


def _declined_and_busy(orders: Orders) -> str:
    orders.not_paid()
    orders.making("o-2")
    return "o-1"


def _declined_and_over(orders: Orders) -> str:
    orders.not_paid()
    orders.clock.forward(RULES.order_expiration_s)
    return "o-1"


def _manual_offline(orders: Orders) -> str:
    orders.manual_make()
    orders.machine_says(online=False)
    return "o-1"


def _noted(orders: Orders) -> str:
    orders.change_device(client_info_make_failed=NOTE)
    return orders.make_failed()


def _goodwill(orders: Orders) -> str:
    orders.successful()
    return orders.returned("o-1")


def _long_names(orders: Orders) -> str:
    orders.change_device(
        location="Торгово-развлекательный центр «Достопримечательность», вход со двора, цокольный этаж"
    )
    return orders.created("20250317110122659ba6d7-9ace-cndn-" + "x" * 60, "latte")


def _failed_partly(orders: Orders) -> str:
    orders.making()
    return orders.outcome("o-1", Result.FAILED, "flow", Spout.PARTIAL)


def _unobserved(orders: Orders) -> str:
    return orders.outcome(orders.sent(), Result.UNKNOWN, DoubtCode.UNOBSERVABLE, Spout.UNKNOWN)


def _making(stage: Stage, pct: int) -> Callable[[Orders], str]:
    return lambda orders: orders.making(stage=stage, pct=pct)


PROGRESS = dict(zip(Stage, (0, 15, 45, 70, 85, 97), strict=True))

STATES: dict[str, Callable[[Orders], str]] = {
    "created": Orders.created,
    "created, long names": _long_names,
    "created, receipt": _needs_email,
    "created, offline": _offline,
    "created, no water": _no_water,
    "created, rinsing": _rinsing,
    "created, busy": _busy,
    "created, reserved": _reserved,
    "created, note": _branded,
    "expired": Orders.expired,
    "pending": Orders.pending,
    "not_paid": Orders.not_paid,
    "not_paid, busy": _declined_and_busy,
    "not_paid, over": _declined_and_over,
    "paid": Orders.paid,
    "sent": Orders.sent,
    "sent, next in line": _second_in_line,
    "paid, third in line": _third_in_line,
    "accepted": Orders.accepted,
    **{f"making, {stage.value}": _making(stage, pct) for stage, pct in PROGRESS.items()},
    "making, with time": _with_time_left,
    "making, late": _late,
    "successful": Orders.successful,
    "successful, returned": _goodwill,
    "successful, seen by a person": Orders.seen_poured,
    "manual_make": Orders.manual_make,
    "manual_make, offline": _manual_offline,
    "manual_make, another phone": lambda orders: orders.manual_make("not-scanned"),
    "failed": Orders.failed,
    "failed, returned": lambda orders: orders.returned(orders.failed()),
    "failed, returned before": Orders.returned_before,
    "make_failed": Orders.make_failed,
    "make_failed, note": _noted,
    "make_failed, partly poured": _failed_partly,
    "make_failed, hold": lambda orders: orders.make_failed(hold=True),
    "make_failed, hold returned": lambda orders: orders.returned(orders.make_failed(hold=True)),
    "make_failed, returned": lambda orders: orders.returned(orders.make_failed()),
    "make_failed, sbp": lambda orders: orders.make_failed(method="sbp"),
    "make_failed, uncertain": Orders.uncertain,
    "make_failed, unobserved": _unobserved,
    "make_failed, no answer": Orders.never_answered,
    "make_failed, not collected": Orders.not_collected,
}
"""Name to what brings an order there; each returns the order's id."""
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
LANGUAGES = ("ru", "en")


def in_turn(states: Iterable[str], ways: Sequence[str]) -> list[object]:
    """Each state in one of these ways in turn always runs; in the others with `--long`."""
    return [
        pytest.param(state, way, marks=[] if place % len(ways) == number else [pytest.mark.long])
        for place, state in enumerate(states)
        for number, way in enumerate(ways)
    ]
