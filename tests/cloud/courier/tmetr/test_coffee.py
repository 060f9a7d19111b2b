"""One coffee from a machine without an agent, the money at a simulated YooKassa: what becomes of both, each time.

All of the cloud is real, from the pages to the sender and the heartbeats; provider and Tmetr speak real HTTP.
"""

import logging
from collections.abc import Iterator

import pytest
from sqlalchemy import update

from cloud.database.transaction import Transaction
from cloud.fleet.models import Credential
from simulator.tmetr.faults import Endpoint, FaultKind
from tests.cloud.courier.tmetr_rig import TmetrRig, a_tmetr_rig, failure_told
from tests.cloud.tills import Till
from tests.cloud.worlds import DEVICE, PRICE
from tests.programs import free_port
from tests.waiting import wait_until

PUBLIC_URL = "https://coffee.example.org"


@pytest.fixture
def rig(till: Till) -> Iterator[TmetrRig]:
    with a_tmetr_rig(till.world) as made:
        made.heartbeats.step(till.world.now)
        yield made


def take_money_at_once(till: Till) -> None:
    till.world.database.transact(Transaction.execute, update(Credential).values(capture="immediate"))


def pass_time(till: Till, rig: TmetrRig, seconds: float) -> None:
    """Everybody does what is due."""
    till.world.wait(seconds)
    rig.send()
    till.work()


@pytest.mark.any_database
def test_forwarded_and_never_heard_of_again_the_money_goes_back(till: Till, rig: TmetrRig) -> None:
    order_id = till.paid()
    rig.send()
    page = till.client().get(f"/v1/order-status/{order_id}").get_json()
    assert (page["status"], page["stage"]) == ("make_pending", "sent")
    assert till.booked(order_id)["held"] == PRICE, "nothing is decided yet"
    pass_time(till, rig, till.world.rules.ack_timeout_s + 1)
    assert till.world.status(order_id) == "make_failed"
    assert till.booked(order_id)["held"] == PRICE, "evidence is waited for"
    pass_time(till, rig, till.world.rules.uncertain_grace_s + 1)
    assert till.booked(order_id)["held"] == till.booked(order_id)["captured"] == 0
    assert till.world.ledger(order_id) == {"held": PRICE, "canceled": PRICE}
    assert len(rig.tmetr.cups(order_id)) == rig.makes() == 1


def test_refused_the_hold_is_given_back_at_once(till: Till, rig: TmetrRig, caplog: pytest.LogCaptureFixture) -> None:
    rig.tmetr.fault(FaultKind.REFUSE, Endpoint.MAKE)
    order_id = till.paid()
    with caplog.at_level(logging.ERROR):
        pass_time(till, rig, 0)
    till.work()
    assert till.world.status(order_id) == "make_failed"
    assert till.booked(order_id)["held"] == 0
    assert till.world.ledger(order_id) == {"held": PRICE, "canceled": PRICE}
    assert failure_told(caplog, order_id)
    assert rig.tmetr.cups() == []


def test_refused_taken_money_is_refunded(till: Till, rig: TmetrRig) -> None:
    take_money_at_once(till)
    rig.tmetr.fault(FaultKind.REFUSE, Endpoint.MAKE)
    order_id = till.paid()
    pass_time(till, rig, 0)
    till.work()
    assert till.world.ledger(order_id) == {"captured": PRICE, "refunded": PRICE}
    assert len(till.refunds_there()) == 1


@pytest.mark.any_database
def test_tmetr_out_of_reach_the_hold_is_given_back_after_the_deadline(
    till: Till, rig: TmetrRig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.sender = rig.a_sender("courier", f"http://127.0.0.1:{free_port()}")
    order_id = till.paid()
    with caplog.at_level(logging.ERROR):
        for _ in range(7):
            pass_time(till, rig, 10)
    order = till.world.order(order_id)
    assert (order.status, order.reason, order.uncertain) == ("make_failed", "not_sent", False)
    assert till.world.ledger(order_id) == {"held": PRICE, "canceled": PRICE}
    assert failure_told(caplog, order_id)


@pytest.mark.parametrize("poured", [False, True])
def test_an_answer_that_never_came_the_money_goes_back_after_the_grace_and_nothing_is_sent_again(
    till: Till, rig: TmetrRig, poured: bool
) -> None:
    rig.tmetr.fault(FaultKind.HANG, Endpoint.MAKE, after_act=poured)
    rig.be_hasty()
    order_id = till.paid()
    pass_time(till, rig, 0)
    order = till.world.order(order_id)
    assert (order.status, order.uncertain) == ("make_failed", True)
    assert till.booked(order_id)["held"] == PRICE
    for _ in range(4):
        pass_time(till, rig, 100)
    assert till.world.ledger(order_id) == {"held": PRICE, "canceled": PRICE}
    wait_until(rig.makes, what="what was asked to come in")
    assert rig.makes() == 1


@pytest.mark.any_database
def test_an_offline_machine_is_told_of_before_paying(till: Till, rig: TmetrRig) -> None:
    order_id = till.world.scan()
    rig.tmetr.hall.switch(DEVICE, False, None)
    rig.heartbeats.step(till.world.clock.advance(400))
    answer = till.press(order_id)
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (503, "offline")
    assert till.payments_there() == []
    rig.tmetr.hall.switch(DEVICE, True, None)
    rig.heartbeats.step(till.world.clock.advance(60))
    assert till.press(order_id).status_code == 200


def test_paid_late_it_waits_for_the_buyer_and_is_then_forwarded_once(till: Till, rig: TmetrRig) -> None:
    phone, order_id = till.client(), "ord-late"
    phone.get(f"/v1/pay?deviceUuid={DEVICE}&drinkNo=latte&size=1&uuid={order_id}", base_url=PUBLIC_URL)
    till.open_payment(order_id)
    till.world.clock.advance(till.world.rules.fast_track_s + 1)
    till.buyer_pays(order_id)
    till.look_at(order_id)
    rig.send()
    assert (till.world.status(order_id), rig.makes()) == ("manual_make", 0)
    rig.heartbeats.step(till.world.now)
    assert phone.post(f"/v1/orders/{order_id}/make", base_url=PUBLIC_URL).status_code < 400
    rig.send()
    assert (till.world.status(order_id), len(rig.tmetr.cups(order_id))) == ("make_pending", 1)
