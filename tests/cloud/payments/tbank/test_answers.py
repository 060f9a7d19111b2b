"""T-Bank's answers as they come: what they say for certain, what they leave open, and what cannot be read."""

import json

import pytest

from cloud.payments.outcomes import AuthError, Ok, RateLimited, Rejected, Unknown
from cloud.payments.tbank.answers import judge
from cloud.payments.tbank.objects import State, Unreadable, changed_by, payment_facts, state_of, states_of_order
from cloud.payments.transport import Reply

INIT = {
    "Success": True, "ErrorCode": "0", "Message": "OK", "TerminalKey": "1234567890123456", "Status": "NEW",
    "PaymentId": "1234567890", "OrderId": "ORDER-123456", "Amount": 31200,
    "PaymentURL": "https://securepay.tinkoff.ru/form/checkout?paymentId=1234567890",
}  # fmt: skip
GET_STATE = {
    "Success": True, "ErrorCode": "0", "Message": "OK", "TerminalKey": "TBankTest", "Status": "AUTHORIZED",
    "PaymentId": "13660", "OrderId": "21050", "Amount": 1230,
}  # fmt: skip
CANCELLED = {
    "TerminalKey": "1234567890123DEMO", "OrderId": "ord_01JNABCDEF", "Success": True, "Status": "REFUNDED",
    "OriginalAmount": 15000, "NewAmount": 0, "PaymentId": "1234567890", "ErrorCode": "0", "Message": "OK",
}  # fmt: skip


def reply(told: object, status: int = 200) -> Reply:
    return Reply(status, json.dumps(told).encode())


def test_the_published_answers_are_read() -> None:
    opened = judge(reply(INIT), state_of)
    assert isinstance(opened, Ok)
    assert (opened.value.provider_payment_id, opened.value.amount, opened.value.url) == (
        "1234567890",
        31200,
        INIT["PaymentURL"],
    )
    told = judge(reply(GET_STATE), state_of)
    assert isinstance(told, Ok)
    assert (told.value.status, told.value.order_id, told.value.terminal) == ("AUTHORIZED", "21050", "TBankTest")
    cancelled = judge(reply(CANCELLED), changed_by)
    assert isinstance(cancelled, Ok)
    assert (cancelled.value.status, cancelled.value.new_amount) == ("REFUNDED", 0)


def test_a_list_of_an_orders_payments_is_read_with_its_numbers_and_texts() -> None:
    one = {"PaymentId": 124671934, "Amount": "13660", "Status": "NEW", "RRN": "1", "Success": True, "ErrorCode": 0}
    told = {"TerminalKey": "TBankTest", "OrderId": "21057", "Success": True, "ErrorCode": "0", "Payments": [one]}
    found = judge(reply(told), states_of_order)
    assert isinstance(found, Ok)
    [state] = found.value
    assert (state.provider_payment_id, state.order_id, state.amount, state.error) == ("124671934", "21057", 13660, None)


@pytest.mark.parametrize(
    ("code", "kind"),
    [("204", AuthError), ("202", AuthError), ("331", AuthError), ("8", Rejected), ("309", Rejected), ("9999", Unknown)],
)
def test_a_refusal_is_told_by_its_code(code: str, kind: type) -> None:
    outcome = judge(reply({"Success": False, "ErrorCode": code, "Message": "Отказ", "Details": "почему"}), state_of)
    assert type(outcome) is kind
    if isinstance(outcome, Rejected):
        assert (outcome.code, outcome.description) == (code, "Отказ почему")


def test_a_declined_payment_answers_a_question_even_without_success() -> None:
    declined = GET_STATE | {"Success": False, "ErrorCode": "1051", "Status": "REJECTED"}
    assert isinstance(judge(reply(declined), state_of), Rejected), "for an act it is a refusal"
    told = judge(reply(declined), state_of, states_count=True)
    assert isinstance(told, Ok)
    assert payment_facts(told.value, None).cancellation is not None


UNDECIDED = {
    "500": Reply(500, b""),
    "502 with a page": Reply(502, b"<html></html>"),
    "200 with a page": Reply(200, b"<html></html>"),
    "empty": Reply(200, b""),
    "too large": Reply(200, None),
    "a list": reply([1, 2]),
    "null": reply(None),
    "nesting without end": Reply(200, b"[" * 100_000),
    "neither good nor bad": reply({"PaymentId": "1"}),
    "bad without a code": reply({"Success": False}),
    "bad with the good code": reply({"Success": False, "ErrorCode": "0"}),
    "good without a payment": reply({"Success": True, "ErrorCode": "0"}),
    "good without a sum": reply(INIT | {"Amount": None}),
    "good with a wrong sum": reply(INIT | {"Amount": -1}),
    "good with a fraction": reply(INIT | {"Amount": 1.5}),
    "good with a huge sum": reply(INIT | {"Amount": 10**30}),
    "a number for a status": reply(INIT | {"Status": None}),
}


@pytest.mark.parametrize("answer", UNDECIDED.values(), ids=UNDECIDED)
def test_what_is_no_certain_answer_is_unknown(answer: Reply) -> None:
    assert isinstance(judge(answer, state_of), Unknown)
    assert isinstance(judge(answer, state_of, states_count=True), Unknown)


def test_too_many_requests_say_when_to_come_back() -> None:
    assert judge(Reply(429, b"", "7"), state_of) == RateLimited(7.0)
    assert judge(Reply(429, b"", "soon"), state_of) == RateLimited(None)


@pytest.mark.parametrize("broken", [None, [], "x", 5, {}, {"Payments": {}}, {"Payments": [1]}, {"Payments": [{}]}])
def test_an_unreadable_list_is_unreadable(broken: object) -> None:
    with pytest.raises(Unreadable):
        states_of_order(broken)


def test_unknown_words_and_fields_are_normal() -> None:
    strange = GET_STATE | {"New": {"a": [1]}, "Params": [{"Key": "Source", "Value": "Qubits"}, 7, {"Key": 1}]}
    assert state_of(strange).method == "Qubits"


@pytest.mark.parametrize(("source", "method"), [("Cards", "bank_card"), ("SBP", "sbp"), ("TinkoffPay", "tinkoff_bank")])
def test_how_it_was_paid_is_told_in_our_words(source: str, method: str) -> None:
    assert state_of(GET_STATE | {"Params": [{"Key": "Source", "Value": source}]}).method == method


def test_the_evidence_holds_no_card_no_buyer_and_no_token() -> None:
    secret = {"Token": "t0ken", "Pan": "430000******0777", "CardId": "10452089", "ExpDate": "0931"}
    state = state_of(GET_STATE | secret)
    assert "21050" in state.raw
    for value in secret.values():
        assert value not in state.raw


def test_text_no_database_takes_is_made_harmless() -> None:
    state = state_of(GET_STATE | {"OrderId": "a\0b\ud800"})
    assert state.order_id == "a\ufffdb?"
    assert isinstance(state, State)
