"""How long an order may wait where it is, and how often. Values come from the settings; meanings: docs/orders.md."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True)
class OrderLimits:
    """Durations in seconds; other units say so."""

    order_expiration_s: float = 900
    fast_track_s: float = 300
    """A payment seen within this time of its start pours by itself."""
    make_deadline_s: float = 60
    ack_timeout_s: float = 75
    make_timeout_s: float = 300
    uncertain_grace_s: float = 300
    uncertain_returns_a_day: float = 10
    """Orders of one machine, in any 24 hours, whose money goes back though they may have been poured."""
    manual_make_s: float = 1800
    payment_poll_fast_s: float = 2
    payment_poll_slow_s: float = 60

    @property
    def longest_wait(self) -> timedelta:
        """No order is ever to move later than so long from now."""
        waits = self.order_expiration_s, self.ack_timeout_s, self.make_timeout_s, self.manual_make_s
        return timedelta(seconds=max(*waits, self.make_deadline_s))

    @property
    def uncertain_grace(self) -> timedelta:
        return timedelta(seconds=self.uncertain_grace_s)


def seconds(value: float) -> timedelta:
    """Seconds as a difference of moments."""
    return timedelta(seconds=value)
