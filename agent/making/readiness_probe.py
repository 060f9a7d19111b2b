"""Readiness questions: "ready" is said by a word of the machine's that is no older than a second, else it is asked."""

from collections import deque
from typing import NamedTuple

from agent.journal.journal import Journal
from agent.live_state import LiveState
from agent.machine.capability_rules import STATUS
from agent.machine.conversation import Conversation
from agent.machine.driver import Driver
from agent.making.readiness import Readiness
from protocol.messages import Probe, ProbeReply
from protocol.reasons import AgentCode, RejectCode

WORD_S = 1.0
"""The machine's last word counts as one of just now for so long."""


class _Waiting(NamedTuple):
    probe: Probe
    since: float


class ReadinessProbe:
    """The worker's. `patience`: how long the machine may take to answer."""

    def __init__(
        self, journal: Journal, live_state: LiveState, driver: Driver, readiness: Readiness, patience: float
    ) -> None:
        self._journal = journal
        self._live_state = live_state
        self._driver = driver
        self._readiness = readiness
        self._patience = patience
        self._waiting: deque[_Waiting] = deque()

    def step(self, now: float) -> None:
        """Answer what can be answered; `now` in steady seconds."""
        self._waiting.extend(_Waiting(probe, now) for probe in self._live_state.take_probes())
        for one in [one for one in self._waiting if self._answer_if_known(one, now)]:
            self._waiting.remove(one)

    @property
    def must_ask(self) -> bool:
        """The machine is to be asked for its state."""
        return bool(self._waiting) and self._driver.is_greeted and self._driver.can(STATUS)

    @property
    def until(self) -> float:
        """When to look again, steady seconds."""
        return self._waiting[0].since + self._patience if self._waiting else float("inf")

    def ask_machine(self) -> Conversation[None]:
        yield from self._driver.status()

    def _answer_if_known(self, one: _Waiting, now: float) -> bool:
        code = self._readiness.refusal(one.probe.drink_no) or (RejectCode.BUSY if self._journal.next_received() else "")
        if not code and self._driver.can(STATUS) and self._readiness.heard_at < one.since - WORD_S:
            if now < one.since + self._patience:
                return False
            code = AgentCode.MACHINE_OFFLINE
        self._live_state.add_probe_reply(ProbeReply(probe_id=one.probe.probe_id, ready=not code, code=code))
        return True
