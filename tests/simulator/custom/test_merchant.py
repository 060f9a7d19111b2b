"""The simulated merchant by itself: a link is one payment, a key one act, and only what is signed is believed."""

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any
from urllib.parse import quote

import pytest
import requests

from simulator.custom import CustomSimulator
from simulator.custom.books import Refused, Status
from simulator.custom.callbacks import Mischief
from simulator.custom.signing import NotSigned, envelope, open_envelope, sign
from simulator.shell.wire import WireServer
from tests.waiting import wait_until

ACCOUNT, SECRET = "north-coffee", "an-agreed-secret-of-forty-two-characters!!"
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
NAME = f"p1.{int(START.timestamp()) + 3600}"


class Clock:
    now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def merchant(clock: Clock) -> Iterator[CustomSimulator]:
    with CustomSimulator(ACCOUNT, SECRET, clock=clock) as running:
        yield running


def link(merchant: CustomSimulator, **changes: str) -> str:
    asked = {
        "account": ACCOUNT, "payment": NAME, "order": "заказ 7", "amount": "17900", "currency": "RUB",
        "capture": "later", "description": "Латте", "return_url": "https://coffee.example.org/back",
    }  # fmt: skip
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in (asked | changes).items())
    return f"{merchant.address}/page?{query}&signature={sign(SECRET, 'page', query)}"


def ask(merchant: CustomSimulator, payment: str = NAME, off_s: int = 0, secret: str = SECRET) -> requests.Response:
    query = f"account={ACCOUNT}&payment={payment}&time={int(START.timestamp()) + off_s}&nonce={'n' * 16}"
    signature = sign(secret, "status", query)
    return requests.get(f"{merchant.address}/status?{query}&signature={signature}", timeout=10)


def act(merchant: CustomSimulator, action: str, key: str = "k-1", **more: Any) -> requests.Response:
    told = {"account": ACCOUNT, "action": action, "payment": NAME, "key": key, "currency": "RUB"} | more
    return requests.post(f"{merchant.address}/action", json=envelope(SECRET, "action", told), timeout=10)


def said(answer: requests.Response) -> dict[str, Any]:
    return dict(open_envelope(SECRET, "answer", answer.content))


def paid(merchant: CustomSimulator, **changes: str) -> None:
    address = link(merchant, **changes)
    assert requests.get(address, timeout=10).status_code == 200
    assert requests.post(address, data={"act": "pay"}, timeout=10, allow_redirects=False).status_code == 303


def test_a_payment_goes_through_its_whole_life(merchant: CustomSimulator) -> None:
    paid(merchant)
    assert said(ask(merchant))["status"] == "held"
    assert said(act(merchant, "capture"))["captured"] == 17900
    assert said(act(merchant, "refund", "k-2", amount=100))["refunds"] == [
        {"id": "k-2", "amount": 100, "status": "succeeded"}
    ]
    told = said(ask(merchant))
    assert (told["status"], told["nonce"], told["order"]) == ("succeeded", "n" * 16, "заказ 7")


def test_the_same_key_is_the_same_act(merchant: CustomSimulator) -> None:
    paid(merchant, capture="now")
    for _ in range(3):
        assert act(merchant, "refund", amount=17900).status_code == 200
    assert merchant.books.find(NAME).refunded == 17900
    refused = act(merchant, "refund", "k-2", amount=1)
    assert (refused.status_code, said(refused)["error"]) == (409, "too_much")


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"amount": 17901}, "too_much"),
        *[({"amount": wrong}, "wrong_amount") for wrong in (-100, 0, "100", True, 1.5, None)],
        ({"amount": 100, "currency": "USD"}, "wrong_currency"),
        ({"amount": 100, "account": "south-coffee"}, "wrong_account"),
    ],
    ids=str,
)
def test_a_return_that_does_not_fit_moves_nothing(merchant: CustomSimulator, more: dict[str, Any], error: str) -> None:
    paid(merchant, capture="now")
    refused = act(merchant, "refund", **more)
    assert (refused.status_code, said(refused)) == (409, {"account": ACCOUNT, "key": "k-1", "error": error})
    assert merchant.books.find(NAME).refunds == ()


@pytest.mark.parametrize(
    ("more", "error"),
    [({"amount": 17901}, "too_much"), ({"amount": 0}, "wrong_amount"), ({"currency": "USD"}, "wrong_currency")],
    ids=str,
)
def test_no_more_is_taken_than_is_held(merchant: CustomSimulator, more: dict[str, Any], error: str) -> None:
    paid(merchant)
    assert said(act(merchant, "capture", **more))["error"] == error
    assert merchant.books.find(NAME).status is Status.HELD


@pytest.mark.parametrize("wrong", [{"amount": "-1"}, {"amount": "0"}, {"currency": "USD"}], ids=str)
def test_a_link_of_no_money_or_another_currency_is_refused(merchant: CustomSimulator, wrong: dict[str, str]) -> None:
    assert requests.get(link(merchant, **wrong), timeout=10).status_code == 403
    assert merchant.books.all() == []


def test_people_return_no_negative_sums(merchant: CustomSimulator) -> None:
    paid(merchant, capture="now")
    body: dict[str, Any] = {"id": "anna", "amount": -100}
    assert requests.post(f"{merchant.address}/sim/refund/{NAME}", json=body, timeout=10).status_code == 409


def test_what_is_not_signed_with_the_agreed_key_is_refused(merchant: CustomSimulator) -> None:
    paid(merchant)
    assert requests.get(link(merchant).replace("17900", "1"), timeout=10).status_code == 403
    assert ask(merchant, secret="another").status_code == 403
    assert ask(merchant, off_s=301).status_code == 403
    wrong = envelope(SECRET, "callback", {"action": "cancel", "payment": NAME, "key": "k"})
    assert requests.post(f"{merchant.address}/action", json=wrong, timeout=10).status_code == 403
    assert merchant.books.find(NAME).status is Status.HELD


@pytest.mark.parametrize(
    "body",
    [
        {"payload": "{}", "signature": "подпись"},
        {"payload": "{}", "signature": "\ud800"},
        {"payload": "\ud800", "signature": "0" * 64},
        {"payload": "{}"},
        [],
    ],
    ids=str,
)
def test_an_envelope_nobody_could_have_signed_is_refused(merchant: CustomSimulator, body: Any) -> None:
    assert requests.post(f"{merchant.address}/action", json=body, timeout=10).status_code == 403
    assert requests.get(f"{merchant.address}/status?account=x&signature=%FF", timeout=10).status_code == 403
    assert requests.get(f"{merchant.address}/status?account=x&signature=п".encode(), timeout=10).status_code == 403


@pytest.mark.parametrize("missing", ["account", "action", "payment", "key"])
def test_an_order_that_leaves_something_out_is_refused_and_signed(merchant: CustomSimulator, missing: str) -> None:
    paid(merchant)
    told = {"account": ACCOUNT, "action": "cancel", "payment": NAME, "key": "k-1"}
    del told[missing]
    answer = requests.post(f"{merchant.address}/action", json=envelope(SECRET, "action", told), timeout=10)
    assert (answer.status_code, said(answer)["error"]) == (400, "unreadable")
    assert merchant.books.find(NAME).status is Status.HELD


@pytest.mark.parametrize("payload", ["[]", "cancel", ""])
def test_a_signed_order_that_is_no_object_is_refused(merchant: CustomSimulator, payload: str) -> None:
    body = {"payload": payload, "signature": sign(SECRET, "action", payload)}
    answer = requests.post(f"{merchant.address}/action", json=body, timeout=10)
    assert (answer.status_code, said(answer)) == (400, {"account": ACCOUNT, "error": "unreadable"})


def test_a_question_from_no_time_is_refused(merchant: CustomSimulator) -> None:
    assert ask(merchant, off_s=10**400).status_code == 403


def test_a_payment_nobody_came_with_is_unknown(merchant: CustomSimulator) -> None:
    answer = ask(merchant)
    assert (answer.status_code, said(answer)["error"]) == (404, "unknown_payment")
    assert said(ask(merchant, payment="")) == {"account": ACCOUNT, "nonce": "n" * 16}


def test_a_payment_not_made_in_time_is_canceled(merchant: CustomSimulator, clock: Clock) -> None:
    requests.get(link(merchant), timeout=10)
    clock.now += timedelta(seconds=3601)
    assert merchant.books.find(NAME).status is Status.CANCELED
    assert requests.get(link(merchant), timeout=10).status_code == 410
    with pytest.raises(Refused):
        merchant.books.pay(NAME)


def test_the_cabinet_shows_and_does_everything(merchant: CustomSimulator) -> None:
    requests.get(link(merchant, capture="now"), timeout=10)
    sim = f"{merchant.address}/sim"
    assert requests.post(f"{sim}/pay/{NAME}", timeout=10).json()["status"] == "succeeded"
    merchant.books.slow_refunds = True
    body: dict[str, Any] = {"id": "anna", "amount": 100}
    assert requests.post(f"{sim}/refund/{NAME}", json=body, timeout=10).json()["refunded"] == 0
    assert requests.post(f"{sim}/finish-refunds/{NAME}", timeout=10).json()["refunded"] == 100
    assert requests.get(f"{sim}/books", timeout=10).json()["payments"][0]["name"] == NAME
    assert requests.post(f"{sim}/decline/{NAME}", timeout=10).status_code == 409
    assert requests.post(f"{sim}/dance/{NAME}", timeout=10).status_code == 404
    assert requests.post(f"{sim}/refund/{NAME}", json=[], timeout=10).status_code == 400


@pytest.mark.parametrize(
    ("kind", "status"),
    [("error_500", 500), ("html", 502), ("forbidden", 403), ("too_many", 429), ("unsigned", 200), ("wrong_key", 200)],
)
def test_each_fault_strikes_once(merchant: CustomSimulator, kind: str, status: int) -> None:
    paid(merchant)
    requests.post(f"{merchant.address}/sim/faults", json={"kind": kind}, timeout=10)
    struck = ask(merchant)
    assert struck.status_code == status
    with pytest.raises(NotSigned):
        said(struck)
    assert said(ask(merchant))["status"] == "held"


def test_a_fault_may_strike_after_the_act(merchant: CustomSimulator) -> None:
    paid(merchant)
    fault: dict[str, Any] = {"kind": "reset", "where": "action", "after": True}
    requests.post(f"{merchant.address}/sim/faults", json=fault, timeout=10)
    with pytest.raises(requests.ConnectionError):
        act(merchant, "capture")
    assert merchant.books.find(NAME).status is Status.SUCCEEDED
    assert requests.delete(f"{merchant.address}/sim/faults", timeout=10).status_code == 200


def test_callbacks_are_repeated_signed_anew_until_they_are_taken() -> None:
    got: list[dict[str, Any]] = []

    def receiver(environ: Any, start: Any) -> list[bytes]:
        got.append(dict(open_envelope(SECRET, "callback", environ["wsgi.input"].read())))
        start("200 OK" if len(got) > 1 else "503 Later", [("Content-Length", "0")])
        return [b""]

    server = WireServer("127.0.0.1", 0, receiver)
    server.start()
    with CustomSimulator(ACCOUNT, SECRET, f"{server.address}/cb") as merchant:
        now = int(datetime.now(UTC).timestamp())
        paid(merchant, payment=f"p2.{now + 60}")
        wait_until(lambda: len(got) > 1, what="the callback to be repeated")
        assert [one["nonce"] for one in got] == [got[0]["nonce"]] * 2
        assert abs(got[1]["time"] - now) < 60
        requests.put(f"{merchant.address}/sim/callbacks", json={"silent": True}, timeout=10)
        assert merchant.callbacks.mischief == Mischief(silent=True)
    server.close()


@pytest.mark.parametrize(
    "wrong",
    [{"copies": "x"}, {"copies": -1}, {"copies": 21}, {"late_s": 10**9}, {"silent": 1}, {"colour": "red"}],
    ids=str,
)
def test_mischief_nobody_can_do_is_refused(merchant: CustomSimulator, wrong: dict[str, Any]) -> None:
    assert requests.put(f"{merchant.address}/sim/callbacks", json=wrong, timeout=10).status_code == 400
    assert merchant.callbacks.mischief == Mischief()


@pytest.mark.parametrize(
    "body", [{"id": "anna", "amount": "all"}, {"id": "anna"}, {"id": 1, "amount": 100}, []], ids=str
)
def test_an_act_nobody_can_do_is_refused(merchant: CustomSimulator, body: Any) -> None:
    paid(merchant, capture="now")
    assert requests.post(f"{merchant.address}/sim/refund/{NAME}", json=body, timeout=10).status_code == 400
    form = requests.post(f"{merchant.address}/sim/refund/{NAME}", data='{"id": "a", "amount": 1}', timeout=10)
    assert form.status_code == 400, "a form of a web page is no act"


def test_a_callback_that_cannot_be_sent_stops_no_other() -> None:
    until = int(datetime.now(UTC).timestamp()) + 60
    with CustomSimulator(ACCOUNT, SECRET, "http://a..b/cb") as merchant:

        def is_tried(name: str) -> bool:
            return any(name in one.body["payload"] for one in list(merchant.callbacks.sent))

        for name in (f"p3.{until}", f"p4.{until}"):
            paid(merchant, payment=name)
            wait_until(partial(is_tried, name), what="the callback to be tried")
        assert {one.status for one in merchant.callbacks.sent} == {0}


def test_a_callback_is_repeated_for_a_day_at_growing_intervals(clock: Clock) -> None:
    tried: list[datetime] = []

    def refuse(body: dict[str, str]) -> int:
        tried.append(clock.now)
        return 503

    merchant = CustomSimulator(ACCOUNT, SECRET, "http://127.0.0.1:1/cb", sends=False, clock=clock)
    merchant.callbacks.post = refuse  # type: ignore[method-assign]  # the wire, without its port
    merchant.callbacks.tell({"payment": NAME})
    wake = merchant.callbacks.step(clock.now)
    assert merchant.callbacks.step(clock.now) == wake, "nothing is due before its time"
    while wake is not None:
        clock.now = wake
        wake = merchant.callbacks.step(wake)
    waits = [(later - earlier).total_seconds() for earlier, later in pairwise(tried)]
    assert waits == [2.0**n for n in range(16)]
    assert tried[-1] - START < timedelta(days=1)
    merchant.close()


def test_the_command_runs_until_it_is_told_to_stop() -> None:
    command = [sys.executable, "-m", "simulator", "custom", "--port", "0", "--secret", SECRET]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        assert requests.get(address, timeout=10).status_code == 403
        process.terminate()
        assert process.wait(20) == 0


def test_the_command_needs_a_secret() -> None:
    done = subprocess.run([sys.executable, "-m", "simulator", "custom"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert json.dumps(SECRET) not in done.stderr
