"""Asking until the answer is final: what webhooks lose, lie about or bring too early, and money found in odd places."""

from typing import Any

import pytest

from cloud.database.transaction import Transaction
from cloud.fleet.models import Credential, Device, DeviceLive, Drink, Merchant
from cloud.orders.scanning import Scan, open_order
from cloud.orders.tasks import Task
from cloud.payments.provider_clients import NoCredential, ProviderClients
from cloud.payments.unplaced import ADOPT_FOR_S
from simulator.yookassa import Shop as SimulatedShop
from simulator.yookassa.faults import Endpoint, FaultKind
from tests.cloud.payments.scripted_provider import says, scripted_provider
from tests.cloud.payments.test_call_worker import change_credential
from tests.cloud.tills import Till, a_till
from tests.cloud.worlds import ACCOUNT, PRICE, SHOP_SECRET, World
from tests.programs import free_port

pytestmark = pytest.mark.any_database


def test_polling_finds_a_payment_no_webhook_told_of(till: Till) -> None:
    order_id = till.open_payment()
    till.buyer_pays(order_id)
    assert till.world.status(order_id) == "pending"
    till.work(2)
    assert till.world.status(order_id) == "paid"
    assert till.world.payment(order_id).method == "bank_card"


@pytest.mark.both_databases
def test_a_webhook_makes_the_question_be_asked_at_once(till: Till) -> None:
    order_id = till.open_payment()
    till.buyer_pays(order_id)
    assert till.notify(order_id).status_code == 200
    till.work()
    assert till.world.status(order_id) == "paid"


def test_a_declined_payment_says_why(till: Till) -> None:
    order_id = till.open_payment()
    till.shop.sim("POST", f"/decline/{till.provider_id(order_id)}", {"reason": "card_expired"})
    till.look_at(order_id)
    assert till.world.status(order_id) == "not_paid"
    assert till.world.payment(order_id).cancel_reason == "card_expired"
    assert till.press(order_id).status_code == 200, "and may be tried again"


def test_a_payment_nobody_made_ends_by_the_providers_word(till: Till) -> None:
    order_id = till.open_payment()
    till.work(1800)
    assert till.world.status(order_id) == "pending", "asked long after the order's own expiry"
    till.work(1900)
    assert till.world.status(order_id) == "not_paid"
    assert till.world.payment(order_id).next_check_at is None
    assert till.press(order_id).status_code == 410


def test_news_twice_pours_once_and_moves_money_once(till: Till) -> None:
    order_id = till.open_payment()
    till.buyer_pays(order_id)
    for _ in range(5):
        till.look_at(order_id)
    assert len(till.world.commands(order_id)) == 1
    assert [notification.times for notification in till.notifications()] == [5]
    assert till.world.ledger(order_id) == {"held": PRICE}


@pytest.mark.parametrize("lie", ["succeeded", "waiting_for_capture", "canceled"])
def test_a_notification_that_lies_changes_nothing(till: Till, lie: str) -> None:
    order_id = till.open_payment()
    assert till.notify(order_id, status=lie, paid=True).status_code == 200
    till.work()
    assert till.world.status(order_id) == "pending"
    assert till.world.commands(order_id) == []


def test_a_forgery_ahead_of_the_real_news_hides_nothing(till: Till) -> None:
    order_id = till.open_payment()
    till.notify(order_id, status="waiting_for_capture")
    till.work()
    till.buyer_pays(order_id)
    till.look_at(order_id)
    assert till.world.status(order_id) == "paid"


def test_a_paid_order_is_not_canceled_by_a_forgery(till: Till) -> None:
    order_id = till.paid()
    till.notify(order_id, status="canceled")
    till.work()
    assert till.world.status(order_id) == "paid"
    assert till.booked(order_id)["held"] == PRICE


def test_old_news_after_new_changes_nothing(till: Till) -> None:
    order_id = till.open_payment()
    pending = till.notification(till.provider_id(order_id))
    till.buyer_pays(order_id)
    till.look_at(order_id)
    version = till.world.order(order_id).version
    till.post(pending)
    till.work()
    assert (till.world.status(order_id), till.world.order(order_id).version) == ("paid", version)


def test_news_before_our_create_was_answered_is_adopted(till: Till) -> None:
    """The answer to our create is lost; the provider's notification is how we learn the payment's id."""
    order_id = till.world.scan()
    till.fault(FaultKind.RESET, Endpoint.CREATE, after_commit=True)
    till.press(order_id)
    assert till.world.payment(order_id).provider_payment_id is None
    [there] = till.payments_there()
    till.yookassa.pay(there["id"])
    till.post(till.notification(there["id"]))
    [notification] = till.notifications()
    assert notification.handled_at is None
    till.poller.step(till.world.now)
    assert till.notifications()[0].verdict == "adopted"
    till.poller.step(till.world.now)
    assert till.world.status(order_id) == "paid"
    till.work(5)
    assert till.world.status(order_id) == "paid"
    assert len(till.payments_there()) == 1


@pytest.mark.parametrize("ours", [False, True])
def test_a_payment_that_is_not_of_our_making_is_set_aside(till: Till, ours: bool) -> None:
    order_id = till.open_payment()
    marks = {"order_id": order_id, "payment": till.world.payment(order_id).id} if ours else {}
    stranger = till.shop.create(metadata=marks)
    till.yookassa.pay(stranger["id"])
    till.post(till.notification(stranger["id"]))
    till.work()
    assert till.notifications()[-1].verdict == "no such payment"
    assert till.world.status(order_id) == "pending", "one payment of ours is one at the provider"


@pytest.mark.parametrize("is_here", [True, False])
def test_a_payment_that_was_lost_is_an_error_and_names_its_order(
    till: Till, caplog: pytest.LogCaptureFixture, is_here: bool
) -> None:
    """As by a failover to a standby that lacked the last commits."""
    order_id = till.world.scan() if is_here else "somebody's"
    stranger = till.shop.create(metadata={"order_id": order_id, "payment": "lost"})
    till.yookassa.pay(stranger["id"])
    till.post(till.notification(stranger["id"]))
    till.work()
    assert till.notifications()[-1].verdict == "no such payment"
    told = [getattr(line, "order_id", "") for line in caplog.records if line.levelname == "ERROR"]
    assert told == ([order_id] if is_here else [])


@pytest.mark.both_databases
def test_a_payment_of_nobodys_shop_is_set_aside(till: Till) -> None:
    body = {"event": "payment.succeeded", "object": {"id": "2d-unknown", "status": "succeeded"}}
    till.post(body)
    till.post(body | {"object": body["object"] | {"recipient": {"account_id": ACCOUNT}}})  # type: ignore[operator]  # a dict
    till.work()
    assert [notification.verdict for notification in till.notifications()] == ["not ours"]


@pytest.mark.both_databases
def test_a_forged_notification_of_a_payment_not_yet_known_does_not_hide_the_real_one(till: Till) -> None:
    order_id = till.world.scan()
    till.fault(FaultKind.RESET, Endpoint.CREATE, after_commit=True)
    till.press(order_id)
    [there] = till.payments_there()
    till.yookassa.pay(there["id"])
    real = till.notification(there["id"])
    till.post(real | {"object": real["object"] | {"recipient": {"account_id": "666"}}})
    till.poller.step(till.world.now)
    assert till.notifications()[0].verdict == "not ours"
    till.post(real)
    till.poller.step(till.world.now)
    assert till.notifications()[0].verdict == "adopted"
    till.work()
    assert till.world.status(order_id) == "paid"


def test_unplaced_news_is_tried_for_a_day_while_the_provider_is_away(sqlite_till: Till) -> None:
    till = sqlite_till
    order_id = till.world.scan()
    till.fault(FaultKind.RESET, Endpoint.CREATE, after_commit=True)
    till.press(order_id)
    [there] = till.payments_there()
    till.post(till.notification(there["id"]))
    till.fault(FaultKind.ERROR_500, Endpoint.ANY, times=None)
    till.work(3600)
    assert till.notifications()[0].handled_at is None
    till.work(ADOPT_FOR_S)
    assert till.notifications()[0].verdict == "not ours"


def test_news_of_a_scenario_that_is_not_available_is_set_aside(sqlite_world: World) -> None:
    def connect(_shop: object, scenario: str) -> Any:
        raise NoCredential(f"payment scenario {scenario} is not available in this version")

    with a_till(sqlite_world) as till:
        till.shops = ProviderClients(sqlite_world.database, sqlite_world.vault, connect, lambda: sqlite_world.now)
        poller = till.a_poller()
        told = {"id": "2d-1", "status": "succeeded", "recipient": {"account_id": ACCOUNT}}
        till.post({"event": "payment.succeeded", "object": told})
        poller.step(sqlite_world.now)
        assert till.notifications()[0].verdict == "not ours"


WRONG: dict[str, dict[str, Any]] = {
    "amount": {"amount": {"value": "1.00", "currency": "RUB"}},
    "currency": {"amount": {"value": "179.00", "currency": "USD"}},
    "account_id": {"recipient": {"account_id": "999", "gateway_id": "1"}},
    "metadata.order_id": {"metadata": {"order_id": "another", "payment": "p"}},
}


@pytest.mark.parametrize("what", list(WRONG))
def test_money_that_does_not_fit_is_returned_and_the_order_fails(world: World, what: str) -> None:
    with a_till(world) as till, scripted_provider() as provider:
        order_id = till.open_payment()
        till.buyer_pays(order_id)
        told = till.shop.payment(till.provider_id(order_id)) | WRONG[what]
        provider.answer_with = lambda _: says(told)
        till._url = provider.url
        till.be_patient()
        till.notify(order_id)
        till.poller.step(world.now)
        order = world.order(order_id)
        assert order.status == "failed"
        assert what in order.reason
        assert world.commands(order_id) == []
        till._url = till.yookassa.url
        till.be_patient()
        till.work()
        assert till.verdicts(order_id, Task.CANCEL) == ["done"]
        assert till.booked(order_id)["held"] == 0


def test_a_late_payment_waits_for_its_buyer(till: Till) -> None:
    order_id = till.open_payment()
    till.work(301)
    till.buyer_pays(order_id)
    till.look_at(order_id)
    assert till.world.status(order_id) == "manual_make"


def test_a_payment_after_the_orders_expiry_is_offered_then_returned(till: Till) -> None:
    order_id = till.open_payment()
    till.work(3000)
    till.buyer_pays(order_id)
    till.look_at(order_id)
    assert till.world.status(order_id) == "manual_make"
    till.world.wait(1801)
    till.work()
    assert till.world.status(order_id) == "make_failed"
    assert till.booked(order_id) | {"authorized": 0} == {
        "authorized": 0, "held": 0, "captured": 0, "released": PRICE, "refunding": 0, "refunded": 0,
    }  # fmt: skip


def test_a_shaky_provider_is_asked_ever_more_rarely_and_a_good_answer_forgets_it(sqlite_till: Till) -> None:
    till = sqlite_till
    order_id = till.open_payment()
    till.fault(FaultKind.ERROR_500, Endpoint.GET, times=3)
    waits = []
    till.world.clock.advance(2)
    for _ in range(3):
        till.poller.step(till.world.now)
        payment = till.world.payment(order_id)
        assert payment.next_check_at is not None
        waits.append((payment.next_check_at - till.world.now).total_seconds())
        till.world.clock.now = payment.next_check_at
    assert waits == [1.8, 2.0, 3.0], "the provider asked for 1.8 s itself"
    till.poller.step(till.world.now)
    assert till.world.payment(order_id).checks == 0
    assert till.world.status(order_id) == "pending", "no number of failed questions ends an order"


def test_an_unreachable_provider_fails_no_order(sqlite_world: World) -> None:
    with a_till(sqlite_world) as till:
        order_id = till.open_payment()
        till._url = f"http://127.0.0.1:{free_port()}/v3"
        till.be_patient()
        for _ in range(20):
            till.work(300)
        assert sqlite_world.status(order_id) == "pending"
        till._url = till.yookassa.url
        till.be_patient()
        till.work(301)
        assert sqlite_world.status(order_id) == "not_paid"


def test_a_changed_credential_is_not_used_for_an_old_payment(till: Till) -> None:
    """The other shop's key must not speak of this shop's money (promise 9)."""
    order_id = till.open_payment()
    till.buyer_pays(order_id)
    change_credential(till, account_id="999999")
    till.look_at(order_id)
    assert till.world.status(order_id) == "pending"
    change_credential(till, account_id=ACCOUNT)
    till.work(61)
    assert till.world.status(order_id) == "paid"


def test_each_merchants_payment_is_asked_with_its_own_key(world: World) -> None:
    def second_merchant(tx: Transaction) -> None:
        tx.session.add(Merchant(id="south", name="South"))
        tx.session.flush()
        locked = world.vault.lock("south_secret")
        tx.session.add(Credential(merchant_id="south", scenario="Yookassa", account_id="100501", secret=locked))
        tx.session.add(Device(device_uuid="s-001", merchant_id="south", payment_scenario="Yookassa"))
        tx.session.flush()
        tx.session.add(DeviceLive(device_uuid="s-001", online=True))
        tx.session.add(Drink(device_uuid="s-001", drink_no="latte", name="Latte", price_medium=PRICE))

    world.database.transact(second_merchant)
    shops = [SimulatedShop(id=ACCOUNT, secret=SHOP_SECRET), SimulatedShop(id="100501", secret="south_secret")]
    with a_till(world, shops=shops) as till:
        north = till.open_payment()
        south = "south-1"
        world.database.transact(open_order, Scan(south, "s-001", "latte", 1), "en", world.rules, world.now)
        assert till.press(south).status_code == 200
        for order_id in (north, south):
            till.buyer_pays(order_id)
        till.work(2)
        assert [world.status(order_id) for order_id in (north, south)] == ["paid", "paid"]
        assert {there["shop"] for there in till.payments_there()} == {ACCOUNT, "100501"}
