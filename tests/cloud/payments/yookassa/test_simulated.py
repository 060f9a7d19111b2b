"""The client and the simulated YooKassa, written from the provider's contract alone, understand each other."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

import pytest

from cloud.payments.facts import Cancellation, Expected, PaymentFacts, ProviderStatus, RefundStatus, differences
from cloud.payments.outcomes import AuthError, NotOurs, Ok, Outcome, RateLimited, Rejected, Unknown
from cloud.payments.provider import CaptureMode, NewPayment, Shop
from cloud.payments.rate import TokenBucket
from cloud.payments.yookassa.client import YooKassaClient
from simulator.yookassa import Shop as SimulatedShop
from simulator.yookassa import YooKassaSimulator
from simulator.yookassa.behaviour import Behaviour
from simulator.yookassa.faults import Endpoint, Fault, FaultKind
from tests.cloud.payments.contract.counter import paid, refunded

COFFEE = NewPayment("ord-1", "m-001", "pay-1", 15000, "Капучино 200 мл", "https://pay.example.com/r/1")
NORTH = Shop("100500", "test_north")
SOUTH = Shop("100501", "test_south", CaptureMode.IMMEDIATE)

T = TypeVar("T")


@pytest.fixture
def yookassa() -> Iterator[YooKassaSimulator]:
    shops = [SimulatedShop(id=shop.account_id, secret=shop.secret_key) for shop in (NORTH, SOUTH)]
    with YooKassaSimulator(shops=shops, seed="coffee") as simulator:
        yield simulator


@pytest.fixture
def north(yookassa: YooKassaSimulator) -> Iterator[YooKassaClient]:
    yield from connected(yookassa, NORTH)


@pytest.fixture
def south(yookassa: YooKassaSimulator) -> Iterator[YooKassaClient]:
    yield from connected(yookassa, SOUTH)


def connected(yookassa: YooKassaSimulator, shop: Shop, timeout_s: float = 30.0) -> Iterator[YooKassaClient]:
    client = YooKassaClient(
        shop,
        yookassa.url,
        user_agent="CoffeeRelay/test",
        post_read_timeout_s=timeout_s,
        bucket=TokenBucket(per_second=1e6, burst=1e6),
    )
    yield client
    client.close()


def fact(outcome: Outcome[T]) -> T:
    assert isinstance(outcome, Ok), outcome
    return outcome.value


def created(client: YooKassaClient, payment: NewPayment = COFFEE, key: str = "pay-1.1") -> PaymentFacts:
    return paid(client.send(client.prepare_create(payment, key)))


def test_the_credential_is_checked_at_start(yookassa: YooKassaSimulator, north: YooKassaClient) -> None:
    me = fact(north.me())
    assert (me.account_id, me.enabled, me.fiscalization) == ("100500", True, False)
    for client in connected(yookassa, replace(NORTH, secret_key="wrong")):
        assert isinstance(client.me(), AuthError)


def test_a_held_coffee_is_taken_when_it_is_poured(yookassa: YooKassaSimulator, north: YooKassaClient) -> None:
    opened = created(north)
    assert opened.status is ProviderStatus.PENDING
    assert opened.confirmation_url is not None
    assert differences(opened, Expected("100500", 15000, COFFEE.metadata())) == ()
    yookassa.pay(opened.provider_payment_id)
    held = fact(north.fetch(opened.provider_payment_id))
    assert held.status is ProviderStatus.HELD
    assert held.hold_expires_at is not None
    taken = paid(north.send(north.prepare_capture(opened.provider_payment_id, "cap-1")))
    assert (taken.status, taken.captured, taken.refunded) == (ProviderStatus.SUCCEEDED, 15000, 0)


def test_a_held_coffee_is_let_go_when_it_is_not_poured(yookassa: YooKassaSimulator, north: YooKassaClient) -> None:
    provider_payment_id = created(north).provider_payment_id
    cancel = north.prepare_cancel(provider_payment_id, "can-1")
    assert isinstance(north.send(cancel), Rejected), "a pending payment cannot be cancelled"
    yookassa.pay(provider_payment_id)
    gone = paid(north.send(north.prepare_cancel(provider_payment_id, "can-2")))
    assert gone.status is ProviderStatus.CANCELED
    assert gone.cancellation == Cancellation("merchant", "canceled_by_merchant")
    assert gone.captured == 0


def test_a_one_stage_coffee_is_refunded(yookassa: YooKassaSimulator, south: YooKassaClient) -> None:
    provider_payment_id = created(south).provider_payment_id
    yookassa.pay(provider_payment_id, method="sbp")
    assert fact(south.fetch(provider_payment_id)).status is ProviderStatus.SUCCEEDED
    refund = refunded(south.send(south.prepare_refund(provider_payment_id, 15000, "ref-1", "Напиток не выдан")))
    assert refund.status is RefundStatus.PENDING
    yookassa.advance(timedelta(days=2).total_seconds())
    assert fact(south.fetch_refund(refund.provider_refund_id)).status is RefundStatus.SUCCEEDED
    assert fact(south.fetch(provider_payment_id)).refunded == 15000
    [listed] = fact(south.list_refunds(provider_payment_id=provider_payment_id)).items
    assert listed.provider_refund_id == refund.provider_refund_id


def test_a_payment_nobody_makes_ends_by_itself(yookassa: YooKassaSimulator, north: YooKassaClient) -> None:
    provider_payment_id = created(north).provider_payment_id
    yookassa.advance(3700)
    assert fact(north.fetch(provider_payment_id)).cancellation == Cancellation("yoo_money", "expired_on_confirmation")


@pytest.mark.parametrize("as_404", [True, False])
def test_another_shops_payment_is_not_ours(
    as_404: bool, yookassa: YooKassaSimulator, north: YooKassaClient, south: YooKassaClient
) -> None:
    yookassa.behaviour = Behaviour(unknown_id_as_404=as_404)
    assert isinstance(south.fetch(created(north).provider_payment_id), NotOurs)


@pytest.mark.parametrize("kind", [FaultKind.ERROR_500, FaultKind.RESET, FaultKind.ACCEPTED_202, FaultKind.HTML_502])
@pytest.mark.parametrize("after_commit", [True, False])
def test_a_lost_answer_is_found_again_with_the_same_bytes(
    kind: FaultKind, after_commit: bool, yookassa: YooKassaSimulator, north: YooKassaClient
) -> None:
    yookassa.faults.add(Fault(kind=kind, endpoint=Endpoint.CREATE, after_commit=after_commit))
    call = north.prepare_create(COFFEE, "pay-1.1")
    assert isinstance(north.send(call), Unknown)
    found = paid(north.send(call))
    yookassa_holds, _, _ = yookassa.provider.snapshot()
    assert [payment.id for payment, _ in yookassa_holds] == [found.provider_payment_id]


def test_silence_after_the_act_is_found_again_too(yookassa: YooKassaSimulator) -> None:
    yookassa.faults.add(Fault(kind=FaultKind.HANG, endpoint=Endpoint.CREATE, after_commit=True))
    for client in connected(yookassa, NORTH, timeout_s=0.3):
        call = client.prepare_create(COFFEE, "pay-1.1")
        assert isinstance(client.send(call), Unknown)
    for client in connected(yookassa, NORTH):
        paid(client.send(call))
    assert len(yookassa.provider.snapshot()[0]) == 1


def test_other_bytes_under_a_used_key_are_a_conflict(north: YooKassaClient) -> None:
    created(north)
    refused = north.send(north.prepare_create(replace(COFFEE, amount=15100), "pay-1.1"))
    assert isinstance(refused, Rejected)
    assert refused.key_conflict


def test_too_many_requests_and_strange_objects_are_taken_calmly(
    yookassa: YooKassaSimulator, north: YooKassaClient
) -> None:
    provider_payment_id = created(north).provider_payment_id
    yookassa.faults.add(Fault(kind=FaultKind.STRANGERS, endpoint=Endpoint.GET))
    assert fact(north.fetch(provider_payment_id)).provider_payment_id == provider_payment_id
    yookassa.faults.add(Fault(kind=FaultKind.TOO_MANY_REQUESTS, endpoint=Endpoint.GET))
    assert north.fetch(provider_payment_id) == RateLimited(1.8)


def test_a_list_of_several_pages_is_walked_to_its_end(yookassa: YooKassaSimulator, north: YooKassaClient) -> None:
    made = {created(north, key=f"pay-{n}").provider_payment_id for n in range(105)}
    now = yookassa.clock()
    window = (now - timedelta(minutes=10), now + timedelta(minutes=10))
    first = fact(north.list_payments(*window))
    assert first.next_cursor is not None
    last = fact(north.list_payments(*window, cursor=first.next_cursor))
    assert last.next_cursor is None
    assert {facts.provider_payment_id for facts in (*first.items, *last.items)} == made
    assert fact(north.list_payments(now - timedelta(days=2), now - timedelta(days=1))).items == ()
