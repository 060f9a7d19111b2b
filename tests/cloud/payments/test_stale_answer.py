"""A provider's copy that lags behind its own notification delays a drink, no more; who repeats one gains nothing."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from cloud.payments.stale_answer import MAX_URGENT, ask_again_at
from simulator.yookassa.faults import Endpoint, FaultKind
from tests.cloud.payments.scripted_provider import Answer, Request, ScriptedProvider, says, scripted_provider
from tests.cloud.payments.test_call_worker import change_credential
from tests.cloud.tills import Till
from tests.cloud.worlds import START

pytestmark = pytest.mark.any_database

LAG_S, A_MINUTE = 5, 100


@pytest.fixture
def copy(till: Till) -> Iterator[ScriptedProvider]:
    """Where a shop of `status_check` none asks once `ask_copy` has been called."""
    change_credential(till, status_check="none")
    with scripted_provider() as provider:
        yield provider


def ask_copy(till: Till, copy: ScriptedProvider, provider_id: str) -> None:
    """From now on the copy knows what the payment was `LAG_S` ago at the latest."""
    old, until = till.shop.payment(provider_id), till.world.now + timedelta(seconds=LAG_S)

    def answer(_: Request) -> Answer:
        return says(old if till.world.now < until else till.shop.payment(provider_id))

    copy.answer_with = answer
    till._url = copy.url
    till.be_patient()


def pass_time(till: Till, seconds: int) -> None:
    for _ in range(seconds):
        till.world.clock.advance(1)
        till.poller.step(till.world.now)


@pytest.mark.both_databases
def test_an_answer_older_than_the_notification_does_not_end_the_asking(till: Till, copy: ScriptedProvider) -> None:
    order_id = till.open_payment()
    ask_copy(till, copy, till.provider_id(order_id))
    till.buyer_pays(order_id)
    till.look_at(order_id)
    assert till.world.status(order_id) == "pending"
    pass_time(till, LAG_S + 3)
    assert till.world.status(order_id) == "paid"
    assert till.world.payment(order_id).told_at is None


def test_nor_where_only_the_notification_says_which_payment_it_is(till: Till, copy: ScriptedProvider) -> None:
    order_id = till.world.scan()
    till.fault(FaultKind.RESET, Endpoint.CREATE, after_commit=True)
    till.press(order_id)
    [there] = till.payments_there()
    ask_copy(till, copy, there["id"])
    till.yookassa.pay(there["id"])
    till.post(till.notification(there["id"]))
    pass_time(till, LAG_S + 4)
    assert till.world.status(order_id) == "paid"


@pytest.mark.parametrize("times", [1, 40])
def test_a_forgery_costs_few_questions_however_often_it_comes(till: Till, copy: ScriptedProvider, times: int) -> None:
    order_id = till.open_payment()
    ask_copy(till, copy, till.provider_id(order_id))
    for _ in range(times):
        till.notify(order_id, status="succeeded")
        pass_time(till, 1)
    pass_time(till, A_MINUTE)
    assert len(copy.requests) <= times + 6
    payment, asked = till.world.payment(order_id), len(copy.requests)
    assert payment.times_told <= MAX_URGENT
    assert payment.told_at is None
    pass_time(till, A_MINUTE)
    assert len(copy.requests) == asked


def test_the_pauses_grow_and_end() -> None:
    asked, now = list[float](), START
    while again := ask_again_at(START, 1 + len(asked), now):
        asked.append((again - START).total_seconds())
        now = again
    assert asked == [2, 4, 8, 16, 32, 64]
    assert ask_again_at(START, MAX_URGENT, START) is None
