"""A key that is mended wakes those who wait for it, and presses that came to nothing by our fault are not counted."""

from datetime import timedelta

import pytest

from cloud.buyer.services import ACTS_BURST
from cloud.database.transaction import Transaction
from cloud.fleet.models import Credential
from cloud.orders.tasks import Task
from cloud.payments.renewals import Renewals
from protocol.reasons import Result
from simulator.yookassa.faults import Endpoint, FaultKind
from tests.cloud.payments.test_call_worker import at_once
from tests.cloud.tills import Till
from tests.cloud.worlds import SHOP_SECRET


def key_is(till: Till, secret: str) -> None:
    """The merchant's key as it was applied."""

    def change(tx: Transaction) -> None:
        credential = tx.session.get_one(Credential, ("north", "Yookassa"))
        credential.secret, credential.version = till.world.vault.lock(secret), credential.version + 1

    till.world.database.transact(change)


def test_a_new_key_wakes_who_waits_for_it(till: Till) -> None:
    """Regression: a cup came 37 s after the key was mended."""
    at_once(till)
    world, renewals = till.world, Renewals(till.world.database)
    poured, paid = till.paid(), till.open_payment()
    renewals.step(world.now)
    key_is(till, "a wrong key")
    till.buyer_pays(paid)
    world.publish(poured)
    world.report(poured, Result.REJECTED, "no_water")
    for _ in range(8):
        till.work(60)
        renewals.step(world.now)
    assert world.status(paid) == "pending"
    assert world.open_tasks(poured, Task.REFUND) == [Task.REFUND]
    key_is(till, SHOP_SECRET)
    renewals.step(world.clock.advance(2))
    till.work(1)
    assert world.status(paid) in {"paid", "manual_make"}
    assert till.verdicts(poured, Task.REFUND) == ["done"]


def test_what_is_put_off_for_its_own_reasons_is_not_woken(till: Till) -> None:
    renewals = Renewals(till.world.database)
    order_id = till.open_payment()
    due = till.world.payment(order_id).next_check_at
    assert due is not None
    renewals.step(till.world.now)
    key_is(till, SHOP_SECRET)
    renewals.step(till.world.clock.advance(2) - timedelta(seconds=1))
    assert till.world.payment(order_id).next_check_at == due


@pytest.mark.any_database
def test_presses_that_ended_in_our_503_do_not_lock_the_buyer_out(till: Till) -> None:
    """Regression: 90 s after the provider was well again the buyer was still refused, 429."""
    order_id = till.world.scan()
    till.be_patient(0.1)
    till.fault(FaultKind.ERROR_500, Endpoint.CREATE, times=None)
    for _ in range(ACTS_BURST + 5):
        assert till.press(order_id).status_code == 503
    till.yookassa.faults.clear()
    till.be_patient()
    till.work(300)
    assert till.press(order_id).status_code == 200
