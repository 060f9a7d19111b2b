"""What a test may break, as `broker.faults`. Only states the wishes; the broker obeys. Safe from any thread."""

import math
from collections.abc import Callable

from simulator.broker import topics

WITHHELD = math.inf


class Faults:
    """`client_id=None` means every client without a wish of its own. When a method returns, it holds."""

    def __init__(self, obey: Callable[[], None]) -> None:
        self._obey = obey
        self._dropped: set[str] = set()
        self._sendable: dict[str, int] = {}
        self._receivable: dict[str, int] = {}
        self._puback_delay_s: dict[str | None, float] = {}
        self._delivery: dict[str | None, bool] = {}
        self._refused: set[str] = set()

    def drop(self, client_id: str) -> None:
        """End the client's connection now, without a word."""
        self._dropped.add(client_id)
        self._obey()

    def drop_after(self, client_id: str, *, sent: int | None = None, received: int | None = None) -> None:
        """End its connection once the broker has sent or received this many more bytes. Happens once."""
        if sent is not None:
            self._sendable[client_id] = sent
        if received is not None:
            self._receivable[client_id] = received
        self._obey()

    def delay_pubacks(self, seconds: float, client_id: str | None = None) -> None:
        """Acknowledge what this client publishes so much later; the message itself goes on at once."""
        self._puback_delay_s[client_id] = seconds
        self._obey()

    def withhold_pubacks(self, client_id: str | None = None) -> None:
        """Acknowledge nothing until `release_pubacks()`."""
        self.delay_pubacks(WITHHELD, client_id)

    def release_pubacks(self) -> None:
        """Send what was withheld, and delay nothing any more."""
        self._puback_delay_s.clear()
        self._obey()

    def refuse_topic(self, wanted: str) -> None:
        """Refuse to publish or subscribe to what this filter matches (literally, for a subscription)."""
        self._refused.add(wanted)

    def allow_topic(self, wanted: str) -> None:
        self._refused.discard(wanted)

    def stop_delivering(self, client_id: str | None = None) -> None:
        """Accept and acknowledge, but pass nothing on to this client."""
        self._delivery[client_id] = False

    def resume_delivering(self, client_id: str | None = None) -> None:
        """Pass on again, what has waited first."""
        self._delivery[client_id] = True
        self._obey()

    # Read by the broker.

    def take_dropped(self) -> set[str]:
        dropped, self._dropped = self._dropped, set()
        return dropped

    def cut_sent(self, client_id: str, data: bytes) -> tuple[bytes, bool]:
        """What may still be sent to the client, and whether the connection ends after it."""
        return _cut(self._sendable, client_id, data)

    def cut_received(self, client_id: str, data: bytes) -> tuple[bytes, bool]:
        """What may still be taken from the client, and whether the connection ends after it."""
        return _cut(self._receivable, client_id, data)

    def puback_delay_s(self, client_id: str) -> float:
        return self._puback_delay_s.get(client_id, self._puback_delay_s.get(None, 0.0))

    def delivers_to(self, client_id: str) -> bool:
        return self._delivery.get(client_id, self._delivery.get(None, True))

    def refuses(self, topic: str) -> bool:
        return any(topics.matches(wanted, topic) for wanted in self._refused)


def _cut(left: dict[str, int], client_id: str, data: bytes) -> tuple[bytes, bool]:
    allowed = left.get(client_id)
    if allowed is None:
        return data, False
    if len(data) < allowed:
        left[client_id] = allowed - len(data)
        return data, False
    del left[client_id]
    return data[:allowed], True
