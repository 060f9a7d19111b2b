"""The bank's methods over real HTTP: what they take, what they answer, what they refuse."""

import json
from datetime import timedelta

import pytest

from simulator.tbank import TBankSimulator
from simulator.tbank.terms import Behaviour
from tests.simulator.tbank.conftest import START
from tests.simulator.tbank.merchant import ORDER, Merchant, token


def test_an_init_answers_with_a_new_payment_and_its_page(merchant: Merchant, bank: TBankSimulator) -> None:
    told = merchant.call("Init", **ORDER)
    payment_id, page = told.pop("PaymentId"), told.pop("PaymentURL")
    assert told == {
        "Success": True, "ErrorCode": "0", "Message": "OK", "TerminalKey": merchant.key, "Status": "NEW",
        "OrderId": ORDER["OrderId"], "Amount": 15000,
    }  # fmt: skip
    assert payment_id.isdigit()
    assert page.startswith(f"{bank.address}/new/")
    assert payment_id not in page, "nobody can make up the page's address"


def test_a_wrong_token_is_told_as_the_bank_tells_it(merchant: Merchant) -> None:
    merchant.password = "wrong"
    told = merchant.call("Init", **ORDER)
    words = "Неверный токен. Проверьте пару TerminalKey/SecretKey."
    assert told == {"Success": False, "ErrorCode": "204", "Message": words, "Details": ""}


@pytest.mark.parametrize("altered", [{"Amount": 1}, {"OrderId": "other"}, {"PayType": "O"}, {"Token": None}], ids=str)
def test_what_was_signed_cannot_be_altered(merchant: Merchant, altered: dict[str, object]) -> None:
    whole = {"TerminalKey": merchant.key, "PayType": "T", **ORDER}
    body = whole | {"Token": token(whole, merchant.password)} | altered
    assert merchant.raw("Init", json.dumps(body).encode()).json()["ErrorCode"] == "204"


def test_an_unknown_terminal_is_refused(merchant: Merchant) -> None:
    merchant.key = "nobody"
    assert merchant.call("Init", **ORDER)["ErrorCode"] == "501"


@pytest.mark.parametrize("name", ["OrderId", "Description", "Token"])
def test_what_no_text_can_carry_is_signed_by_nobody(merchant: Merchant, name: str) -> None:
    message = {"TerminalKey": merchant.key, "Token": "0" * 64, **ORDER} | {name: "\ud800"}
    answer = merchant.raw("Init", json.dumps(message).encode())
    assert (answer.status_code, answer.json()["ErrorCode"]) == (200, "204")


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"null"])
def test_what_is_no_request_is_refused_politely(merchant: Merchant, body: bytes) -> None:
    answer = merchant.raw("Init", body)
    assert (answer.status_code, answer.json()["Success"]) == (200, False)
    assert merchant.raw("Init", b"a=b", "application/x-www-form-urlencoded").json()["Success"] is False


@pytest.mark.parametrize(
    "wrong",
    [
        {"Amount": 0}, {"Amount": "15000"}, {"Amount": 1.5}, {"OrderId": ""}, {"OrderId": "x" * 51},
        {"OrderId": 5}, {"Description": "x" * 141}, {"PayType": "X"}, {"DATA": {"k" * 21: "v"}},
        {"DATA": {"k": "v" * 101}}, {"DATA": {"k": 1}}, {"DATA": {str(n): "v" for n in range(21)}}, {"DATA": []},
        {"RedirectDueDate": "soon"}, {"RedirectDueDate": (START + timedelta(seconds=30)).isoformat()},
        {"RedirectDueDate": (START + timedelta(days=91)).isoformat()},
        {"RedirectDueDate": "0001-01-01T00:00:00+14:00"}, {"RedirectDueDate": "9999-12-31T23:59:59-14:00"},
    ],
    ids=str,
)  # fmt: skip
def test_an_init_out_of_limits_is_refused(merchant: Merchant, wrong: dict[str, object]) -> None:
    told = merchant.call("Init", **(ORDER | wrong))
    assert (told["Success"], told["ErrorCode"]) == (False, "201")


def test_an_order_id_is_used_once(merchant: Merchant, bank: TBankSimulator) -> None:
    merchant.open()
    assert merchant.call("Init", **ORDER)["ErrorCode"] == "8"
    bank.behaviour = Behaviour(repeated_init="another")
    assert merchant.call("Init", **ORDER)["Success"]


def test_a_terminal_with_a_cash_register_wants_a_receipt(fiscal: Merchant) -> None:
    told = fiscal.call("Init", **ORDER)
    assert (told["ErrorCode"], told["Details"]) == ("309", "{request.validate.expected.receipt}")
    assert fiscal.call("Init", **ORDER, Receipt={"Items": []})["Success"]


def test_the_state_says_how_it_was_paid(merchant: Merchant) -> None:
    payment_id = merchant.held()
    told = merchant.call("GetState", PaymentId=payment_id)
    assert (told["Status"], told["Amount"], told["OrderId"]) == ("AUTHORIZED", 15000, ORDER["OrderId"])
    assert {"Key": "Source", "Value": "Cards"} in told["Params"]


def test_another_terminals_payment_does_not_exist(merchant: Merchant, fiscal: Merchant) -> None:
    payment_id = merchant.held()
    for method in ("GetState", "Confirm", "Cancel"):
        assert fiscal.call(method, PaymentId=payment_id)["ErrorCode"] == "255"
    assert fiscal.call("CheckOrder", OrderId=ORDER["OrderId"])["ErrorCode"] == "255"
    assert merchant.status(payment_id) == "AUTHORIZED"


def test_an_order_tells_all_its_payments(merchant: Merchant, bank: TBankSimulator) -> None:
    bank.behaviour = Behaviour(repeated_init="another")
    made = [merchant.open(), merchant.open()]
    told = merchant.call("CheckOrder", OrderId=ORDER["OrderId"])
    assert [payment["PaymentId"] for payment in told["Payments"]] == made
    assert told["ErrorCode"] == "0"
    assert told["Payments"][0]["ErrorCode"] == 0, "a number inside, a text outside"


def test_a_hold_is_confirmed_whole_or_in_part(merchant: Merchant) -> None:
    whole, part = merchant.held(), merchant.held(OrderId="second")
    told = merchant.call("Confirm", PaymentId=whole)
    assert (told["Status"], "Amount" in told) == ("CONFIRMED", False)
    merchant.call("Confirm", PaymentId=part, Amount=10000)
    assert merchant.call("GetState", PaymentId=part)["Amount"] == 10000
    assert merchant.call("Confirm", PaymentId=part)["ErrorCode"] == "8"


def test_a_cancellation_tells_the_sums_before_and_after(merchant: Merchant) -> None:
    payment_id = merchant.taken()
    part = merchant.call("Cancel", PaymentId=payment_id, Amount=5000)
    assert (part["Status"], part["OriginalAmount"], part["NewAmount"]) == ("PARTIAL_REFUNDED", 15000, 10000)
    rest = merchant.call("Cancel", PaymentId=payment_id, Amount=10000)
    assert (rest["Status"], rest["OriginalAmount"], rest["NewAmount"]) == ("REFUNDED", 10000, 0)


def test_a_cancellation_does_what_the_status_asks_for(merchant: Merchant) -> None:
    new, held, taken = merchant.open(), merchant.held(OrderId="2"), merchant.taken(OrderId="3")
    statuses = [merchant.call("Cancel", PaymentId=payment_id)["Status"] for payment_id in (new, held, taken)]
    assert statuses == ["CANCELED", "REVERSED", "REFUNDED"]
    assert merchant.call("Cancel", PaymentId=new)["ErrorCode"] == "8"


def test_the_same_request_id_returns_once_by_card_and_is_ignored_by_sbp(
    merchant: Merchant, bank: TBankSimulator
) -> None:
    bank.behaviour = Behaviour(refund_delay=0)
    card, sbp = merchant.taken(), merchant.taken("sbp", OrderId="2")
    for payment_id in (card, sbp):
        for _ in range(2):
            merchant.call("Cancel", PaymentId=payment_id, Amount=5000, ExternalRequestId="r-1")
    assert merchant.call("GetState", PaymentId=card)["Amount"] == 10000
    bank.advance(7200)
    assert bank.bank.find(sbp).refunded > 0


def test_a_refused_cancellation_uses_up_no_request_id(merchant: Merchant) -> None:
    payment_id = merchant.taken()
    again = {"PaymentId": payment_id, "ExternalRequestId": "r-1"}
    assert merchant.call("Cancel", **again, Amount=15001)["ErrorCode"] == "8"
    assert merchant.call("Cancel", **again, Amount=15001)["ErrorCode"] == "8"
    assert merchant.call("Cancel", **again, Amount=5000)["NewAmount"] == 10000
    assert merchant.call("Cancel", **again, Amount=5000)["NewAmount"] == 10000


def test_a_question_by_get_is_not_answered(merchant: Merchant, bank: TBankSimulator) -> None:
    assert merchant.session.get(f"{bank.url}/GetState", timeout=10).status_code == 405
    assert merchant.session.post(f"{bank.url}/Nothing", timeout=10).status_code == 404
