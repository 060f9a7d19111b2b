"""A version on trial, watched by itself: it stays when it is connected and ready in time, else it makes way.

Until then nothing is sold. A version that cannot even do this is ended by the kernel (`starting.py`).
"""

import logging
from pathlib import Path

from agent import AGENT_VERSION
from agent.clock import Clock
from agent.live_state import LiveState
from agent.refusal import refusal_code
from agent.update import release_files, starting, versions
from agent.update.versions import Trial
from protocol.messages import Answer, Update

TROUBLE = "update"
"""The name of this reason to sell nothing, among the live state's troubles."""
STEADY_S = 3.0
"""Well for so long without a break."""
log = logging.getLogger(__name__)


class Probation:
    """From the start of this process; one that is not on trial passes at once."""

    def __init__(self, trial: Trial | None, state_dir: Path, clock: Clock, live_state: LiveState) -> None:
        self._trial = trial
        self._state_dir = state_dir
        self._clock = clock
        self._live_state = live_state
        self._began = clock.monotonic()
        self._well_since: float | None = None
        if trial is not None:
            live_state.set_trouble(TROUBLE, f"version {trial.version} of the agent is being tried")

    @classmethod
    def begin(cls, state_dir: Path, clock: Clock, live_state: LiveState) -> "Probation":
        """Of this process, if it is the version on trial."""
        trial = release_files.read(state_dir).trial if release_files.is_this_one_of(state_dir) else None
        is_ours = trial is not None and trial.version == AGENT_VERSION
        return cls(trial if is_ours else None, state_dir, clock, live_state)

    def look(self, *, is_connected: bool, is_welcome: bool) -> bool:
        """True once its time is over in vain: the version before is what the next start runs."""
        trial = self._trial
        if trial is None:
            return False
        now = self._clock.monotonic()
        missing = self._missing(trial, is_connected=is_connected, is_welcome=is_welcome)
        if missing:
            self._well_since = None
        elif self._well_since is None:
            self._well_since = now
        try:
            if self._well_since is not None and now - self._well_since >= STEADY_S:
                self._stay(trial)
            elif now - self._began >= trial.ready_within_s:
                return self._make_way(missing or "it was never well for long")
        except OSError as error:
            log.error("what came of the trial cannot be written down: %s", error)
        return False

    def _stay(self, trial: Trial) -> None:
        known = versions.proved(release_files.read(self._state_dir))
        release_files.write(self._state_dir, known)
        starting.proved()
        self._trial = None
        self._live_state.set_trouble(TROUBLE, "")
        log.warning("version %s is well and stays", trial.version)
        if (answer := answer_of(known)) is not None:
            self._live_state.add_answer(answer)

    def _make_way(self, why: str) -> bool:
        release_files.write(self._state_dir, versions.rolled_back(release_files.read(self._state_dir), why))
        self._trial = None
        log.error("this version makes way for the one before: %s", why)
        return True

    def _missing(self, trial: Trial, *, is_connected: bool, is_welcome: bool) -> str:
        if not is_connected:
            return "the broker was not connected"
        if not is_welcome:
            return "the cloud did not answer"
        if trouble := self._live_state.trouble_besides(TROUBLE):
            return trouble
        if not trial.was_ready:
            return ""  # nor was the version before: it may be the machine
        code = refusal_code(self._live_state.view_besides(TROUBLE), "")
        return f"the machine was not ready: {code}" if code else ""


def answer_of(known: versions.Versions) -> Answer | None:
    """What the last job came to, as a message."""
    result = known.told
    if result is None:
        return None
    kind = str(Update.__struct_config__.tag)
    return Answer(reference=result.job_id, asked=kind, status=result.status, code=result.code[:64], words=result.words)
