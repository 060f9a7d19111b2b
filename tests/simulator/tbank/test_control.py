"""The control API: the same bank, without a browser; and what it refuses."""

import pytest

from simulator.tbank import TBankSimulator
from tests.simulator.tbank.merchant import Merchant


def test_the_books_tell_the_truth(merchant: Merchant) -> None:
    payment_id = merchant.held()
    [entry] = merchant.sim("GET", "/books").json()["payments"]
    assert (entry["id"], entry["status"], entry["kopecks"]["held"]) == (payment_id, "AUTHORIZED", 15000)
    assert [line["what"] for line in entry["history"]] == ["opened", "authorized by card"]


def test_a_buyer_pays_or_is_declined(merchant: Merchant) -> None:
    paid, declined = merchant.open(PayType="O"), merchant.open(OrderId="2")
    assert merchant.sim("POST", f"/pay/{paid}", {"method": "sbp"}).json()["status"] == "CONFIRMED"
    assert merchant.sim("POST", f"/decline/{declined}", {"reason": "3ds"}).json()["status"] == "REJECTED"


def test_people_refund_in_the_cabinet(merchant: Merchant) -> None:
    payment_id = merchant.taken()
    assert merchant.sim("POST", "/refund", {"payment_id": payment_id, "amount": 5000}).json()["kopecks"]["refunded"]
    assert merchant.sim("POST", "/refund", {"payment_id": payment_id}).json()["kopecks"]["refunded"] == 15000


def test_faults_behaviour_and_clock_are_switched(merchant: Merchant) -> None:
    assert merchant.sim("POST", "/faults", {"kind": "reset", "method": "Confirm"}).json()["faults"]
    assert merchant.sim("DELETE", "/faults").json()["faults"] == []
    assert merchant.sim("PUT", "/behaviour", {"attempts": 3}).json()["attempts"] == 3
    before = merchant.sim("GET", "/clock").json()["now"]
    assert merchant.sim("POST", "/clock", {"advance": 60}).json()["now"] > before


def test_time_ends_payments_and_holds(merchant: Merchant) -> None:
    link, hold = merchant.open(), merchant.held(OrderId="2")
    merchant.sim("POST", "/clock", {"advance": 86401})
    assert (merchant.status(link), merchant.status(hold)) == ("DEADLINE_EXPIRED", "AUTHORIZED")
    merchant.sim("POST", "/clock", {"advance": 7 * 86400})
    assert merchant.status(hold) == "REVERSED"


def test_news_is_aimed_resent_and_listed(merchant: Merchant, bank: TBankSimulator) -> None:
    assert merchant.sim("PUT", "/webhooks/target", {"url": "http://127.0.0.1:1/"}).status_code == 200
    merchant.sim("PUT", "/webhooks", {"fail_first": 1})
    payment_id = merchant.held()
    assert merchant.sim("POST", "/webhooks/resend", {"payment_id": payment_id}).json() == {"queued": 1}
    assert merchant.sim("GET", "/webhooks").json()["given_up"] == 0


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/pay/1", {}, 404),
        ("POST", "/refund", {"payment_id": "1"}, 404),
        ("POST", "/faults", {"kind": "earthquake"}, 400),
        ("POST", "/faults", {"kind": "reset", "times": 0}, 400),
        ("PUT", "/behaviour", {"repeated_init": "perhaps"}, 400),
        ("PUT", "/behaviour", {"refund_delay": -1}, 400),
        ("PUT", "/behaviour", {"attempts": 0}, 400),
        ("POST", "/clock", {"advance": -1}, 400),
        ("POST", "/clock", {"unknown": 1}, 400),
        ("GET", "/nothing", None, 404),
        ("GET", "/pay/1", None, 405),
    ],
)
def test_nonsense_is_refused_with_words(merchant: Merchant, method: str, path: str, body: object, status: int) -> None:
    assert merchant.sim(method, path, body).status_code == status


def test_a_payment_is_not_paid_twice_and_a_form_is_no_command(merchant: Merchant, bank: TBankSimulator) -> None:
    payment_id = merchant.held()
    assert "AUTHORIZED" in merchant.sim("POST", f"/pay/{payment_id}", {}).json()["error"]
    form = merchant.session.post(f"{bank.address}/sim/pay/{payment_id}", data={"method": "card"}, timeout=10)
    assert form.status_code == 400
