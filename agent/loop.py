"""One loop of the agent in a thread of its own: steps until told to stop, and outlives every error of a step."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.clock import Bell, Clock
from agent.health import Pulse
from agent.live_state import LiveState

AFTER_ERROR_S = 1.0
FAILURES_ARE_TROUBLE = 3
"""In a row; then nothing is sold until the loop comes round again."""
TROUBLE = 300
"""Characters of it that are told."""
log = logging.getLogger(__name__)


def _nothing(_: Exception) -> None:
    pass


@dataclass
class Loop:
    """`step(now)` returns when it wants to be called again; `abandon` puts an interrupted step away."""

    name: str
    step: Callable[[float], float]
    bell: Bell
    stopping: threading.Event
    clock: Clock
    pulse: Pulse
    live_state: LiveState
    abandon: Callable[[Exception], None] = _nothing
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._run, name=self.name, daemon=True)

    def join(self, timeout: float) -> None:
        """Wait for the step under way, if it was ever started."""
        if self.thread.is_alive():
            self.thread.join(timeout)

    def _run(self) -> None:
        failures = 0
        while not self.stopping.is_set():
            now = self.clock.monotonic()
            try:
                wake = self.step(now)
                self.pulse.beat(self.name)
                if failures:
                    failures = 0
                    self.live_state.set_trouble(self.name, "")
            except Exception as error:
                # A loop that dies leaves orders open for ever; what it was doing is settled by asking the machine.
                log.exception("the %s loop met an error", self.name)
                self.abandon(error)
                failures += 1
                self._report_trouble(error, failures)
                wake = now + AFTER_ERROR_S
                self.stopping.wait(AFTER_ERROR_S)
            self.bell.wait(wake - self.clock.monotonic())

    def _report_trouble(self, error: Exception, failures: int) -> None:
        if failures >= FAILURES_ARE_TROUBLE:
            why = f"the agent's {self.name} fails: {type(error).__name__}: {error}"
            self.live_state.set_trouble(self.name, why[:TROUBLE])
