"""A small fleet in a real database and orders brought to any state by hand; time moves only when a test moves it.

Uses the same use cases as the workers do; no provider, no broker, no thread.
"""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import func, select, text, update

from cloud.background import heartbeat
from cloud.background.heartbeat import WorkerLife
from cloud.buyer.order_reader import OrderReader
from cloud.database.database import Database
from cloud.database.transaction import Transaction
from cloud.fleet import closing
from cloud.fleet.models import Credential, Device, DeviceLive, Drink, Merchant
from cloud.fleet.vault import Vault
from cloud.orders import making, order_tasks, outbox, paying
from cloud.orders.deadlines import Deadlines
from cloud.orders.locked_order import lock_order
from cloud.orders.models import MOVED, MakeCommand, Movement, Order, OrderChange, Payment
from cloud.orders.money import PaymentAnswer, PaymentState
from cloud.orders.order_limits import OrderLimits
from cloud.orders.outbox import Lease, OutboxRow
from cloud.orders.paying import Account
from cloud.orders.return_progress import Return
from cloud.orders.scanning import Scan, open_order
from cloud.orders.states import Status
from cloud.orders.tasks import Task
from protocol.messages import Accepted, Evidence, Outcome, Progress
from protocol.reasons import Phase, Result, Spout, Stage
from tests.cloud import migrated

T = TypeVar("T")
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
PRICE = 17900
DEVICE, OTHER_DEVICE = "m-001", "m-002"
ALWAYS_THERE = "always there"
"""A worker of whose life nothing but its beat is here."""
ACCOUNT = "100500"
SECRET_KEY = "a secret text of more than thirty-two characters"
SHOP_SECRET = "test_secret"
HOLD = Account("Yookassa", ACCOUNT, "on_dispense", "polling")
ONE_STAGE = Account("Yookassa", ACCOUNT, "immediate", "polling")


class HandClock:
    """Tells the time it was set to."""

    def __init__(self, now: datetime = START) -> None:
        self._now = now
        self.moved: Callable[[datetime], object] = lambda _: None
        """Called whenever it was set."""

    @property
    def now(self) -> datetime:
        return self._now

    @now.setter
    def now(self, now: datetime) -> None:
        self._now = now
        self.moved(now)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> datetime:
        self.now += timedelta(seconds=seconds)
        return self.now


@dataclass
class World:
    """One database with two machines of one merchant, and everything a test says about orders."""

    database: Database
    clock: HandClock = field(default_factory=HandClock)
    rules: OrderLimits = field(default_factory=OrderLimits)
    vault: Vault = field(default_factory=lambda: Vault(SECRET_KEY))
    opens_again: bool = True
    """Before each scan somebody opens what closed by itself: most tests fail drinks for another reason."""

    def __post_init__(self) -> None:
        self._ids = itertools.count(1)

    @property
    def now(self) -> datetime:
        return self.clock.now

    def found(self) -> "World":
        """Create tables and fleet."""
        migrated.bring(self.database)
        self.database.transact(self._fleet)
        self.clock.moved = self._a_worker_beats
        return self

    def _fleet(self, tx: Any) -> None:
        heartbeat.beat(tx, ALWAYS_THERE, True, self.now)
        tx.session.add(Merchant(id="north", name="ООО Север"))
        tx.session.flush()
        tx.session.add(
            Credential(
                merchant_id="north", scenario="Yookassa", account_id=ACCOUNT, secret=self.vault.lock(SHOP_SECRET)
            )
        )
        for uuid in (DEVICE, OTHER_DEVICE):
            tx.session.add(Device(device_uuid=uuid, merchant_id="north", payment_scenario="Yookassa"))
            tx.session.flush()
            tx.session.add(DeviceLive(device_uuid=uuid, online=True, session_id="s1"))
            tx.session.add(Drink(device_uuid=uuid, drink_no="latte", name="Латте", price_medium=PRICE))

    def _a_worker_beats(self, now: datetime) -> None:
        """However far the clock has moved; one that a test had leave stays away."""
        life = update(WorkerLife).where(WorkerLife.id == ALWAYS_THERE)
        self.database.execute_autocommit(life.values(seen_at=now).returning(WorkerLife.id), {})

    # What happens to an order

    def scan(self, order_id: str = "", device: str = DEVICE) -> str:
        """A buyer scans; the order's id."""
        if self.opens_again:
            self.database.transact(closing.poured_a_test_cup, device, "latte", "", self.now)
        scan = Scan(order_id or f"ord-{next(self._ids)}", device, "latte", 1)
        return self.database.transact(open_order, scan, "ru", self.rules, self.now).id

    def start(self, order_id: str, account: Account = HOLD) -> str:
        """The buyer presses "pay"; the payment's id."""
        payment_id = f"p{next(self._ids)}-{order_id}"[:32]
        payment, is_new = self.database.transact(paying.start_payment, order_id, account, payment_id, self.now)
        if is_new:
            [create] = [row for row in self.rows(order_id, Task.CREATE) if row.subject == payment.id]
            self.in_docket(order_id, order_tasks.settle_task, create.key, "", "done", self.now)
        return payment.id

    def tell(self, payment_id: str, state: PaymentState, **more: Any) -> None:
        """The provider says how the payment stands; `refunds` of it, kopecks by id, where they are told as well."""
        refunds = more.pop("refunds", None)
        captured = PRICE if state is PaymentState.CAPTURED else 0
        told: dict[str, Any] = {"provider_payment_id": f"yk-{payment_id}", "captured": captured}
        answer = PaymentAnswer(state=state, **(told | more))
        self.database.transact(paying.record_payment_answer, payment_id, answer, self.rules, self.now, refunds)

    def somebody_waits(self) -> bool:
        """For a lock of PostgreSQL's."""
        with self.database.read() as session:
            return bool(session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))

    def money_back(self, order_id: str) -> Return | None:
        """The return of an order's money, as its buyer's page tells it."""
        view = OrderReader(self.database).find(order_id)
        assert view is not None
        return view.money_back

    def refunded(self, payment_id: str, refund_id: str = "rf-1", amount: int = PRICE) -> None:
        """A refund succeeded at the provider."""
        self.database.transact(paying.record_refund_succeeded, payment_id, refund_id, amount, self.now)

    def pay(self, order_id: str = "", account: Account = HOLD) -> str:
        """A paid order, its command on its way; the order's id."""
        order_id = self.scan(order_id)
        payment_id = self.start(order_id, account)
        self.tell(payment_id, PaymentState.PENDING)
        self.tell(payment_id, PaymentState.HELD if account is HOLD else PaymentState.CAPTURED)
        return order_id

    def in_docket(self, order_id: str, act: Callable[..., T], *facts: Any, **more: Any) -> T:
        """What a use case does with an open locked, alone in a transaction."""
        return self.database.transact(lambda tx: act(lock_order(tx, order_id), *facts, **more))

    def publish(self, order_id: str) -> None:
        self.database.transact(publish, order_id, self.command(order_id).id, self.rules, self.now)

    def accept(self, order_id: str, device: str = DEVICE) -> None:
        said = Accepted(message_id="a", command_id=self.command(order_id).id, order_id=order_id, at=self.now)
        self.database.transact(making.record_acceptance, device, said, self.rules, self.now)

    def progress(self, order_id: str, stage: Stage, pct: int) -> None:
        said = Progress(command_id=self.command(order_id).id, order_id=order_id, stage=stage, pct=pct)
        self.database.transact(making.record_progress, DEVICE, said, self.rules, self.now)

    def report(
        self, order_id: str, result: Result, code: str = "", out: Spout = Spout.UNKNOWN, revision: int = 1,
        device: str = DEVICE, phase: Phase | None = None,
    ) -> None:  # fmt: skip
        """The machine says what happened."""
        said = Outcome(
            message_id=f"o{revision}", command_id=self.command(order_id).id, order_id=order_id, result=result,
            code=code, out=out, revision=revision, at=self.now, evidence=Evidence(rule="said so", phase=phase),
        )  # fmt: skip
        self.database.transact(making.record_outcome, device, said, self.rules, self.now)

    def wait(self, seconds: float) -> None:
        """Time passes, and the deadlines are looked at."""
        Deadlines(self.database, self.rules).step(self.clock.advance(seconds))

    def bring_to(self, status: Status, account: Account = HOLD) -> str:
        """An order in any status; its id."""
        if status is Status.FAILED:
            order_id = self.scan()
            self.wait(self.rules.order_expiration_s + 1)
            return order_id
        if status in {Status.CREATED, Status.PENDING, Status.NOT_PAID, Status.MANUAL_MAKE}:
            return self._before_pouring(status, account)
        order_id = self.pay(account=account)
        if status is not Status.PAID:
            self.publish(order_id)
        if status is Status.SUCCESSFUL:
            self.report(order_id, Result.DONE)
        if status is Status.MAKE_FAILED:
            self.report(order_id, Result.REJECTED, "no_water")
        return order_id

    def _before_pouring(self, status: Status, account: Account) -> str:
        order_id = self.scan()
        if status is Status.CREATED:
            return order_id
        payment_id = self.start(order_id, account)
        self.tell(payment_id, PaymentState.PENDING)
        if status is Status.NOT_PAID:
            self.tell(payment_id, PaymentState.CANCELED, cancel_reason="insufficient_funds")
        if status is Status.MANUAL_MAKE:
            self.clock.advance(self.rules.fast_track_s + 1)
            self.tell(payment_id, PaymentState.HELD if account is HOLD else PaymentState.CAPTURED)
        return order_id

    # What the database says

    def order(self, order_id: str) -> Order:
        with self.database.read() as session:
            return session.get_one(Order, order_id)

    def status(self, order_id: str) -> str:
        return self.order(order_id).status

    def command(self, order_id: str) -> MakeCommand:
        """The latest command of an order."""
        return self.commands(order_id)[-1]

    def commands(self, order_id: str) -> list[MakeCommand]:
        with self.database.read() as session:
            found = select(MakeCommand).where(MakeCommand.order_id == order_id).order_by(MakeCommand.attempt)
            return list(session.scalars(found))

    def payment(self, order_id: str) -> Payment:
        """The latest payment of an order."""
        with self.database.read() as session:
            found = select(Payment).where(Payment.order_id == order_id).order_by(Payment.started_at.desc(), Payment.id)
            return session.scalars(found).first()  # type: ignore[return-value]  # only asked of orders that have one

    def rows(self, order_id: str, *tasks: Task) -> list[OutboxRow]:
        """The order's promises, oldest first; of these tasks only when any are named."""
        with self.database.read() as session:
            found = select(OutboxRow).where(OutboxRow.order_id == order_id).order_by(OutboxRow.id)
            return [row for row in session.scalars(found) if not tasks or Task(row.task) in tasks]

    def open_tasks(self, order_id: str, *tasks: Task) -> list[str]:
        """The names of the order's unsettled tasks."""
        return [row.task for row in self.rows(order_id, *tasks) if row.settled_at is None]

    def history(self, order_id: str) -> list[OrderChange]:
        with self.database.read() as session:
            found = select(OrderChange).where(OrderChange.order_id == order_id).order_by(OrderChange.id)
            return list(session.scalars(found))

    def ledger(self, order_id: str) -> dict[str, int]:
        """Kopecks by kind of movement; attempts that moved nothing left out."""
        moved = Movement.kind.in_(MOVED)
        with self.database.read() as session:
            sums = select(Movement.kind, func.sum(Movement.amount)).where(Movement.order_id == order_id, moved)
            return {kind: int(total) for kind, total in session.execute(sums.group_by(Movement.kind))}


@contextmanager
def a_world(url: str) -> Iterator[World]:
    """A world in the database at `url`, closed at the end."""
    database = Database(url, patience_s=0)  # what is stepped by hand is written at once
    try:
        yield World(database).found()
    finally:
        database.close()


def publish(tx: Transaction, order_id: str, command_id: str, rules: OrderLimits, now: datetime) -> None:
    """The broker has taken a make command, as the publisher notes it: both or nothing."""
    locked = lock_order(tx, order_id)
    [row] = [row for row in locked.tasks if (row.task, row.subject) == (Task.MAKE, command_id)]
    if row.settled_at is None:
        outbox.claim_row(row, Lease("publisher", 30.0), now)
        order_tasks.settle_task(locked, row.key, "publisher", "done", now)
    making.record_published(locked, locked.command(command_id), rules, now)
