"""When the machine's state is told: news soon, a bouncing contact seldom, the same again now and then."""

from agent.clock import CloudClock
from agent.cloud import state_message
from agent.live_state import LiveState, LiveView
from agent.rate_limit import Pace

STATE_EVERY_S = 60.0
STATE_PAUSE_S = 0.2
"""Changes closer together than this go out as one."""
STATE_BURST, STATE_CALM_S = 10, 3.0
"""And no more of them in a row, then one every so often."""


class StateSender:
    """For one device."""

    def __init__(self, live_state: LiveState, profile: str, cloud: CloudClock) -> None:
        self._live_state = live_state
        self._profile = profile
        self._cloud = cloud
        self._pace = Pace(STATE_BURST, STATE_CALM_S)
        self._sent: LiveView | None = None
        self._sent_at = 0.0

    def begin_connection(self) -> None:
        self._sent = None

    def due_at(self, now: float) -> float:
        if self._live_state.view is self._sent:
            return self._sent_at + STATE_EVERY_S
        return max(self._sent_at + STATE_PAUSE_S, self._pace.next_at(now))

    def next_message(self, now: float) -> bytes | None:
        """The message to be published now; None while it is not due."""
        if now < self.due_at(now):
            return None
        view = self._live_state.view
        message = state_message.encoded(view, self._profile, self._cloud.best())
        self._pace.allows(now)
        self._sent, self._sent_at = view, now
        return message
