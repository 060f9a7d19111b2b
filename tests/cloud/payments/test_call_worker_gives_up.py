"""Calls that cannot be made, may not be made again, or whose outcome was never learnt: nothing waits for ever."""

import logging

import pytest

from cloud.database.transaction import Transaction
from cloud.fleet.vault import Vault
from cloud.orders.models import Payment
from cloud.orders.tasks import Task
from simulator.yookassa.faults import Endpoint, FaultKind
from tests.cloud.payments.test_call_worker import change_credential, ready_for
from tests.cloud.tills import Till, a_till
from tests.cloud.worlds import PRICE, World
from tests.programs import free_port

pytestmark = pytest.mark.any_database


def test_without_a_credential_money_waits_and_is_not_forgotten(till: Till, caplog: pytest.LogCaptureFixture) -> None:
    order_id = ready_for(till, Task.REFUND)
    change_credential(till, account_id="999999")
    with caplog.at_level(logging.ERROR):
        till.work()
    assert "has no key of shop 100500 any more, now it is 999999" in caplog.text
    [row] = till.world.rows(order_id, Task.REFUND)
    assert (row.settled_at, row.undone) == (None, 1)
    till.work(30 * 3600)
    assert till.verdicts(order_id, Task.REFUND) == [""], "nothing was ever sent, so nothing can be doubled"
    change_credential(till, account_id="100500")
    till.work(61)
    assert till.verdicts(order_id, Task.REFUND) == ["done"]


def test_a_secret_nobody_can_read_is_no_credential(till: Till) -> None:
    order_id = ready_for(till, Task.REFUND)
    change_credential(till, secret=Vault("quite another key, thirty-two and more").lock("x"))
    till.work()
    [row] = till.world.rows(order_id, Task.REFUND)
    assert (row.settled_at, row.undone) == (None, 1)
    fresh = till.world.scan()
    answer = till.press(fresh)
    assert (answer.status_code, answer.json and answer.json["error"]["code"]) == (503, "no_payment")
    assert till.world.status(fresh) == "created"


def test_a_refused_credential_is_tried_again_with_the_same_key(till: Till) -> None:
    order_id = ready_for(till, Task.REFUND)
    change_credential(till, secret=till.world.vault.lock("mistyped"))
    till.work()
    change_credential(till, secret=till.world.vault.lock("test_secret"))
    till.work(2)
    [row] = till.world.rows(order_id, Task.REFUND)
    assert (row.verdict, row.attempts, row.undone) == ("done", 2, 1)


def test_a_payment_never_sent_by_the_orders_expiry_is_refused(sqlite_world: World) -> None:
    with a_till(sqlite_world, f"http://127.0.0.1:{free_port()}/v3") as till:
        order_id = sqlite_world.scan()
        assert till.press(order_id).status_code == 503
        till.work(600)
        assert sqlite_world.status(order_id) == "pending"
        till.work(400)
        order = sqlite_world.order(order_id)
        assert (order.status, order.reason) == ("failed", "expired")
        assert sqlite_world.payment(order_id).state == "refused"
        assert sqlite_world.open_tasks(order_id) == []


def test_a_payment_that_may_have_been_opened_is_not_given_up_at_the_expiry(sqlite_till: Till) -> None:
    till = sqlite_till
    order_id = till.world.scan()
    till.fault(FaultKind.RESET, Endpoint.CREATE, after_commit=True)
    till.press(order_id)
    till.fault(FaultKind.ERROR_500, Endpoint.CREATE, times=2)
    till.work(901)
    till.work(20)
    till.work(20)
    assert till.world.status(order_id) == "pending"
    assert till.world.payment(order_id).state == "pending"
    assert len(till.payments_there()) == 1


def test_a_payment_whose_opening_was_never_learnt_does_not_leave_its_order_waiting(sqlite_till: Till) -> None:
    till = sqlite_till
    order_id = till.world.scan()
    till.fault(FaultKind.ERROR_500, Endpoint.CREATE, times=None)
    till.press(order_id)
    till.work(23 * 3600 + 1)
    assert till.verdicts(order_id, Task.CREATE) == ["lost"]
    assert till.world.status(order_id) == "failed"


def test_a_return_whose_outcome_was_never_learnt_is_not_sent_again_but_looked_for(sqlite_till: Till) -> None:
    """Every answer is lost for a day, though the money went back at the first call."""
    till = sqlite_till
    order_id = ready_for(till, Task.REFUND)
    till.fault(FaultKind.RESET, Endpoint.REFUND, after_commit=True)
    till.work()
    till.fault(FaultKind.ERROR_500, Endpoint.REFUND, times=None)
    till.work(23 * 3600 + 1)
    assert till.verdicts(order_id, Task.REFUND) == ["done"], "found in the provider's list"
    assert till.world.ledger(order_id) == {"captured": PRICE, "refunded": PRICE}
    assert len(till.refunds_there()) == 1


def test_a_call_the_provider_would_refuse_is_not_made(sqlite_till: Till) -> None:
    till = sqlite_till
    order_id = ready_for(till, Task.REFUND)

    def spoil(tx: Transaction) -> None:
        tx.session.get_one(Payment, till.world.payment(order_id).id).provider_payment_id = "not/an/id"

    till.world.database.transact(spoil)
    till.work()
    assert till.verdicts(order_id, Task.REFUND)[0] == "refused"
    assert till.refunds_there() == []
