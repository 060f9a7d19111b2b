"""A call whose answer was lost is Unknown; sent again, before or after the act, money moves exactly once."""

import pytest

from cloud.payments.facts import ProviderStatus
from cloud.payments.outcomes import AuthError, NotOurs, NotSent, Ok, Outcome, Rejected, Unknown
from cloud.payments.provider import PreparedCall, Provider
from tests.cloud.payments.contract.counter import PRICE, Counter, T, fact, paid, refunded
from tests.cloud.payments.contract.rig import Money, ProviderRig
from tests.cloud.payments.contract.wire import Trouble

TROUBLES = pytest.mark.parametrize("trouble", [t for t in Trouble if t is not Trouble.SILENCE], ids=lambda t: t.name)
AFTER = pytest.mark.parametrize("after", [False, True], ids=["before the act", "after the act"])


def is_not_decided(outcome: Outcome[T]) -> bool:
    """Neither a fact nor a refusal: it must be asked again."""
    return not isinstance(outcome, Ok | Rejected | NotOurs | AuthError)


def lost_then_sent_again(rig: ProviderRig, client: Provider, call: PreparedCall, trouble: Trouble, after: bool) -> None:
    rig.wire.trouble(trouble, after=after)
    assert isinstance(client.send(call), Unknown)
    assert isinstance(client.send(call), Ok)


@pytest.mark.usefixtures("opens_by_call")
@TROUBLES
@AFTER
def test_a_payment_is_opened_once(counter: Counter, rig: ProviderRig, trouble: Trouble, after: bool) -> None:
    payment = counter.order()
    call = counter.create_call(payment)
    rig.wire.trouble(trouble, after=after)
    assert isinstance(counter.hold.send(call), Unknown)
    found = paid(counter.hold.send(call))
    assert rig.payments() == [found.provider_payment_id]
    assert found.metadata["payment"] == payment.payment
    assert found.confirmation_url is not None or found.status is ProviderStatus.CANCELED, "payable, or over"


@pytest.mark.usefixtures("opens_by_call")
@TROUBLES
@AFTER
def test_a_payment_made_meanwhile_is_found(counter: Counter, rig: ProviderRig, trouble: Trouble, after: bool) -> None:
    call = counter.create_call(counter.order())
    rig.wire.trouble(trouble, after=after)
    assert isinstance(counter.hold.send(call), Unknown)
    if rig.payments():
        rig.buyer_pays(rig.payments()[0])
        assert paid(counter.hold.send(call)).status in {ProviderStatus.HELD, ProviderStatus.PENDING}
        assert fact(counter.hold.fetch(rig.payments()[0])).status is ProviderStatus.HELD
    else:
        assert paid(counter.hold.send(call)).status is ProviderStatus.PENDING
    assert len(rig.payments()) == 1


@TROUBLES
@AFTER
def test_a_hold_is_taken_once(counter: Counter, rig: ProviderRig, trouble: Trouble, after: bool) -> None:
    provider_payment_id = counter.held()
    lost_then_sent_again(rig, counter.hold, counter.hold.prepare_capture(provider_payment_id, "cap-1"), trouble, after)
    assert rig.money(provider_payment_id) == Money(taken=PRICE)


@TROUBLES
@AFTER
def test_a_hold_is_let_go_once(counter: Counter, rig: ProviderRig, trouble: Trouble, after: bool) -> None:
    provider_payment_id = counter.held()
    lost_then_sent_again(rig, counter.hold, counter.hold.prepare_cancel(provider_payment_id, "can-1"), trouble, after)
    assert rig.money(provider_payment_id) == Money()
    assert fact(counter.hold.fetch(provider_payment_id)).status is ProviderStatus.CANCELED


@TROUBLES
@pytest.mark.parametrize(("after", "amount"), [(False, PRICE), (True, 5000)], ids=["whole, before", "part, after"])
def test_money_goes_back_once(counter: Counter, rig: ProviderRig, amount: int, trouble: Trouble, after: bool) -> None:
    provider_payment_id = counter.taken()
    call = counter.hold.prepare_refund(provider_payment_id, amount, "ref-1")
    rig.wire.trouble(trouble, after=after)
    assert isinstance(counter.hold.send(call), Unknown)
    refund = counter.settled(refunded(counter.hold.send(call)))
    assert refund.amount == amount
    assert rig.money(provider_payment_id) == Money(taken=PRICE, returned=amount)
    [listed] = fact(counter.hold.list_refunds(provider_payment_id)).items
    assert (listed.provider_refund_id, listed.amount) == (refund.provider_refund_id, amount)


@AFTER
def test_silence_is_unknown_too(counter: Counter, rig: ProviderRig, after: bool) -> None:
    provider_payment_id = counter.taken()
    client = counter.hasty()
    call = client.prepare_refund(provider_payment_id, PRICE, "ref-1")
    rig.wire.trouble(Trouble.SILENCE, after=after)
    assert isinstance(client.send(call), Unknown)
    counter.settled(refunded(counter.hold.send(call)))
    assert rig.money(provider_payment_id) == Money(taken=PRICE, returned=PRICE)


@TROUBLES
@pytest.mark.parametrize("calls_lost", [1, 3])
def test_however_many_calls_go_wrong_money_goes_back_once(
    counter: Counter, rig: ProviderRig, trouble: Trouble, calls_lost: int
) -> None:
    """Questions and acts alike, each after the provider heard it."""
    provider_payment_id = counter.taken()
    call = counter.hold.prepare_refund(provider_payment_id, PRICE, "ref-1")
    rig.wire.trouble(trouble, after=True, acts_only=False, times=calls_lost)
    for _ in range(calls_lost):
        outcome = counter.hold.send(call)
        if isinstance(outcome, Ok):
            break
        assert is_not_decided(outcome), outcome
    counter.settled(refunded(counter.hold.send(call)))
    assert rig.money(provider_payment_id) == Money(taken=PRICE, returned=PRICE)


@TROUBLES
def test_a_question_without_an_answer_decides_nothing(counter: Counter, rig: ProviderRig, trouble: Trouble) -> None:
    provider_payment_id = counter.held()
    rig.wire.trouble(trouble, acts_only=False)
    assert isinstance(counter.hold.fetch(provider_payment_id), Unknown)
    assert fact(counter.hold.fetch(provider_payment_id)).status is ProviderStatus.HELD


def test_the_same_call_twice_moves_money_once(counter: Counter, rig: ProviderRig) -> None:
    held, let_go, taken = counter.held(), counter.held(), counter.taken()
    for call in (
        counter.hold.prepare_capture(held, "cap-1"),
        counter.hold.prepare_cancel(let_go, "can-1"),
        counter.hold.prepare_refund(taken, PRICE, "ref-1"),
    ):
        assert isinstance(counter.hold.send(call), Ok)
        assert isinstance(counter.hold.send(call), Ok)
    rig.time_passes(2 * 86400)
    assert rig.money(held) == Money(taken=PRICE)
    assert rig.money(let_go) == Money()
    assert rig.money(taken) == Money(taken=PRICE, returned=PRICE)


def test_a_second_payment_of_the_same_name_is_never_opened(counter: Counter, rig: ProviderRig) -> None:
    call = counter.create_call(counter.order())
    first = paid(counter.hold.send(call))
    assert paid(counter.hold.send(call)).provider_payment_id == first.provider_payment_id
    assert rig.payments() == [first.provider_payment_id]


def test_a_stopped_provider_was_certainly_sent_nothing(counter: Counter, rig: ProviderRig) -> None:
    provider_payment_id = counter.taken()
    call = counter.hold.prepare_refund(provider_payment_id, PRICE, "ref-1")
    rig.wire.close()
    stranded = counter.hasty()
    assert isinstance(stranded.send(call), NotSent)
    assert isinstance(stranded.fetch(provider_payment_id), NotSent)
    assert rig.money(provider_payment_id) == Money(taken=PRICE)
