"""Promise 9 through running programs: every call with its own merchant's key, and a new key without a restart."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.reasons import Result
from tests.cloud.payments.two_merchants import BOTH, FLEET, SECRETS, SHOP_OF, Market, a_market
from tests.waiting import wait_until

EACH = 8


@pytest.fixture
def market(tmp_path: Path) -> Iterator[Market]:
    with a_market(tmp_path) as made:
        made.apply(BOTH, NORTH=SECRETS["100500"], SOUTH=SECRETS["200600"])
        yield made


def test_two_merchants_on_many_threads_and_every_call_with_its_own_key(market: Market) -> None:
    orders = {f"{device}-{number}": device for number in range(EACH) for device in SHOP_OF}

    def buy(order_id: str) -> None:
        market.order(order_id, orders[order_id])
        market.pay(order_id)
        market.wait_for_status(order_id, "make_pending")
        made = int(order_id[-1]) % 2
        result, code = (Result.DONE, "") if made else (Result.REJECTED, "no_water")
        market.world.report(order_id, result, code, device=orders[order_id])

    market.everywhere(buy, list(orders))
    shop_of_payment = {}
    for order_id, device in orders.items():
        paid = market.world.payment(order_id)
        shop_of_payment[paid.provider_payment_id] = SHOP_OF[device]
        if int(order_id[-1]) % 2:
            market.wait_for_payment(order_id, "captured")
        elif device == "m-north":
            market.wait_for_payment(order_id, "canceled")
        else:
            wait_until(lambda o=order_id: market.world.payment(o).refunded > 0, 60, what="the refund")  # type: ignore[misc]

    kinds: Counter[tuple[str, str]] = Counter()
    for call in list(market.written.calls):
        kind, about = _what(call.method, call.path)
        if kind == "create":
            owner = SHOP_OF[call.body["metadata"]["device_uuid"]]
        elif kind == "refund":
            owner = shop_of_payment[call.body["payment_id"]]
        else:
            owner = shop_of_payment[about]
        assert (call.account_id, call.secret) == (owner, SECRETS[owner]), call
        assert call.status == 200, call
        kinds[owner, kind] += 1
    assert kinds["100500", "create"] == kinds["200600", "create"] == EACH
    assert (kinds["100500", "capture"], kinds["100500", "cancel"], kinds["100500", "refund"]) == (EACH / 2, EACH / 2, 0)
    assert (kinds["200600", "capture"], kinds["200600", "cancel"], kinds["200600", "refund"]) == (0, 0, EACH / 2)
    assert min(kinds["100500", "get"], kinds["200600", "get"]) >= EACH


def _what(method: str, path: str) -> tuple[str, str]:
    """The kind of call, and the payment in its path."""
    parts = path.removeprefix("/v3/").split("/")
    if parts[0] == "refunds":
        return ("refund", "") if method == "POST" else ("list", "")
    if method == "POST":
        return ("create", "") if len(parts) == 1 else (parts[2], parts[1])
    return "get", parts[1]


def test_a_new_key_is_taken_up_by_a_running_worker(market: Market) -> None:
    market.order("o-1", "m-north")
    market.change_secret("100500", "live_the-next-key")
    market.pay("o-1")
    wait_until(lambda: any(call.status == 401 for call in list(market.written.calls)), what="the old key to be refused")
    assert market.world.status("o-1") == "pending", "a refused key says nothing about the payment"

    market.apply(
        FLEET.format(name="north", shop="100500", variable="NORTH", capture="on_dispense"), NORTH="live_the-next-key"
    )
    market.wait_for_status("o-1", "make_pending")
    market.world.report("o-1", Result.DONE, device="m-north")
    market.wait_for_payment("o-1", "captured")
    used = [call.secret for call in list(market.written.calls) if call.account_id == "100500"]
    assert used[0] == SECRETS["100500"]
    assert used[-1] == "live_the-next-key"
    assert not [call for call in list(market.written.calls) if call.account_id == "200600"]
