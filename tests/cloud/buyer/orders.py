"""A fleet of two machines, and orders brought into every state by the same use cases that do it in life."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select

from cloud.buyer import reservation
from cloud.database.database import Database
from cloud.database.transaction import Transaction
from cloud.fleet import probes
from cloud.fleet.models import Credential, Device, DeviceLive, Drink, Merchant
from cloud.orders import making, operator_actions, paying, scanning
from cloud.orders.models import MakeCommand, Order, Payment
from cloud.orders.money import PaymentAnswer, PaymentState
from cloud.orders.order_limits import OrderLimits
from cloud.orders.outbox import OutboxRow
from cloud.orders.paying import Account
from cloud.orders.scanning import Scan
from cloud.orders.tasks import DONE, RETURNS
from protocol.messages import Accepted, Outcome, Progress
from protocol.reasons import Result, Spout, Stage
from tests.cloud.worlds import publish

RULES = OrderLimits()
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
DEVICE = "m-001"
PRICE = 17900


class TestClock:
    """A clock that stands until it is told."""

    __test__ = False

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Orders:
    """Brings orders where a test wants them."""

    def __init__(self, database: Database, clock: TestClock) -> None:
        self.database = database
        self.clock = clock
        database.transact(_fleet)

    # The fleet

    def change_device(self, **fields: Any) -> None:
        def work(tx: Transaction) -> None:
            device = tx.session.get_one(Device, DEVICE)
            for name, value in fields.items():
                setattr(device, name, value)

        self.database.transact(work)

    def change_merchant(self, **fields: Any) -> None:
        def work(tx: Transaction) -> None:
            merchant = tx.session.get_one(Merchant, "north")
            for name, value in fields.items():
                setattr(merchant, name, value)

        self.database.transact(work)

    def machine_says(self, online: bool = True, **state: Any) -> None:
        whole = {"link": "up", "machine": "ready", "selling": True, "faults": [], **state}

        def work(tx: Transaction) -> None:
            tx.session.merge(DeviceLive(device_uuid=DEVICE, online=online, state=whole))

        self.database.transact(work)

    def answers_probes(self, drink_no: str, code: str = "") -> None:
        """The machine has been asked about this drink, and answers now."""

        def work(tx: Transaction) -> None:
            probe = probes.ask(tx, DEVICE, drink_no, 1, f"probe-{drink_no}-{self.clock():%H%M%S%f}", self.clock())
            probes.claim(tx, self.clock())
            probes.answered(tx, DEVICE, probe.probe_id, code, self.clock())

        self.database.transact(work)

    def reserves(self, order_id: str) -> None:
        """Its buyer has pressed "pay" on the page."""
        assert (
            self.database.transact(
                reservation.reserve, DEVICE, order_id, self.clock(), reservation.Presser("a phone", 1)
            )
            is None
        )

    def usual_cups(self, seconds: float) -> None:
        """Three cups, each done in so many seconds: enough to say how long the next takes."""
        for number in range(3):
            order_id = f"earlier-{number}"
            self.accepted(order_id)
            self.clock.forward(seconds)
            self.outcome(order_id, Result.DONE, out=Spout.FULL)

    # The order

    def created(self, order_id: str = "o-1", drink_no: str = "cappuccino", size: int = 1) -> str:
        scan = Scan(order_id, DEVICE, drink_no, size)
        self.database.transact(scanning.open_order, scan, "ru", RULES, self.clock())
        return order_id

    def pending(self, order_id: str = "o-1") -> str:
        self.created(order_id)
        return self.pay_again(order_id)

    def pay_again(self, order_id: str) -> str:
        account = Account("Yookassa", "100500", "on_dispense", "polling")
        payment_id = f"p{len(self.payments(order_id))}-{order_id}"[:32]
        self.database.transact(paying.start_payment, order_id, account, payment_id, self.clock())
        self.answered(order_id, PaymentState.PENDING, confirmation_url="https://pay.example.org/1")
        return order_id

    def not_paid(self, order_id: str = "o-1", why: str = "insufficient_funds") -> str:
        self.pending(order_id)
        self.answered(order_id, PaymentState.CANCELED, cancel_reason=why)
        return order_id

    def expired(self, order_id: str = "o-1") -> str:
        self.created(order_id)
        self.clock.forward(RULES.order_expiration_s + 1)
        self.database.transact(making.handle_deadline, order_id, RULES, self.clock())
        return order_id

    def failed(self, order_id: str = "o-1") -> str:
        self.pending(order_id)
        self.answered(order_id, PaymentState.CAPTURED, captured=100, method="bank_card", problem="amount")
        return order_id

    def returned_before(self, order_id: str = "o-1") -> str:
        """Given back in the cabinet before we heard that it was paid."""
        self.pending(order_id)
        told = {"captured": PRICE, "refunded": PRICE, "method": "bank_card"}
        self.answered(order_id, PaymentState.CAPTURED, {"r-1": PRICE}, **told)
        return order_id

    def paid(self, order_id: str = "o-1", method: str = "bank_card", hold: bool = False) -> str:
        self.pending(order_id)
        if hold:
            self.answered(order_id, PaymentState.HELD, method=method)
        else:
            self.answered(order_id, PaymentState.CAPTURED, captured=PRICE, method=method)
        return order_id

    def manual_make(self, order_id: str = "o-1") -> str:
        self.pending(order_id)
        self.clock.forward(RULES.fast_track_s + 1)
        self.answered(order_id, PaymentState.CAPTURED, captured=PRICE, method="sbp")
        return order_id

    def sent(self, order_id: str = "o-1", **paid: Any) -> str:
        self.paid(order_id, **paid)
        self.database.transact(publish, order_id, self.command(order_id).id, RULES, self.clock())
        return order_id

    def accepted(self, order_id: str = "o-1", **paid: Any) -> str:
        self.sent(order_id, **paid)
        said = Accepted(message_id="a", command_id=self.command(order_id).id, order_id=order_id, at=self.clock())
        self.database.transact(making.record_acceptance, DEVICE, said, RULES, self.clock())
        return order_id

    def progress(self, order_id: str, stage: Stage, pct: int) -> str:
        said = Progress(command_id=self.command(order_id).id, order_id=order_id, stage=stage, pct=pct)
        self.database.transact(making.record_progress, DEVICE, said, RULES, self.clock())
        return order_id

    def making(self, order_id: str = "o-1", stage: Stage = Stage.BREW, pct: int = 55) -> str:
        self.accepted(order_id)
        return self.progress(order_id, stage, pct)

    def outcome(self, order_id: str, result: Result, code: str = "", out: Spout = Spout.NONE, revision: int = 1) -> str:
        said = Outcome(
            message_id="m", command_id=self.command(order_id).id, order_id=order_id, result=result, code=code,
            out=out, revision=revision, at=self.clock(),
        )  # fmt: skip
        self.database.transact(making.record_outcome, DEVICE, said, RULES, self.clock())
        return order_id

    def successful(self, order_id: str = "o-1") -> str:
        self.making(order_id)
        return self.outcome(order_id, Result.DONE, out=Spout.FULL)

    def make_failed(self, order_id: str = "o-1", code: str = "no_milk", **paid: Any) -> str:
        self.accepted(order_id, **paid)
        return self.outcome(order_id, Result.REJECTED, code)

    def uncertain(self, order_id: str = "o-1") -> str:
        self.making(order_id)
        return self.outcome(order_id, Result.UNKNOWN)

    def seen_poured(self, order_id: str = "o-1") -> str:
        self.uncertain(order_id)
        self.database.transact(operator_actions.keep_money, order_id, "anna@north.example", "looked", self.clock())
        return order_id

    def never_answered(self, order_id: str = "o-1") -> str:
        self.sent(order_id)
        self.clock.forward(RULES.ack_timeout_s + 1)
        self.database.transact(making.handle_deadline, order_id, RULES, self.clock())
        return order_id

    def not_collected(self, order_id: str = "o-1") -> str:
        self.manual_make(order_id)
        self.clock.forward(RULES.manual_make_s + 1)
        self.database.transact(making.handle_deadline, order_id, RULES, self.clock())
        return order_id

    # The money

    def returned(self, order_id: str) -> str:
        """The provider has given the money back, and we have heard of it."""
        payment = self.payments(order_id)[-1]
        self.return_ends(order_id, DONE)
        if payment.captured:
            self.database.transact(paying.record_refund_succeeded, payment.id, "r-1", payment.captured, self.clock())
        else:
            self.answered(order_id, PaymentState.CANCELED)
        return order_id

    def return_ends(self, order_id: str, verdict: str) -> None:
        """The call that was to give the money back has come to this."""
        self.database.transact(_settle_returns, order_id, verdict, self.clock())

    def payments(self, order_id: str) -> list[Payment]:
        with self.database.read() as session:
            found = select(Payment).where(Payment.order_id == order_id).order_by(Payment.started_at)
            return list(session.scalars(found))

    def command(self, order_id: str) -> MakeCommand:
        with self.database.read() as session:
            newest = MakeCommand.attempt.desc()
            return session.scalars(select(MakeCommand).where(MakeCommand.order_id == order_id).order_by(newest)).all()[
                0
            ]

    def order(self, order_id: str) -> Order:
        with self.database.read() as session:
            return session.get_one(Order, order_id)

    def answered(
        self, order_id: str, state: PaymentState, refunds: Mapping[str, int] | None = None, **more: Any
    ) -> None:
        payment = self.payments(order_id)[-1]
        told = replace(PaymentAnswer(state, f"yk-{payment.id}"), **more)
        self.database.transact(paying.record_payment_answer, payment.id, told, RULES, self.clock(), refunds)


def _settle_returns(tx: Transaction, order_id: str, verdict: str, now: datetime) -> None:
    returns = select(OutboxRow).where(OutboxRow.order_id == order_id, OutboxRow.task.in_(RETURNS))
    for row in tx.session.scalars(returns):
        if row.settled_at is None:
            row.attempts, row.first_tried_at, row.settled_at, row.verdict = 1, now, now, verdict
    assert tx.session.scalars(select(OutboxRow).where(OutboxRow.order_id == order_id)).all()


def _fleet(tx: Transaction) -> None:
    tx.session.add(Merchant(id="north", name="ООО Север"))
    tx.session.flush()
    for scenario in ("Yookassa", "YookassaReceipt"):
        tx.session.add(Credential(merchant_id="north", scenario=scenario, account_id="100500", secret="locked"))
    tx.session.add(
        Device(device_uuid=DEVICE, merchant_id="north", location="Невский проспект, 1, 2 этаж",
               payment_scenario="Yookassa")
    )  # fmt: skip
    tx.session.flush()
    for position, (drink_no, name, prices) in enumerate(
        (
            ("cappuccino", "Капучино", (14900, PRICE, 20950)),
            ("espresso", "Эспрессо", (9900, None, None)),
            ("latte", "Латте с карамелью и морской солью", (16900, 19900, 22900)),
        )
    ):
        small, medium, large = prices
        tx.session.add(
            Drink(device_uuid=DEVICE, drink_no=drink_no, name=name, position=position, price_small=small,
                  price_medium=medium, price_large=large)
        )  # fmt: skip
