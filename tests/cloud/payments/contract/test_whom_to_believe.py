"""Whose payment it is, what fits our books, what nobody has documented, and what never leaves the client."""

import logging
from dataclasses import replace
from datetime import timedelta

import pytest

from cloud.payments.facts import ProviderStatus, differences
from cloud.payments.outcomes import AuthError, NotOurs, Ok, Rejected
from cloud.payments.provider import InvalidRequest
from tests.cloud.payments.contract.counter import PRICE, Counter, fact, paid
from tests.cloud.payments.contract.rig import Money, ProviderRig
from tests.cloud.payments.contract.wire import Trouble
from tests.cloud.worlds import START


def test_the_credential_is_checked(counter: Counter, rig: ProviderRig) -> None:
    me = fact(counter.hold.me())
    assert (me.account_id, me.enabled) == (rig.shop.account_id, True)


@pytest.mark.usefixtures("opens_by_call")
def test_a_wrong_secret_opens_nothing_and_asks_for_somebody_to_mend_it(counter: Counter, rig: ProviderRig) -> None:
    provider_payment_id = counter.held()
    stranger = rig.connect(replace(rig.shop, secret_key="wrong"))
    assert isinstance(stranger.me(), AuthError)
    assert isinstance(stranger.send(counter.create_call(counter.order(), stranger)), AuthError)
    assert isinstance(stranger.fetch(provider_payment_id), AuthError)
    assert isinstance(stranger.send(stranger.prepare_capture(provider_payment_id, "cap-1")), AuthError)
    assert rig.payments() == [provider_payment_id]
    assert rig.money(provider_payment_id) == Money(held=PRICE)


def test_another_merchants_payment_is_not_ours_to_see_or_touch(counter: Counter, rig: ProviderRig) -> None:
    held, taken = counter.held(), counter.taken()
    other = rig.connect(rig.other_shop)
    assert isinstance(other.fetch(held), NotOurs)
    for outcome in (
        other.send(other.prepare_capture(held, "cap-1")),
        other.send(other.prepare_cancel(held, "can-1")),
        other.send(other.prepare_refund(taken, PRICE, "ref-1")),
    ):
        assert isinstance(outcome, NotOurs | Rejected), outcome
    assert (rig.money(held), rig.money(taken)) == (Money(held=PRICE), Money(taken=PRICE))


@pytest.mark.parametrize("forged", ["../me", "", "a?b", "x" * 65, "1/2", "-"])
def test_an_id_no_provider_gave_is_never_asked_about(counter: Counter, rig: ProviderRig, forged: str) -> None:
    before = len(rig.wire.calls)
    if forged != "-":
        assert isinstance(counter.hold.fetch(forged), NotOurs)
        with pytest.raises(InvalidRequest):
            counter.hold.prepare_cancel(forged, "can-1")
    assert isinstance(counter.hold.fetch_refund(forged + "/../1"), NotOurs)
    assert len(rig.wire.calls) == before


def test_an_unknown_status_decides_nothing(counter: Counter, rig: ProviderRig) -> None:
    provider_payment_id = counter.held()
    rig.wire.rewrite_next(lambda answer: rig.twisted(answer, status=True))
    assert fact(counter.hold.fetch(provider_payment_id)).status is ProviderStatus.UNKNOWN_STATUS
    assert fact(counter.hold.fetch(provider_payment_id)).status is ProviderStatus.HELD


def test_a_wrong_sum_is_noticed(counter: Counter, rig: ProviderRig) -> None:
    payment = counter.order()
    provider_payment_id = counter.opened(payment=payment).provider_payment_id
    rig.buyer_pays(provider_payment_id)
    rig.wire.rewrite_next(lambda answer: rig.twisted(answer, amount=True))
    assert differences(fact(counter.hold.fetch(provider_payment_id)), counter.expected(payment)) == ("amount",)


def test_another_shop_is_noticed(counter: Counter, rig: ProviderRig) -> None:
    payment = counter.order()
    provider_payment_id = counter.opened(payment=payment).provider_payment_id
    rig.wire.rewrite_next(lambda answer: rig.twisted(answer, shop=True))
    assert "account_id" in differences(fact(counter.hold.fetch(provider_payment_id)), counter.expected(payment))


def test_a_payment_of_another_order_is_noticed(counter: Counter) -> None:
    provider_payment_id = counter.opened().provider_payment_id
    other = counter.order()
    found = differences(fact(counter.hold.fetch(provider_payment_id)), counter.expected(other))
    assert "metadata.payment" in found


def test_payments_of_a_day_are_listed_where_the_provider_has_lists(counter: Counter, rig: ProviderRig) -> None:
    made = {counter.opened().provider_payment_id for _ in range(3)}
    day = (START - timedelta(hours=1), START + timedelta(hours=1))
    outcome = counter.hold.list_payments(*day)
    if not rig.lists:
        assert isinstance(outcome, Rejected)
        assert outcome.code == "no_list"
        return
    assert {facts.provider_payment_id for facts in fact(outcome).items} == made
    long_ago = (START - timedelta(days=3), START - timedelta(days=2))
    assert fact(counter.hold.list_payments(*long_ago)).items == ()


@pytest.mark.parametrize("amount", [0, -1, 99])
def test_what_would_be_refused_is_found_before_it_is_sent(counter: Counter, amount: int) -> None:
    with pytest.raises(InvalidRequest):
        counter.create_call(counter.order(amount))
    with pytest.raises(InvalidRequest):
        counter.hold.prepare_refund(counter.opened().provider_payment_id, amount, "ref-1")


def test_a_stored_call_is_sent_by_another_process_as_well(counter: Counter, rig: ProviderRig) -> None:
    """Everything it needs is in what was stored, and nothing of the secret is."""
    payment = counter.order()
    call = counter.create_call(payment)
    assert rig.shop.secret_key.encode() not in call.body
    after_restart = rig.connect(rig.shop)
    assert paid(after_restart.send(call)).metadata["payment"] == payment.payment


def test_nobody_is_told_the_secret(counter: Counter, rig: ProviderRig, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = rig.connect(replace(rig.shop, secret_key="another_secret"))
    told: list[object] = [counter.hold, counter.hold.shop, wrong, wrong.me()]
    for trouble in (Trouble.RESET, Trouble.BROKEN_JSON, Trouble.SERVER_ERROR):
        rig.wire.trouble(trouble)
        told.append(counter.hold.send(counter.create_call(counter.order())))
    opened = counter.hold.send(counter.create_call(counter.order()))
    assert isinstance(opened, Ok)
    told += [opened, opened.value.raw]
    everything = "".join(map(repr, told)) + caplog.text
    assert rig.shop.secret_key not in everything
    assert "another_secret" not in everything
