"""One order with everything that can happen to it, in any order: the promises hold at every step and at the end.

Real database, workflow, call worker, status poller, publisher; small provider, machine, broker; a clock moved by hand.
"""

import json
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select

from cloud.background.loops import ThreadPool
from cloud.courier.publisher import Publisher
from cloud.database.database import Database
from cloud.orders import making, paying
from cloud.orders.models import MakeCommand, Order, Payment
from cloud.orders.paying import NotPayable
from cloud.orders.states import FINAL, Status
from cloud.orders.tasks import LANE_OF, Lane, Task
from cloud.payments import inbox
from cloud.payments.call_worker import CallWorker
from cloud.payments.facts import RefundStatus
from cloud.payments.provider import CaptureMode, Shop
from cloud.payments.provider_clients import ProviderClients
from cloud.payments.status_poller import StatusPoller
from cloud.payments.yookassa.notification import parse_notification
from protocol.messages import Accepted, Message, Outcome
from protocol.reasons import Result
from tests.cloud import migrated
from tests.cloud.orders.small_machine import SmallBroker, SmallMachine
from tests.cloud.orders.small_provider import Purse, SmallProvider
from tests.cloud.worlds import ACCOUNT, DEVICE, HOLD, ONE_STAGE, PRICE, World, a_world

ORDER = "ord-1"
LONGEST_END = 400


@cache
def founded() -> bytes:
    """A database with tables and fleet, made once."""
    with tempfile.TemporaryDirectory() as folder:
        with a_world(f"sqlite:///{folder}/made.db"):
            pass
        return Path(folder, "made.db").read_bytes()


class Life(RuleBasedStateMachine):
    """One order's life."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="coffee-life-"))
        (self.folder / "coffee.db").write_bytes(founded())
        self.database = Database(f"sqlite:///{self.folder}/coffee.db")
        migrated.spare_the_disk(self.database)
        self.world = World(self.database)
        self.clock = self.world.clock

    @initialize(hold=st.booleans(), stage=st.sampled_from([3, 4, 2, 1, 0]))
    def begin(self, hold: bool, stage: int) -> None:
        """Begin anywhere on the way to a sent command, so that not every life must find that way by chance."""
        world, clock = self.world, self.clock
        self.account = HOLD if hold else ONE_STAGE
        mode = CaptureMode.ON_DISPENSE if hold else CaptureMode.IMMEDIATE
        self.provider = SmallProvider(Shop(ACCOUNT, "s", mode), hold, clock)
        self.machine, self.broker = SmallMachine(clock), SmallBroker()
        client: Any = self.provider  # a `Provider` as far as it is used
        shops = ProviderClients(self.database, world.vault, lambda _shop, _scenario: client, lambda: world.now)
        self.call_worker = CallWorker(
            self.database, shops, world.rules, "http://x", "c", ThreadPool("c", 0), lambda: 0.0, clock
        )
        self.poller = StatusPoller(self.database, shops, world.rules, ThreadPool("r", 0), lambda: 0.0, clock)
        self.publisher = Publisher(self.database, self.broker, world.rules, "p", clock)  # type: ignore[arg-type]  # as far as it is used
        self.told: list[Message] = []
        world.scan(ORDER)
        for step in [self.open_page, self.pay_page, self.the_poller_works, self.the_publisher_works][:stage]:
            step()

    def open_page(self) -> None:
        self.start_unsettled()
        self.the_call_worker_works()

    def pay_page(self) -> None:
        self.provider.pay(self.shown()[0])
        self.clock.advance(2)

    # The buyer

    @rule()
    def press_pay(self) -> None:
        pending = [p for p in self.payments() if p.live]
        try:
            self.start_unsettled()
        except NotPayable:
            assert self.status() not in {Status.CREATED, Status.NOT_PAID} or self.clock() >= self.order().expires_at
        else:
            assert len([p for p in self.payments() if p.live]) == 1, pending

    @precondition(lambda self: self.shown())
    @rule(data=st.data())
    def buyer_pays(self, data: st.DataObject) -> None:
        self.provider.pay(data.draw(st.sampled_from(self.shown())))

    @precondition(lambda self: self.shown())
    @rule(data=st.data())
    def bank_declines(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.shown())).state = "canceled"

    @rule()
    def buyer_asks_to_pour(self) -> None:
        try:
            self.database.transact(making.pour_now, ORDER, "buyer", self.world.rules, self.clock())
        except making.NotPourable:
            assert self.status() is not Status.MANUAL_MAKE

    # The provider, its messages, and people in its cabinet

    @rule(faults=st.lists(st.sampled_from(["", "not_sent", "lost_before", "lost_after"]), max_size=3))
    def the_provider_is_shaky(self, faults: list[str]) -> None:
        self.provider.faults.extend(faults)

    @rule(how=st.sampled_from([RefundStatus.SUCCEEDED, RefundStatus.PENDING, RefundStatus.CANCELED]))
    def refunds_will_end_as(self, how: RefundStatus) -> None:
        self.provider.refunds_end_as = how

    @rule(how=st.sampled_from([RefundStatus.SUCCEEDED, RefundStatus.CANCELED]))
    def refunds_under_way_end(self, how: RefundStatus) -> None:
        self.provider.settle_refunds(how)

    @precondition(lambda self: self.purses())
    @rule(data=st.data(), event_name=st.sampled_from(["succeeded", "canceled", "waiting_for_capture", "forged"]))
    def a_webhook_comes(self, data: st.DataObject, event_name: str) -> None:
        purse = data.draw(st.sampled_from(self.purses()))
        self.notified(f"payment.{event_name}", purse.id)

    @precondition(lambda self: self.purses())
    @rule(data=st.data())
    def someone_refunds_in_the_cabinet(self, data: st.DataObject) -> None:
        purse = data.draw(st.sampled_from(self.purses()))
        self.provider.refund_in_cabinet(purse)
        self.notified("refund.succeeded", f"r-{purse.id}", payment_id=purse.id)

    @precondition(lambda self: any(purse.state == "held" for purse in self.purses()))
    @rule(data=st.data(), how=st.sampled_from(["captured", "canceled"]))
    def someone_ends_a_hold_in_the_cabinet(self, data: st.DataObject, how: str) -> None:
        purse = data.draw(st.sampled_from([purse for purse in self.purses() if purse.state == "held"]))
        purse.state, purse.captured = how, purse.amount if how == "captured" else 0
        self.notified(f"payment.{how}", purse.id)

    # The broker and the machine

    @rule(
        answer=st.sampled_from([0, 0, 0, 16, 0x97, 0x87, -1]),
        delivers=st.booleans(),
        connected=st.sampled_from([True, True, False]),
    )
    def the_broker_will(self, answer: int, delivers: bool, connected: bool) -> None:
        if connected and not self.broker.connected:
            self.broker.connections += 1
        self.broker.answer, self.broker.delivers, self.broker.connected = answer, delivers, connected

    @rule(plan=st.sampled_from(Result))
    def the_machine_will(self, plan: Result) -> None:
        self.machine.plan = plan

    @precondition(lambda self: self.broker.waiting)
    @rule(again=st.booleans())
    def a_command_arrives(self, again: bool) -> None:
        payload = self.broker.waiting[0] if again else self.broker.waiting.pop(0)
        self.machine.take(payload)

    @precondition(lambda self: self.machine.reports)
    @rule(data=st.data())
    def a_report_arrives(self, data: st.DataObject) -> None:
        """Perhaps again, perhaps before an older one."""
        self.hear(data.draw(st.sampled_from(self.machine.reports)))

    @rule()
    def the_machine_remembers(self) -> None:
        self.machine.reveal(ORDER)

    # Our own loops, and time

    @rule()
    def the_call_worker_works(self) -> None:
        self.call_worker.step(self.clock())

    @rule()
    def the_poller_works(self) -> None:
        self.poller.step(self.clock())

    @rule()
    def the_publisher_works(self) -> None:
        self.publisher.step(self.clock())

    @rule(again=st.booleans())
    def everybody_works(self, again: bool) -> None:
        for _ in range(1 + again):
            self.the_call_worker_works()
            self.the_poller_works()
            self.the_publisher_works()

    @rule(seconds=st.sampled_from([2, 0.5, 5, 31, 61, 76, 301, 901, 1801]), looked=st.booleans())
    def time_passes(self, seconds: float, looked: bool) -> None:
        if looked:
            self.world.wait(seconds)
        else:
            self.clock.advance(seconds)

    # What always holds

    @invariant()
    def at_most_one_live_command_and_one_cup(self) -> None:
        if hasattr(self, "machine"):
            assert len([command for command in self.world.commands(ORDER) if command.live]) <= 1
            assert self.machine.cups <= 1

    @invariant()
    def nobody_pays_twice_or_gets_more_back_than_was_paid(self) -> None:
        if hasattr(self, "provider"):
            at_stake = [purse for purse in self.purses() if purse.state in {"held", "captured"} and purse.refunded == 0]
            assert len(at_stake) <= 1, "charged twice"
            for purse in self.purses():
                assert 0 <= purse.refunded + purse.refunding <= purse.captured

    @invariant()
    def ready_is_the_machines_word(self) -> None:
        if hasattr(self, "machine") and self.status() is Status.SUCCESSFUL:
            assert self.machine.cups == 1

    @invariant()
    def the_ledger_is_the_payments(self) -> None:
        if hasattr(self, "provider"):
            ledger = self.world.ledger(ORDER)
            assert ledger.get("captured", 0) == sum(p.captured for p in self.payments())
            assert ledger.get("refunded", 0) == sum(p.refunded for p in self.payments())
            assert ledger.get("captured", 0) - ledger.get("refunded", 0) in {0, PRICE}

    @invariant()
    def whoever_waits_will_be_moved(self) -> None:
        if hasattr(self, "provider"):
            order = self.order()
            if Status(order.status) in FINAL:
                return
            creating = [row for row in self.world.rows(ORDER, Task.CREATE) if row.settled_at is None]
            assert order.due_at is not None or creating or any(p.next_check_at for p in self.payments())

    def teardown(self) -> None:
        try:
            if hasattr(self, "provider"):
                self.come_to_an_end()
                self.check_the_end()
        finally:
            self.database.close()
            shutil.rmtree(self.folder)

    # How it ends

    def come_to_an_end(self) -> None:
        """The world is well again and time goes on, until nobody has anything left to do."""
        self.provider.faults.clear()
        self.provider.refunds_end_as = RefundStatus.SUCCEEDED
        self.broker.answer, self.broker.delivers, self.broker.connected = 0, True, True
        self.broker.connections += 1
        for _ in range(LONGEST_END):
            for purse in self.provider.open_purses():
                if self.clock().timestamp() % 7200 > 3600:
                    purse.state = "canceled"
            self.provider.settle_refunds(RefundStatus.SUCCEEDED)
            self.call_worker.step(self.clock())
            self.poller.step(self.clock())
            self.publisher.step(self.clock())
            while self.broker.waiting:
                self.machine.take(self.broker.waiting.pop(0))
            self.machine.reveal(ORDER)
            for report in self.machine.reports:
                self.hear(report)
            self.world.wait(37)
            if self.is_quiet():
                return
        raise AssertionError(f"never comes to rest: {self.order().status}, {self.world.promised(ORDER)}")

    def is_quiet(self) -> bool:
        order = self.order()
        waits = Status(order.status) not in FINAL or order.due_at or order.return_after
        return not (waits or self.world.promised(ORDER) or any(p.next_check_at for p in self.payments()))

    def check_the_end(self) -> None:
        order = self.order()
        status = Status(order.status)
        assert (status is Status.SUCCESSFUL) is (self.machine.cups == 1), "the books know about the cup"
        by_id = {payment.provider_payment_id: payment for payment in self.payments()}
        for purse in self.purses():
            assert purse.state in {"captured", "canceled"}, "nothing is left frozen"
            booked = by_id.get(purse.id)
            if booked is not None and booked.state != "refused":
                assert (booked.state, booked.captured, booked.refunded) == (purse.state, purse.captured, purse.refunded)
        kept = sum(purse.net for purse in self.purses())
        assert kept == (PRICE if status is Status.SUCCESSFUL and not order.goodwill else 0)
        assert all(LANE_OF[Task(row.task)] in Lane for row in self.world.rows(ORDER))

    # Small words

    def start_unsettled(self) -> None:
        """As the checkout does, but the call is left to the call worker's loop."""
        number = len(self.payments()) + 1
        self.database.transact(paying.start_payment, ORDER, self.account, f"p{number}", self.clock())

    def hear(self, said: Message) -> None:
        rules, now = self.world.rules, self.clock()
        if isinstance(said, Accepted):
            self.database.transact(making.accepted, DEVICE, said, rules, now)
        elif isinstance(said, Outcome):
            self.database.transact(making.reported, DEVICE, said, rules, now)

    def order(self) -> Order:
        return self.world.order(ORDER)

    def status(self) -> Status:
        return Status(self.world.status(ORDER))

    def payments(self) -> list[Payment]:
        with self.database.read() as session:
            return list(session.scalars(select(Payment).where(Payment.order_id == ORDER)))

    def commands(self) -> list[MakeCommand]:
        return self.world.commands(ORDER)

    def notified(self, event: str, object_id: str, **more: str) -> None:
        told = {"id": object_id, "status": event.split(".")[1], "recipient": {"account_id": ACCOUNT}} | more
        notification = parse_notification(json.dumps({"event": event, "object": told}).encode())
        self.database.transact(inbox.receive, notification, self.clock())

    def purses(self) -> list[Purse]:
        return list(self.provider.purses.values()) if hasattr(self, "provider") else []

    def shown(self) -> list[Purse]:
        """The payments whose page the buyer has seen."""
        known = {payment.provider_payment_id for payment in self.payments()} if hasattr(self, "provider") else set()
        return [purse for purse in self.purses() if purse.state == "pending" and purse.id in known]


def live(examples: int, steps: int) -> None:
    checks: list[Any] = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=checks
        ),
    )


def test_whatever_happens_to_an_order_its_promises_hold() -> None:
    live(examples=25, steps=30)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_whatever_happens_to_an_order_for_long_its_promises_hold() -> None:
    live(examples=1500, steps=60)
