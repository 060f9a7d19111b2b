"""Orders by stage, provider calls, webhooks, requests and machines' messages are counted where they happen."""

import re
from ipaddress import ip_network

import pytest

from cloud.database.transaction import Transaction
from cloud.metrics.counts import SUM
from cloud.orders import making
from cloud.orders.stage_times import STAGE_SECONDS
from cloud.orders.states import Status
from cloud.payments.outcomes import NotSent
from cloud.processes.app import create_app
from protocol.reasons import Result
from simulator.yookassa.faults import Endpoint, FaultKind
from tests.cloud.tills import Till
from tests.cloud.worlds import ACCOUNT

STAGE, CALL, REQUEST, WEBHOOKS = (
    "coffee_order_stage_seconds", "coffee_provider_call_seconds", "coffee_http_request_seconds",
    "coffee_webhooks_total",
)  # fmt: skip


def counted(till: Till, name: str) -> dict[tuple[str, ...], tuple[int, float]]:
    """How often, and how long altogether, by labels; since it was asked last."""
    found: dict[tuple[str, ...], tuple[int, float]] = {}
    for (metric, labels, bucket), value in till.counts.take().items():
        if metric == name:
            times, seconds = found.get(labels, (0, 0.0))
            found[labels] = (times, seconds + value) if bucket == SUM else (times + int(value), seconds)
    return found


def test_each_stage_of_a_poured_order_is_told_once(till: Till) -> None:
    world = till.world
    order_id = world.pay()
    world.clock.advance(0.5)
    world.publish(order_id)
    world.clock.advance(1)
    world.accept(order_id)
    world.clock.advance(40)
    assert counted(till, STAGE) == {}, "it has not ended"
    world.report(order_id, Result.DONE)
    world.report(order_id, Result.DONE)
    assert counted(till, STAGE) == {
        ("paid_to_published", "successful"): (1, 0.5),
        ("published_to_accepted", "successful"): (1, 1.0),
        ("paid_to_accepted", "successful"): (1, 1.5),
        ("accepted_to_poured", "successful"): (1, 40.0),
        ("paid_to_finished", "successful"): (1, 41.5),
    }


def test_an_order_that_failed_and_then_poured_after_all_is_told_as_it_ended_first(till: Till) -> None:
    world = till.world
    order_id = world.pay()
    world.publish(order_id)
    world.wait(world.rules.ack_timeout_s + 1)
    assert set(counted(till, STAGE)) == {("paid_to_published", "make_failed"), ("paid_to_finished", "make_failed")}
    world.report(order_id, Result.DONE)
    assert world.order(order_id).status == Status.SUCCESSFUL
    assert counted(till, STAGE) == {}


def test_time_a_buyer_took_is_no_stage_of_ours(till: Till) -> None:
    world = till.world
    order_id = world.bring_to(Status.MANUAL_MAKE)
    world.clock.advance(600)
    world.database.transact(making.pour_now, order_id, "buyer", world.rules, world.now)
    world.publish(order_id)
    world.accept(order_id)
    world.report(order_id, Result.DONE)
    assert {stage for stage, _ in counted(till, STAGE)} == {"published_to_accepted", "accepted_to_poured"}


def test_what_is_undone_is_not_counted(till: Till) -> None:
    order_id = till.world.pay()
    till.world.publish(order_id)
    till.world.clock.advance(till.world.rules.ack_timeout_s + 1)

    def broken(tx: Transaction) -> None:
        making.handle_deadline(tx, order_id, till.world.rules, till.world.now)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        till.world.database.transact(broken)
    assert counted(till, STAGE) == {}


def test_calls_to_a_provider_are_told_by_method_and_outcome(sqlite_till: Till) -> None:
    sqlite_till.failures_allowed = 1
    order_id = sqlite_till.paid()
    shop = sqlite_till.shops.of_account(ACCOUNT, "Yookassa")
    assert shop is not None
    found = counted(sqlite_till, CALL)
    assert found["yookassa", "create", "ok"][0] == 1
    assert found["yookassa", "fetch", "ok"][0] >= 1
    sqlite_till.fault(FaultKind.ERROR_500, Endpoint.GET)
    shop.fetch(sqlite_till.provider_id(order_id))
    assert isinstance(shop.fetch(sqlite_till.provider_id(order_id)), NotSent), "the circuit is open: nothing was sent"
    assert counted(sqlite_till, CALL).keys() == {("yookassa", "fetch", "unknown")}


def test_webhooks_are_told_by_their_answer(sqlite_till: Till) -> None:
    order_id = sqlite_till.open_payment()
    assert sqlite_till.notify(order_id).status_code == 200
    assert sqlite_till.post(b"{").status_code == 400
    assert sqlite_till.client().get("/v1/yook-pay-webhook").status_code == 405
    strict = create_app(sqlite_till.a_cloud("strict", yookassa_webhook_networks=(ip_network("203.0.113.0/24"),)))
    assert strict.test_client().post("/v1/yook-pay-webhook", json={}).status_code == 403
    assert {labels: times for labels, (times, _) in counted(sqlite_till, WEBHOOKS).items()} == {
        ("yookassa", "stored"): 1, ("yookassa", "unreadable"): 1, ("yookassa", "stranger"): 1,
    }  # fmt: skip


def test_requests_are_told_by_route_and_nothing_a_stranger_chooses(sqlite_till: Till) -> None:
    order_id, client = sqlite_till.world.scan(), sqlite_till.client()
    for path in (
        f"order-status/{order_id}", "order-status/nobody's", "order-status/nobody's/2", "x", "y",
    ):  # fmt: skip
        client.get(f"/v1/{path}")
    client.open("/health", method="ZAP")
    for uncounted in ("/health", "/ready", "/metrics"):
        client.get(uncounted)
    assert {labels: times for labels, (times, _) in counted(sqlite_till, REQUEST).items()} == {
        ("/v1/order-status/<order_id>", "GET", "200"): 1,
        ("/v1/order-status/<order_id>", "GET", "404"): 2,
        ("none", "GET", "404"): 2,
        ("none", "other", "405"): 1,
    }


def test_every_route_fits_into_a_row(sqlite_till: Till) -> None:
    longest = max(len(rule.rule) for rule in sqlite_till.app.url_map.iter_rules())
    assert longest < 150


def test_the_page_tells_all_of_it_when_it_is_kept(till: Till) -> None:
    order_id = till.world.pay()
    till.world.publish(order_id)
    till.world.report(order_id, Result.DONE)
    till.client().get("/nowhere")
    till.cloud.keeper.step(till.world.now)
    page = till.client().get("/metrics").text
    assert f'{STAGE_SECONDS.name}_count{{stage="paid_to_finished",status="successful"}} 1\n' in page
    assert f'{STAGE_SECONDS.name}_count{{stage="paid_to_finished",status="make_failed"}} 0\n' in page
    assert re.search(REQUEST + r'_bucket\{route="none",method="GET",status="404",le="\+Inf"\} 1\n', page)
