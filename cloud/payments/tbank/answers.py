"""From an HTTP answer of T-Bank to a typed outcome. Pure; what is not certainly its own answer is Unknown.

T-Bank answers 200 also when it refuses: `Success` and `ErrorCode` decide.
"""

from collections.abc import Callable
from typing import TypeVar

from cloud.payments.outcomes import AuthError, Ok, Outcome, RateLimited, Rejected, Unknown
from cloud.payments.replies import json_of, retry_after_s
from cloud.payments.tbank.objects import Unreadable, text_or_number
from cloud.payments.transport import Reply

DESCRIPTION_LIMIT = 500

WRONG_STATUS = "8"
"""The payment's status does not allow the act; also `Init` with an OrderId that was used."""

_ACCOUNT = frozenset({"202", "204", "331", "501"})
"""Terminal blocked, wrong token, wrong terminal, no such terminal: somebody must mend the account."""
_OWN_FAILURE = frozenset({"3", "997", "998", "9999"})
"""The bank's own failures: it may have happened."""

T = TypeVar("T")


def judge(reply: Reply, read: Callable[[object], T], *, states_count: bool = False) -> Outcome[T]:
    """The outcome of a call whose good answer `read` reads.

    `states_count`: a question. A declined payment is then an answer even where `Success` says false of it.
    """
    if reply.status == 429:
        return RateLimited(retry_after_s(reply))
    told = json_of(reply)
    if reply.status != 200 or not isinstance(told, dict):
        return Unknown(_why(reply, told), retry_after_s(reply))
    success = told.get("Success")
    if success is True or success == "true" or (states_count and told.get("Status")):
        return _read(told, read)
    code = _text(told.get("ErrorCode"))
    if not code or code == "0" or code in _OWN_FAILURE:
        return Unknown(f"HTTP 200, error {code or 'without a code'}")
    words = " ".join(filter(None, (_text(told.get("Message")), _text(told.get("Details")))))[:DESCRIPTION_LIMIT]
    return AuthError(code, words) if code in _ACCOUNT else Rejected(code, None, words)


def _read(told: object, read: Callable[[object], T]) -> Outcome[T]:
    try:
        return Ok(read(told))
    except Unreadable as missing:
        return Unknown(f"HTTP 200, unreadable answer: {missing}")


def _why(reply: Reply, told: object) -> str:
    if reply.body is None:
        return f"HTTP {reply.status}, answer too large"
    return f"HTTP {reply.status}" if isinstance(told, dict) else f"HTTP {reply.status} without JSON"


def _text(value: object) -> str:
    return text_or_number(value, DESCRIPTION_LIMIT) or ""
