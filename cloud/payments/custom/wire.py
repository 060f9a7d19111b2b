"""Signed questions to a merchant's server, and typed outcomes of them. Only an answer signed for this very question
counts; whatever else comes back, a 200 included, is Unknown.
"""

from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit

from cloud.payments import gated_exchange
from cloud.payments.admission import Gate
from cloud.payments.custom.objects import Note, Unreadable, note_of
from cloud.payments.custom.signature import NotSigned, Purpose, envelope, opened, query_of, signed_query
from cloud.payments.outcomes import AuthError, NotOurs, Ok, Outcome, RateLimited, Rejected, Unknown
from cloud.payments.provider import Shop
from cloud.payments.replies import retry_after_s
from cloud.payments.transport import Question, Reply, Transport
from protocol import json_text

_DEFINITE = frozenset({400, 404, 409, 422})
"""Statuses by which the merchant says no; only with its signature."""

T = TypeVar("T")


class Line:
    """One address of one merchant's server. Any thread may use it."""

    def __init__(
        self, shop: Shop, url: str, *, user_agent: str, connect_timeout_s: float, read_timeout_s: float,
        gate: Gate, public_only: bool = False,
    ) -> None:  # fmt: skip
        parts = urlsplit(url)
        self._shop = shop
        self._path = parts.path or "/"
        self._timeout_s = read_timeout_s
        self._gate = gate
        self._transport = Transport(
            f"{parts.scheme}://{parts.netloc}", user_agent=user_agent, basic_auth=None,
            connect_timeout_s=connect_timeout_s, public_only=public_only,
        )  # fmt: skip

    def ask(self, payment: str, time: int, nonce: str, read: Callable[[str], T]) -> Outcome[T]:
        """GET how a payment stands, "" for the account itself. The answer must carry the nonce."""
        parameters = [("account", self._shop.account_id), ("payment", payment), ("time", str(time)), ("nonce", nonce)]
        query = signed_query(self._shop.secret_key, Purpose.STATUS, query_of(parameters))
        question = Question("GET", f"{self._path}?{query}", self._timeout_s)
        return self._talk(question, lambda note: note.nonce == nonce, read)

    def act(self, payload: bytes, read: Callable[[str], T]) -> Outcome[T]:
        """POST a stored action. The answer must carry its key."""
        text = payload.decode()
        key = str(json_text.decode(text, dict[str, object])["key"])
        body = envelope(self._shop.secret_key, Purpose.ACTION, text)
        question = Question("POST", self._path, self._timeout_s, key=key, body=body)
        return self._talk(question, lambda note: note.key == key, read)

    def close(self) -> None:
        """Close the connections of all threads."""
        self._transport.close()

    def _talk(self, question: Question, answers_it: Callable[[Note], bool], read: Callable[[str], T]) -> Outcome[T]:
        return gated_exchange.ask(
            self._gate, self._transport, question, lambda reply: self._judge(reply, answers_it, read)
        )

    def _judge(self, reply: Reply, answers_it: Callable[[Note], bool], read: Callable[[str], T]) -> Outcome[T]:
        if reply.status in {401, 403}:
            return AuthError(f"http_{reply.status}")
        if reply.status == 429:
            return RateLimited(retry_after_s(reply))
        try:
            payload = opened(self._shop.secret_key, Purpose.ANSWER, reply.body)
            note = note_of(payload)
            if not answers_it(note):
                return Unknown(f"HTTP {reply.status}, signed for another question")
            if reply.status in _DEFINITE:
                return _refusal(reply.status, note)
            return Ok(read(payload)) if reply.status == 200 else Unknown(f"HTTP {reply.status}")
        except (NotSigned, Unreadable) as error:
            return Unknown(f"HTTP {reply.status}: {error}")


def _refusal(status: int, note: Note) -> Rejected | NotOurs:
    code = note.error or f"http_{status}"
    return NotOurs(code) if code == "unknown_payment" else Rejected(code)
