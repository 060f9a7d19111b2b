"""What was done, by whom and when: printed as it happens, kept for the story of an order."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

MOST_LINES = 100_000
"""Kept; a campaign of hours is told but not remembered whole."""


@dataclass(frozen=True, order=True)
class Line:
    """One fact; `order_id` of the order it is about, when it is about one."""

    at: datetime
    who: str
    what: str
    order_id: str = ""


def utc_now() -> datetime:
    """The wall clock, as every program of the campaign reads it."""
    return datetime.now(UTC)


class Timeline:
    """Safe from any thread. `say` gets each line that is to be seen at once."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.began = utc_now()
        self._say = say
        self._lines: list[Line] = []
        self._lock = threading.Lock()

    def tell(self, who: str, what: str) -> None:
        """Print it and keep it."""
        line = self._keep(who, what, "")
        self._say(self.text(line))

    def note(self, who: str, what: str, order_id: str) -> None:
        """Keep it, for the order's story."""
        self._keep(who, what, order_id)

    def lines(self) -> list[Line]:
        with self._lock:
            return list(self._lines)

    def whole(self) -> str:
        """Every line kept, those about one order with its name."""
        return "\n".join(f"{self.text(line)}  {line.order_id}".rstrip() for line in self.lines())

    def text(self, line: Line) -> str:
        """Seconds since the beginning, who, what."""
        return f"{(line.at - self.began).total_seconds():8.2f}  {line.who:<14} {line.what}"

    def _keep(self, who: str, what: str, order_id: str) -> Line:
        line = Line(utc_now(), who, what, order_id)
        with self._lock:
            if len(self._lines) < MOST_LINES:
                self._lines.append(line)
        return line
