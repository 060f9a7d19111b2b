"""The client in good weather, over a real socket: what is sent, what is read, and in whose name."""

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from cloud.payments.facts import ProviderStatus, RefundStatus
from cloud.payments.outcomes import NotSent, Ok, Unknown
from cloud.payments.provider import CaptureMode, Operation, PreparedCall, Provider, Shop
from cloud.payments.rate import TokenBucket
from cloud.payments.yookassa.client import YooKassaClient
from tests.cloud.payments.contract.counter import paid
from tests.cloud.payments.one_shop import COFFEE, ID, SECRET, SHOP, Connect
from tests.cloud.payments.samples_on_disk import PENDING, sample
from tests.cloud.payments.scripted_provider import (
    Answer,
    Request,
    ScriptedProvider,
    says,
)
from tests.programs import free_port

DAY = datetime(2026, 3, 2, tzinfo=UTC)


def test_the_client_is_a_provider(client: YooKassaClient) -> None:
    provider: Provider = client
    assert provider.shop is SHOP


def test_a_payment_is_created(yookassa: ScriptedProvider, client: YooKassaClient, create: PreparedCall) -> None:
    created = client.send(create)
    assert isinstance(created, Ok)
    assert created.value.status is ProviderStatus.PENDING
    assert created.value.confirmation_url is not None
    [request] = yookassa.requests
    assert (request.method, request.path) == ("POST", "/v3/payments")
    assert request.body == create.body
    assert request.headers["idempotence-key"] == "pay-1.1"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"] == "CoffeeRelay/test"
    assert request.credentials == f"100500:{SECRET}"


def test_a_stored_call_is_sent_again_byte_for_byte_by_another_client(
    yookassa: ScriptedProvider, connect: Connect, create: PreparedCall
) -> None:
    yookassa.script += [Answer(reset=True), says(PENDING)]
    assert isinstance(connect().send(create), Unknown)
    stored = PreparedCall(Operation("create"), create.path, create.key, bytes(create.body))
    assert isinstance(connect().send(stored), Ok)
    first, second = yookassa.requests
    assert (first.path, first.body) == (second.path, second.body)
    assert first.headers["idempotence-key"] == second.headers["idempotence-key"]


def test_a_hold_is_captured_and_cancelled_and_a_payment_refunded(
    yookassa: ScriptedProvider, client: YooKassaClient
) -> None:
    yookassa.script += [
        says(sample("payments/succeeded-bank-card")),
        says(sample("payments/canceled-by-merchant")),
        says(sample("refunds/pending-sbp")),
    ]
    captured = client.send(client.prepare_capture(ID, "cap-1"))
    cancelled = client.send(client.prepare_cancel(ID, "can-1"))
    refunded = client.send(client.prepare_refund(ID, 15000, "ref-1-1"))
    assert paid(captured).captured == 15000
    assert isinstance(cancelled, Ok)
    assert cancelled.value.status is ProviderStatus.CANCELED
    assert isinstance(refunded, Ok)
    assert refunded.value.status is RefundStatus.PENDING
    assert [request.path for request in yookassa.requests] == [
        f"/v3/payments/{ID}/capture",
        f"/v3/payments/{ID}/cancel",
        "/v3/refunds",
    ]


def test_a_payment_and_a_refund_are_fetched_without_a_key(yookassa: ScriptedProvider, client: YooKassaClient) -> None:
    refund = sample("refunds/succeeded-sbp")
    yookassa.script += [says(sample("payments/waiting-for-capture")), says(refund)]
    held = client.fetch(ID)
    returned = client.fetch_refund(str(refund["id"]))
    assert isinstance(held, Ok)
    assert held.value.status is ProviderStatus.HELD
    assert isinstance(returned, Ok)
    assert returned.value.status is RefundStatus.SUCCEEDED
    assert all("idempotence-key" not in request.headers for request in yookassa.requests)


def test_lists_are_asked_by_window_with_the_filters_beside_the_cursor(
    yookassa: ScriptedProvider, client: YooKassaClient
) -> None:
    yookassa.script += [says(sample("lists/list-two-pages-1")), says(sample("lists/list-two-pages-2"))]
    moscow = timezone(timedelta(hours=3))
    first = client.list_payments(DAY.astimezone(moscow), DAY + timedelta(days=1))
    assert isinstance(first, Ok)
    second = client.list_payments(DAY, DAY + timedelta(days=1), first.value.next_cursor)
    assert isinstance(second, Ok)
    assert second.value.next_cursor is None
    asked = [parse_qs(urlsplit(request.path).query) for request in yookassa.requests]
    window = {
        "limit": ["100"],
        "created_at.gte": ["2026-03-02T00:00:00.000Z"],
        "created_at.lt": ["2026-03-03T00:00:00.000Z"],
    }
    assert asked == [window, window | {"cursor": [first.value.next_cursor]}]


def test_refunds_are_listed_by_payment_whatever_it_is_called(
    yookassa: ScriptedProvider, client: YooKassaClient
) -> None:
    yookassa.script.append(says({"type": "list", "items": [sample("refunds/succeeded-sbp")]}))
    listed = client.list_refunds(provider_payment_id="a&b=c")
    assert isinstance(listed, Ok)
    assert len(listed.value.items) == 1
    assert parse_qs(urlsplit(yookassa.requests[0].path).query)["payment_id"] == ["a&b=c"]


def test_a_window_needs_a_zone(client: YooKassaClient) -> None:
    with pytest.raises(ValueError, match="zone"):
        client.list_payments(DAY.replace(tzinfo=None), DAY)


def test_the_shop_introduces_itself(yookassa: ScriptedProvider, client: YooKassaClient) -> None:
    yookassa.script.append(says(sample("me/me-test-shop-2026")))
    me = client.me()
    assert isinstance(me, Ok)
    assert (me.value.account_id, me.value.test, me.value.fiscalization) == ("100500", True, False)


def test_our_own_limit_sends_nothing(yookassa: ScriptedProvider, connect: Connect) -> None:
    client = connect(bucket=TokenBucket(per_second=5, burst=1))
    assert isinstance(client.fetch(ID), Ok)
    held_back = client.fetch(ID)
    assert isinstance(held_back, NotSent)
    assert (held_back.why, held_back.held_back) == ("own rate limit", True)
    assert held_back.retry_after_s == pytest.approx(0.2)
    assert len(yookassa.requests) == 1


def test_connections_are_kept(yookassa: ScriptedProvider, client: YooKassaClient, create: PreparedCall) -> None:
    for _ in range(3):
        client.send(create)
    client.fetch(ID)
    assert len({request.client for request in yookassa.requests}) == 1


def test_the_environment_lends_no_credential_and_no_proxy(
    yookassa: ScriptedProvider, client: YooKassaClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login stranger password elses\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert isinstance(client.fetch(ID), Ok)
    assert yookassa.requests[0].credentials == f"100500:{SECRET}"


def test_no_cookie_is_kept(yookassa: ScriptedProvider, client: YooKassaClient) -> None:
    yookassa.answer_with = lambda _: says(PENDING, headers={"Set-Cookie": "gateway=7"})
    client.fetch(ID)
    client.fetch(ID)
    assert "cookie" not in yookassa.requests[1].headers


@pytest.mark.parametrize(
    "url",
    ["", "api.yookassa.ru/v3", "ftp://e.org", "https://", "https://user:pw@e.org", "https://e.org?x=1", "http://[x/"],
)
def test_a_base_url_that_cannot_work_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (the reasons differ)
        YooKassaClient(SHOP, url, user_agent="t")


def test_many_threads_of_two_merchants_never_share_a_credential(yookassa: ScriptedProvider, connect: Connect) -> None:
    """Every call that arrives carries the keys of the merchant it is for, in its own name and under its own key."""
    shops = [Shop(f"shop-{n}", f"secret-{n}", CaptureMode.IMMEDIATE) for n in range(2)]
    clients = [connect(shop=shop) for shop in shops]
    calls_each, threads_number = 20, 12
    start = threading.Barrier(threads_number)
    failures: list[object] = []
    yookassa.answer_with = lambda request: says(PENDING | {"recipient": {"account_id": request.credentials[:6]}})

    def buy(thread: int) -> None:
        start.wait(30)
        for number in range(calls_each):
            client = clients[(thread + number) % 2]
            mark = f"{client.shop.account_id}.{thread}.{number}"
            bought = client.send(client.prepare_create(replace(COFFEE, order_id=mark), mark))
            if not isinstance(bought, Ok) or paid(bought).account_id != client.shop.account_id:
                failures.append(bought)

    threads = [threading.Thread(target=buy, args=(number,)) for number in range(threads_number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert failures == []
    assert len(yookassa.requests) == threads_number * calls_each
    assert all(_in_its_own_name(request) for request in yookassa.requests)
    assert len({request.headers["idempotence-key"] for request in yookassa.requests}) == len(yookassa.requests)
    assert len({request.client for request in yookassa.requests}) <= 2 * threads_number, (
        "no more connections to a shop than ask at once"
    )


def _in_its_own_name(request: Request) -> bool:
    key = request.headers["idempotence-key"]
    number = key.partition(".")[0].removeprefix("shop-")
    return request.credentials == f"shop-{number}:secret-{number}" and f'"order_id":"{key}"'.encode() in request.body
