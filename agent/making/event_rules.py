"""What of the board's changes is worth an event: the line down or up, noisy or clean, selling stopped or resumed."""

from agent.journal.event_log import Chronicle
from agent.live_state import View
from protocol.reasons import AgentCode, Happening

NOISY, CLEAN = 0.1, 0.02
"""Shares of damaged frames; the first as in docs/machine-protocol.md 2, the second keeps it from flapping."""
NOISY_FOR_S = 30.0
"""A line just opened in the middle of a frame is not a bad cable."""
STARTING = View().stopped


class Noticing:
    """Looks at each view and tells the chronicle what is new. One thread's."""

    def __init__(self, chronicle: Chronicle) -> None:
        self._chronicle = chronicle
        self._last = View()
        self._noisy_since: float | None = None
        self._is_noisy = False

    def look(self, view: View, now: float) -> None:
        """`now` in steady seconds."""
        if view is not self._last:
            self._line(view)
            self._selling(view)
            self._last = view
        self._noise(view.frame_error_ratio, now)

    def _line(self, view: View) -> None:
        was_down, is_down = self._last.link == "down", view.link == "down"
        if is_down and not was_down:
            self._chronicle.tell(Happening.LINE_DOWN)
        elif was_down and not is_down:
            self._chronicle.tell(Happening.LINE_UP, words=view.model)

    def _selling(self, view: View) -> None:
        before, why = self._last.stopped, view.stopped
        if why and (not before or before == STARTING) and why != STARTING:
            code = AgentCode.STORAGE if why.startswith(AgentCode.STORAGE) else AgentCode.NOT_SELLING
            self._chronicle.tell(Happening.SELLING_STOPPED, code, why)
        elif before and before != STARTING and not why:
            self._chronicle.tell(Happening.SELLING_RESUMED)

    def _noise(self, ratio: float, now: float) -> None:
        if ratio < NOISY:
            self._noisy_since = None
        elif self._noisy_since is None:
            self._noisy_since = now
        is_lasting = self._noisy_since is not None and now - self._noisy_since >= NOISY_FOR_S
        if is_lasting and not self._is_noisy:
            self._is_noisy = True
            self._chronicle.tell(Happening.LINE_NOISY, ratio=ratio)
        elif self._is_noisy and ratio <= CLEAN:
            self._is_noisy = False
            self._chronicle.tell(Happening.LINE_CLEAN, ratio=ratio)
