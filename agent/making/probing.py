"""Readiness questions: "ready" is said by a word of the machine's that is no older than a second, else it is asked."""

from collections import deque
from typing import NamedTuple

from agent import readiness
from agent.journal.journal import Journal
from agent.live_state import Board
from agent.machine.capability_rules import STATUS
from agent.machine.conversation import Talk
from agent.machine.driver import Driver
from protocol.messages import Probe, ProbeReply
from protocol.reasons import AgentCode, RejectCode

WORD_S = 1.0
"""The machine's last word counts as one of just now for so long."""


class _Waiting(NamedTuple):
    probe: Probe
    since: float


class Probing:
    """The worker's. `patience`: how long the machine may take to answer."""

    def __init__(self, journal: Journal, board: Board, driver: Driver, patience: float) -> None:
        self._journal = journal
        self._board = board
        self._driver = driver
        self._patience = patience
        self._waiting: deque[_Waiting] = deque()

    def step(self, now: float, heard_at: float) -> None:
        """Answer what can be answered. `heard_at`: when the machine last said anything; steady seconds."""
        self._waiting.extend(_Waiting(probe, now) for probe in self._board.take_probes())
        for one in [one for one in self._waiting if self._is_known(one, now, heard_at)]:
            self._waiting.remove(one)

    @property
    def asks(self) -> bool:
        """The machine is to be asked for its state."""
        return bool(self._waiting) and self._driver.is_greeted and self._driver.can(STATUS)

    @property
    def until(self) -> float:
        """When to look again, steady seconds."""
        return self._waiting[0].since + self._patience if self._waiting else float("inf")

    def ask(self) -> Talk[None]:
        yield from self._driver.status()

    def _is_known(self, one: _Waiting, now: float, heard_at: float) -> bool:
        code = readiness.refusal(self._board.view, one.probe.drink_no) or (
            RejectCode.BUSY if self._journal.next_received() else ""
        )
        if not code and self._driver.can(STATUS) and heard_at < one.since - WORD_S:
            if now < one.since + self._patience:
                return False
            code = AgentCode.MACHINE_OFFLINE
        self._board.reply(ProbeReply(probe_id=one.probe.probe_id, ready=not code, code=code))
        return True
