"""What people gave back past us, in the provider's cabinet: found, entered, and not made again."""

import pytest

from cloud.fleet.closing import close
from cloud.orders.order_tasks import LaneWorkers
from cloud.orders.tasks import Lane, Task
from cloud.payments import status_poller
from cloud.payments.status_poller import LEASE_S
from cloud.payments.yookassa.client import YooKassaClient
from protocol.reasons import Result
from simulator.yookassa.faults import Endpoint, FaultKind
from tests.cloud.payments.test_call_worker import at_once
from tests.cloud.tills import Till
from tests.cloud.worlds import DEVICE, PRICE

pytestmark = pytest.mark.any_database


def test_a_refund_made_in_the_cabinet_is_found_and_not_made_again(till: Till) -> None:
    at_once(till)
    order_id = till.paid()
    till.world.publish(order_id)
    till.world.report(order_id, Result.UNKNOWN)
    refund = till.shop.sim("POST", "/refund", {"payment_id": till.provider_id(order_id)}).json()
    till.post({"type": "notification", "event": "refund.succeeded", "object": refund})
    till.work()
    assert till.world.ledger(order_id) == {"captured": PRICE, "refunded": PRICE}
    assert till.world.open_tasks(order_id, Task.REFUND) == []
    till.work(600)
    assert len(till.refunds_there()) == 1


class Died(BaseException):
    """The process ends here, as by kill -9."""


def test_a_refund_in_the_cabinet_is_found_though_we_die_asking_for_it(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The asking ends with the payment's answer; what the answer did not hold may not be left behind."""
    at_once(till)
    order_id = till.paid()
    till.world.publish(order_id)
    till.world.report(order_id, Result.DONE)
    refund = till.shop.sim("POST", "/refund", {"payment_id": till.provider_id(order_id)}).json()
    till.post({"type": "notification", "event": "refund.succeeded", "object": refund})

    def dies(*_: object, **__: object) -> None:
        raise Died

    with monkeypatch.context() as dying:
        dying.setattr(YooKassaClient, "list_refunds", dies)
        with pytest.raises(Died):
            till.work()
    till.poller = till.a_poller()
    till.work(LEASE_S)
    assert till.world.ledger(order_id) == {"captured": PRICE, "refunded": PRICE}
    assert till.world.order(order_id).goodwill


def test_a_payment_refunded_before_we_knew_it_is_adopted_with_its_refund(till: Till) -> None:
    at_once(till)
    order_id = till.world.scan()
    till.fault(FaultKind.RESET, Endpoint.CREATE, after_commit=True)
    till.press(order_id)
    [there] = till.payments_there()
    till.yookassa.pay(there["id"])
    till.shop.sim("POST", "/refund", {"payment_id": there["id"]})
    till.post(till.notification(there["id"]))
    till.work()
    assert till.world.ledger(order_id) == {"captured": PRICE, "refunded": PRICE}
    till.work(5)
    assert len(till.refunds_there()) == 1


@pytest.mark.parametrize("parts", [["179.00"], ["20.00", "159.00"]], ids=str)
@pytest.mark.parametrize("is_list_lost", [False, True], ids=["told at once", "told later"])
def test_what_was_back_before_we_heard_of_it_neither_pours_nor_goes_back_again(
    till: Till, parts: list[str], is_list_lost: bool
) -> None:
    """Regression: the return it made owed was on its way before the answer's own returns were entered."""
    at_once(till)
    till.world.database.dispatchers.add(LaneWorkers({Lane.PROVIDER: till.call_worker.lane_worker()}))
    order_id = till.open_payment()
    till.buyer_pays(order_id)
    for part in parts:
        till.shop.sim("POST", "/refund", {"payment_id": till.provider_id(order_id), "amount": part})
    if is_list_lost:
        till.fault(FaultKind.RESET, Endpoint.LIST_REFUNDS)
    till.look_at(order_id)
    till.work(60)
    order = till.world.order(order_id)
    assert (order.status, order.reason) == ("failed", "returned")
    assert till.world.commands(order_id) == []
    assert till.world.ledger(order_id) == {"captured": PRICE, "refunded": PRICE}
    till.work(600)
    assert till.world.rows(order_id, Task.REFUND) == []
    assert len(till.refunds_there()) == len(parts)


def test_of_what_was_back_in_part_before_we_heard_of_it_the_rest_alone_is_owed(till: Till) -> None:
    """Regression: where the payment's own answer ended the order, the whole of it was ordered back."""
    at_once(till)
    till.world.database.dispatchers.add(LaneWorkers({Lane.PROVIDER: till.call_worker.lane_worker()}))
    order_id = till.open_payment()
    till.buyer_pays(order_id)
    till.shop.sim("POST", "/refund", {"payment_id": till.provider_id(order_id), "amount": "20.00"})
    till.world.database.transact(close, DEVICE, "", "anna", "no lids", till.world.now)
    till.look_at(order_id)
    till.work(60)
    assert [(row.amount, row.verdict) for row in till.world.rows(order_id, Task.REFUND)] == [(PRICE - 2000, "done")]
    assert till.world.ledger(order_id) == {"captured": PRICE, "refunded": PRICE}


@pytest.mark.parametrize("is_list_lost", [False, True], ids=["told", "lost"])
def test_what_went_back_of_a_payment_whose_status_we_do_not_know_is_entered(
    till: Till, is_list_lost: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once(till)
    order_id = till.paid()
    till.shop.sim("POST", "/refund", {"payment_id": till.provider_id(order_id), "amount": "20.00"})
    monkeypatch.setattr(status_poller, "answer_of", lambda *_: None)
    if is_list_lost:
        till.fault(FaultKind.RESET, Endpoint.LIST_REFUNDS)
    till.look_at(order_id)
    till.work(60)
    assert till.world.ledger(order_id) == {"captured": PRICE, "refunded": 2000}


def test_a_refund_of_a_poured_cup_is_noted_as_goodwill(till: Till) -> None:
    at_once(till)
    order_id = till.paid()
    till.world.publish(order_id)
    till.world.report(order_id, Result.DONE)
    refund = till.shop.sim("POST", "/refund", {"payment_id": till.provider_id(order_id), "amount": "100.00"}).json()
    till.post({"type": "notification", "event": "refund.succeeded", "object": refund})
    till.work()
    order = till.world.order(order_id)
    assert (order.status, order.goodwill) == ("successful", True)
    assert till.world.ledger(order_id) == {"captured": PRICE, "refunded": 10000}
    assert till.world.open_tasks(order_id, Task.REFUND) == [], "what people in the cabinet decided stays so"
