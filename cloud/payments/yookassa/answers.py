"""From an HTTP answer of YooKassa to a typed outcome. Pure; what is not certainly its own answer is Unknown."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from cloud.payments.bounded_text import bounded_text
from cloud.payments.outcomes import AuthError, NotOurs, Ok, Outcome, RateLimited, Rejected, Unknown
from cloud.payments.replies import LONGEST_RETRY_AFTER_S, json_of, retry_after_s
from cloud.payments.transport import Reply
from cloud.payments.yookassa.objects import Unreadable

DESCRIPTION_LIMIT = 500

_PROMISED_ERRORS = frozenset({400, 403, 404})
_DEFINITE_WITHOUT_BODY = frozenset({405, 410, 415})
_OBJECT_PARAMETERS = frozenset({"payment_id", "refund_id"})

T = TypeVar("T")


@dataclass(frozen=True)
class _Error:
    """The provider's error object; empty when the body is none of its own."""

    code: str = ""
    parameter: str | None = None
    description: str | None = None
    support_id: str | None = None
    retry_after_s: float | None = None


def judge(reply: Reply, read: Callable[[object], T], *, asked_by_id: bool = False) -> Outcome[T]:
    """The outcome of a call whose good answer `read` reads.

    `asked_by_id` is a GET of one object. Only there is the 400 about `payment_id` "no such object": for a capture,
    cancel or refund the same code and parameter mean "not in this status", and descriptions are not to be matched.
    """
    told = json_of(reply)
    if reply.status == 200:
        return _read(told, read)
    error = _error(told, retry_after_s(reply))
    if reply.status == 401:
        return AuthError(error.code, error.description)
    if reply.status == 429:
        return RateLimited(error.retry_after_s)
    if reply.status in _DEFINITE_WITHOUT_BODY or (reply.status in _PROMISED_ERRORS and error.code):
        return _refusal(reply.status, error, asked_by_id)
    return Unknown(_why(reply, told, error), error.retry_after_s)


def _read(told: object, read: Callable[[object], T]) -> Outcome[T]:
    if told is None:
        return Unknown("HTTP 200 without JSON")
    try:
        return Ok(read(told))
    except Unreadable as missing:
        return Unknown(f"HTTP 200, unreadable object: {missing}")


def _refusal(status: int, error: _Error, asked_by_id: bool) -> Rejected | NotOurs:
    about_the_object = status == 404 or (status == 400 and error.parameter in _OBJECT_PARAMETERS)
    if asked_by_id and about_the_object:
        return NotOurs(error.description)
    return Rejected(
        error.code,
        error.parameter,
        error.description,
        error.support_id,
        # Our keys are well-formed before they are sent, so the only complaint left is "other data under this key".
        key_conflict=(error.parameter or "").lower() == "idempotence-key",
    )


def _why(reply: Reply, told: object, error: _Error) -> str:
    if reply.body is None:
        return f"HTTP {reply.status}, answer too large"
    if told is None:
        return f"HTTP {reply.status} without JSON"
    return " ".join(filter(None, (f"HTTP {reply.status}", error.code, error.support_id)))


def _error(told: object, by_header_s: float | None) -> _Error:
    if not isinstance(told, dict):
        return _Error(retry_after_s=by_header_s)
    code, parameter, description, support_id = (
        bounded_text(told.get(name), DESCRIPTION_LIMIT) for name in ("code", "parameter", "description", "id")
    )
    return _Error(
        code=code or "",
        parameter=parameter,
        description=description,
        support_id=support_id,
        retry_after_s=_milliseconds(told.get("retry_after")) or by_header_s,
    )


def _milliseconds(value: object) -> float | None:
    """The body's `retry_after`, integer milliseconds, as seconds."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        return None
    return min(value, int(LONGEST_RETRY_AFTER_S * 1000)) / 1000
