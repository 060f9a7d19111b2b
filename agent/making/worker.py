"""Drives the machine: one talk at a time, settled orders before new ones. `step(now)` does all that is due.

It never waits and never touches the broker; threads are the caller's.
"""

import logging
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from agent import AGENT_VERSION
from agent.clock import Clock
from agent.journal import operator_decisions
from agent.journal.journal import Journal
from agent.journal.operator_decisions import Decision
from agent.journal.records import Command, Verdict
from agent.journal.sqlite_file import JournalFailed
from agent.live_state import Board
from agent.log import about
from agent.machine.capability_rules import Duty
from agent.machine.conversation import Closed, LineLost, LineNews, Opened, Sign, Talk
from agent.machine.driver import FROM_HOST, Driver, Line
from agent.machine.profile import Profile
from agent.making.counter_watch import CounterWatch
from agent.making.event_rules import Noticing
from agent.making.machine_events import Events
from agent.making.make_drink import Pouring
from agent.making.open_conversation import Conversation
from agent.making.operator_jobs import Upkeep
from agent.making.poison import Failures
from agent.making.probing import Probing
from protocol.errors import WireError
from protocol.frames import Frame
from protocol.machine import LinkNak
from protocol.messages import Evidence
from protocol.reasons import AgentCode, Happening, MachineState, RejectCode, Result, Spout

LONGEST_SLEEP_S = 1.0
GREET_PAUSES_S = (1.0, 2.0, 5.0, 10.0, 15.0)
STORAGE_PROBE_S = 5.0
PRUNE_S = 24 * 3600.0
SOON_S = 1.0
_SOON_READY = (MachineState.BOOT, MachineState.HEATING, MachineState.BREWING, MachineState.RINSING)
_AT_REST = (MachineState.READY, MachineState.FAULT, MachineState.SERVICE, MachineState.OFF)
RECHECK_WITHIN_S = 24 * 3600.0
"""An outcome still unknown after a day is the operator's, not the machine's."""
log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Due:
    """When each standing duty comes next, steady seconds."""

    greet: float = 0.0
    poll: float = 0.0
    count: float = 0.0
    recheck: float = 0.0
    prune: float = 0.0
    storage: float = 0.0


class Worker:
    """Everything that decides whether bytes go to the machine."""

    def __init__(
        self,
        *,
        line: Line,
        driver: Driver,
        events: Events,
        journal: Journal,
        board: Board,
        pouring: Pouring,
        upkeep: Upkeep,
        profile: Profile,
        clock: Clock,
        state_dir: Path,
    ) -> None:
        self._line = line
        self._driver = driver
        self._events = events
        self._journal = journal
        self._board = board
        self._pouring = pouring
        self._upkeep = upkeep
        self._tally = pouring.tally
        self._profile = profile
        self._clock = clock
        self._state_dir = state_dir
        self._inbox: deque[LineNews] = deque()
        """Taken from the line, not heard yet: an error in one must not lose the next."""
        self._talk = Conversation()
        self._at_hand: Command | None = None  # outside a talk
        self._failures = Failures(journal)
        self._due = _Due()
        self._greet_failures = 0
        self._heard_at = clock.monotonic()
        self._recovered = self._looked_back = False
        self._chronicle = journal.chronicle
        self._noticing = Noticing(self._chronicle)
        self._never_sent: list[Command] = []
        self._probing = Probing(journal, board, driver, profile.timers.query_reply)
        events.on_count = CounterWatch(self._tally, journal, profile, clock).read
        events.on_job_end = upkeep.heard

    def step(self, now: float) -> float:
        """Do what is due at `now` (steady seconds); returns when to be called again if nothing rings."""
        try:
            self._recover()
            self._take_decisions()
            self._inbox.extend(self._line.take())
            while self._inbox:
                self._hear(self._inbox.popleft(), now)
            self._driver.recall_if_due(now)
            self.look()
            self._talk.offer(Sign.NUDGE)
            self._talk.resume_if_late(now)
            self._refuse_others()
            self._probing.step(now, self._heard_at)
            while not self._talk.is_open and self._upkeep.leaves_at is None and self._begin(now):
                pass
            self._upkeep.leave_if_due(now)
            self.look()
            self._write_down(now)
        except JournalFailed as failed:
            self._talk.drop(f"the journal failed: {failed}")
            self.look()
        if self._journal.failure:
            self._prove_storage(now)
        return min(now + LONGEST_SLEEP_S, self._talk.until, self._probing.until, self._driver.recall_at)

    def abandon(self, error: Exception | None = None) -> None:
        """After an unexpected error: what was open is settled anew, by asking the machine; a poison is put away."""
        subject, self._at_hand = self._talk.drop("an error of ours") or self._at_hand, None
        if subject is not None and error is not None:
            self._failures.failed_at(subject, error)

    @property
    def is_idle(self) -> bool:
        """No talk with the machine is open."""
        return not self._talk.is_open

    def look(self) -> None:
        """Bring the board up to date."""
        self._board.change(
            at_rest_since=self._at_rest_since(),
            link=self._link(),
            stopped=self._why_stopped(),
            model=self._driver.model,
            frame_error_ratio=self._line.error_ratio(),
            capabilities=tuple(self._driver.capabilities),
            make_room=self._profile.make_room,
        )
        self._noticing.look(self._board.view, self._clock.monotonic())

    def _at_rest_since(self) -> float | None:
        view = self._board.view
        if view.machine not in _AT_REST:
            return None
        return self._clock.monotonic() if view.at_rest_since is None else view.at_rest_since

    def _link(self) -> str:
        """How the machine is heard; of one that never speaks only the port can be told."""
        timers = self._profile.timers
        silent = self._clock.monotonic() - self._heard_at
        if self._driver.must(Duty.REPORT_PORT_ONLY):
            return "open" if self._driver.is_greeted else "down"
        if self._driver.is_greeted and silent >= timers.down:
            self._driver.is_greeted = False
            log.warning("the machine has been silent for %.0f s", silent)
        return "down" if not self._driver.is_greeted else "quiet" if silent >= timers.quiet else "up"

    def _why_stopped(self) -> str:
        if self._journal.failure:
            return f"{AgentCode.STORAGE}: {self._journal.failure}"[:500]
        if rival := self._board.view.rival:
            return f"{rival} is the session of another agent with this device's name: give each machine its own"[:500]
        missing = self._profile.expects.required - self._driver.abilities
        if self._driver.is_greeted and missing:
            return f"the machine cannot {', '.join(sorted(missing))}, which profile {self._profile.name} needs"
        return self._journal.sales_block.why_stopped()

    # Listening

    def _hear(self, news: LineNews, now: float) -> None:
        match news:
            case Opened(session):
                self._driver.opened(session)
                self._due.greet, self._greet_failures = now, 0
                self._talk.offer(Sign.OPENED)
            case Closed(why):
                was_open = self._driver.is_open
                self._driver.closed()
                if was_open:
                    self._talk.throw(LineLost(why))
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
        self._heard_at = now
        if isinstance(message, LinkNak):
            log.warning("the machine got damaged bytes: %s", message.why)
        try:
            self._events.hear(message)
        except JournalFailed as failed:
            log.error("not acknowledged, for the journal failed: %s", failed)
            return
        except Exception:
            # Neither acknowledged nor lost: the machine repeats what matters, and can be asked. The talk goes on.
            log.exception("a %s of the machine could not be taken in", type(message).__name__)
            return
        if not self._driver.is_greeted:
            self._due.greet = min(self._due.greet, now + GREET_PAUSES_S[0])
        self._talk.offer(message)

    def _begin(self, now: float) -> bool:
        """Start the most urgent talk; False when there is none."""
        self._settle_begun()
        for command in self._journal.unsettled():
            log.warning("asking the machine what became of it", extra=about(command))
            return self._talk.start(self._pouring.settle(command), command)
        may_greet = self._driver.is_open and not self._driver.is_greeted and not self._board.has_job
        if may_greet and now >= self._due.greet:
            return self._talk.start(self._greet(now))
        for command in self._still_pouring():
            return self._talk.start(self._pouring.let_finish(command), command)
        if (waiting := self._journal.next_received()) is not None:
            return self._refuse_stale(waiting) or self._talk.start(self._pouring.pour(waiting), waiting)
        if self._probing.asks:
            return self._talk.start(self._probing.ask())
        if (job := self._board.next_job()) is not None:
            return self._upkeep.repeat(job) or self._talk.start(self._upkeep.do(job))
        if self._driver.is_greeted and (now >= self._due.recheck or self._journal.questions()):
            self._due.recheck = now + self._profile.timers.recheck
            return self._talk.start(self._recheck())
        if self._driver.is_greeted and self._is_poll_due(now):
            self._due.poll = now + min(self._profile.timers.status_poll, self._poll_after())
            self._due.count = now + self._profile.timers.counter_watch
            return self._talk.start(self._poll())
        if now >= self._due.prune:
            self._due.prune = now + PRUNE_S
            self._journal.prune()
        return False

    def _is_poll_due(self, now: float) -> bool:
        if self._driver.must(Duty.REPORT_PORT_ONLY):
            return False
        return now >= self._due.count or now >= max(self._due.poll, self._heard_at + self._poll_after())

    def _poll_after(self) -> float:
        """A machine without a heartbeat is asked before it counts as quiet; one that is getting ready, every second."""
        timers = self._profile.timers
        if self._board.view.machine in _SOON_READY:
            return min(SOON_S, timers.quiet / 2)
        return min(timers.status_poll, timers.quiet / 2) if self._driver.must(Duty.POLL_STATUS) else timers.quiet

    def _greet(self, now: float) -> Talk[None]:
        if (yield from self._driver.greet()):
            self._greet_failures = 0
            self._due.recheck = now
            missing = self._profile.expects.wanted - self._driver.abilities
            if missing:
                log.warning("the machine cannot: %s", ", ".join(sorted(missing)))
            yield from self._poll()
        else:
            pause = GREET_PAUSES_S[min(self._greet_failures, len(GREET_PAUSES_S) - 1)]
            self._greet_failures += 1
            self._due.greet = self._clock.monotonic() + pause

    def _poll(self) -> Talk[None]:
        yield from self._driver.status()
        if self._driver.can("counters"):
            yield from self._driver.counters()

    def _recheck(self) -> Talk[None]:
        asked_about = self._journal.questions()
        doubtful = self._journal.doubtful(RECHECK_WITHIN_S)
        known = {command.command_id for command in asked_about}
        for command in [*asked_about, *(one for one in doubtful if one.command_id not in known)]:
            self._journal.answered(command.command_id)
            yield from self._pouring.recheck(command)
        for command in list(self._never_sent):
            if (yield from self._pouring.recheck(command)):
                self._never_sent.remove(command)

    # Duties

    def _recover(self) -> None:
        """Once at the start."""
        if self._recovered:
            return
        self._settle_begun()
        last = self._journal.last_sent()
        if last is not None and last.snapshot is not None:
            self._tally.start_from(last.snapshot, self._clock.monotonic(), is_settled=last.is_finished)
        self._upkeep.begin()
        who = f"version {AGENT_VERSION}, profile {self._profile.name}"
        self._chronicle.tell(Happening.AGENT_STARTED, words=who, session=self._journal.session)
        self._recovered = True

    def _settle_begun(self) -> None:
        """An intent that nobody drives any more, without a sent byte, was never sent."""
        for command in self._journal.begun():
            evidence = Evidence(rule="the agent stopped before the first byte")
            self._journal.finish(command.command_id, Verdict(Result.FAILED, AgentCode.NEVER_SENT, Spout.NONE, evidence))
            if command.session != self._journal.session:
                self._never_sent.append(command)

    def _still_pouring(self) -> list[Command]:
        """Once, of a machine that says nothing: what an earlier run of ours sent it moments ago."""
        if self._looked_back or not self._driver.is_blind:
            return []
        self._looked_back = True
        late = self._journal.doubtful(self._profile.timers.max_brew)
        return [one for one in late if one.session != self._journal.session and not one.is_hearsay][-1:]

    def _refuse_stale(self, oldest: Command) -> bool:
        """Where one came too late there may be many: a broker that drops none hands over a night's at once."""
        if not self._is_stale(oldest):
            return False
        with self._journal.transaction():
            for command in filter(self._is_stale, self._journal.received()):
                self._pouring.refuse(command, AgentCode.EXPIRED, "the deadline had passed")
        return True

    def _is_stale(self, command: Command) -> bool:
        self._at_hand = command
        is_stale = self._pouring.is_stale(command)
        self._at_hand = None
        return is_stale

    def _refuse_others(self) -> None:
        """One drink at a time: whoever comes meanwhile is told at once, while the money can go back."""
        if self._board.view.busy_order is None:
            return
        while (job := self._board.next_job()) is not None:
            if not self._upkeep.repeat(job):
                self._upkeep.refuse(job, RejectCode.BUSY, "a drink is being made")
        code = AgentCode.MACHINE_OFFLINE if self._board.view.link in ("down", "quiet") else RejectCode.BUSY
        for command in self._journal.received():
            self._pouring.refuse(command, code, "another order is not settled yet")

    def _take_decisions(self) -> None:
        for decision, path in operator_decisions.waiting(self._state_dir):
            if decision is Decision.RESUME_SELLING:
                self._journal.sales_block.resume_selling()
                self._tally.forget()
            else:
                self._journal.sales_block.accept_loss()
            path.unlink(missing_ok=True)
            log.warning("a person decided: %s", decision)

    def _write_down(self, now: float) -> None:
        """When nobody waits for the disk, and while there is room for more than what is under way."""
        if self._journal.failure or self._journal.sales_block.shortage():
            return
        if not self._talk.is_open:
            is_time = self._chronicle.is_due(now)
        else:
            is_time = self._chronicle.is_overdue(now) and not (self._journal.next_received() or self._journal.begun())
        if is_time:
            self._chronicle.write()
        if not self._talk.is_open:
            self._journal.memory.keep()
            self._journal.faults.write_if_due()

    def _prove_storage(self, now: float) -> None:
        """A full disk may have room again."""
        if now < self._due.storage:
            return
        self._due.storage = now + STORAGE_PROBE_S
        try:
            self._journal.sales_block.prove_writable()
        except JournalFailed as failed:
            log.error("the journal cannot be written: %s", failed)
