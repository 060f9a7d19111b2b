"""Every fault switch does what it says, before the act or after it, as often as it says."""

import json
from typing import Any

import pytest
import requests

from simulator.shell.faults import MAX_FAULTS
from simulator.tbank import TBankSimulator
from simulator.tbank.faults import Fault, FaultKind, Method
from tests.simulator.tbank.merchant import Merchant, token


def confirm(merchant: Merchant, payment_id: str) -> requests.Response:
    whole = {"TerminalKey": merchant.key, "PaymentId": payment_id}
    return merchant.raw("Confirm", json.dumps(whole | {"Token": token(whole, merchant.password)}).encode())


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("kind", [FaultKind.ERROR_500, FaultKind.HTML_502, FaultKind.TOO_MANY_REQUESTS])
def test_an_answer_is_replaced_before_or_after_the_act(
    merchant: Merchant, bank: TBankSimulator, kind: FaultKind, after: bool
) -> None:
    payment_id = merchant.held()
    bank.faults.add(Fault(kind, Method.CONFIRM, after_commit=after))
    answer = confirm(merchant, payment_id)
    status = {FaultKind.ERROR_500: 500, FaultKind.HTML_502: 502, FaultKind.TOO_MANY_REQUESTS: 429}[kind]
    assert answer.status_code == status
    assert merchant.status(payment_id) == ("CONFIRMED" if after else "AUTHORIZED")


@pytest.mark.parametrize("after", [False, True])
def test_a_connection_breaks_before_or_after_the_act(merchant: Merchant, bank: TBankSimulator, after: bool) -> None:
    payment_id = merchant.held()
    bank.faults.add(Fault(FaultKind.RESET, Method.CONFIRM, after_commit=after))
    with pytest.raises(requests.ConnectionError):
        confirm(merchant, payment_id)
    assert merchant.status(payment_id) == ("CONFIRMED" if after else "AUTHORIZED")


def test_an_answer_breaks_off(merchant: Merchant, bank: TBankSimulator) -> None:
    payment_id = merchant.held()
    bank.faults.add(Fault(FaultKind.HALF_JSON, Method.CONFIRM, after_commit=True))
    with pytest.raises(ValueError, match=r"line 1 column"):
        confirm(merchant, payment_id).json()
    assert merchant.status(payment_id) == "CONFIRMED"


def test_the_bank_fails_in_its_own_words(merchant: Merchant, bank: TBankSimulator) -> None:
    bank.faults.add(Fault(FaultKind.BANK_FAILURE, Method.INIT))
    assert merchant.call("Init", Amount=100, OrderId="1")["ErrorCode"] == "9999"


def test_an_answer_can_be_late_and_true(merchant: Merchant, bank: TBankSimulator) -> None:
    payment_id = merchant.held()
    bank.faults.add(Fault(FaultKind.HANG, Method.GET_STATE, seconds=0.05))
    assert merchant.status(payment_id) == "AUTHORIZED"


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (FaultKind.STRANGE_STATUS, "Status", "QUANTUM_CHECKING"),
        (FaultKind.OTHER_AMOUNT, "Amount", 15100),
        (FaultKind.STRANGERS, "RiskScore", 0.5),
    ],
)
def test_an_answer_says_something_else(
    merchant: Merchant, bank: TBankSimulator, kind: FaultKind, name: str, value: object
) -> None:
    payment_id = merchant.held()
    bank.faults.add(Fault(kind, Method.GET_STATE))
    assert merchant.call("GetState", PaymentId=payment_id)[name] == value
    assert merchant.status(payment_id) == "AUTHORIZED", "once only"


def test_a_fault_strikes_its_method_and_its_times_only(merchant: Merchant, bank: TBankSimulator) -> None:
    payment_id = merchant.held()
    bank.faults.add(Fault(FaultKind.BANK_FAILURE, Method.GET_STATE, times=2))
    assert merchant.call("CheckOrder", OrderId="ord_01JNABCDEF")["Success"]
    codes = [merchant.call("GetState", PaymentId=payment_id)["ErrorCode"] for _ in range(3)]
    assert codes == ["9999", "9999", "0"]


def test_a_fault_without_end_is_switched_off(merchant: Merchant, bank: TBankSimulator) -> None:
    payment_id = merchant.held()
    bank.faults.add(Fault(FaultKind.BANK_FAILURE, times=None))
    for _ in range(3):
        assert not merchant.call("GetState", PaymentId=payment_id)["Success"]
    bank.faults.clear()
    assert merchant.status(payment_id) == "AUTHORIZED"


def test_switches_out_of_bounds_are_refused(bank: TBankSimulator) -> None:
    wrongs: list[dict[str, Any]] = [{"times": 0}, {"probability": 0.0}, {"probability": 2.0}, {"seconds": -1.0}]
    for wrong in wrongs:
        with pytest.raises(ValueError, match="is"):
            Fault(FaultKind.RESET, **wrong)
    for _ in range(MAX_FAULTS):
        bank.faults.add(Fault(FaultKind.RESET, Method.CANCEL))
    with pytest.raises(ValueError, match="at most"):
        bank.faults.add(Fault(FaultKind.RESET))
