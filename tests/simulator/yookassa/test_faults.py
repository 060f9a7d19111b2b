"""Every fault switch, and what it leaves behind."""

import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from simulator.yookassa import YooKassaSimulator
from tests.simulator.yookassa.shop import COFFEE, TestShop, error_of, sample_error
from tests.waiting import wait_until


def payments(shop: TestShop) -> int:
    return len(shop.sim("GET", "/books").json()["payments"])


@pytest.mark.parametrize("after_commit", [False, True])
@pytest.mark.parametrize(
    ("kind", "status"),
    [("error_500", 500), ("too_many_requests", 429), ("accepted_202", 202), ("html_502", 502)],
)
def test_a_bad_answer_leaves_the_payment_made_only_after_commit(
    shop: TestShop, kind: str, status: int, after_commit: bool
) -> None:
    shop.fault(kind=kind, endpoint="create", after_commit=after_commit)
    assert shop.post("/payments", COFFEE, key="k").status_code == status
    assert payments(shop) == (1 if after_commit else 0)
    assert shop.post("/payments", COFFEE, key="k").status_code == 200
    assert payments(shop) == 1


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("error_500", "500-internal-server-error"),
        ("too_many_requests", "429-too-many-requests"),
        ("accepted_202", "202-processing-legacy"),
    ],
)
def test_bad_answers_are_worded_like_their_samples(shop: TestShop, kind: str, error: str) -> None:
    shop.fault(kind=kind)
    assert error_of(shop.get("/me")) == sample_error(error)


def test_a_502_is_a_page_and_not_json(shop: TestShop) -> None:
    shop.fault(kind="html_502")
    answer = shop.get("/me")
    assert answer.headers["Content-Type"].startswith("text/html")
    with pytest.raises(requests.JSONDecodeError):
        answer.json()


def test_retry_after_is_as_set(shop: TestShop) -> None:
    shop.fault(kind="too_many_requests", retry_after=7)
    assert shop.get("/me").json()["retry_after"] == 7


@pytest.mark.parametrize("after_commit", [False, True])
def test_a_broken_connection_leaves_the_payment_made_only_after_commit(shop: TestShop, after_commit: bool) -> None:
    shop.fault(kind="reset", endpoint="create", after_commit=after_commit)
    with pytest.raises(requests.ConnectionError):
        shop.post("/payments", COFFEE, key="k")
    assert payments(shop) == (1 if after_commit else 0)
    assert shop.post("/payments", COFFEE, key="k").status_code == 200
    assert payments(shop) == 1


def test_a_reset_is_seen_as_a_reset_on_the_wire(shop: TestShop, simulator: YooKassaSimulator) -> None:
    shop.fault(kind="reset")
    host, port = simulator.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as wire:
        wire.sendall(b"GET /v3/me HTTP/1.1\r\nHost: x\r\nAuthorization: Basic MTAwNTAwOnRlc3Rfc2VjcmV0\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            wire.recv(1)


def test_a_hanging_call_times_out_with_the_payment_made(shop: TestShop) -> None:
    shop.fault(kind="hang", endpoint="create", after_commit=True, seconds=60)
    with pytest.raises(requests.ReadTimeout):
        shop.post("/payments", COFFEE, key="k", timeout=0.2)
    wait_until(lambda: payments(shop) == 1, what="the payment")


def test_a_hang_ends_with_the_true_answer(shop: TestShop) -> None:
    shop.fault(kind="hang", seconds=0.05)
    assert shop.get("/me").json()["account_id"] == "100500"


def test_a_hanging_call_is_answered_once_all_faults_are_switched_off(shop: TestShop) -> None:
    shop.fault(kind="hang", endpoint="create", after_commit=True, seconds=100)
    with ThreadPoolExecutor() as buyers:
        asking = buyers.submit(shop.post, "/payments", COFFEE, timeout=30)
        wait_until(lambda: payments(shop) == 1, what="the payment")
        assert not asking.done()
        shop.sim("DELETE", "/faults")
        assert asking.result().status_code == 200


def test_a_fault_strikes_only_its_endpoint_and_only_so_often(shop: TestShop) -> None:
    payment_id = shop.paid()["id"]
    shop.fault(kind="error_500", endpoint="capture", times=2)
    assert shop.get(f"/payments/{payment_id}").status_code == 200
    answers = [shop.post(f"/payments/{payment_id}/capture", key="c").status_code for _ in range(3)]
    assert answers == [500, 500, 200]
    assert shop.sim("GET", "/faults").json() == {"faults": []}


@pytest.mark.parametrize(
    ("endpoint", "path", "body"),
    [
        ("get", "/payments/x", None),
        ("list", "/payments", None),
        ("get_refund", "/refunds/x", None),
        ("list_refunds", "/refunds", None),
        ("me", "/me", None),
        ("create", "/payments", COFFEE),
        ("capture", "/payments/x/capture", {}),
        ("cancel", "/payments/x/cancel", {}),
        ("refund", "/refunds", {}),
    ],
)
def test_every_endpoint_can_be_struck(shop: TestShop, endpoint: str, path: str, body: Any) -> None:
    shop.fault(kind="error_500", endpoint=endpoint)
    answer = shop.get(path) if body is None else shop.post(path, body)
    assert answer.status_code == 500


def test_a_standing_fault_strikes_until_switched_off(shop: TestShop) -> None:
    shop.fault(kind="error_500", times=None)
    assert [shop.get("/me").status_code for _ in range(5)] == [500] * 5
    shop.sim("DELETE", "/faults")
    assert shop.get("/me").status_code == 200


def test_faults_by_probability_repeat_with_the_seed() -> None:
    def run(seed: str) -> list[int]:
        with YooKassaSimulator(seed=seed) as simulator:
            shop = TestShop(simulator)
            shop.fault(kind="error_500", times=None, probability=0.5)
            answers = [shop.get("/me").status_code for _ in range(40)]
            shop.session.close()
            return answers

    first = run("a")
    assert set(first) == {200, 500}
    assert first == run("a")
    assert first != run("b")


def test_strangers_in_an_object_hide_nothing_known(shop: TestShop) -> None:
    payment = shop.paid()
    shop.fault(kind="strangers", endpoint="get")
    strange = shop.payment(payment["id"])
    assert strange["x_new_field"]
    assert strange["payment_method"]["type"] == "quantum_wallet"
    assert {name: strange[name] for name in payment if name != "payment_method"} == {
        name: value for name, value in payment.items() if name != "payment_method"
    }


@pytest.mark.parametrize(
    "fault", [{"kind": "earthquake"}, {}, {"kind": "hang", "seconds": 1e9}, {"kind": "hang", "probability": 2}]
)
def test_a_fault_nobody_knows_is_refused(shop: TestShop, fault: dict[str, Any]) -> None:
    answer = shop.sim("POST", "/faults", fault)
    assert answer.status_code == 400
    assert answer.json()["error"]
