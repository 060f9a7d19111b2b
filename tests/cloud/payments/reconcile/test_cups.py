"""Machines' counters against orders: kept in a quiet moment once a day, compared between two such moments."""

from typing import Any

import pytest
from sqlalchemy import select, update

from cloud.fleet.models import Device, DeviceLive
from cloud.operators.reconcile_report import as_text
from cloud.payments.reconcile.cups import QUIET_S, keep_counts
from cloud.payments.reconcile.days import Day
from cloud.payments.reconcile.models import DeviceCount
from cloud.payments.reconcile.reconciler import Report
from protocol.reasons import Result, Spout
from tests.cloud.orders.test_archive import rest
from tests.cloud.payments.reconciling import MACHINES, a_reconciler, at, kinds, reconciled, sold
from tests.cloud.tills import Till
from tests.cloud.worlds import DEVICE

pytestmark = pytest.mark.any_database

DAY = Day.of(at(12))


class Counting:
    """One machine that tells its counters."""

    def __init__(self, till: Till) -> None:
        self.till, self.world = till, till.world
        self.counters = {"total": 1000, "paid": 900, "free": 60, "test": 40}
        self.world.clock.now = at(0, 5)
        self.tell()
        self.keep()

    def tell(self, **state: Any) -> None:
        told = {"counters": dict(self.counters), "machine": "ready", "busy_order": None} | state
        work = update(DeviceLive).where(DeviceLive.device_uuid == DEVICE).values(state=told)
        self.world.database.transact(lambda tx: tx.session.execute(work))

    def keep(self) -> None:
        self.world.database.transact(keep_counts, self.world.now)

    def counts(self, **grown: int) -> None:
        for name, number in grown.items():
            self.counters[name] += number
        self.tell()

    def order(self, result: Result | None, out: Spout = Spout.UNKNOWN) -> str:
        """A drink ordered at noon, and what the machine said of it."""
        order_id = self.world.pay()
        self.world.publish(order_id)
        if result is None:
            self.world.wait(self.world.rules.ack_timeout_s + 1)
        else:
            self.world.report(order_id, result, out=out)
        return order_id

    def next_day(self, days: int = 1) -> None:
        self.world.clock.now = at(0, 10, day=2 + days)
        self.keep()

    def kept(self) -> list[DeviceCount]:
        with self.world.database.read() as session:
            return list(session.scalars(select(DeviceCount).order_by(DeviceCount.day)))

    def add_machine(self, device_uuid: str, status: str = "active") -> None:
        """One that tells nothing."""
        device = Device(device_uuid=device_uuid, merchant_id="north", payment_scenario="Yookassa", status=status)
        self.world.database.transact(lambda tx: tx.session.add(device))

    def told(self, report: Report) -> str:
        """What a person reads of the merchant's machines."""
        return as_text(DAY, [report]).rpartition("machines: ")[2]

    def judged(self, day: Day = DAY) -> Report:
        return reconciled(self.till, day, MACHINES)


@pytest.fixture
def counting(till: Till) -> Counting:
    made = Counting(till)
    made.world.clock.now = at(12)
    return made


def test_as_many_cups_as_orders_is_clean(counting: Counting) -> None:
    for _ in range(2):
        counting.order(Result.DONE)
    counting.order(Result.REJECTED)
    counting.order(Result.FAILED, Spout.NONE)
    counting.counts(total=2, paid=2)
    counting.next_day()
    report = counting.judged()
    assert report.is_clean
    assert report.findings == []


@pytest.mark.parametrize(("cups", "kind"), [(0, "cups_fewer"), (2, "cups_more")])
def test_cups_without_orders_and_orders_without_cups_are_named(counting: Counting, cups: int, kind: str) -> None:
    counting.order(Result.DONE)
    counting.counts(total=cups, paid=cups)
    counting.next_day()
    report = counting.judged()
    assert kinds(report) == {kind: "open"}
    [found] = report.findings
    assert (found.device_uuid, found.here, found.there) == (DEVICE, 1, cups)
    assert not report.is_clean


def test_free_and_test_cups_are_no_sales(counting: Counting) -> None:
    counting.counts(total=5, free=3, test=2)
    counting.next_day()
    assert counting.judged().findings == []


@pytest.mark.parametrize("cups", [0, 1])
@pytest.mark.parametrize("result", [Result.UNKNOWN, Result.FAILED, None])
def test_a_cup_nobody_is_sure_of_may_have_been_counted_or_not(
    counting: Counting, result: Result | None, cups: int
) -> None:
    counting.order(result)
    counting.counts(total=cups, paid=cups)
    counting.next_day()
    assert counting.judged().findings == []


def test_a_test_device_is_not_compared(counting: Counting) -> None:
    work = update(Device).values(status="test")
    counting.world.database.transact(lambda tx: tx.session.execute(work))
    counting.counts(total=9, paid=9)
    counting.next_day()
    assert counting.judged().findings == []


def test_counters_that_go_backwards_prove_nothing(counting: Counting) -> None:
    counting.order(Result.DONE)
    counting.counts(total=-900, paid=-900)
    counting.next_day()
    report = counting.judged()
    assert kinds(report) == {"counters_unusable": "explained"}
    assert report.is_clean


def test_a_machine_without_counters_is_passed_over_and_counted(counting: Counting) -> None:
    counting.tell(counters=None)
    counting.order(Result.DONE)
    counting.next_day()
    assert len(counting.kept()) == 1
    report = counting.judged()
    assert report.is_clean
    assert counting.told(report) == "nothing to compare; 2 without counts to compare"


def test_of_how_many_machines_the_verdict_is_is_told(counting: Counting) -> None:
    """Regression: `all agree` was said where nothing had been compared."""
    counting.add_machine("m-2")
    counting.add_machine("m-3", status="test")
    counting.next_day()
    assert counting.told(counting.judged()) == "all agree; 1 of 3 machines compared; 2 without counts to compare"


@pytest.mark.both_databases
def test_counts_are_kept_once_a_day_and_only_in_a_quiet_moment(counting: Counting) -> None:
    counting.world.clock.now = at(0, 10, day=3)
    counting.order(Result.DONE)
    counting.keep()
    assert len(counting.kept()) == 1, "its drink may not be counted yet"
    counting.world.clock.advance(QUIET_S + 1)
    for state in ({"busy_order": "ord-9"}, {"machine": "brewing"}):
        counting.tell(**state)
        counting.keep()
    assert len(counting.kept()) == 1, "it is at work"
    counting.tell()
    counting.keep()
    counting.counts(total=7)
    counting.keep()
    assert [kept.total for kept in counting.kept()] == [1000, 1000]


def test_a_machine_offline_for_days_is_compared_once_it_is_back(counting: Counting) -> None:
    counting.order(Result.DONE)
    counting.counts(total=3, paid=3)
    counting.next_day(days=3)
    assert counting.judged(DAY).findings == []
    last = DAY.next.next
    for _ in range(2):
        report = counting.judged(last)
        assert [(found.kind, found.here, found.there) for found in report.findings] == [("cups_more", 1, 3)]
    assert counting.judged(last.next).findings == [], "and in one day's reconciliation only"


def test_a_drink_told_of_late_counts_when_it_was_ordered(counting: Counting) -> None:
    """The machine was offline when it poured; its word came after midnight, with the counters."""
    order_id = counting.order(None)
    counting.world.clock.now = at(9, day=3)
    counting.world.report(order_id, Result.DONE)
    counting.counts(total=1, paid=1)
    counting.world.clock.advance(QUIET_S + 1)
    counting.keep()
    assert counting.judged().findings == []


@pytest.mark.both_databases
def test_cups_of_orders_at_rest_are_counted_still(counting: Counting) -> None:
    """Regression: a look at the shop had brought back its day, and the cups up to the machine's count were missing."""
    for moment in (at(12), at(26)):
        counting.world.clock.now = moment
        sold(counting.till)
        counting.counts(total=1, paid=1)
    counting.world.clock.now = at(27)
    counting.keep()
    rest(counting.world)
    looks = a_reconciler(counting.till)
    assert {key.scenario: looks.reconcile(key, DAY).findings for key in looks.keys(DAY)} == {"Yookassa": [], "": []}
