"""The sentences this project started from, one test each: what becomes of a paid order whose command cannot be sent.

Webhook, provider, broker and database are real or simulated over the wire; the loops are stepped by hand.
"""

import logging
from collections.abc import Iterator

import pytest
from pytest_mock import MockerFixture
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from cloud.courier.broker import NotConnected
from cloud.database.transaction import Transaction
from cloud.orders.models import Order
from cloud.orders.states import Status
from simulator.broker import Broker
from tests.cloud.courier.rig import Rig, a_rig
from tests.cloud.courier.test_publisher import PARAMETERS
from tests.cloud.tills import Till
from tests.cloud.worlds import DEVICE, PRICE, World


@pytest.fixture
def rig(world: World) -> Iterator[Rig]:
    with Broker() as broker, a_rig(world, broker.port) as made:
        yield made.connect()


def pay_and_notify(till: Till) -> tuple[str, int]:
    """The buyer has paid and YooKassa has said so; the order's id and what the webhook answered."""
    order_id = till.open_payment()
    till.buyer_pays(order_id)
    return order_id, till.notify(order_id).status_code


def courier_works(rig: Rig, order_id: str, status: Status) -> None:
    rig.publish_until(lambda: rig.world.status(order_id) == status, f"{order_id} to be {status}")


def failure_logged(caplog: pytest.LogCaptureFixture, order_id: str) -> logging.LogRecord:
    """The error that names the order, the device and every parameter of the request."""
    told = [r for r in caplog.records if r.levelno == logging.ERROR and vars(r).keys() >= PARAMETERS]
    assert told, "nothing was logged"
    for record in told:
        assert record.__dict__["order_id"] == order_id
        assert record.__dict__["device"] == DEVICE
        assert (record.__dict__["drink_no"], record.__dict__["size"], record.__dict__["price"]) == ("latte", 1, PRICE)
    return told[-1]


def test_make_failed_is_among_the_allowed_statuses(world: World) -> None:
    order_id = world.scan()

    def set_to(tx: Transaction, status: str) -> None:
        tx.session.execute(update(Order).where(Order.id == order_id).values(status=status))

    assert "make_failed" in [status.value for status in Status]
    world.database.transact(set_to, "make_failed")
    assert world.status(order_id) == "make_failed"
    with pytest.raises(IntegrityError):
        world.database.transact(set_to, "make_fail")


def test_a_network_error_while_sending_is_logged_and_makes_the_order_make_failed(
    till: Till, rig: Rig, mocker: MockerFixture, caplog: pytest.LogCaptureFixture
) -> None:
    mocker.patch.object(rig.link, "publish", side_effect=NotConnected("no route to the broker"))
    order_id, answer = pay_and_notify(till)
    assert answer == 200
    till.work()
    with caplog.at_level(logging.ERROR):
        for _ in range(7):
            rig.publish()
            rig.world.wait(10)
    assert till.world.status(order_id) == "make_failed"
    assert till.world.order(order_id).reason == "not_sent"
    assert "no route to the broker" in caplog.text
    failure_logged(caplog, order_id)


def test_an_unexpected_error_while_sending_is_logged_and_makes_the_order_make_failed(
    till: Till, rig: Rig, mocker: MockerFixture, caplog: pytest.LogCaptureFixture
) -> None:
    mocker.patch.object(rig.link, "publish", side_effect=KeyError("a bug of ours"))
    order_id, answer = pay_and_notify(till)
    assert answer == 200
    till.work()
    with caplog.at_level(logging.ERROR):
        courier_works(rig, order_id, Status.MAKE_FAILED)
    assert till.world.order(order_id).reason == "not_sent"
    failure_logged(caplog, order_id)
    assert any(record.exc_info for record in caplog.records), "with where it happened"


def test_a_command_sent_makes_the_order_make_pending(till: Till, rig: Rig) -> None:
    rig.machine()
    order_id, answer = pay_and_notify(till)
    assert answer == 200
    till.work()
    courier_works(rig, order_id, Status.MAKE_PENDING)


@pytest.mark.parametrize("status", Status)
def test_the_webhook_is_answered_200_whatever_became_of_the_order(sqlite_till: Till, status: Status) -> None:
    """Otherwise the provider would send the same again for a day."""
    till = sqlite_till
    order_id = till.world.bring_to(status)
    told = {"id": f"yk-of-{order_id}", "status": "succeeded", "metadata": {"order_id": order_id}}
    for event in ("payment.succeeded", "payment.canceled", "payment.waiting_for_capture", "refund.succeeded"):
        assert till.post({"type": "notification", "event": event, "object": told}).status_code == 200
    assert till.world.status(order_id) == status


def test_what_was_not_sent_is_not_paid_for(till: Till, rig: Rig, mocker: MockerFixture) -> None:
    mocker.patch.object(rig.link, "publish", side_effect=KeyError("a bug of ours"))
    order_id, _ = pay_and_notify(till)
    till.work()
    courier_works(rig, order_id, Status.MAKE_FAILED)
    till.work()
    assert till.booked(order_id)["held"] == 0
    assert till.world.ledger(order_id) == {"held": PRICE, "canceled": PRICE}
