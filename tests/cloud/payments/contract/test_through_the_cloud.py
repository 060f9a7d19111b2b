"""A whole purchase over each provider and the real parts of the cloud: news in any order, money where it belongs."""

import logging

import pytest

from cloud.orders.states import Status
from cloud.orders.tasks import Task
from protocol.reasons import Result
from tests.cloud.payments.contract.rig import Money
from tests.cloud.payments.contract.till import ContractTill
from tests.cloud.payments.contract.wire import Trouble
from tests.cloud.worlds import PRICE


def test_a_poured_coffee_is_paid(till: ContractTill) -> None:
    order_id = till.poured()
    assert till.world.status(order_id) == Status.SUCCESSFUL
    assert till.money(order_id) == Money(taken=PRICE)
    assert till.world.ledger(order_id) == {"held": PRICE, "captured": PRICE}


def test_a_coffee_not_made_costs_nothing(till: ContractTill) -> None:
    order_id = till.poured(Result.REJECTED, "no_water")
    assert till.world.status(order_id) == Status.MAKE_FAILED
    assert till.money(order_id) == Money()
    assert till.world.ledger(order_id) == {"held": PRICE, "canceled": PRICE}


def test_one_stage_money_comes_back(till: ContractTill) -> None:
    till.one_stage()
    order_id = till.poured(Result.REJECTED, "no_water")
    for _ in range(3):
        till.rig.time_passes(0)
        till.work(86400)
    assert till.world.status(order_id) == Status.MAKE_FAILED
    assert till.money(order_id) == Money(taken=PRICE, returned=PRICE)
    assert till.world.ledger(order_id) == {"captured": PRICE, "refunded": PRICE}


def test_the_same_news_any_number_of_times_pours_once(till: ContractTill) -> None:
    order_id = till.open()
    till.rig.buyer_pays(till.provider_payment_id(order_id))
    for _ in range(5):
        till.tell(order_id)
        till.work()
    assert len(till.world.commands(order_id)) == 1
    assert [notification.times for notification in till.notifications()] == [5]
    assert till.world.ledger(order_id) == {"held": PRICE}


def test_old_news_after_new_changes_nothing(till: ContractTill) -> None:
    order_id = till.open()
    pending = till.rig.notification(till.provider_payment_id(order_id))
    till.rig.buyer_pays(till.provider_payment_id(order_id))
    held = till.rig.notification(till.provider_payment_id(order_id))
    till.tell(order_id)
    till.work()
    till.world.publish(order_id)
    till.world.report(order_id, Result.DONE)
    till.work()
    for old in (held, pending):
        till.post(old)
        till.work()
    assert till.world.status(order_id) == Status.SUCCESSFUL
    assert till.money(order_id) == Money(taken=PRICE)


def test_forged_news_changes_nothing(till: ContractTill) -> None:
    order_id = till.open()
    till.work()
    answer = till.post(till.rig.forged_notification(till.provider_payment_id(order_id)), forged=True)
    till.work()
    assert answer.status_code == 403
    assert till.notifications() == []
    assert till.world.status(order_id) == Status.PENDING


@pytest.mark.parametrize("nonsense", [b"", b"[]", b"null", b"{}", b"\xff\xfe", b'{"a":' * 5000, b"x" * 100_000])
def test_nonsense_at_the_door_is_refused(till: ContractTill, nonsense: bytes) -> None:
    answer = till.rig.post_notification(till.client(), nonsense)
    assert answer.status_code == 400
    assert till.notifications() == []


@pytest.mark.usefixtures("opens_by_call")
def test_news_before_our_own_create_was_answered_is_adopted(till: ContractTill) -> None:
    order_id = till.world.scan()
    till.rig.wire.trouble(Trouble.RESET, after=True)
    assert till.press(order_id).status_code == 503
    [provider_payment_id] = till.rig.payments()
    till.rig.buyer_pays(provider_payment_id)
    till.post(till.rig.notification(provider_payment_id))
    till.poller.step(till.world.now)
    assert till.provider_payment_id(order_id) == provider_payment_id
    till.work(10)
    assert till.world.status(order_id) in {Status.PAID, Status.MAKE_PENDING}
    assert till.rig.payments() == [provider_payment_id]
    assert till.world.ledger(order_id) == {"held": PRICE}


def test_news_of_a_payment_nobody_asked_for_is_kept_and_moves_nothing(till: ContractTill) -> None:
    order_id = till.open()
    stranger = till.stranger()
    till.rig.buyer_pays(stranger)
    till.post(till.rig.notification(stranger))
    till.work(1)
    assert [notification.provider_payment_id for notification in till.notifications()] == [stranger]
    assert till.world.status(order_id) == Status.PENDING


@pytest.mark.usefixtures("opens_by_call")
def test_a_lost_create_ends_with_an_order_that_can_be_paid(till: ContractTill) -> None:
    order_id = till.world.scan()
    till.rig.wire.trouble(Trouble.GATEWAY_PAGE, after=True)
    assert till.press(order_id).status_code == 503
    till.work(10)
    answer = till.press(order_id)
    assert answer.status_code == 200, answer.text
    till.rig.buyer_pays(till.provider_payment_id(order_id))
    till.tell(order_id)
    till.work()
    assert till.world.status(order_id) == Status.PAID
    assert till.world.ledger(order_id) == {"held": PRICE}


@pytest.mark.usefixtures("opens_by_call")
def test_who_presses_again_after_a_lost_create_is_not_told_that_he_has_paid(till: ContractTill) -> None:
    order_id = till.world.scan()
    till.rig.wire.trouble(Trouble.RESET, after=True)
    presses = []
    for _ in range(3):
        presses.append(till.press(order_id))
        till.world.clock.advance(1)
    assert {answer.get_json()["error"]["code"] for answer in presses if answer.status_code != 200} == {"in_progress"}
    assert presses[-1].status_code == 200
    till.rig.buyer_pays(till.provider_payment_id(order_id))
    till.tell(order_id)
    till.work()
    assert till.world.status(order_id) == Status.PAID


@pytest.mark.usefixtures("opens_by_call")
@pytest.mark.parametrize("is_done", [False, True], ids=["nothing was opened", "it was opened"])
def test_an_opening_unanswered_to_its_orders_end_is_looked_up_and_no_persons(
    till: ContractTill, is_done: bool, caplog: pytest.LogCaptureFixture
) -> None:
    order_id = till.world.scan()
    till.rig.wire.trouble(Trouble.SERVER_ERROR, after=is_done)
    till.rig.wire.trouble(Trouble.SERVER_ERROR, times=1000)
    assert till.press(order_id).status_code == 503
    for _ in range(30):
        till.work(60)
    [opening] = till.world.rows(order_id, Task.CREATE)
    assert opening.verdict == ("done" if is_done else "refused")
    found = [till.world.payment(order_id).provider_payment_id] if is_done else []
    assert found == till.rig.payments()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
    till.work(3600)
    assert till.world.status(order_id) == (Status.NOT_PAID if is_done else Status.FAILED)


def test_money_that_comes_late_waits_for_its_buyer_and_then_goes_back(till: ContractTill) -> None:
    order_id = till.open()
    till.work(till.world.rules.fast_track_s + 1)
    till.rig.buyer_pays(till.provider_payment_id(order_id))
    till.tell(order_id)
    till.work()
    assert till.world.status(order_id) == Status.MANUAL_MAKE
    assert till.world.commands(order_id) == []
    till.world.wait(till.world.rules.manual_make_s + 1)
    till.work()
    assert till.world.status(order_id) == Status.MAKE_FAILED
    assert till.money(order_id) == Money()


def test_a_wrong_sum_is_held_back_and_returned(till: ContractTill) -> None:
    order_id = till.open()
    till.rig.buyer_pays(till.provider_payment_id(order_id))
    till.tell(order_id)
    till.rig.wire.rewrite_next(lambda answer: till.rig.twisted(answer, amount=True))
    till.work()
    assert till.world.status(order_id) == Status.FAILED
    assert till.world.payment(order_id).problem == "amount"
    assert till.world.commands(order_id) == []
    assert till.money(order_id) == Money()


def test_lost_answers_to_the_capture_take_the_money_once(till: ContractTill) -> None:
    order_id = till.paid()
    till.world.publish(order_id)
    till.world.report(order_id, Result.DONE)
    till.rig.wire.trouble(Trouble.RESET, after=True, acts_only=False, times=3)
    for _ in range(6):
        till.work(30)
    assert till.money(order_id) == Money(taken=PRICE)
    assert till.world.ledger(order_id) == {"held": PRICE, "captured": PRICE}
    assert till.world.open_tasks(order_id) == []


def test_lost_answers_to_the_refund_return_the_money_once(till: ContractTill) -> None:
    till.one_stage()
    order_id = till.paid()
    till.world.publish(order_id)
    till.world.report(order_id, Result.REJECTED, "no_water")
    till.rig.wire.trouble(Trouble.BROKEN_JSON, after=True, acts_only=False, times=3)
    for _ in range(6):
        till.work(3600)
    assert till.money(order_id) == Money(taken=PRICE, returned=PRICE)
    assert till.world.ledger(order_id) == {"captured": PRICE, "refunded": PRICE}
    assert till.world.open_tasks(order_id) == []


def test_money_returned_by_people_in_the_cabinet_is_seen(till: ContractTill) -> None:
    order_id = till.poured()
    till.rig.refund_by_hand(till.provider_payment_id(order_id), 5000)
    till.work()
    till.tell(order_id)
    till.work()
    assert till.world.ledger(order_id)["refunded"] == 5000
    assert till.world.open_tasks(order_id) == []
