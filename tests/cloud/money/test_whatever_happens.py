"""Orders, payments, news, faults, persons and time in any order: at every step and at the end no kopeck is lost.

The cloud's whole money side and the provider's real rules in one process: a few stories always, `--long` for hundreds.
"""

import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

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

from cloud.orders import making, operator_actions
from cloud.orders.models import MakeCommand
from cloud.orders.order_limits import OrderLimits
from cloud.orders.scanning import NotForSale
from cloud.orders.states import Status
from protocol.reasons import Result, Spout
from simulator.yookassa.behaviour import Behaviour
from simulator.yookassa.instruments import DECLINED_CARDS
from simulator.yookassa.problems import Rejected
from simulator.yookassa.state import Payment as Theirs
from tests.cloud.money.market import ACCOUNTS, Market, a_market
from tests.cloud.money.truth import Truth, given_up, waiting_for_a_person
from tests.cloud.money.wire import Fate
from tests.cloud.worlds import PRICE, World

MAX_ORDERS = 4
ORDERS = st.integers(0, MAX_ORDERS - 1)
MERCHANTS = st.sampled_from(sorted(ACCOUNTS))
FATES = st.sampled_from([fate for fate in Fate if fate is not Fate.FORBIDDEN_AFTER])
"""A provider that does what it says it will not do is beyond us."""
DECLINED = DECLINED_CARDS[0].pan
JUMPS_S = [0, 2, 31, 61, 301, 901, 1801, 3700, 86_400, 25 * 3600.0, 6.5 * 86_400]


class Business(RuleBasedStateMachine):
    """Some orders of two merchants."""

    over_http: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="coffee-money-"))
        self.opened = a_market(self.folder, self.over_http, OrderLimits(uncertain_returns_a_day=1))
        self.market: Market = self.opened.__enter__()
        self.world: World = self.market.world
        self.truth = Truth()
        self.orders: list[str] = []
        self.at_machine: dict[str, bool | None] = {}
        """Commands (by order) that reached their machine: whether a cup was poured, None while nobody knows yet."""

    @initialize(
        captures=st.tuples(
            st.sampled_from(["on_dispense", "immediate"]), st.sampled_from(["on_dispense", "immediate"])
        ),
        checks=st.sampled_from(["polling", "webhook", "none"]),
        bought=st.sampled_from([1, 2, 0]),
        poured=st.sampled_from([True, False, None]),
    )
    def begin(self, captures: tuple[str, str], checks: str, bought: int, poured: bool | None) -> None:
        """Begin anywhere on the way to a cup, so that not every business must find that way by chance."""
        for merchant, capture in zip(sorted(ACCOUNTS), captures, strict=True):
            self.market.change_credential(merchant, capture=capture, status_check=checks)
        for number in range(bought):
            merchant = sorted(ACCOUNTS)[number % 2]
            self.orders.append(self.market.buys(f"ord-{number}", merchant))
            if poured is not None:
                self.a_drink_is_made_or_not(number, poured)

    # Buyers

    @precondition(lambda self: len(self.orders) < MAX_ORDERS)
    @rule(merchant=MERCHANTS)
    def a_buyer_scans(self, merchant: str) -> None:
        self.scanned(merchant)

    @precondition(lambda self: self.orders)
    @rule(which=ORDERS, times=st.sampled_from([1, 1, 2]))
    def a_buyer_presses_pay(self, which: int, times: int) -> None:
        """Again after a decline, too."""
        for _ in range(times):
            self.market.press(self.chosen(which))

    @precondition(lambda self: self.market.theirs())
    @rule(which=st.integers(0, 9), method=st.sampled_from(["bank_card", "sbp", "yoo_money"]), declined=st.booleans())
    def a_buyer_pays(self, which: int, method: str, declined: bool) -> None:
        with suppress(Rejected):
            self.market.yookassa.pay(
                self.their_id(which), DECLINED if declined and method == "bank_card" else "", method
            )

    @precondition(lambda self: self.orders)
    @rule(which=ORDERS, who=st.sampled_from(["buyer", "op@example.org"]))
    def somebody_pours_now(self, which: int, who: str) -> None:
        with suppress(making.NotPourable):
            self.market.database.transact(
                making.pour_now, self.chosen(which), who, self.world.rules, self.market.clock.now
            )

    @precondition(lambda self: len(self.orders) < MAX_ORDERS)
    @rule(merchant=MERCHANTS)
    def a_buyer_buys(self, merchant: str) -> None:
        """Without a hitch, as far as the wire allows."""
        order_id = self.scanned(merchant)
        if order_id and self.market.press(order_id).startswith("http"):
            self.market.yookassa.pay(self.market.provider_id(order_id))
            self.market.hint(self.market.provider_id(order_id))
            self.the_loops_work(seconds=0)

    # The provider, the wire between us, and persons in the cabinet

    @rule(fates=st.lists(FATES, min_size=1, max_size=4))
    def the_next_calls_go(self, fates: list[Fate]) -> None:
        self.market.wire.fates.extend(fates)

    @rule(fate=st.sampled_from([Fate.WELL, Fate.NOT_SENT, Fate.LOST_BEFORE, Fate.LOST_AFTER, Fate.ERROR_500_AFTER]))
    def from_now_on_calls_go(self, fate: Fate) -> None:
        self.market.wire.standing = fate

    @rule(
        refund_failure=st.sampled_from([None, "insufficient_funds", "general_decline"]),
        refund_delay=st.sampled_from([None, 0.0, 3600.0, 90_000.0]),
        declined_keeps_pending=st.booleans(),
        unknown_id_as_404=st.booleans(),
    )
    def the_provider_will(self, **how: Any) -> None:
        self.market.yookassa.behaviour = Behaviour(**how)

    @precondition(lambda self: self.market.theirs())
    @rule(which=st.integers(0, 9), amount=st.sampled_from([None, None, 100, 5000, PRICE - 50]))
    def somebody_refunds_in_the_cabinet(self, which: int, amount: int | None) -> None:
        with suppress(Rejected):
            refund = self.market.yookassa.provider.refund_in_cabinet(
                self.their_id(which, lambda there: there.refundable > 0), amount, "by hand"
            )
            self.truth.cabinet_refunds[refund.id] = refund.amount

    @precondition(lambda self: self.market.theirs())
    @rule(which=st.integers(0, 9), act=st.sampled_from(["capture", "cancel"]))
    def somebody_ends_a_hold_in_the_cabinet(self, which: int, act: str) -> None:
        self.market.in_cabinet(self.their_id(which, lambda there: there.held > 0), act)

    # Notifications

    @rule(keep=st.booleans(), last=st.booleans())
    def a_notification_arrives(self, keep: bool, last: bool) -> None:
        """Perhaps again and again, perhaps a newer one before an older one."""
        self.market.collect_letters()
        if self.market.letters:
            body = self.market.letters[-1 if last else 0]
            assert self.market.notify(body) == 200
            if not keep:
                self.market.letters.remove(body)

    @rule()
    def notifications_are_lost(self) -> None:
        self.market.collect_letters()
        self.market.letters.clear()

    @precondition(lambda self: self.market.theirs())
    @rule(
        which=st.integers(0, 9),
        lie=st.sampled_from(["succeeded", "canceled", "waiting_for_capture", "pending", "nonsense"]),
        account=st.sampled_from([*ACCOUNTS.values(), "666"]),
        known=st.booleans(),
    )
    def a_forged_notification_arrives(self, which: int, lie: str, account: str, known: bool) -> None:
        before = self.stand()
        assert self.market.hint(self.their_id(which) if known else f"2d-unknown-{which}", lie, account) == 200
        assert self.stand() == before, "a notification is a hint and no more"

    # Machines

    @precondition(lambda self: self.orders)
    @rule(which=ORDERS, reaches=st.booleans())
    def a_command_is_sent(self, which: int, reaches: bool) -> None:
        order_id = self.chosen(which)
        command = self.live_command(order_id)
        if command is not None and command.published_at is None and self.market.clock.now < command.deadline_at:
            self.world.publish(order_id)
            if reaches:
                self.at_machine.setdefault(order_id, None)

    @precondition(lambda self: self.at_machine)
    @rule(which=ORDERS, pours=st.booleans())
    def a_machine_works(self, which: int, pours: bool) -> None:
        order_id = self.chosen(which)
        if self.at_machine.get(order_id, False) is None:
            in_time = self.market.clock.now < self.world.command(order_id).deadline_at
            self.at_machine[order_id] = pours and in_time
            if pours and in_time:
                self.truth.poured.add(order_id)

    @precondition(lambda self: self.at_machine)
    @rule(which=ORDERS, truth=st.booleans())
    def a_machine_reports(self, which: int, truth: bool) -> None:
        """At once, late, after saying that it does not know, or again."""
        order_id = self.chosen(which)
        poured = self.at_machine.get(order_id)
        if poured is None:
            return
        device, revision = self.world.order(order_id).device_uuid, 2 if truth else 1
        if not truth:
            self.world.report(order_id, Result.UNKNOWN, "power_lost", revision=revision, device=device)
        elif poured:
            self.world.report(order_id, Result.DONE, revision=revision, device=device)
        else:
            self.world.report(order_id, Result.REJECTED, "no_water", Spout.NONE, revision=revision, device=device)

    @precondition(lambda self: self.orders)
    @rule(which=ORDERS, pours=st.booleans())
    def a_drink_is_made_or_not(self, which: int, pours: bool) -> None:
        """Without a hitch."""
        order_id = self.chosen(which, lambda order_id: self.live_command(order_id) is not None)
        number = self.orders.index(order_id)
        self.a_command_is_sent(number, reaches=True)
        self.a_machine_works(number, pours)
        self.a_machine_reports(number, truth=True)

    # Operators

    @precondition(lambda self: self.orders)
    @rule(which=ORDERS, kopecks=st.sampled_from([3000, 5000, None, 1, PRICE - 50]))
    def an_operator_returns_money(self, which: int, kopecks: int | None) -> None:
        order_id = self.chosen(which, lambda order_id: self.world.status(order_id) == Status.SUCCESSFUL)
        poured = self.world.status(order_id) == Status.SUCCESSFUL
        with suppress(operator_actions.NotReturnable):
            promised = self.market.database.transact(
                operator_actions.give_back, order_id, kopecks, "op@example.org", "sour", self.market.clock.now
            )
            self.truth.decided[order_id] += promised if poured else 0

    @rule(merchant=MERCHANTS, how=st.sampled_from(["removed", "mistyped", "another_account", "right", "right"]))
    def somebody_changes_a_credential(self, merchant: str, how: str) -> None:
        self.market.spoil_credential(merchant, how)

    # Our own loops, and time

    @rule(seconds=st.sampled_from([0, 0, 2, 61]))
    def the_loops_work(self, seconds: float) -> None:
        self.market.work(seconds)

    @rule()
    def the_other_worker_takes_over(self) -> None:
        self.market.at_work = 1 - self.market.at_work

    @rule(seconds=st.sampled_from(JUMPS_S), looked=st.booleans())
    def time_passes(self, seconds: float, looked: bool) -> None:
        self.market.clock.advance(seconds)
        if looked:
            self.market.deadlines.step(self.market.clock.now)

    # What always holds

    @invariant()
    def every_promise_holds(self) -> None:
        broken = self.truth.at_every_step(self.market)
        assert not broken, broken

    def teardown(self) -> None:
        try:
            self.come_to_an_end()
            broken = self.truth.at_the_end(self.market)
            assert not broken, broken
        finally:
            self.opened.__exit__(None, None, None)
            shutil.rmtree(self.folder)

    def come_to_an_end(self) -> None:
        self.market.yookassa.behaviour = Behaviour()
        self.market.end()
        for order_id in waiting_for_a_person(self.market):  # and the person decides
            with suppress(operator_actions.NotReturnable):
                self.market.database.transact(
                    operator_actions.give_back, order_id, None, "op@example.org", "nobody knows", self.market.clock.now
                )
        self.market.end()
        for order_id in given_up(self.market):
            self.a_person_ends_it_in_the_cabinet(order_id)
        self.market.end()

    def a_person_ends_it_in_the_cabinet(self, order_id: str) -> None:
        order = self.world.order(order_id)
        poured = order.status == Status.SUCCESSFUL
        for there in self.market.theirs(order_id):
            if there.held:
                self.market.in_cabinet(there.id, "capture" if poured else "cancel")
            owed = order.given_back - there.refunded if poured else there.refundable
            if there.captured and owed > 0:
                refund = self.market.yookassa.provider.refund_in_cabinet(there.id, owed, "by hand")
                self.truth.cabinet_refunds[refund.id] = refund.amount

    # Small words

    def scanned(self, merchant: str) -> str:
        """A new order's id; "" when the machine sells nothing now."""
        with suppress(NotForSale):
            self.orders.append(self.market.scan(f"ord-{len(self.orders)}", merchant))
            return self.orders[-1]
        return ""

    def chosen(self, which: int, fits: Callable[[str], bool] = lambda order_id: True) -> str:
        """An order, one that fits if there is any."""
        likely = [order_id for order_id in self.orders if fits(order_id)] or self.orders
        return likely[which % len(likely)]

    def their_id(self, which: int, fits: Callable[[Theirs], bool] = lambda there: True) -> str:
        """A payment at the provider, one that fits if there is any."""
        theirs = self.market.theirs()
        likely = [there for there in theirs if fits(there)] or theirs
        return likely[which % len(likely)].id

    def live_command(self, order_id: str) -> MakeCommand | None:
        return next((command for command in self.world.commands(order_id) if command.live), None)

    def stand(self) -> list[tuple[str, int]]:
        return [(order.status, order.version) for order in map(self.world.order, self.orders)]


class BusinessOverHttp(Business):
    """The same with real connections between us and the provider."""

    over_http = True


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Faults by the thousand are logged by the thousand."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def live(business: type[Business], examples: int, steps: int) -> None:
    run_state_machine_as_test(
        business,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def test_whatever_happens_no_kopeck_is_lost() -> None:
    live(Business, examples=5, steps=30)


def test_whatever_happens_over_real_connections_no_kopeck_is_lost() -> None:
    live(BusinessOverHttp, examples=1, steps=15)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_whatever_happens_for_long_no_kopeck_is_lost() -> None:
    live(Business, examples=600, steps=60)
    live(BusinessOverHttp, examples=20, steps=30)
