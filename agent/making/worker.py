"""Drives the machine: one conversation at a time, settled orders before new ones. `step(now)` does all that is due.

It never waits and never touches the broker; threads are the caller's.
"""

import logging
from collections import deque

from agent.journal.journal import Journal
from agent.journal.records import Command
from agent.journal.sqlite_file import JournalFailed
from agent.live_state import LiveState
from agent.log import about
from agent.machine.conversation import Closed, LineLost, LineNews, Opened, Sign
from agent.machine.driver import FROM_HOST, Driver, Line
from agent.making.finish_command import CommandFinisher
from agent.making.journal_duties import JournalDuties
from agent.making.machine_checks import MachineChecks
from agent.making.machine_events import MachineEvents
from agent.making.make_drink import DrinkMaker
from agent.making.open_conversation import OpenConversation
from agent.making.operator_jobs import OperatorJobs
from agent.making.poison import CommandFailures
from agent.making.preconditions import Preconditions
from agent.making.readiness import Readiness
from agent.making.readiness_probe import ReadinessProbe
from agent.making.recovery import Recovery
from protocol.errors import WireError
from protocol.frames import Frame
from protocol.machine import LinkNak
from protocol.reasons import AgentCode, RejectCode

LONGEST_SLEEP_S = 1.0
log = logging.getLogger(__name__)


class Worker:
    """Everything that decides whether bytes go to the machine."""

    def __init__(
        self,
        *,
        line: Line,
        driver: Driver,
        events: MachineEvents,
        journal: Journal,
        live_state: LiveState,
        readiness: Readiness,
        preconditions: Preconditions,
        drink_maker: DrinkMaker,
        checks: MachineChecks,
        recovery: Recovery,
        probe: ReadinessProbe,
        operator_jobs: OperatorJobs,
        finisher: CommandFinisher,
    ) -> None:
        self._line = line
        self._driver = driver
        self._events = events
        self._journal = journal
        self._live_state = live_state
        self._readiness = readiness
        self._preconditions = preconditions
        self._drink_maker = drink_maker
        self._checks = checks
        self._recovery = recovery
        self._probe = probe
        self._operator_jobs = operator_jobs
        self._finisher = finisher
        self._journal_duties = JournalDuties(journal, readiness)
        self._failures = CommandFailures(journal)
        self._inbox: deque[LineNews] = deque()
        """Taken from the line, not heard yet: an error in one must not lose the next."""
        self._conversation = OpenConversation()
        self._at_hand: Command | None = None  # outside a conversation

    def step(self, now: float) -> float:
        """Do what is due at `now` (steady seconds); returns when to be called again if nothing rings."""
        self._readiness.begin_step()
        try:
            if self._recovery.recover_once():
                self._operator_jobs.answer_restart()
            self._operator_jobs.act_on_decisions()
            self._listen(now)
            self._driver.recall_if_due(now)
            self._readiness.refresh()
            self._conversation.offer(Sign.NUDGE)
            self._conversation.resume_if_late(now)
            self._refuse_others()
            self._probe.step(now)
            while self.is_idle and self._operator_jobs.leaves_at is None and self._begin(now):
                pass
            self._operator_jobs.follow_update(now, is_idle=self.is_idle and self._live_state.view.busy_order is None)
            self._operator_jobs.leave_if_due(now)
            self._readiness.refresh()
            self._journal_duties.write_if_due(now, is_idle=self.is_idle)
        except JournalFailed as failed:
            self._conversation.drop(f"the journal failed: {failed}")
            self._readiness.refresh()
        self._journal_duties.prove_if_failed(now)
        return min(now + LONGEST_SLEEP_S, self._conversation.until, self._probe.until, self._driver.recall_at)

    def abandon(self, error: Exception | None = None) -> None:
        """After an unexpected error: what was open is settled anew, by asking the machine; a poison is put away."""
        subject, self._at_hand = self._conversation.drop("an error of ours") or self._at_hand, None
        if subject is not None and error is not None:
            self._failures.failed_at(subject, error)

    @property
    def is_idle(self) -> bool:
        """No conversation with the machine is open."""
        return not self._conversation.is_open

    # Listening

    def _listen(self, now: float) -> None:
        self._inbox.extend(self._line.take_news())
        while self._inbox:
            self._hear(self._inbox.popleft(), now)

    def _hear(self, news: LineNews, now: float) -> None:
        match news:
            case Opened(session):
                self._driver.opened(session)
                self._checks.begin_line(now)
                self._conversation.offer(Sign.OPENED)
            case Closed(why):
                was_open = self._driver.is_open
                self._driver.closed()
                if was_open:
                    self._conversation.throw(LineLost(why))
            case Frame():
                self._hear_frame(news, now)

    def _hear_frame(self, frame: Frame, now: float) -> None:
        try:
            message = self._driver.read(frame)
        except WireError as error:
            log.warning("dropped a frame of the machine: %s", error)
            self._events.overheard(self._driver.order_in(frame))
            return
        if isinstance(message, FROM_HOST):
            log.debug("the line gives back what was said on it: %s", message)
            return
        self._readiness.heard_at = now
        if isinstance(message, LinkNak):
            log.warning("the machine got damaged bytes: %s", message.why)
        try:
            self._events.hear(message)
        except JournalFailed as failed:
            log.error("not acknowledged, for the journal failed: %s", failed)
            return
        except Exception:
            # Neither acknowledged nor lost: the machine repeats what matters, and can be asked. All goes on.
            log.exception("a %s of the machine could not be taken in", type(message).__name__)
            return
        if not self._driver.is_greeted:
            self._checks.hear_stranger(now)
        self._conversation.offer(message)

    # Beginning

    def _begin(self, now: float) -> bool:
        """Start the most urgent conversation; False when there is none."""
        self._recovery.settle_begun()
        for command in self._journal.unsettled():
            log.warning("asking the machine what became of it", extra=about(command))
            return self._conversation.start(self._drink_maker.settle(command), command)
        if (greeting := self._checks.next_greeting(now)) is not None:
            return self._conversation.start(greeting)
        if (late := self._recovery.still_pouring()) is not None:
            return self._conversation.start(self._drink_maker.let_finish(late), late)
        if (waiting := self._journal.next_received()) is not None:
            return self._refuse_stale(waiting) or self._conversation.start(
                self._drink_maker.make_drink(waiting), waiting
            )
        if self._probe.must_ask:
            return self._conversation.start(self._probe.ask_machine())
        if (job := self._live_state.pop_job()) is not None:
            return self._operator_jobs.repeat(job) or self._conversation.start(self._operator_jobs.run_job(job))
        if (check := self._checks.next_check(now)) is not None:
            return self._conversation.start(check)
        self._journal_duties.prune_if_due(now)
        return False

    # Refusing

    def _refuse_stale(self, oldest: Command) -> bool:
        """Where one came too late there may be many: a broker that drops none hands over a night's at once."""
        if not self._is_stale(oldest):
            return False
        with self._journal.transaction():
            for command in filter(self._is_stale, self._journal.received()):
                self._finisher.refuse(command, AgentCode.EXPIRED, "the deadline had passed")
        return True

    def _is_stale(self, command: Command) -> bool:
        self._at_hand = command
        is_stale = self._preconditions.is_stale(command)
        self._at_hand = None
        return is_stale

    def _refuse_others(self) -> None:
        """One drink at a time: whoever comes meanwhile is told at once, while the money can go back."""
        if self._live_state.view.busy_order is None:
            return
        while (job := self._live_state.pop_job()) is not None:
            if not self._operator_jobs.repeat(job):
                self._operator_jobs.refuse(job, RejectCode.BUSY, "a drink is being made")
        code = AgentCode.MACHINE_OFFLINE if self._live_state.view.link in ("down", "quiet") else RejectCode.BUSY
        for command in self._journal.received():
            self._finisher.refuse(command, code, "another order is not settled yet")
