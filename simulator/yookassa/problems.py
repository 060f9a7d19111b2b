"""The provider's error answers: HTTP code, `code`, `description` and `parameter`, worded as documented or observed."""

from dataclasses import dataclass

from simulator.yookassa.idempotence import KeyDuplicated, KeyEmpty, KeyTooLong
from simulator.yookassa.state import Refusal

DEFAULT_RETRY_AFTER_MS = 1800


@dataclass(frozen=True, slots=True)
class Problem:
    """One error answer. `retry_after` in milliseconds."""

    status: int
    code: str
    description: str
    parameter: str | None = None
    retry_after: int | None = None

    def body(self, error_id: str) -> dict[str, object]:
        body: dict[str, object] = {
            "type": "error",
            "id": error_id,
            "code": self.code,
            "description": self.description,
        }
        if self.parameter is not None:
            body["parameter"] = self.parameter
        if self.retry_after is not None:
            body["retry_after"] = self.retry_after
        return body


class Rejected(Exception):
    """The request is answered with `problem`; nothing was done."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.description)
        self.problem = problem


def invalid(description: str, parameter: str | None = None) -> Problem:
    return Problem(400, "invalid_request", description, parameter)


def invalid_value(parameter: str) -> Problem:
    """The provider's general answer to a value it does not like."""
    return invalid(
        "Invalid parameter's value (for example, the value is illegal or its format is incorrect). "
        "Send the value in accordance with the documentation.",
        parameter,
    )


BAD_JSON = invalid("Failed to parse request body")
KEY_EMPTY = invalid("Idempotence key is empty", "Idempotence-Key")
KEY_TOO_LONG = invalid(
    "Idempotence key is too long. Send the value in accordance with the documentation", "Idempotence-Key"
)
KEY_DUPLICATED = invalid("Idempotence key duplicated", "Idempotence-Key")
CURRENCIES_DIFFER = invalid("Currencies do not match", "amount.currency")
METADATA_TOO_MANY_KEYS = invalid("Metadata object is limited to 16 keys", "metadata")
RETURN_URL_MISSING = invalid("Return url is missing", "confirmation.return_url")
RECEIPT_MISSING = invalid("Receipt is missing or illegal", "receipt")
NO_RECURRING = Problem(
    403,
    "forbidden",
    "This store can't make recurring payments. Contact the YooMoney manager to learn more",
)
BAD_CREDENTIALS = Problem(
    401,
    "invalid_credentials",
    "Error in shopId or secret key. Check their validity. You can reissue the key in the Merchant Profile",
    "Authorization",
)
NOT_FOUND = Problem(404, "not_found", "Resource not found")
WRONG_CONTENT_TYPE = Problem(415, "invalid_request", "Content type must be application/json", "Content-Type")
SERVER_ERROR = Problem(500, "internal_server_error", "Internal server error", retry_after=DEFAULT_RETRY_AFTER_MS)


def too_many_requests(retry_after: int) -> Problem:
    return Problem(429, "too_many_requests", "Too many requests", retry_after=retry_after)


def unknown_object(kind: str, *, as_404: bool) -> Problem:
    """An id that is not this shop's: the 400 seen in practice, or the 404 the specification promises."""
    if as_404:
        return NOT_FOUND
    description = f"Incorrect {kind}_id. {kind.capitalize()} doesn't exist or access denied"
    return invalid(description, f"{kind}_id")


def description_too_long(limit: int) -> Problem:
    return invalid(f"Description is too long. Max. length is {limit}", "description")


REFUSALS = {
    Refusal.CANNOT_CAPTURE: invalid("Payment can not be captured in current status.", "payment_id"),
    Refusal.CANNOT_CAPTURE_AUTOCAPTURE: invalid("You can not capture payment with autocapture", "payment_id"),
    Refusal.ILLEGAL_CAPTURE_AMOUNT: invalid("Illegal amount for capture", "amount"),
    Refusal.CANNOT_CANCEL: invalid("Payment can not be canceled in current status", "payment_id"),
    Refusal.CANNOT_CANCEL_AUTOCAPTURE: invalid("You can not cancel payment with autocapture", "payment_id"),
    Refusal.CANNOT_REFUND: invalid("Payment can not be refunded in current status.", "payment_id"),
    Refusal.REFUND_TOO_LATE: invalid("Payment can not be refunded in current status.", "payment_id"),
    Refusal.REFUND_EXCEEDS: invalid("Refund sum exceeded", "amount"),
    Refusal.ALREADY_REFUNDED: invalid("Payment is already completely refunded", "payment_id"),
    Refusal.REMAINDER_TOO_SMALL: invalid(
        "Remaining payment amount after refund must be greater than 1.00 RUB", "amount"
    ),
    Refusal.NOT_PENDING: invalid("Payment is not waiting for the buyer", "payment_id"),
    Refusal.METHOD_NOT_OFFERED: invalid_value("payment_method_data.type"),
    Refusal.METHOD_HAS_NO_HOLD: invalid_value("capture"),
}

KEY_PROBLEMS: dict[type[Exception], Problem] = {
    KeyEmpty: KEY_EMPTY,
    KeyTooLong: KEY_TOO_LONG,
    KeyDuplicated: KEY_DUPLICATED,
}
