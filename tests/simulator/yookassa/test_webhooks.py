"""Notifications reach a real receiver: what they say, how often they come, and the wire's mischief."""

from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest
from werkzeug.test import Client

from simulator.shell.webhooks import Mischief
from simulator.yookassa import YooKassaSimulator
from tests.simulator.yookassa.receiver import Receiver
from tests.simulator.yookassa.shop import COFFEE, SBP, START, TestShop, sample
from tests.simulator.yookassa.test_object_shapes import shape
from tests.waiting import wait_until

OFFSETS = [10, 42, 84, 168, 672, 5376, 86016]
WAITS = [later - earlier for earlier, later in pairwise([0, *OFFSETS])]


@pytest.fixture
def simulator(receiver: Receiver) -> Iterator[YooKassaSimulator]:
    with YooKassaSimulator(webhook_url=receiver.url, clock=lambda: START, seed="test") as simulator:
        yield simulator


def state(shop: TestShop) -> dict[str, Any]:
    told: dict[str, Any] = shop.sim("GET", "/webhooks").json()
    return told


def settled(shop: TestShop) -> bool:
    return bool(state(shop)["waiting"] == 0)


def attempts(shop: TestShop) -> int:
    return len(state(shop)["log"])


def seconds_after_start(line: dict[str, Any]) -> float:
    return (datetime.fromisoformat(line["at"]) - START).total_seconds()


def wait_for_attempts(shop: TestShop, number: int) -> None:
    wait_until(lambda: attempts(shop) == number, what=f"attempt {number}")


def test_each_change_is_told_as_in_the_samples(shop: TestShop, receiver: Receiver) -> None:
    payment_id = shop.paid()["id"]
    wait_until(lambda: len(receiver.received) == 1)
    shop.post(f"/payments/{payment_id}/capture")
    wait_until(lambda: len(receiver.received) == 2)
    shop.refund(payment_id, description="Напиток не выдан")
    wait_until(lambda: len(receiver.received) == 3)
    declined = shop.create()["id"]
    shop.sim("POST", f"/decline/{declined}", {})
    wait_until(lambda: len(receiver.received) == 4)
    names = (
        "payment.waiting_for_capture",
        "payment.succeeded-bank-card",
        "refund.succeeded",
        "payment.canceled-insufficient-funds",
    )
    for body, name in zip(receiver.received, names, strict=True):
        published = sample(f"webhooks/{name}")
        assert shape(body) == shape(published)
        assert body["event"] == published["event"]
        assert body["object"]["status"] == published["object"]["status"]


def test_a_one_stage_payment_is_told_once(shop: TestShop, receiver: Receiver) -> None:
    shop.captured()
    wait_until(lambda: state(shop)["accepted"] == 1)
    assert receiver.events == ["payment.succeeded"]
    assert settled(shop)


def test_expiry_and_a_late_sbp_refund_are_told_by_themselves(
    shop: TestShop, simulator: YooKassaSimulator, receiver: Receiver
) -> None:
    refunded = shop.captured(**SBP)["id"]
    shop.refund(refunded)
    shop.create()
    wait_until(lambda: receiver.events == ["payment.succeeded"])
    simulator.advance(86_400)
    wait_until(lambda: sorted(receiver.events[1:]) == ["payment.canceled", "refund.succeeded"])


def test_a_failed_refund_is_never_told(shop: TestShop, receiver: Receiver) -> None:
    payment_id = shop.captured()["id"]
    shop.sim("PUT", "/behaviour", {"refund_failure": "insufficient_funds"})
    assert shop.refund(payment_id).json()["status"] == "canceled"
    shop.captured()
    wait_until(lambda: state(shop)["accepted"] == 2)
    assert receiver.events == ["payment.succeeded"] * 2


def test_a_notification_comes_again_at_the_published_offsets_until_200(
    shop: TestShop, simulator: YooKassaSimulator, receiver: Receiver
) -> None:
    receiver.answers = [500, 404, 201, 302]
    shop.captured()
    for tries, wait in enumerate(WAITS[:4], start=1):
        wait_for_attempts(shop, tries)
        simulator.advance(wait)
    wait_until(lambda: settled(shop) and state(shop)["accepted"] == 1)
    log = state(shop)["log"]
    assert [line["answer"] for line in log] == [500, 404, 201, 302, 200]
    assert [line["attempt"] for line in log] == [1, 2, 3, 4, 5]
    assert [seconds_after_start(line) for line in log] == [0, *OFFSETS[:4]]
    assert len({str(body) for body in receiver.received}) == 1


def test_an_unheard_notification_is_given_up_after_a_day(
    shop: TestShop, simulator: YooKassaSimulator, receiver: Receiver
) -> None:
    receiver.answers = [503] * 50
    shop.captured()
    for tries, wait in enumerate([*WAITS, 86_400], start=1):
        wait_for_attempts(shop, tries)
        simulator.advance(wait)
    wait_until(lambda: state(shop)["given_up"] == 1)
    assert [seconds_after_start(line) for line in state(shop)["log"]] == [0, *OFFSETS]
    assert len(receiver.received) == 8
    assert settled(shop)


def test_a_scaled_schedule_runs_by_itself(receiver: Receiver) -> None:
    receiver.answers = [500, 500, 500]
    with YooKassaSimulator(webhook_url=receiver.url, time_scale=0.001) as simulator:
        shop = TestShop(simulator)
        shop.captured()
        wait_until(lambda: len(receiver.received) == 4)
        shop.session.close()


def test_a_receiver_that_is_down_hears_it_later(
    shop: TestShop, simulator: YooKassaSimulator, receiver: Receiver
) -> None:
    simulator.webhooks.aim("http://127.0.0.1:9/nobody")
    shop.captured()
    wait_until(lambda: attempts(shop) == 1)
    assert state(shop)["log"][0]["answer"] == "ConnectionError"
    assert receiver.received == []


@pytest.mark.parametrize("url", ["http://a..b/", "no address"])
def test_whatever_prevents_a_delivery_is_a_try_that_failed(
    shop: TestShop, simulator: YooKassaSimulator, url: str
) -> None:
    simulator.webhooks.aim(url)
    shop.captured()
    wait_for_attempts(shop, 1)
    assert isinstance(state(shop)["log"][0]["answer"], str)
    assert state(shop)["waiting"] == 1, "and is repeated"


def test_news_of_an_older_state_stays_as_it_was(
    shop: TestShop, simulator: YooKassaSimulator, receiver: Receiver
) -> None:
    receiver.answers = [500]
    payment_id = shop.paid()["id"]
    wait_until(lambda: attempts(shop) == 1)
    shop.post(f"/payments/{payment_id}/capture")
    wait_until(lambda: attempts(shop) == 2)
    simulator.advance(10)
    wait_until(lambda: attempts(shop) == 3)
    assert [body["object"]["status"] for body in receiver.received] == [
        "waiting_for_capture",
        "succeeded",
        "waiting_for_capture",
    ]


def test_copies_arrive_beside_the_original(shop: TestShop, simulator: YooKassaSimulator, receiver: Receiver) -> None:
    simulator.webhooks.mischief = Mischief(copies=2)
    shop.captured()
    wait_until(lambda: state(shop)["accepted"] == 3)
    assert receiver.received[0] == receiver.received[1] == receiver.received[2]


@pytest.mark.parametrize("mischief", [Mischief(silent=True), Mischief(lose=1.0)])
def test_a_lost_notification_never_comes(
    shop: TestShop, simulator: YooKassaSimulator, receiver: Receiver, mischief: Mischief
) -> None:
    simulator.webhooks.mischief = mischief
    shop.captured()
    simulator.webhooks.mischief = Mischief()
    heard = shop.captured()["id"]
    wait_until(lambda: state(shop)["accepted"] == 1)
    assert [body["object"]["id"] for body in receiver.received] == [heard]
    assert state(shop)["lost"] == 1


def test_withheld_deliveries_come_with_the_redelivery(
    shop: TestShop, simulator: YooKassaSimulator, receiver: Receiver
) -> None:
    simulator.webhooks.mischief = Mischief(fail_first=1)
    shop.captured()
    wait_until(lambda: attempts(shop) == 1)
    assert receiver.received == []
    simulator.advance(10)
    wait_until(lambda: receiver.events == ["payment.succeeded"])


def test_a_delayed_notification_waits(shop: TestShop, simulator: YooKassaSimulator, receiver: Receiver) -> None:
    simulator.webhooks.mischief = Mischief(delay=600)
    shop.captured()
    assert state(shop)["waiting"] == 1
    simulator.advance(600)
    wait_until(lambda: receiver.events == ["payment.succeeded"])


def test_reordering_lets_the_next_overtake(shop: TestShop, simulator: YooKassaSimulator, receiver: Receiver) -> None:
    simulator.webhooks.mischief = Mischief(reorder=30)
    payment_id = shop.paid()["id"]
    shop.post(f"/payments/{payment_id}/capture")
    wait_until(lambda: receiver.events == ["payment.succeeded"])
    simulator.advance(30)
    wait_until(lambda: receiver.events == ["payment.succeeded", "payment.waiting_for_capture"])


def test_a_forged_notification_lies_and_changes_nothing(shop: TestShop, receiver: Receiver) -> None:
    payment_id = shop.create()["id"]
    shop.sim("POST", "/webhooks/forge", {"payment_id": payment_id})
    wait_until(lambda: len(receiver.received) == 1)
    assert receiver.received[0]["object"]["status"] == "succeeded"
    assert shop.payment(payment_id)["status"] == "pending"


def test_a_false_sender_address_is_claimed(shop: TestShop, simulator: YooKassaSimulator, receiver: Receiver) -> None:
    simulator.webhooks.mischief = Mischief(forwarded_for="203.0.113.9")
    shop.captured()
    wait_until(lambda: len(receiver.headers) == 1)
    assert receiver.headers[0]["X-Forwarded-For"] == "203.0.113.9"


def test_old_notifications_can_be_sent_again(shop: TestShop, receiver: Receiver) -> None:
    first, _second = shop.captured()["id"], shop.captured()["id"]
    wait_until(lambda: len(receiver.received) == 2)
    assert shop.sim("POST", "/webhooks/resend", {"object_id": first}).json() == {"queued": 1}
    wait_until(lambda: len(receiver.received) == 3)
    assert receiver.received[2]["object"]["id"] == first


def test_each_shop_has_its_own_target(receiver: Receiver) -> None:
    with YooKassaSimulator(webhook_url={"100500": receiver.url}) as simulator:
        shop = TestShop(simulator)
        shop.captured()
        wait_until(lambda: len(receiver.received) == 1)
        shop.sim("PUT", "/webhooks/target", {"shop": "100500", "url": None})
        shop.captured()
        assert state(shop)["waiting"] == 0
        shop.session.close()


def test_without_threads_a_step_at_a_time_does_the_same() -> None:
    sent: list[tuple[str, bytes]] = []

    def post(url: str, body: bytes, _headers: dict[str, str]) -> int:
        sent.append((url, body))
        return 500 if len(sent) == 1 else 200

    simulator = YooKassaSimulator(webhook_url="http://shop.example/hook", post=post, clock=lambda: START)
    try:
        client = Client(simulator.wsgi)
        created = client.post(
            "/v3/payments",
            json=COFFEE | {"capture": True},
            headers={"Idempotence-Key": "k"},
            auth=("100500", "test_secret"),
        )
        simulator.pay(created.get_json()["id"])
        wake = simulator.step(simulator.clock())
        assert wake is not None
        assert (wake - START).total_seconds() == 10
        simulator.advance(10)
        simulator.step(simulator.clock())
        assert [url for url, _ in sent] == ["http://shop.example/hook"] * 2
    finally:
        simulator.close()
