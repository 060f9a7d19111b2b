"""What is asked each second, with each page and each night is found by an index, however many orders there ever were.

The real questions are listened to and the database itself says how it would answer them. PostgreSQL is told to read a
whole table only where nothing else will do, for the tables of a test are small.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from cloud.access.person import EVERYTHING, Scope
from cloud.alerts.money_conditions import unregistered_receipts
from cloud.alerts.store import ended_unheard
from cloud.background.loops import ThreadPool
from cloud.buyer import reservation
from cloud.buyer.brew_time_estimate import BrewTimeEstimates
from cloud.console.now import readers
from cloud.database.database import Database
from cloud.database.postgresql import BEGIN, STATEMENT_ALONE
from cloud.database.transaction import Transaction
from cloud.fleet.models import DeviceLive
from cloud.operators import metrics
from cloud.orders import carriers, making, outbox, sales_days
from cloud.orders.deadlines import Deadlines
from cloud.orders.locked_order import lock_order
from cloud.orders.models import Order
from cloud.orders.outbox import Lease
from cloud.orders.return_followup import ReturnFollowup
from cloud.orders.tasks import Lane, Task
from cloud.payments import due_calls
from cloud.payments.admission import Waiting
from cloud.payments.budget import Priority
from cloud.payments.provider import Provider, Shop
from cloud.payments.provider_clients import NoCredential, ProviderClients
from cloud.payments.reconcile import cups, ledger_view, nightly
from cloud.payments.reconcile.days import Day
from cloud.payments.reconcile.ledger_view import ShopKey
from cloud.payments.reconcile.models import DeviceCount
from cloud.payments.status_poller import StatusPoller
from tests.cloud.sums_at_risk import at_risk
from tests.cloud.worlds import ACCOUNT, DEVICE, World

GROWS = (
    "orders",
    "payments",
    "movements",
    "make_commands",
    "outbox",
    "order_changes",
    "return_requests",
    "device_counts",
    "receipts",
    "sales_days",
)
"""Tables that get a row with each order, each machine's day, or with many of them, and never lose one."""
SHOP = ShopKey("north", "Yookassa", ACCOUNT)
Ask = Callable[[World, Transaction], object]


@dataclass
class Plans:
    """Each question, and how the database would answer it."""

    database: Database
    asked: list[str] = field(default_factory=list)
    plans: list[str] = field(default_factory=list)

    @property
    def whole_tables(self) -> list[str]:
        """Questions that read all of a table that grows."""
        return [f"{plan}\n{asked}" for asked, plan in zip(self.asked, self.plans, strict=True) if self._is_slow(plan)]

    @property
    def text(self) -> str:
        return "\n".join(self.plans)

    def _is_slow(self, plan: str) -> bool:
        if self.database.is_sqlite:
            read_whole = [
                line.split()[1]
                for line in plan.splitlines()
                if line.startswith("SCAN") and "INDEX" not in line and line != "SCAN CONSTANT ROW"
            ]
        else:
            read_whole = [line.split(" on ")[1].split()[0] for line in plan.splitlines() if "Seq Scan on" in line]
        return any(table.rstrip("_1") in GROWS for table in read_whole)


@contextmanager
def listening(database: Database) -> Iterator[Plans]:
    """Every question asked of the database meanwhile, explained."""
    plans = Plans(database)
    questions: list[tuple[str, Any]] = []

    def hear(_c: Connection, _cur: Any, statement: str, parameters: Any, _ctx: Any, many: bool) -> None:
        if not many and statement.lstrip().split(None, 1)[0] in {"SELECT", "UPDATE", "WITH"}:
            questions.append((statement, parameters))

    engines = {database.engine, database._together.engine}
    for engine in engines:
        event.listen(engine, "before_cursor_execute", hear)
    try:
        yield plans
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", hear)
    with database.engine.connect() as connection:
        if not database.is_sqlite:
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        for statement, parameters in questions:
            says = "EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN "
            lines = connection.exec_driver_sql(says + statement, parameters).all()
            plans.asked.append(statement)
            plans.plans.append("\n".join(str(line[-1]) for line in lines))


def queue(world: World, tx: Transaction) -> object:
    return reservation.queue_before(tx.session, "mine", DEVICE, BrewTimeEstimates(), world.now)


def the_money_at_risk(world: World, tx: Transaction) -> object:
    return at_risk(tx.session, world.now)


def claim(world: World, tx: Transaction) -> object:
    outbox.next_due(tx.session, Lane.PROVIDER)
    return outbox.claim(tx, Lane.PROVIDER, world.now, Lease("till", 60.0))


def calls_due(world: World, tx: Transaction) -> object:
    due_calls.waiting(tx.session, world.now)
    of = Waiting(SHOP.merchant_id, SHOP.scenario, SHOP.account_id, Priority.CREATE, 1, world.now, Task.CREATE.value)
    return due_calls.claim(tx, of, world.now, Lease("till", 60.0))


def questions_due(world: World, tx: Transaction) -> object:
    StatusPoller(
        world.database, ProviderClients(world.database, world.vault, no_client, world.clock), world.rules,
        ThreadPool("r", 0), lambda: 0.0, world.clock,
    ).step(world.now)  # fmt: skip
    return None


def no_client(_shop: Shop, _scenario: str) -> Provider:
    raise NoCredential("nobody is asked")


def deadlines(world: World, _tx: Transaction) -> object:
    return Deadlines(world.database, world.rules, lambda: True).step(world.now)


def hello(world: World, tx: Transaction) -> object:
    return carriers.unheard_of(tx.session, [DEVICE], world.now, 10)


def gauges(world: World, tx: Transaction) -> object:
    return metrics._gauges(tx.session, world.now)


def a_locked_order(_world: World, tx: Transaction) -> object:
    return lock_order(tx, "mine").payments


def refunds_of_an_order(_world: World, tx: Transaction) -> object:
    return outbox.of_order(tx.session, "mine", frozenset({Task.REFUND}))


def counters(world: World, tx: Transaction) -> object:
    """One machine has told its counters, and none of today are kept yet."""
    tx.session.get_one(DeviceLive, DEVICE).state = {"counters": dict.fromkeys(cups.COUNTERS, 7), "machine": "ready"}
    tx.session.flush()
    cups.keep_counts(tx, world.now)
    return None


def cups_of_the_day(world: World, tx: Transaction) -> object:
    """Between the counts of two days."""
    for days in (0, 1):
        at = world.now + timedelta(days=days)
        tx.session.add(DeviceCount(device_uuid=DEVICE, day=at.date(), at=at, **dict.fromkeys(cups.COUNTERS, days)))
    tx.session.flush()
    return cups.compare_cups(tx, "north", Day.of(world.now))


def payments_of_the_day(world: World, _tx: Transaction) -> object:
    return list(ledger_view.payments_begun(world.database, SHOP, Day.of(world.now)))


def returns_of_the_day(world: World, _tx: Transaction) -> object:
    return list(ledger_view.returns_booked(world.database, SHOP, Day.of(world.now)))


def sums_of_the_day(world: World, tx: Transaction) -> object:
    return ledger_view.totals(tx.session, SHOP, Day.of(world.now))


def poured_for_nothing(world: World, tx: Transaction) -> object:
    return ledger_view.poured_without_money(tx.session, SHOP, Day.of(world.now))


def sales_of_the_day(world: World, tx: Transaction) -> object:
    """Of as many machines as are asked about at once."""
    devices = (DEVICE, *(f"m-{number}" for number in range(1, sales_days.AT_ONCE)))
    return tx.session.execute(sales_days._ends(devices, world.now - timedelta(days=1), world.now)).all()


def nights(world: World, tx: Transaction) -> object:
    tx.session.add(
        DeviceCount(device_uuid=DEVICE, day=world.now.date(), at=world.now, **dict.fromkeys(cups.COUNTERS, 1))
    )
    tx.session.flush()
    return nightly._spans(tx.session, world.now.date())


def grace(world: World, tx: Transaction) -> object:
    return making._uncertain_returns(tx.session, tx.session.get_one(Order, "mine"), world.now)


def returns_followed(world: World, _tx: Transaction) -> object:
    return ReturnFollowup(world.database).step(world.now)


def receipts_to_tell_of(world: World, tx: Transaction) -> object:
    return unregistered_receipts(tx.session, world.now)


def ends_untold(world: World, tx: Transaction) -> object:
    return ended_unheard(tx.session, world.now)


def sold_today(world: World, tx: Transaction) -> object:
    return readers.today(tx.session, EVERYTHING, world.now)


def sold_today_by_one(world: World, tx: Transaction) -> object:
    """A merchant's, wherever the machines that sold it stand."""
    return readers.today(tx.session, Scope(frozenset({SHOP.merchant_id})), world.now)


INDEXES: dict[Ask, set[str]] = {
    queue: {"ix_make_commands_device", "ix_orders_d"},
    the_money_at_risk: {
        "ix_payments_unfinished",
        "ix_payments_money_beside",
        "ix_payments_not_earned",
    },
    claim: {"ix_outbox_due"},
    calls_due: {"ix_outbox_due"},
    questions_due: {"ix_payments_next_check", "ix_provider_news_open"},
    deadlines: {"ix_orders_due_at", "ix_orders_return_after", "ix_orders_waits_for_person"},
    hello: {"ix_make_commands_device", "ix_outbox_subject"},
    gauges: {"ix_orders_status", "ix_outbox_due"},
    a_locked_order: {"ix_payments_order_id"},
    refunds_of_an_order: {"ix_outbox_order_id"},
    counters: {"ix_make_commands_device"},
    cups_of_the_day: {"ix_make_commands_device", "ix_archived_orders_device"},
    payments_of_the_day: {"ix_payments_shop"},
    returns_of_the_day: {"ix_movements_refunded"},
    sums_of_the_day: {"ix_payments_shop", "ix_movements_refunded"},
    poured_for_nothing: {"ix_payments_shop", "ix_orders_goodwill_of"},
    sales_of_the_day: {"ix_orders_device_ended"},
    nights: {"ix_payments_shop"},
    receipts_to_tell_of: {"ix_receipts_unregistered"},
    ends_untold: {"ix_alert_messages_end_untold"},
    sold_today: {"ix_payments_taken_in_part"},
    sold_today_by_one: {"ix_orders_", "ix_sales_days_sums"},
    returns_followed: {"ix_return_requests_"},  # by state, or by being one that is followed
    grace: {"ix_orders_d"},  # by drink or by device: both begin with the machine,
}


def forget_earlier_tests(database: Database) -> None:
    """The pages they left behind make one index dearer than another, where two rows leave a tie."""
    if not database.is_sqlite:
        with database.engine.connect().execution_options(**{BEGIN: STATEMENT_ALONE}) as connection:
            connection.execute(text("VACUUM FULL orders"))


@pytest.mark.parametrize("ask", INDEXES, ids=lambda ask: ask.__name__)
def test_no_question_reads_every_order_there_ever_was(world: World, ask: Ask) -> None:
    world.pay("other")
    world.clock.advance(1)
    world.pay("mine")
    forget_earlier_tests(world.database)
    with listening(world.database) as plans:
        world.database.transact(lambda tx: ask(world, tx))
    assert plans.asked
    assert plans.whole_tables == []
    assert {name for name in INDEXES[ask] if name not in plans.text} == set(), plans.text


def test_a_hello_reads_no_order_but_its_machines(world: World) -> None:
    """An index led to every order that nobody knew the end of, and all of them were read, for each hello."""
    with listening(world.database) as plans:
        world.database.transact(lambda tx: hello(world, tx))
    assert "LIST SUBQUERY" not in plans.text
    assert "hashed" not in plans.text


def test_drinks_given_back_are_found_without_all_payments_of_the_shop(sqlite_world: World) -> None:
    """Regression: of each, SQLite walked the shop's whole past, to see that it was paid at another one."""
    with listening(sqlite_world.database) as plans:
        sqlite_world.database.transact(lambda tx: poured_for_nothing(sqlite_world, tx))
    by_shop = [line for line in plans.text.splitlines() if "ix_payments_shop" in line]
    assert by_shop
    assert [line for line in by_shop if "started_at" not in line] == []


def test_a_question_no_index_answers_is_found_out(world: World) -> None:
    """The test above can fail."""
    with listening(world.database) as plans, world.database.read() as session:
        session.query(Order.id).where(Order.price == 1).all()
    assert len(plans.whole_tables) == 1
