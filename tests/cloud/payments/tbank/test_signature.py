"""The Token of requests and notifications, by the vectors the bank publishes."""

import pytest

from cloud.payments.provider import Shop
from cloud.payments.tbank.calls import signed
from cloud.payments.tbank.notification import parse_message
from cloud.payments.tbank.signature import is_signed, token

REQUEST = {
    "TerminalKey": "MerchantTerminalKey",
    "Amount": "19200",
    "OrderId": "00000",
    "Description": "Подарочная карта на 1000 рублей",
}
REQUEST_TOKEN = "72dd466f8ace0a37a1f740ce5fb78101712bc0665d91a8108c7c8a0ccd426db2"
NEWS = {
    "TerminalKey": "1234567890DEMO",
    "OrderId": "000000",
    "Success": True,
    "Status": "AUTHORIZED",
    "PaymentId": "0000000",
    "ErrorCode": "0",
    "Amount": "1111",
    "CardId": "000000",
    "Pan": "200000******0000",
    "ExpDate": "1111",
    "RebillId": "000000",
}
NEWS_TOKEN = "1c0964277d0213349243065a0d5b838b8e90d2d25f740d0f2767836e710e80c8"


def test_the_published_request_has_the_published_token() -> None:
    assert token(REQUEST, "11111111111111") == REQUEST_TOKEN


def test_a_published_notification_is_recognised() -> None:
    assert token(NEWS, "11111111111") == NEWS_TOKEN
    assert is_signed(NEWS | {"Token": NEWS_TOKEN}, "11111111111")


def test_numbers_and_booleans_are_signed_as_json_writes_them() -> None:
    assert token(REQUEST | {"Amount": 19200}, "11111111111111") == REQUEST_TOKEN
    assert token({"A": True, "B": False}, "p") == token({"A": "true", "B": "false"}, "p")


def test_nested_values_and_an_earlier_token_are_left_out() -> None:
    more = {"DATA": {"Phone": "1"}, "Receipt": {"Items": []}, "Shops": [1], "Nothing": None, "Token": "old"}
    assert token(REQUEST | more, "11111111111111") == REQUEST_TOKEN


@pytest.mark.parametrize("name", [name for name in NEWS if name != "CardId"])
def test_whatever_is_altered_the_token_no_longer_fits(name: str) -> None:
    assert not is_signed(NEWS | {name: "9", "Token": NEWS_TOKEN}, "11111111111")


@pytest.mark.parametrize("given", [None, "", 5, True, ["x"], NEWS_TOKEN[:-1], "\ud800", "токен", NEWS_TOKEN + " "])
def test_what_is_no_token_fits_nothing(given: object) -> None:
    assert not is_signed(NEWS | {"Token": given}, "11111111111")


def test_another_password_does_not_fit() -> None:
    assert not is_signed(NEWS | {"Token": NEWS_TOKEN}, "11111111112")


def test_a_fraction_is_signed_as_it_was_written() -> None:
    """1.10 and 1.1 are one number and two texts."""
    made = token({"TerminalKey": "t", "Fee": "1.10"}, "p")
    told = parse_message(b'{"TerminalKey": "t", "Fee": 1.10, "Token": "%s"}' % made.encode())
    assert told.is_from("p")


def test_a_signed_call_carries_the_terminal_and_not_the_password() -> None:
    body = signed({"PaymentId": "1"}, Shop("terminal", "a_password"))
    assert b"terminal" in body
    assert b"a_password" not in body
