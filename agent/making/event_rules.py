"""Which changes of the live state are worth an event: the line down or up, noisy or clean, selling stopped, resumed."""

from agent.journal.event_log import EventLog
from agent.live_state import LiveView
from protocol.reasons import AgentCode, EventKind

NOISY, CLEAN = 0.1, 0.02
"""Shares of damaged frames; the first as in docs/machine-protocol.md 2, the second keeps it from flapping."""
NOISY_FOR_S = 30.0
"""A line just opened in the middle of a frame is not a bad cable."""
STARTING = LiveView().stopped


class EventRules:
    """Looks at each view and tells the event log what is new. One thread's."""

    def __init__(self, event_log: EventLog) -> None:
        self._event_log = event_log
        self._last = LiveView()
        self._noisy_since: float | None = None
        self._is_noisy = False

    def compare(self, view: LiveView, now: float) -> None:
        """`now` in steady seconds."""
        if view is not self._last:
            self._line(view)
            self._selling(view)
            self._last = view
        self._noise(view.frame_error_ratio, now)

    def _line(self, view: LiveView) -> None:
        was_down, is_down = self._last.link == "down", view.link == "down"
        if is_down and not was_down:
            self._event_log.record_event(EventKind.LINE_DOWN)
        elif was_down and not is_down:
            self._event_log.record_event(EventKind.LINE_UP, words=view.model)

    def _selling(self, view: LiveView) -> None:
        before, why = self._last.stopped, view.stopped
        if why and (not before or before == STARTING) and why != STARTING:
            code = AgentCode.STORAGE if why.startswith(AgentCode.STORAGE) else AgentCode.NOT_SELLING
            self._event_log.record_event(EventKind.SELLING_STOPPED, code, why)
        elif before and before != STARTING and not why:
            self._event_log.record_event(EventKind.SELLING_RESUMED)

    def _noise(self, ratio: float, now: float) -> None:
        if ratio < NOISY:
            self._noisy_since = None
        elif self._noisy_since is None:
            self._noisy_since = now
        is_lasting = self._noisy_since is not None and now - self._noisy_since >= NOISY_FOR_S
        if is_lasting and not self._is_noisy:
            self._is_noisy = True
            self._event_log.record_event(EventKind.LINE_NOISY, ratio=ratio)
        elif self._is_noisy and ratio <= CLEAN:
            self._is_noisy = False
            self._event_log.record_event(EventKind.LINE_CLEAN, ratio=ratio)
