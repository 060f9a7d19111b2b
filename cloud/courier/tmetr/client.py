"""The three public calls of the Tmetr API in our words: make, price, heartbeat (docs/machine-protocol.md 1.5).

What a make call proved is told apart strictly: forwarded, refused, certainly nothing, nobody can say. No call repeats.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec

from cloud.courier.tmetr.http import NotTaken, Reply, TmetrHttp, Unknown
from protocol import json_text
from protocol.reasons import Size

MAKE = "/api/commander/v1/command/make"
DRINK = "/api/ui/v1/static/drink"
HEARTBEAT = "/api/ui/v1/stat/heartbeat/recent"

CONNECT_S = 5.0
ANSWER_S = 10.0
QUICK_S = 3.0
"""A buyer waits for a price, and a look at a heartbeat comes again soon: both give up early."""
SIZE_WORDS = {Size.SMALL: "SMALL", Size.MEDIUM: "MEDIUM", Size.LARGE: "BIG"}
ZONE_HOURS = 0
"""Heartbeats come shifted by the zone we name; naming UTC leaves nothing to get wrong, whatever its unit."""
TOO_OFTEN = 429
MAX_WORDS = 160


@dataclass(frozen=True)
class Forwarded:
    """Tmetr has taken the command to pass it on. Says nothing about the machine, and no word will ever follow."""


@dataclass(frozen=True)
class Refused:
    """A definite no; nothing was passed on."""

    why: str
    status: int


@dataclass(frozen=True)
class MakeOrder:
    """One drink. `price` in kopecks."""

    device_uuid: str
    order_id: str
    drink_no: str
    size: int
    price: int


class _Fault(msgspec.Struct):
    """Every error's body; nothing of it is sure to be there."""

    errorCode: str | int | None = None  # noqa: N815  # the API's own names
    errorId: str | None = None  # noqa: N815
    errorMessage: str | None = None  # noqa: N815


class _Drink(msgspec.Struct):
    price: int
    name: str = ""


class _Beat(msgspec.Struct):
    heartbeatCreatedAt: int  # noqa: N815


class _Beats(msgspec.Struct):
    content: list[_Beat]


class TmetrClient:
    """One for the whole fleet; any thread. `zone_hours` is the zone heartbeats are asked for in."""

    def __init__(self, http: TmetrHttp, *, answer_s: float = ANSWER_S, zone_hours: int = ZONE_HOURS) -> None:
        self._http = http
        self._answer_s = answer_s
        self._zone_hours = zone_hours

    def make(self, asked: MakeOrder, connect_s: float = CONNECT_S) -> Forwarded | Refused | NotTaken | Unknown:
        """Have one drink poured; `connect_s` is how long the connection may take."""
        one = {
            "deviceId": asked.device_uuid,
            "orderUuid": asked.order_id,
            "drinkUuid": asked.drink_no,
            "size": SIZE_WORDS[Size(asked.size)].lower(),
            "price": asked.price,
        }
        answer = self._http.post(MAKE, msgspec.json.encode([one]), min(connect_s, CONNECT_S), self._answer_s)
        if not isinstance(answer, Reply):
            return answer
        if answer.status == 200:
            return Forwarded()
        if answer.status == TOO_OFTEN:
            return NotTaken(_words(answer))
        is_definite = 400 <= answer.status < 500 and answer.status != 408
        return Refused(_words(answer), answer.status) if is_definite else Unknown(_words(answer))

    def price(self, device_uuid: str, drink_no: str, size: int) -> int | Refused | NotTaken | Unknown:
        """What the machine asks for this drink now, kopecks (inferred: the public flow hands it on as it is)."""
        asked = {"deviceId": device_uuid, "drinkIdAtDevice": drink_no, "drinkSize": SIZE_WORDS[Size(size)]}
        answer = self._http.post(DRINK, msgspec.json.encode(asked), QUICK_S, QUICK_S)
        if not isinstance(answer, Reply):
            return answer
        if answer.status != 200:
            return Refused(_words(answer), answer.status) if 400 <= answer.status < 500 else Unknown(_words(answer))
        try:
            return json_text.decode(answer.body, _Drink).price
        except json_text.NotJson:
            return Unknown("the answer names no price")

    def last_heartbeat(self, device_uuid: str) -> datetime | Refused | NotTaken | Unknown | None:
        """When Tmetr last heard of the machine; None when it never has."""
        asked = {"deviceIds": [device_uuid], "offset": 0, "limit": 1}
        zone = {"X-TimeZoneOffset": str(self._zone_hours)}
        answer = self._http.post(HEARTBEAT, msgspec.json.encode(asked), QUICK_S, QUICK_S, zone)
        if not isinstance(answer, Reply):
            return answer
        if answer.status != 200:
            return Refused(_words(answer), answer.status) if 400 <= answer.status < 500 else Unknown(_words(answer))
        try:
            beats = json_text.decode(answer.body, _Beats).content
            shift = timedelta(hours=self._zone_hours)
            return max((datetime.fromtimestamp(b.heartbeatCreatedAt, UTC) - shift for b in beats), default=None)
        except (OverflowError, ValueError, OSError):
            return Unknown("the answer names no heartbeat")


def _words(reply: Reply) -> str:
    """The answer in one line for the log: its status and, when it has one, its error."""
    try:
        fault = json_text.decode(reply.body, _Fault)
    except json_text.NotJson:
        return f"HTTP {reply.status}"
    told = [str(part) for part in (fault.errorCode, fault.errorMessage, fault.errorId) if part]
    words = "".join(c if c.isprintable() else " " for c in ", ".join(told))[:MAX_WORDS]
    return f"HTTP {reply.status}: {words}" if words else f"HTTP {reply.status}"
