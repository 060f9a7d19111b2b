"""The bank's news: signed, sent until the answer is `OK`, and whatever the wire does to it."""

import pytest

from simulator.shell.webhooks import Mischief
from simulator.tbank import TBankSimulator
from simulator.tbank.terms import Behaviour
from tests.simulator.tbank.merchant import Listener, Merchant, token
from tests.waiting import wait_until


def hears(listener: Listener, *statuses: str) -> None:
    wait_until(lambda: len(listener.heard) >= len(statuses), what=f"news of {statuses}")
    assert sorted(listener.statuses) == sorted(statuses)


def test_one_stage_tells_of_both_steps(merchant: Merchant, listener: Listener) -> None:
    payment_id = merchant.taken(NotificationURL=listener.url)
    hears(listener, "AUTHORIZED", "CONFIRMED")
    for news in listener.heard:
        assert (news["PaymentId"], news["Amount"], news["Success"]) == (payment_id, 15000, True)
        assert news["Token"] == token(news, merchant.password)


def test_two_stages_tell_of_each_when_it_happens(merchant: Merchant, listener: Listener) -> None:
    payment_id = merchant.held(NotificationURL=listener.url)
    hears(listener, "AUTHORIZED")
    merchant.call("Confirm", PaymentId=payment_id)
    hears(listener, "AUTHORIZED", "CONFIRMED")
    merchant.call("Cancel", PaymentId=payment_id, Amount=5000)
    merchant.call("Cancel", PaymentId=payment_id, Amount=5000)
    hears(listener, "AUTHORIZED", "CONFIRMED", "PARTIAL_REFUNDED", "PARTIAL_REFUNDED")


def test_a_decline_is_told_with_its_code(merchant: Merchant, listener: Listener) -> None:
    payment_id = merchant.open(NotificationURL=listener.url)
    merchant.sim("POST", f"/decline/{payment_id}", {"reason": "insufficient_funds"})
    hears(listener, "REJECTED")
    assert (listener.heard[0]["Success"], listener.heard[0]["ErrorCode"]) == (False, "1051")


def test_by_sbp_the_buyer_shows_no_card(merchant: Merchant, listener: Listener) -> None:
    merchant.taken("sbp", NotificationURL=listener.url)
    hears(listener, "CONFIRMED")
    assert "Pan" not in listener.heard[0]


@pytest.mark.parametrize("answer", [(500, b"OK"), (200, b"ok"), (200, b"OK\n"), (200, b"<b>OK</b>"), (202, b"OK")])
def test_whatever_is_not_ok_is_repeated_an_hour_later(
    merchant: Merchant, bank: TBankSimulator, listener: Listener, answer: tuple[int, bytes]
) -> None:
    listener.answers.append(answer)
    merchant.held(NotificationURL=listener.url)
    hears(listener, "AUTHORIZED")
    wait_until(lambda: bank.webhooks.waiting() == 1, what="the repeat to wait")
    bank.advance(3601)
    hears(listener, "AUTHORIZED", "AUTHORIZED")
    wait_until(lambda: bank.webhooks.counts.accepted == 1, what="the repeat to be accepted")


def test_news_is_repeated_for_a_month_and_then_given_up(merchant: Merchant, bank: TBankSimulator) -> None:
    merchant.held(NotificationURL="http://127.0.0.1:1/nobody")

    def given_up() -> bool:
        bank.advance(86400)
        return bank.webhooks.counts.given_up == 2

    wait_until(given_up, what="the bank to give up news of the hold and of its end")
    assert len([line for line in bank.webhooks.log() if line.event == "AUTHORIZED"]) == 1 + 24 + 30


def test_copies_and_silence_are_switches(merchant: Merchant, bank: TBankSimulator, listener: Listener) -> None:
    bank.webhooks.mischief = Mischief(copies=2)
    merchant.held(NotificationURL=listener.url)
    hears(listener, *["AUTHORIZED"] * 3)
    bank.webhooks.mischief = Mischief(silent=True)
    merchant.held(NotificationURL=listener.url, OrderId="2")
    assert bank.webhooks.counts.lost == 1


def test_each_payment_is_told_of_at_its_own_address(
    merchant: Merchant, bank: TBankSimulator, listener: Listener
) -> None:
    bank.webhooks.aim("http://127.0.0.1:1/the-terminals")
    with_one = merchant.held(NotificationURL=listener.url)
    without = merchant.held(OrderId="2")
    forged = merchant.open(OrderId="3", NotificationURL=listener.url)
    merchant.sim("POST", "/webhooks/forge", {"payment_id": forged})
    wait_until(lambda: len(bank.webhooks.log()) == 3, what="all three to be tried")
    tried = {line.object_id: line.url for line in bank.webhooks.log()}
    assert tried == {with_one: listener.url, without: "http://127.0.0.1:1/the-terminals", forged: listener.url}


def test_a_forgery_carries_another_token(merchant: Merchant, bank: TBankSimulator, listener: Listener) -> None:
    payment_id = merchant.open(NotificationURL=listener.url)
    bank.webhooks.aim(listener.url, merchant.key)
    merchant.sim("POST", "/webhooks/forge", {"payment_id": payment_id})
    hears(listener, "CONFIRMED")
    assert listener.heard[0]["Token"] != token(listener.heard[0], merchant.password)
    assert merchant.status(payment_id) == "NEW"


def test_numbers_can_come_as_numbers(merchant: Merchant, bank: TBankSimulator, listener: Listener) -> None:
    bank.behaviour = Behaviour(numbers=True)
    payment_id = merchant.held(NotificationURL=listener.url)
    hears(listener, "AUTHORIZED")
    assert listener.heard[0]["PaymentId"] == int(payment_id)
    assert listener.heard[0]["Token"] == token(listener.heard[0], merchant.password)


def test_nobody_is_told_where_no_address_is_known(merchant: Merchant, bank: TBankSimulator) -> None:
    merchant.held()
    assert bank.webhooks.waiting() == 0
    assert bank.webhooks.log() == []
