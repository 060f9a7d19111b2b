"""The bank's JSON: what each method takes, checked; what it answers; what notifications say. Pure.

Answers are HTTP 200 also when they refuse: `Success` and `ErrorCode` tell.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

from simulator.tbank.bank import Order
from simulator.tbank.state import SBP, Payment, Status
from simulator.tbank.terminals import Terminal, sign
from simulator.tbank.terms import Behaviour

Json = dict[str, object]

WRONG_PARAMETERS, NO_RECEIPT, WRONG_TOKEN, NO_TERMINAL = "201", "309", "204", "501"
WRONG_STATUS, NO_PAYMENT, OWN_FAILURE = "8", "255", "9999"
MESSAGES = {
    WRONG_PARAMETERS: "Неверные параметры.",
    NO_RECEIPT: "Неверные параметры.",
    WRONG_TOKEN: "Неверный токен. Проверьте пару TerminalKey/SecretKey.",
    NO_TERMINAL: "Терминал не найден.",
    WRONG_STATUS: "Неверный статус транзакции.",
    NO_PAYMENT: "Платеж не найден.",
    OWN_FAILURE: "Внутренняя ошибка системы.",
}
MAX_ORDER_ID, MAX_DESCRIPTION, MAX_DATA, MAX_DATA_KEY, MAX_DATA_VALUE = 50, 140, 20, 20, 100
MAX_LINK_DAYS = 90


class Wrong(Exception):
    """A request the bank refuses: its code, and details for a person."""

    def __init__(self, code: str, details: str = "") -> None:
        super().__init__(details or MESSAGES[code])
        self.code = code
        self.details = details


def order_of(message: Mapping[str, object], terminal: Terminal, now: datetime) -> Order:
    """What an Init asks for; raises Wrong."""
    order_id = text_of(message, "OrderId")
    if not 1 <= len(order_id) <= MAX_ORDER_ID:
        raise Wrong(WRONG_PARAMETERS, "OrderId")
    if len(text_of(message, "Description")) > MAX_DESCRIPTION:
        raise Wrong(WRONG_PARAMETERS, "Description")
    amount = amount_of(message)
    if amount is None:
        raise Wrong(WRONG_PARAMETERS, "Amount")
    if message.get("PayType", "O") not in {"O", "T"}:
        raise Wrong(WRONG_PARAMETERS, "PayType")
    if terminal.fiscalization and not isinstance(message.get("Receipt"), dict):
        raise Wrong(NO_RECEIPT, "{request.validate.expected.receipt}")
    _check_data(message.get("DATA", {}))
    return Order(
        order_id=order_id,
        amount=amount,
        two_stage=message.get("PayType") == "T",
        description=text_of(message, "Description"),
        success_url=text_of(message, "SuccessURL"),
        fail_url=text_of(message, "FailURL"),
        notification_url=text_of(message, "NotificationURL"),
        pay_until=_pay_until(message, now),
    )


def text_of(message: Mapping[str, object], name: str) -> str:
    """A text, empty when absent; raises Wrong for anything else."""
    value = message.get(name, "")
    if not isinstance(value, str):
        raise Wrong(WRONG_PARAMETERS, name)
    return value


def amount_of(message: Mapping[str, object]) -> int | None:
    """Kopecks, None when absent; raises Wrong."""
    value = message.get("Amount")
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value <= 0):
        raise Wrong(WRONG_PARAMETERS, "Amount")
    return value


def answer(payment: Payment, **more: object) -> Json:
    """What Init, Confirm and Cancel answer alike."""
    common: Json = {
        "TerminalKey": payment.terminal, "OrderId": payment.order_id, "Success": True,
        "Status": str(payment.status), "PaymentId": payment.id, "ErrorCode": "0", "Message": "OK",
    }  # fmt: skip
    return common | more


def state_answer(payment: Payment, behaviour: Behaviour) -> Json:
    """GetState's."""
    amount = payment.amount if behaviour.original_amount else payment.standing
    told = answer(payment, Amount=amount)
    if payment.method:
        source = "SBP" if payment.method == SBP else "Cards"
        told["Params"] = [{"Key": "Route", "Value": "ACQ"}, {"Key": "Source", "Value": source}]
    if payment.status is Status.REJECTED and behaviour.declined_without_success:
        told |= {"Success": False, "ErrorCode": payment.error, "Message": "Отказ"}
    return told


def order_answer(terminal: Terminal, order_id: str, payments: list[Payment]) -> Json:
    """CheckOrder's; inside `Payments` the error code is a number."""
    listed = [
        {"PaymentId": p.id, "Amount": p.standing, "Status": str(p.status), "Success": True, "ErrorCode": 0}
        for p in payments
    ]
    good: Json = {"Success": True, "ErrorCode": "0", "Message": "OK", "Details": "None"}
    return good | {"TerminalKey": terminal.key, "OrderId": order_id, "Payments": listed}


def refusal(code: str, details: str = "") -> Json:
    return {"Success": False, "ErrorCode": code, "Message": MESSAGES[code], "Details": details}


def notification(payment: Payment, password: str, numbers: bool) -> Json:
    """One piece of news, signed."""
    good = payment.status is not Status.REJECTED
    told: Json = {
        "TerminalKey": payment.terminal, "OrderId": payment.order_id, "Success": good, "Status": str(payment.status),
        "PaymentId": int(payment.id) if numbers else payment.id, "ErrorCode": payment.error,
        "Amount": payment.standing or payment.amount,
    }  # fmt: skip
    if payment.method and payment.method != SBP:
        told |= {"CardId": "10452089", "Pan": "430000******0777", "ExpDate": "1230"}
    return told | {"Token": sign(told, password)}


def _check_data(data: object) -> None:
    if not isinstance(data, dict) or len(data) > MAX_DATA:
        raise Wrong(WRONG_PARAMETERS, "DATA")
    for name, value in data.items():
        if len(name) > MAX_DATA_KEY or not isinstance(value, str) or len(value) > MAX_DATA_VALUE:
            raise Wrong(WRONG_PARAMETERS, "DATA")


def _pay_until(message: Mapping[str, object], now: datetime) -> datetime | None:
    text = text_of(message, "RedirectDueDate")
    if not text:
        return None
    try:
        until = datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):  # the year before 1, or after 9999, in UTC
        raise Wrong(WRONG_PARAMETERS, "RedirectDueDate") from None
    if not 60 <= (until - now).total_seconds() <= MAX_LINK_DAYS * 86400:
        raise Wrong(WRONG_PARAMETERS, "RedirectDueDate")
    return until
