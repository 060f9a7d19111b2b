"""Pressing "pay": one payment however often, an address to pay at, and an honest word when there is none."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cloud.background.loops import ThreadPool
from cloud.database.transaction import Transaction
from cloud.fleet.models import Credential
from cloud.orders.outbox import OutboxRow
from cloud.orders.states import Status
from cloud.orders.tasks import Task
from cloud.payments.call_worker import CallWorker
from cloud.payments.checkout import Checkout, Refusal
from cloud.payments.openings import LEASE_S
from cloud.payments.provider_clients import FRESH
from simulator.yookassa.faults import Endpoint, FaultKind
from tests.cloud.payments.test_call_worker import change_credential
from tests.cloud.tills import Till, a_till
from tests.cloud.worlds import PRICE, World
from tests.programs import free_port


def code_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.get_json()["error"]["code"]


@pytest.mark.any_database
def test_pressing_pay_opens_a_payment_and_says_where(till: Till) -> None:
    order_id = till.world.scan()
    answer = till.press(order_id)
    assert answer.status_code == 200
    [there] = till.payments_there()
    assert answer.get_json() == {"redirect_url": there["object"]["confirmation"]["confirmation_url"]}
    assert till.world.status(order_id) == "pending"
    told = there["object"]
    assert told["amount"] == {"value": f"{PRICE / 100:.2f}", "currency": "RUB"}
    assert told["metadata"]["order_id"] == order_id
    assert told["metadata"]["payment"] == till.world.payment(order_id).id


@pytest.mark.any_database
def test_a_second_press_gives_the_same_address(till: Till) -> None:
    order_id = till.world.scan()
    first = till.press(order_id).get_json()
    till.world.clock.advance(600)
    assert till.press(order_id).get_json() == first
    assert len(till.payments_there()) == 1


@pytest.mark.parametrize(("asked", "kept"), [("?lang=en", "&lang=en"), ("", ""), ("?lang=e%26x", "")])
def test_the_buyer_comes_back_to_the_language_they_left(till: Till, asked: str, kept: str) -> None:
    order_id = till.world.scan()
    assert till.client().post(f"/v1/initiate-payment{asked}", json={"order_id": order_id}).status_code == 200
    [there] = till.payments_there()
    assert there["object"]["confirmation"]["return_url"].endswith(f"/v1/order-status-page?order_id={order_id}{kept}")


def test_presses_at_the_same_moment_open_one_payment(till: Till) -> None:
    order_id = till.world.scan()
    gate = threading.Barrier(8)

    def press() -> tuple[int, Any]:
        gate.wait()
        answer = till.press(order_id)
        return answer.status_code, answer.get_json()

    with ThreadPoolExecutor(8) as pool:
        answers = [future.result(60) for future in [pool.submit(press) for _ in range(8)]]
    assert len(till.payments_there()) == 1
    assert len(till.world.rows(order_id, Task.CREATE)) == 1
    given = {str(told["redirect_url"]) for status, told in answers if status == 200}
    assert len(given) == 1
    refused = {told["error"]["code"] for status, told in answers if status == 503}
    assert refused <= {"in_progress"}
    assert {status for status, _ in answers} <= {200, 503}


@pytest.mark.any_database
def test_a_form_is_answered_with_a_redirect_and_a_program_with_json(till: Till) -> None:
    order_id = till.world.scan()
    browser = {"data": {"order_id": order_id}, "headers": {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}}
    answer = till.press(order_id, **browser)
    assert answer.status_code == 303
    [there] = till.payments_there()
    assert answer.headers["Location"] == there["object"]["confirmation"]["confirmation_url"]
    script = till.press(order_id, data={"order_id": order_id}, headers={"Accept": "application/json"})
    assert script.get_json() == {"redirect_url": answer.headers["Location"]}
    assert till.press(order_id, data={"order_id": order_id}).get_json() == script.get_json()


BAD: dict[str, dict[str, Any]] = {
    "nothing": {},
    "no JSON": {"data": b"{", "content_type": "application/json"},
    "a list": {"json": []},
    "null": {"json": None},
    "no id": {"json": {"email": "a@b"}},
    "a number": {"json": {"order_id": 7}},
    "empty": {"json": {"order_id": ""}},
    "too long": {"json": {"order_id": "x" * 256}},
    "a zero in it": {"json": {"order_id": "a\x00b"}},
    "half a character": {"data": b'{"order_id": "\\ud800"}', "content_type": "application/json"},
    "an empty form": {"data": {"order_id": ""}},
}


@pytest.mark.any_database
@pytest.mark.parametrize("how", BAD.values(), ids=list(BAD))
def test_a_request_that_names_no_order_is_400(till: Till, how: dict[str, Any]) -> None:
    answer = till.client().post("/v1/initiate-payment", **how)
    assert code_of(answer) == (400, "bad_request")


@pytest.mark.any_database
def test_an_unknown_order_is_404(till: Till) -> None:
    assert code_of(till.press("nobody's")) == (404, "unknown_order")


@pytest.mark.parametrize(
    "status", [Status.PAID, Status.MAKE_PENDING, Status.MANUAL_MAKE, Status.SUCCESSFUL, Status.MAKE_FAILED]
)
def test_a_paid_order_is_409_whatever_became_of_it(sqlite_till: Till, status: Status) -> None:
    order_id = sqlite_till.world.bring_to(status)
    assert code_of(sqlite_till.press(order_id))[0] == 409
    assert sqlite_till.payments_there() == []


def test_an_expired_order_is_410(sqlite_till: Till) -> None:
    order_id = sqlite_till.world.scan()
    sqlite_till.world.clock.advance(900)
    assert code_of(sqlite_till.press(order_id)) == (410, "expired"), "also before the clock has noticed"
    sqlite_till.world.wait(1)
    assert code_of(sqlite_till.press(order_id)) == (410, "expired")


def test_a_payment_paid_while_its_page_was_asked_for_is_409(sqlite_till: Till) -> None:
    order_id = sqlite_till.paid()
    assert code_of(sqlite_till.press(order_id))[0] == 409


def remove_account(till: Till) -> None:
    def remove(tx: Transaction) -> None:
        tx.session.delete(tx.session.get_one(Credential, ("north", "Yookassa")))

    till.world.database.transact(remove)
    till.world.wait(FRESH.total_seconds())


def leave_account(till: Till) -> None:
    change_credential(till, account_id="another")


def test_without_an_account_it_is_503_and_the_order_stays_payable(till: Till) -> None:
    order_id = till.world.scan()
    remove_account(till)
    assert code_of(till.press(order_id)) == (503, "no_payment")
    assert till.world.status(order_id) == "created"


@pytest.mark.parametrize("spoil", [remove_account, leave_account])
def test_who_may_have_paid_already_is_not_told_that_nothing_was_charged(
    sqlite_till: Till, spoil: Callable[[Till], None]
) -> None:
    """Regression: a browser without scripts went back to its payment, whose account had vanished."""
    order_id = sqlite_till.world.scan()
    sqlite_till.press(order_id)
    spoil(sqlite_till)
    browser = {"data": {"order_id": order_id}, "headers": {"Accept": "text/html,*/*;q=0.8", "Accept-Language": "en"}}
    page = sqlite_till.press(order_id, **browser)
    assert (page.status_code, code_of(sqlite_till.press(order_id))) == (503, (503, "no_payment"))
    assert "If you have paid already, just wait" in page.text
    assert "Nothing was charged" not in page.text


def test_a_provider_that_refuses_is_503_and_the_order_has_failed(till: Till) -> None:
    order_id = till.world.scan()
    change_credential(till, account_id="100500")
    till.fault(FaultKind.ERROR_500, Endpoint.CREATE)
    answer = till.press(order_id)
    assert code_of(answer) == (503, "in_progress")
    assert int(answer.headers["Retry-After"]) > 0
    till.work(2)
    assert till.press(order_id).status_code == 200
    assert len(till.payments_there()) == 1


def test_an_unreachable_provider_is_503_and_the_payment_is_opened_later(sqlite_world: World) -> None:
    with a_till(sqlite_world, f"http://127.0.0.1:{free_port()}/v3") as till:
        order_id = sqlite_world.scan()
        assert code_of(till.press(order_id)) == (503, "in_progress")
        till._url = till.yookassa.url
        till.be_patient()
        till.work(2)
        assert till.press(order_id).status_code == 200


def test_a_call_the_provider_would_certainly_refuse_is_not_stored(sqlite_world: World) -> None:
    """A public address nobody can come back to: nothing was begun, nothing is left behind."""
    with a_till(sqlite_world) as till:
        till.call_worker._public_url = "not an address"
        counter = Checkout(sqlite_world.database, till.shops, till.call_worker, sqlite_world.clock, lambda: "p1")
        order_id = sqlite_world.scan()
        with pytest.raises(Refusal) as refused:
            counter.pay(order_id)
        assert (refused.value.status, refused.value.code) == (503, "not_payable")
        assert sqlite_world.status(order_id) == "created"
        assert sqlite_world.rows(order_id) == []


def test_no_press_is_taken_by_a_process_that_ends(sqlite_world: World) -> None:
    with a_till(sqlite_world) as till:
        ending = Checkout(
            sqlite_world.database, till.shops, till.call_worker, sqlite_world.clock, lambda: "p1", lambda: True
        )
        order_id = sqlite_world.scan()
        with pytest.raises(Refusal) as refused:
            ending.pay(order_id)
        assert (refused.value.status, refused.value.code) == (503, "in_progress"), "the page presses again by itself"
        assert sqlite_world.rows(order_id) == []


def test_a_web_process_that_died_while_calling_is_replaced_by_the_worker_within_seconds(till: Till) -> None:
    order_id = till.world.scan()

    class Killed(CallWorker):
        def open(self, row: OutboxRow) -> None:
            raise SystemExit

    world = till.world
    dying = Killed(
        world.database, till.shops, world.rules, "http://x", "web", ThreadPool("web", 0), lambda: 0.0, world.clock
    )
    with pytest.raises(SystemExit):
        Checkout(world.database, till.shops, dying, world.clock, lambda: "p1").pay(order_id)
    assert till.payments_there() == []
    till.work(LEASE_S - 1)
    assert till.payments_there() == [], "its lease lasts"
    till.work(2)
    assert till.press(order_id).status_code == 200
    assert len(till.payments_there()) == 1
