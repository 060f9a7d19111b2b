"""Which notification is due when: at once, then at the published offsets until a 200; and the wire's mischief.

Sends nothing and reads no clock: `take(now)` gives one due delivery, `answered` says how it went.
"""

import heapq
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count

import msgspec

MAX_WAITING = 20_000  # deliveries queued; beyond it news is dropped and counted
MAX_REMEMBERED = 2_000  # notifications kept for a resend
MAX_LOG = 5_000
MAX_COPIES = 20
MAX_DELAY = timedelta(days=1).total_seconds()
ACKNOWLEDGED = 200


class Mischief(msgspec.Struct, forbid_unknown_fields=True):
    """What the wire does to notifications. Delays in seconds, not scaled.

    silent: nothing is sent at all. lose: the share of notifications lost for good. fail_first: so many next
    deliveries never leave, as if the receiver were down, and are sent again later. copies: extra deliveries of each.
    delay: before the first delivery. reorder: every other notification waits this long, so the next overtakes it.
    forwarded_for: an X-Forwarded-For to claim, for receivers that check the sender's address.
    """

    silent: bool = False
    lose: float = 0.0
    fail_first: int = 0
    copies: int = 0
    delay: float = 0.0
    reorder: float = 0.0
    forwarded_for: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.lose <= 1:
            raise ValueError("lose is a share from 0 to 1")
        if not 0 <= self.copies <= MAX_COPIES or self.fail_first < 0:
            raise ValueError(f"copies is from 0 to {MAX_COPIES}, fail_first not negative")
        if not (0 <= self.delay <= MAX_DELAY and 0 <= self.reorder <= MAX_DELAY):
            raise ValueError("delays are from 0 to a day")
        if self.forwarded_for is not None and not _is_header_value(self.forwarded_for):
            raise ValueError("forwarded_for is what a header can carry: Latin-1, in one line")


@dataclass(frozen=True, slots=True)
class Notification:
    """One thing told to one shop: the body is as it leaves, the object as it was then.

    `url` is where this one goes; empty: where the shop's go.
    """

    shop_id: str
    event: str
    object_id: str
    body: bytes
    url: str = ""


@dataclass(slots=True)
class Delivery:
    """One notification on its way: `attempt` counts from 1, `due` is when the next try leaves."""

    notification: Notification
    url: str
    born: datetime
    due: datetime
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class LogLine:
    """How one try went: `answer` is the HTTP status, or what prevented one."""

    at: datetime
    event: str
    object_id: str
    url: str
    attempt: int
    answer: int | str


@dataclass(slots=True)
class _Counts:
    accepted: int = 0
    lost: int = 0
    given_up: int = 0
    overflowed: int = 0


class WebhookQueue:
    """Thread-safe. `urls` by shop id; the empty id stands for every shop without its own."""

    def __init__(self, redelivery: tuple[float, ...], chance: Callable[[], float], ring: Callable[[], None]) -> None:
        self.counts = _Counts()
        self._lock = threading.RLock()
        self._ring = ring
        self._redelivery = redelivery
        self._chance = chance
        self._mischief = Mischief()
        self._urls: dict[str, str] = {}
        self._waiting: list[tuple[datetime, int, Delivery]] = []
        self._order = count()
        self._told = 0
        self._recent: deque[Notification] = deque(maxlen=MAX_REMEMBERED)
        self._log: deque[LogLine] = deque(maxlen=MAX_LOG)

    def aim(self, url: str | None, shop_id: str = "") -> None:
        """Where a shop's notifications go from now on; None: nowhere."""
        with self._lock:
            if url is None:
                self._urls.pop(shop_id, None)
            else:
                self._urls[shop_id] = url

    @property
    def mischief(self) -> Mischief:
        return self._mischief

    @mischief.setter
    def mischief(self, mischief: Mischief) -> None:
        with self._lock:
            self._mischief = mischief

    def tell(self, notification: Notification, now: datetime) -> None:
        """Queue news of the provider, through the wire's mischief."""
        with self._lock:
            self._recent.append(notification)
            mischief = self._mischief
            self._told += 1
            if mischief.silent or (mischief.lose and self._chance() < mischief.lose):
                self.counts.lost += 1
                return
            wait = mischief.delay + (mischief.reorder if self._told % 2 else 0)
            for _ in range(1 + mischief.copies):
                self._queue(notification, now, now + timedelta(seconds=wait))

    def send_again(self, object_id: str | None, now: datetime) -> int:
        """Queue the remembered notifications of one object, or of all, once more; how many."""
        with self._lock:
            chosen = [n for n in self._recent if object_id in (None, n.object_id)]
            for notification in chosen:
                self._queue(notification, now, now)
            return len(chosen)

    def inject(self, notification: Notification, now: datetime) -> None:
        """Queue a body as it is, true or forged, past the mischief."""
        with self._lock:
            self._queue(notification, now, now)

    def take(self, now: datetime) -> Delivery | None:
        """One delivery that is due, to be sent by the caller and then reported to `answered`."""
        with self._lock:
            if not self._waiting or self._waiting[0][0] > now:
                return None
            delivery = heapq.heappop(self._waiting)[2]
            delivery.attempt += 1
            return delivery

    def withheld(self) -> bool:
        """Use up one of `fail_first`: True when the delivery just taken must not leave."""
        with self._lock:
            if self._mischief.fail_first == 0:
                return False
            self._mischief = msgspec.structs.replace(self._mischief, fail_first=self._mischief.fail_first - 1)
            return True

    def answered(self, delivery: Delivery, answer: int | str, now: datetime) -> None:
        """Only 200 ends it; anything else waits for the next offset from the event, until there is none."""
        with self._lock:
            told = delivery.notification
            self._log.append(LogLine(now, told.event, told.object_id, delivery.url, delivery.attempt, answer))
            if answer == ACKNOWLEDGED:
                self.counts.accepted += 1
            elif delivery.attempt <= len(self._redelivery):
                offset = self._redelivery[delivery.attempt - 1]
                # A receiver that hangs may answer after the next offset: then at once, but never in a tight loop.
                delivery.due = max(delivery.born + timedelta(seconds=offset), now)
                self._push(delivery)
            else:
                self.counts.given_up += 1

    @property
    def next_due(self) -> datetime | None:
        with self._lock:
            return self._waiting[0][0] if self._waiting else None

    def log(self) -> list[LogLine]:
        with self._lock:
            return list(self._log)

    def waiting(self) -> int:
        with self._lock:
            return len(self._waiting)

    def _queue(self, notification: Notification, now: datetime, due: datetime) -> None:
        url = notification.url or self._urls.get(notification.shop_id) or self._urls.get("")
        if url is None:
            return
        if len(self._waiting) >= MAX_WAITING:
            self.counts.overflowed += 1
            return
        self._push(Delivery(notification, url, now, due))

    def _push(self, delivery: Delivery) -> None:
        heapq.heappush(self._waiting, (delivery.due, next(self._order), delivery))
        self._ring()


def _is_header_value(text: str) -> bool:
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return text.isprintable() and not text[:1].isspace()
