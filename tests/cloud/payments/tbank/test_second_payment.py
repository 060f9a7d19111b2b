"""The bank has opened two payments under one OrderId: the buyer may pay either, or both, and no money is kept."""

import json
from collections.abc import Iterator

import pytest
from sqlalchemy import func, select

from cloud.background.loops import ThreadPool
from cloud.database.transaction import Transaction
from cloud.fleet.models import Credential, Merchant
from cloud.orders import paying
from cloud.orders.models import Payment
from cloud.orders.states import Status
from cloud.payments.call_worker import CallWorker
from cloud.payments.checkout import Checkout
from cloud.payments.facts import PaymentFacts, RefundFacts
from cloud.payments.openings import LEASE_S
from cloud.payments.outcomes import Outcome
from cloud.payments.provider import PreparedCall, Provider, Shop
from cloud.payments.provider_clients import ProviderClients
from protocol.reasons import Result
from simulator.tbank import Terminal
from simulator.tbank.bank import Order
from simulator.tbank.messages import notification
from simulator.tbank.terms import Behaviour
from tests.cloud.payments.contract.rig import Money
from tests.cloud.payments.contract.tbank_rig import TBankRig
from tests.cloud.payments.contract.till import PUBLIC_URL, ContractTill
from tests.cloud.worlds import PRICE, World

pytestmark = pytest.mark.any_database


class TwoPages(ContractTill):
    """A till whose bank opens another payment for a repeated Init."""

    rig: TBankRig

    def second(self, order_id: str, shop: Shop | None = None) -> str:
        """The bank opens one more under the OrderId of the order's payment; its PaymentId."""
        shop = shop or self.rig.shop
        first = self.rig.bank.bank.find(self.provider_payment_id(order_id))
        again = Order(first.order_id, first.amount, first.two_stage, notification_url=first.notification_url)
        return self.rig.bank.bank.init(Terminal(key=shop.account_id, password=shop.secret_key), again).id

    def tell_of(self, provider_payment_id: str, shop: Shop | None = None) -> None:
        """The bank sends its news of this payment, a moment later."""
        shop = shop or self.rig.shop
        told = notification(self.rig.bank.bank.find(provider_payment_id), shop.secret_key, numbers=False)
        self.work(1)
        self.post(json.dumps(told).encode())
        self.work()

    def payments(self, order_id: str) -> int:
        with self.world.database.read() as session:
            return session.scalar(select(func.count()).where(Payment.order_id == order_id)) or 0


def sells(world: World, merchant_id: str, scenario: str, shop: Shop) -> None:
    """One more merchant that claims this shop."""

    def add(tx: Transaction) -> None:
        secret = world.vault.lock(shop.secret_key)
        tx.session.add(Merchant(id=merchant_id, name=merchant_id))
        tx.session.flush()
        tx.session.add(
            Credential(merchant_id=merchant_id, scenario=scenario, account_id=shop.account_id, secret=secret)
        )

    world.database.transact(add)


@pytest.fixture(params=["TBank", "Custom"])
def another(world: World, request: pytest.FixtureRequest) -> None:
    """Has an account of our terminal's id with another key, and is found before us."""
    sells(world, "alpha", request.param, Shop(TBankRig.shop.account_id, "no password of the terminal"))


@pytest.fixture
def till(world: World) -> Iterator[TwoPages]:
    rig = TBankRig(world.clock, world)
    rig.bank.behaviour = Behaviour(repeated_init="another")
    made = TwoPages(world, rig)
    yield made
    made.close()
    rig.close()


def test_the_second_pays_the_order_and_what_the_first_brings_then_goes_back(till: TwoPages) -> None:
    order_id = till.open()
    first, second = till.provider_payment_id(order_id), till.second(order_id)
    till.rig.buyer_pays(second)
    till.tell_of(second)
    assert till.world.status(order_id) == Status.PAID
    till.rig.buyer_pays(first)
    till.tell_of(first)
    till.world.publish(order_id)
    till.world.report(order_id, Result.DONE)
    till.work()
    assert (till.rig.money(first), till.rig.money(second)) == (Money(), Money(taken=PRICE))
    assert (till.world.status(order_id), till.payments(order_id)) == (Status.SUCCESSFUL, 2)


def test_what_comes_beside_the_orders_own_money_goes_back_once(till: TwoPages) -> None:
    till.one_stage()
    order_id = till.paid()
    first, second = till.provider_payment_id(order_id), till.second(order_id)
    till.rig.buyer_pays(second)
    for _ in range(3):
        till.tell_of(second)
    till.work(3600)
    assert till.rig.money(second) == Money(taken=PRICE, returned=PRICE)
    assert till.rig.money(first) == Money(taken=PRICE)
    assert till.payments(order_id) == 2


def test_each_of_two_has_its_own_returns(till: TwoPages) -> None:
    till.one_stage()
    order_id = till.poured()
    first, second = till.provider_payment_id(order_id), till.second(order_id)
    till.rig.refund_by_hand(first, 5000)
    till.tell_of(first)
    till.rig.buyer_pays(second)
    till.tell_of(second)
    till.work(3600)
    assert till.rig.money(first) == Money(taken=PRICE, returned=5000)
    assert till.rig.money(second) == Money(taken=PRICE, returned=PRICE)
    assert till.world.ledger(order_id) == {"captured": 2 * PRICE, "refunded": PRICE + 5000}


def test_money_for_an_order_that_is_over_goes_back(till: TwoPages) -> None:
    till.one_stage()
    order_id = till.open()
    second = till.second(order_id)
    till.rig.bank.bank.decline(till.provider_payment_id(order_id), "insufficient_funds")
    till.work(till.world.rules.order_expiration_s)
    till.rig.buyer_pays(second)
    till.tell_of(second)
    till.world.wait(till.world.rules.manual_make_s + 1)
    till.work(3600)
    assert till.rig.money(second) == Money(taken=PRICE, returned=PRICE)
    assert till.world.ledger(order_id) == {"captured": PRICE, "refunded": PRICE}


def test_whoever_presses_again_finds_the_second_once_the_first_is_declined(till: TwoPages) -> None:
    order_id, world = till.open(), till.world
    first = world.payment(order_id).id
    till.rig.bank.bank.decline(till.provider_payment_id(order_id), "insufficient_funds")
    till.work(60)
    assert world.status(order_id) == Status.NOT_PAID
    second = world.database.transact(paying.adopt_second, first, till.second(order_id), world.now, world.now)
    assert world.start(order_id) == second.id


def test_one_that_is_not_paid_yet_is_looked_at_until_it_is(till: TwoPages) -> None:
    order_id = till.open()
    second = till.second(order_id)
    till.tell_of(second)
    assert till.payments(order_id) == 1
    till.rig.buyer_pays(second)
    till.work(60)
    assert till.world.status(order_id) == Status.PAID


def test_one_that_nobody_pays_changes_nothing(till: TwoPages) -> None:
    order_id = till.open()
    second = till.second(order_id)
    till.tell_of(second)
    till.rig.bank.bank.decline(second, "insufficient_funds")
    till.work(60)
    assert (till.world.status(order_id), till.payments(order_id)) == (Status.PENDING, 1)
    assert [(told.verdict, told.handled_at is None) for told in till.notifications()] == [("not paid", False)]


@pytest.mark.usefixtures("another")
def test_our_second_is_asked_about_with_our_key_whoever_else_has_the_terminal(till: TwoPages) -> None:
    till.one_stage()
    order_id = till.paid()
    second = till.second(order_id)
    till.rig.buyer_pays(second)
    till.tell_of(second)
    till.work(3600)
    assert till.rig.money(second) == Money(taken=PRICE, returned=PRICE)


@pytest.mark.usefixtures("another")
def test_of_a_strangers_payment_all_are_asked_whose_terminal_it_may_be(till: TwoPages) -> None:
    till.tell_of(till.stranger())
    assert [notification.verdict for notification in till.notifications()] == ["no such payment"]


def test_another_merchants_terminal_adds_nothing_to_our_order(till: TwoPages) -> None:
    other = till.rig.other_shop
    sells(till.world, "south", "TBank", other)
    order_id = till.open()
    theirs = till.second(order_id, other)
    till.rig.buyer_pays(theirs)
    till.tell_of(theirs, other)
    assert (till.world.status(order_id), till.payments(order_id)) == (Status.PENDING, 1)
    assert [notification.verdict for notification in till.notifications()] == ["no such payment"]


def test_who_has_lost_his_opening_shows_nobody_the_page_he_opened(till: TwoPages) -> None:
    world, shown = till.world, list[str]()
    order_id = world.scan()

    def slow(shop: Shop, scenario: str) -> Provider:
        client = till.rig.cloud_connect(shop, scenario)
        send = client.send

        def send_and_stand_still(call: PreparedCall) -> Outcome[PaymentFacts] | Outcome[RefundFacts]:
            answer = send(call)
            world.clock.advance(LEASE_S)
            shown.append(till.press(order_id).get_json()["redirect_url"])
            return answer

        client.send = send_and_stand_still  # type: ignore[method-assign]  # until another has taken over
        return client

    shops = ProviderClients(world.database, world.vault, slow, world.clock)
    worker = CallWorker(
        world.database, shops, world.rules, PUBLIC_URL, "slow", ThreadPool("slow", 0), lambda: 0.0, world.clock
    )
    page = Checkout(world.database, shops, worker, world.clock, lambda: "p1").pay(order_id)
    assert [page] == shown
    assert len(till.rig.payments()) == 2
    till.rig.buyer_pays(till.provider_payment_id(order_id))
    till.tell(order_id)
    till.work()
    assert world.status(order_id) == Status.PAID
