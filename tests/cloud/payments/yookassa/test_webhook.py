"""The webhook's door: stores and says 200, tells strangers and nonsense apart, believes nothing."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import insert, update

from cloud.http.addresses import parse_networks
from cloud.http.request_framing import MAX_BODY
from cloud.orders.models import Payment
from cloud.payments import inbox
from cloud.payments.ask_at_once import store_and_mark
from cloud.payments.inbox import Reception
from cloud.payments.models import StoredNotification
from cloud.payments.notification import MAX_NOTIFICATION_BYTES, Notification
from cloud.payments.status_poller import NEWS
from cloud.payments.yookassa.notification import parse_notification
from cloud.processes.app import create_app
from tests.cloud.tills import WEBHOOK, Till
from tests.cloud.worlds import World

HINT = {
    "type": "notification",
    "event": "payment.succeeded",
    "object": {"id": "2d-1", "status": "succeeded", "recipient": {"account_id": "100500"}},
}


@pytest.fixture
def fenced(sqlite_till: Till) -> Till:
    """Behind a proxy at 10.0.0.1, for senders of 185.71.76.0/27 only."""
    cloud = sqlite_till.a_cloud(
        "fenced",
        yookassa_webhook_networks=parse_networks("185.71.76.0/27"),
        trusted_proxies=parse_networks("10.0.0.1"),
    )
    sqlite_till.app = create_app(cloud)
    return sqlite_till


def sent_from(till: Till, address: str, **headers: str) -> int:
    return till.post(HINT, environ_base={"REMOTE_ADDR": address}, headers=headers).status_code


@pytest.mark.any_database
def test_a_notification_is_stored_before_it_is_answered(till: Till) -> None:
    assert till.post(HINT).status_code == 200
    [notification] = till.notifications()
    assert (notification.dedupe_key, notification.provider_payment_id) == ("payment.succeeded|2d-1|succeeded", "2d-1")
    assert json.loads(notification.body) == HINT
    assert (notification.received_at, notification.times, notification.handled_at) == (till.world.now, 1, None)


def test_the_provider_is_not_asked_while_the_webhook_waits(sqlite_till: Till) -> None:
    till = sqlite_till
    order_id = till.open_payment()
    body = till.notification(till.provider_id(order_id))
    till.yookassa.close()
    assert till.post(body).status_code == 200
    assert till.world.payment(order_id).next_check_at == till.world.now


@pytest.mark.any_database
def test_a_notification_wakes_the_worker_and_a_repeat_does_so_again(till: Till) -> None:
    with till.world.database.wakeups.waiter(NEWS) as ear:
        for _ in range(2):
            assert till.post(HINT).status_code == 200
            assert ear.wait(0)


@pytest.mark.any_database
def test_news_of_a_payment_we_know_has_it_asked_about_and_so_does_a_repeat(till: Till) -> None:
    order_id = till.open_payment()
    body = till.notification(till.provider_id(order_id))
    for times in (1, 2):
        with till.world.database.wakeups.waiter(NEWS) as ear:
            assert till.post(body).status_code == 200
            assert ear.wait(0)
        [kept], payment = till.notifications(), till.world.payment(order_id)
        assert (kept.times, kept.verdict, kept.handled_at) == (times, "asked", till.world.now)
        assert (payment.times_told, payment.told_at, payment.next_check_at) == (times, till.world.now, till.world.now)


@pytest.mark.any_database
def test_who_holds_the_payment_is_not_waited_for_without_a_limit(till: Till) -> None:
    """A statement sent alone has none at the server, where a pooler stands before it."""
    database, order_id, now = till.world.database, till.open_payment(), till.world.now
    told = parse_notification(json.dumps(till.notification(till.provider_id(order_id))).encode())
    row: dict[str, object] = dict.fromkeys(
        ("provider", "dedupe_key", "account_id", "our_payment", "body", "verdict"), ""
    )
    row |= dict.fromkeys(("received_at", "look_at", "handled_at"), now) | {"provider_payment_id": "", "times": 1}
    with database.engine.begin() as somebody:
        somebody.execute(update(Payment).values(checks=1))
        assert store_and_mark(database, told, row, now) is None
    assert till.notifications() == []


@pytest.mark.any_database
def test_what_one_shop_signs_says_nothing_of_a_payment_of_anothers(till: Till) -> None:
    order_id = till.open_payment()
    signed = Notification("custom", "succeeded", "key", till.provider_id(order_id), "another", "{}", is_signed=True)
    assert inbox.take_in(till.world.database, signed, till.world.now) is Reception.STORED
    assert [(kept.verdict, kept.handled_at) for kept in till.notifications()] == [("", None)]
    assert till.world.payment(order_id).times_told == 0


def test_a_repeat_is_counted_and_stored_once(till: Till) -> None:
    for _ in range(3):
        assert till.post(HINT).status_code == 200
    assert [notification.times for notification in till.notifications()] == [3]


def test_the_same_at_the_same_moment_is_stored_once_and_always_answered_200(till: Till) -> None:
    gate = threading.Barrier(8)

    def send() -> int:
        gate.wait()
        return till.post(HINT).status_code

    with ThreadPoolExecutor(8) as pool:
        assert [answer.result(30) for answer in [pool.submit(send) for _ in range(8)]] == [200] * 8
    assert [notification.times for notification in till.notifications()] == [8]


@pytest.mark.any_database
@pytest.mark.parametrize("event", ["payment.waiting_for_capture", "payment.succeeded"])
def test_a_lie_about_a_payment_nobody_made_pours_nothing(till: Till, event: str) -> None:
    """Whatever it says, the provider's answer decides."""
    order_id = till.open_payment()
    lie = {"id": till.provider_id(order_id), "status": event.partition(".")[2]}
    assert till.post({"type": "notification", "event": event, "object": lie}).status_code == 200
    assert (till.world.status(order_id), till.world.ledger(order_id)) == ("pending", {})


@pytest.mark.any_database
def test_events_that_are_no_payments_are_kept_and_left_alone(till: Till) -> None:
    assert till.post({"event": "payout.succeeded", "object": {"id": "po-1"}}).status_code == 200
    [notification] = till.notifications()
    assert notification.handled_at is not None
    assert notification.provider_payment_id == ""


NONSENSE: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"{",
    "a list": b"[]",
    "null": b"null",
    "no object": b'{"event": "payment.succeeded"}',
    "no event": b'{"object": {"id": "1"}}',
    "an id with a slash": b'{"event": "payment.succeeded", "object": {"id": "../me"}}',
    "an event with a separator": b'{"event": "payment|succeeded", "object": {"id": "1"}}',
    "deep": b'{"a":' * 5000,
    "a form": b"event=payment.succeeded",
    "bytes": bytes(range(256)),
    "too large": b'{"event": "payment.succeeded", "object": {"id": "1", "x": "'
    + b"x" * MAX_NOTIFICATION_BYTES
    + b'"}}',
}


@pytest.mark.parametrize("body", NONSENSE.values(), ids=list(NONSENSE))
def test_what_is_no_notification_is_400_and_not_stored(sqlite_till: Till, body: bytes) -> None:
    answer = sqlite_till.post(body)
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (400, "not_a_notification")
    assert sqlite_till.notifications() == []


def test_a_flood_of_bytes_is_refused_unread(sqlite_till: Till) -> None:
    assert sqlite_till.post(b"x" * (MAX_BODY + 1)).status_code == 413


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_only_post_is_answered(sqlite_till: Till, method: str) -> None:
    assert sqlite_till.client().open(WEBHOOK, method=method).status_code == 405


def test_a_slash_at_the_end_is_no_redirect(sqlite_till: Till) -> None:
    """The provider follows none: a 308 would lose every notification."""
    assert sqlite_till.post(HINT, WEBHOOK + "/").status_code == 200
    assert len(sqlite_till.notifications()) == 1


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "", "application/json; charset=utf-8"])
def test_the_content_type_does_not_matter(sqlite_till: Till, content_type: str) -> None:
    assert sqlite_till.post(HINT, content_type=content_type).status_code == 200


def test_another_encoding_is_stored_where_zeros_cannot_be(till: Till) -> None:
    """JSON may be UTF-16; PostgreSQL stores no zeros."""
    assert till.post(json.dumps(HINT).encode("utf-16")).status_code == 200
    assert len(till.notifications()) == 1


def test_a_body_with_every_kind_of_character_is_stored(till: Till) -> None:
    told = HINT | {"object": {"id": "2d-2", "status": "succeeded", "description": "кофе ☕ \x00 \ud800"}}
    assert till.post(told).status_code == 200
    assert len(till.notifications()) == 1


def test_a_stranger_is_403_and_nothing_is_stored(fenced: Till) -> None:
    assert sent_from(fenced, "203.0.113.5") == 403
    assert fenced.notifications() == []


def test_the_provider_itself_is_let_in(fenced: Till) -> None:
    assert sent_from(fenced, "185.71.76.1") == 200


def test_a_forwarded_address_is_believed_from_our_proxy_only(fenced: Till) -> None:
    through = {"X-Forwarded-For": "185.71.76.1"}
    assert sent_from(fenced, "10.0.0.1", **through) == 200
    assert sent_from(fenced, "203.0.113.5", **through) == 403
    assert sent_from(fenced, "10.0.0.1", **{"X-Forwarded-For": "185.71.76.1, 203.0.113.5"}) == 403
    assert sent_from(fenced, "10.0.0.1") == 403


def test_with_the_check_off_anybody_may_knock(sqlite_till: Till) -> None:
    assert sent_from(sqlite_till, "203.0.113.5") == 200


def test_strangers_news_cannot_fill_the_house(world: World, till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for news nobody can place is bounded; what concerns a known payment always finds room."""
    monkeypatch.setattr(inbox, "MAX_UNPLACED", 3)
    order_id = till.open_payment()

    def fill(tx: Any) -> None:
        for number in range(3):
            tx.session.execute(
                insert(StoredNotification).values(
                    provider="yookassa", dedupe_key=f"k{number}", provider_payment_id=f"x{number}", body="{}",
                    received_at=world.now, look_at=world.now, times=1, verdict="",
                )
            )  # fmt: skip

    world.database.transact(fill)
    assert till.post(HINT).status_code == 503, "comes again"
    assert till.notify(order_id).status_code == 200
    assert len(till.notifications()) == 4
