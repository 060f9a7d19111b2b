"""Opened, paid, taken, let go, returned: every provider tells the same story in the same words."""

from cloud.orders.paying import PROVIDER_FINAL_S
from cloud.payments.facts import ProviderStatus, RefundStatus, differences
from cloud.payments.outcomes import Rejected
from tests.cloud.payments.contract.counter import PRICE, Counter, fact, paid
from tests.cloud.payments.contract.rig import Money, ProviderRig


def test_a_new_payment_is_pending_and_has_a_page(counter: Counter) -> None:
    payment = counter.order()
    opened = counter.opened(payment=payment)
    assert opened.status is ProviderStatus.PENDING
    assert opened.confirmation_url is not None
    assert opened.confirmation_url.startswith("http")
    assert differences(opened, counter.expected(payment)) == ()


def test_money_is_held_until_the_drink_is_made(counter: Counter, rig: ProviderRig) -> None:
    provider_payment_id = counter.held()
    assert rig.money(provider_payment_id) == Money(held=PRICE)
    taken = paid(counter.hold.send(counter.hold.prepare_capture(provider_payment_id, "cap-1")))
    assert (taken.status, taken.captured, taken.refunded) == (ProviderStatus.SUCCEEDED, PRICE, 0)
    assert rig.money(provider_payment_id) == Money(taken=PRICE)


def test_a_hold_is_let_go(counter: Counter, rig: ProviderRig) -> None:
    provider_payment_id = counter.held()
    gone = paid(counter.hold.send(counter.hold.prepare_cancel(provider_payment_id, "can-1")))
    assert (gone.status, gone.captured) == (ProviderStatus.CANCELED, 0)
    assert rig.money(provider_payment_id) == Money()


def test_one_stage_money_is_taken_when_it_is_paid_and_goes_back_whole(counter: Counter, rig: ProviderRig) -> None:
    provider_payment_id = counter.taken()
    refund = counter.refunded(provider_payment_id, PRICE, "ref-1")
    assert (refund.provider_payment_id, refund.amount) == (provider_payment_id, PRICE)
    assert rig.money(provider_payment_id) == Money(taken=PRICE, returned=PRICE)
    after = fact(counter.at_once.fetch(provider_payment_id))
    assert (after.status, after.captured, after.refunded) == (ProviderStatus.SUCCEEDED, PRICE, PRICE)


def test_money_goes_back_in_parts_each_a_refund_of_its_own(counter: Counter, rig: ProviderRig) -> None:
    provider_payment_id = counter.taken()
    first = counter.refunded(provider_payment_id, 5000, "ref-1")
    assert fact(counter.hold.fetch(provider_payment_id)).refunded == 5000
    second = counter.refunded(provider_payment_id, PRICE - 5000, "ref-2")
    assert (first.amount, second.amount) == (5000, PRICE - 5000)
    assert first.provider_refund_id != second.provider_refund_id
    assert rig.money(provider_payment_id) == Money(taken=PRICE, returned=PRICE)
    listed = fact(counter.hold.list_refunds(provider_payment_id)).items
    assert {(refund.provider_refund_id, refund.amount) for refund in listed} == {
        (first.provider_refund_id, 5000),
        (second.provider_refund_id, PRICE - 5000),
    }


def test_a_refund_can_be_asked_about_later(counter: Counter) -> None:
    refund = counter.refunded(counter.taken(), PRICE, "ref-1")
    again = fact(counter.hold.fetch_refund(refund.provider_refund_id))
    assert (again.status, again.amount) == (RefundStatus.SUCCEEDED, PRICE)
    assert again.provider_refund_id == refund.provider_refund_id


def test_what_people_return_in_the_cabinet_is_told_once(counter: Counter, rig: ProviderRig) -> None:
    provider_payment_id = counter.taken()
    ours = counter.refunded(provider_payment_id, 5000, "ref-1")
    rig.refund_by_hand(provider_payment_id, 3000)
    rig.time_passes(2 * 86400)
    assert fact(counter.hold.fetch(provider_payment_id)).refunded == 8000
    listed = {
        refund.provider_refund_id: refund.amount
        for refund in fact(counter.hold.list_refunds(provider_payment_id)).items
    }
    assert listed.pop(ours.provider_refund_id) == 5000
    assert list(listed.values()) == [3000]


def test_the_books_agree_at_every_stage(counter: Counter, rig: ProviderRig) -> None:
    payment = counter.order()
    expected = counter.expected(payment)
    provider_payment_id = counter.opened(payment=payment).provider_payment_id

    def agree() -> bool:
        return differences(fact(counter.hold.fetch(provider_payment_id)), expected) == ()

    assert agree()
    rig.buyer_pays(provider_payment_id)
    assert agree()
    paid(counter.hold.send(counter.hold.prepare_capture(provider_payment_id, "cap-1")))
    assert agree()
    counter.refunded(provider_payment_id, 5000, "ref-1")
    assert agree()
    counter.refunded(provider_payment_id, PRICE - 5000, "ref-2")
    assert agree()


def test_a_declined_payment_ends_and_says_why(counter: Counter, rig: ProviderRig) -> None:
    provider_payment_id = counter.opened().provider_payment_id
    rig.buyer_is_declined(provider_payment_id)
    ended = fact(counter.hold.fetch(provider_payment_id))
    assert (ended.status, ended.captured) == (ProviderStatus.CANCELED, 0)
    assert ended.cancellation is not None
    assert ended.cancellation.reason


def test_a_payment_nobody_makes_ends_by_itself_when_we_say_it_has(counter: Counter, rig: ProviderRig) -> None:
    provider_payment_id = counter.opened().provider_payment_id
    rig.time_passes(PROVIDER_FINAL_S)
    assert fact(counter.hold.fetch(provider_payment_id)).status is ProviderStatus.CANCELED


def test_what_is_not_paid_cannot_be_taken_or_returned(counter: Counter, rig: ProviderRig) -> None:
    provider_payment_id = counter.opened().provider_payment_id
    assert isinstance(counter.hold.send(counter.hold.prepare_capture(provider_payment_id, "cap-1")), Rejected)
    assert isinstance(counter.hold.send(counter.hold.prepare_refund(provider_payment_id, PRICE, "ref-1")), Rejected)
    assert rig.money(provider_payment_id) == Money()


def test_what_is_not_paid_is_cancelled_where_the_provider_can(counter: Counter, rig: ProviderRig) -> None:
    provider_payment_id = counter.opened().provider_payment_id
    outcome = counter.hold.send(counter.hold.prepare_cancel(provider_payment_id, "can-1"))
    if rig.cancels_unpaid:
        assert paid(outcome).status is ProviderStatus.CANCELED
    else:
        assert isinstance(outcome, Rejected)


def test_a_hold_is_not_refunded_and_taken_money_is_not_cancelled(counter: Counter, rig: ProviderRig) -> None:
    held, taken = counter.held(), counter.taken()
    assert isinstance(counter.hold.send(counter.hold.prepare_refund(held, PRICE, "ref-1")), Rejected)
    assert isinstance(counter.hold.send(counter.hold.prepare_cancel(taken, "can-1")), Rejected)
    assert (rig.money(held), rig.money(taken)) == (Money(held=PRICE), Money(taken=PRICE))


def test_no_more_goes_back_than_came(counter: Counter, rig: ProviderRig) -> None:
    provider_payment_id = counter.taken()
    counter.refunded(provider_payment_id, 10000, "ref-1")
    assert isinstance(counter.hold.send(counter.hold.prepare_refund(provider_payment_id, 5001, "ref-2")), Rejected)
    assert rig.money(provider_payment_id) == Money(taken=PRICE, returned=10000)
