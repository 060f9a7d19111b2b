"""The wire between our clients and the simulated provider, in this process: the next calls go as a test wishes.

Carries each call to the provider's real rules (or over real HTTP), remembers it, and refuses two things at once: one
key with two different calls, and money of one shop moved with the key of another.
"""

import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec
from werkzeug.test import Client

from cloud.payments.outcomes import NotSent, Unknown
from cloud.payments.provider import Shop
from cloud.payments.transport import Question, Reply
from simulator.yookassa import YooKassaSimulator
from simulator.yookassa.api import with_strangers

HTML = b"<html><body><h1>502 Bad Gateway</h1></body></html>"
MEMORY_S = 24 * 3600
"""So long the provider knows a key (docs/yookassa.md 1.2)."""


class Fate(StrEnum):
    """What becomes of one call. `..._AFTER`: the provider has done it, only the answer suffers."""

    WELL = "well"
    NOT_SENT = "not_sent"
    LOST_BEFORE = "lost_before"
    LOST_AFTER = "lost_after"
    ERROR_500_BEFORE = "error_500_before"
    ERROR_500_AFTER = "error_500_after"
    HTML_502_AFTER = "html_502_after"
    HTML_200_AFTER = "html_200_after"
    ACCEPTED_202_AFTER = "accepted_202_after"
    FORBIDDEN = "forbidden"
    """A definite refusal: nothing was done."""
    FORBIDDEN_AFTER = "forbidden_after"
    """A definite refusal that lies: it was done."""
    TOO_MANY_REQUESTS = "too_many_requests"
    STRANGERS = "strangers"
    """The object carries fields and a method nobody has documented."""
    UNREADABLE_LIST = "unreadable_list"
    """Of a list each entry is something that nobody can read."""
    SLOW = "slow"
    """The answer comes after the lease, when somebody else has made the same call."""
    DIES_BEFORE = "dies_before"
    DIES_AFTER = "dies_after"
    """The worker is gone between its claim and its settling."""


class WorkerDied(Exception):
    """Nothing after this line of the worker ever runs."""


@dataclass(frozen=True)
class Sent:
    """One call that reached the provider."""

    account: str
    verb: str
    path: str
    key: str | None
    body: bytes | None


Exchange = Callable[[Question], Reply | NotSent | Unknown]


@dataclass
class Wire:
    """`fates` strike the next calls in turn; `standing` strikes every other one until it is changed.

    `of_shop` is a fate that all calls of one account have.
    """

    yookassa: YooKassaSimulator
    meanwhile: Callable[[], None] = lambda: None
    """What the others do while a slow call is under way."""
    fates: deque[Fate] = field(default_factory=deque)
    standing: Fate = Fate.WELL
    of_shop: dict[str, Fate] = field(default_factory=dict)
    sent: list[Sent] = field(default_factory=list)
    tried: list[tuple[str, str]] = field(default_factory=list)
    """Account and path of each call somebody made, whatever became of it."""

    def __post_init__(self) -> None:
        self._client = Client(self.yookassa.wsgi)
        self._under_key: dict[str, Sent] = {}

    def of(self, shop: Shop, over: Any = None) -> "_Line":
        """The line of one shop's client; `over` a real transport instead of this process."""
        inside = self._inside(shop) if over is None else over.exchange
        return _Line(self, shop, inside, getattr(over, "close", lambda: None))

    def keys(self, task: str) -> list[str]:
        """Different keys used so far for one kind of call, in order: `pay`, `cap`, `can`, `ref`."""
        return list(dict.fromkeys(sent.key for sent in self.sent if sent.key and sent.key.startswith(f"{task}-")))

    def note(self, shop: Shop, question: Question) -> None:
        sent = Sent(shop.account_id, question.verb, question.path, question.key, question.body)
        self.sent.append(sent)
        if sent.key is not None:
            assert self._under_key.setdefault(sent.key, sent) == sent, "one key, two calls"
        spoken_of = _spoken_of(sent)
        if spoken_of is not None and sent.verb == "POST":
            assert self.yookassa.provider.find(spoken_of).shop_id == shop.account_id, "another shop's key"

    def _inside(self, shop: Shop) -> Exchange:
        def exchange(question: Question) -> Reply | NotSent | Unknown:
            headers = {} if question.key is None else {"Idempotence-Key": question.key}
            answer = self._client.open(
                f"/v3{question.path}", method=question.verb, query_string=question.params, data=question.body,
                headers=headers, content_type="application/json" if question.body is not None else None,
                auth=(shop.account_id, shop.secret_key),
            )  # fmt: skip
            with answer:
                return Reply(answer.status_code, answer.data, answer.headers.get("Retry-After"))

        return exchange


@dataclass
class _Line:
    """Stands where a client's `Transport` does."""

    wire: Wire
    shop: Shop
    inside: Exchange
    close: Callable[[], None]
    base_url: str = "in this process"

    def exchange(self, question: Question) -> Reply | NotSent | Unknown:
        fate = self.wire.fates.popleft() if self.wire.fates else self.wire.standing
        fate = self.wire.of_shop.get(self.shop.account_id, fate)
        self.wire.tried.append((self.shop.account_id, question.path))
        match fate:
            case Fate.NOT_SENT:
                return NotSent("connection refused")
            case Fate.LOST_BEFORE:
                return Unknown("timeout")
            case Fate.ERROR_500_BEFORE:
                return _error(500, "internal_server_error")
            case Fate.FORBIDDEN:
                return _error(403, "forbidden")
            case Fate.TOO_MANY_REQUESTS:
                return _error(429, "too_many_requests", retry_after=1800)
            case Fate.DIES_BEFORE:
                raise WorkerDied
        self.wire.note(self.shop, question)
        answer = self.inside(question)
        if fate is Fate.SLOW:
            self.wire.meanwhile()
        elif fate is Fate.DIES_AFTER:
            raise WorkerDied
        return _spoilt(answer, fate)


def _spoilt(answer: Reply | NotSent | Unknown, fate: Fate) -> Reply | NotSent | Unknown:
    match fate:
        case Fate.LOST_AFTER:
            return Unknown("reset")
        case Fate.ERROR_500_AFTER:
            return _error(500, "internal_server_error")
        case Fate.FORBIDDEN_AFTER:
            return _error(403, "forbidden")
        case Fate.HTML_502_AFTER:
            return Reply(502, HTML)
        case Fate.HTML_200_AFTER:
            return Reply(200, HTML)
        case Fate.ACCEPTED_202_AFTER:
            return Reply(202, msgspec.json.encode({"type": "processing", "retry_after": 1800}))
        case Fate.UNREADABLE_LIST if isinstance(answer, Reply) and b'"items"' in (answer.body or b""):
            told = json.loads(answer.body or b"{}")
            return Reply(200, msgspec.json.encode(told | {"items": [{"new": 1} for _ in told["items"]]}))
        case Fate.STRANGERS if isinstance(answer, Reply) and answer.status == 200:
            told = json.loads(answer.body or b"{}")
            return Reply(200, msgspec.json.encode(with_strangers(told) if "id" in told else told | {"new": [1]}))
    return answer


def _error(status: int, code: str, **more: object) -> Reply:
    return Reply(status, msgspec.json.encode({"type": "error", "id": "e-1", "code": code} | more))


def _spoken_of(sent: Sent) -> str | None:
    """The payment a call moves; None for one that opens a payment."""
    told = json.loads(sent.body) if sent.body else {}
    if "payment_id" in told:
        return str(told["payment_id"])
    parts = sent.path.split("/")
    return parts[2] if len(parts) > 2 and parts[1] == "payments" else None
