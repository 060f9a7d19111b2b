"""What an operator asks for besides drinks: rinse, restart, resume, settings. Refused, with a reason, in mid-drink.

Nothing here is journaled: a job that was not begun is forgotten by a crash, and asked for again under its own id.
"""

import json
import logging
from collections import OrderedDict
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from msgspec import UNSET

from agent.clock import Clock, CloudClock
from agent.deadline import WELCOME_PATIENCE_S, Term, Timeliness, expires_at, judge
from agent.journal import operator_decisions
from agent.journal.operator_decisions import Decision
from agent.journal.sales_block import SalesBlock
from agent.live_state import LiveState
from agent.machine import profile_overrides
from agent.machine.conversation import Conversation, LineLost, Wait, is_nudge
from agent.machine.driver import MAX_MSG_ID, Driver
from agent.machine.profile import BadProfile, Profile
from agent.making.counter_watch import CounterWatch
from agent.update.updater import Updater
from protocol import machine
from protocol.machine import DoneEvent, FailedEvent
from protocol.messages import Answer, Job, Restart, Resume, Rinse, Settings, Update
from protocol.reasons import AgentCode, AnswerStatus, JobCode, RejectCode

FILE = "restart.json"
LONGEST_LIFE_S = 600.0
"""An older job is refused whatever its own deadline says. No setting: or a wrong one would lock the operator out."""
REMEMBERED = 32
"""Answers kept to be repeated; nobody asks for as many jobs within a message's life."""
LEAVE_AFTER_S = 1.0
"""Between the answer and the restart: time for the answer to reach the broker."""
LOOK_AGAIN_S = 0.5
PATIENCE_S = WELCOME_PATIENCE_S + 2.0
"""How long a job waits for the cloud's clock; drinks wait behind it."""
WORDS = 500
log = logging.getLogger(__name__)


@dataclass(slots=True)
class OperatorJobs:
    """Jobs one at a time. `restart` ends this run of the agent; whoever started it starts it again."""

    driver: Driver
    live_state: LiveState
    clock: Clock
    cloud: CloudClock
    profile: Profile
    base: Profile
    """Without what an operator has set."""
    sales_block: SalesBlock
    counter_watch: CounterWatch
    state_dir: Path
    restart: Callable[[], None]
    updater: Updater | None = None
    """None: this agent does not update itself."""
    leaves_at: float | None = None
    """Steady seconds; from the moment it is set nothing new is begun."""
    _answered: OrderedDict[str, Answer] = field(default_factory=OrderedDict)

    def answer_restart(self) -> None:
        """Once at the start: was it a job that ended the last run?"""
        if self.updater is not None and (told := self.updater.told_before()) is not None:
            self._give_answer(told)
        path = self.state_dir / FILE
        try:
            said = json.loads(path.read_text("utf-8"))
            answer = Answer(reference=said["job_id"], asked=said["asked"], status=AnswerStatus.DONE)
        except (OSError, ValueError, KeyError, TypeError):
            return
        self._give_answer(answer)

    def act_on_decisions(self) -> None:
        """What was decided at the machine's own command line, or in a job of ours. Raises `JournalFailed`."""
        for decision, path in operator_decisions.waiting(self.state_dir):
            if decision is Decision.RESUME_SELLING:
                self.sales_block.resume_selling()
                self.counter_watch.forgive()
            else:
                self.sales_block.accept_loss()
            path.unlink(missing_ok=True)
            log.warning("a person decided: %s", decision)

    def leave_if_due(self, now: float) -> None:
        if self.leaves_at is not None and now >= self.leaves_at:
            self.leaves_at = float("inf")
            log.warning("starting anew, as was asked")
            self.restart()

    def follow_update(self, now: float, *, is_idle: bool) -> None:
        """Tell what it came to; once it waits for nothing but a moment without an order, leave for the new version."""
        if self.updater is None or self.leaves_at is not None:
            return
        if self.updater.switch(now, is_idle=is_idle):
            self.leaves_at = now + LEAVE_AFTER_S
        elif (end := self.updater.take_end()) is not None:
            self._give_answer(end)

    def refuse(self, job: Job, code: str, words: str) -> None:
        """Nothing was done and nothing will be."""
        log.info("%s %s refused: %s %s", _kind(job), job.job_id, code, words)
        self.answer(job, AnswerStatus.REFUSED, code, words)

    def answer(self, job: Job, status: AnswerStatus, code: str = "", words: str = "") -> None:
        said = Answer(reference=job.job_id, asked=_kind(job), status=status, code=code, words=words[:WORDS])
        self._give_answer(said)

    def repeat(self, job: Job) -> bool:
        """True when the job was answered before; the answer is given again and nothing else happens."""
        known = self._answered.get(job.job_id)
        if known is not None:
            self.live_state.add_answer(known)
        return known is not None

    def run_job(self, job: Job) -> Conversation[None]:
        """One job, unless it came too late."""
        began = self.clock.monotonic()
        while (timeliness := judge(self._term(job, began), self.cloud.reading())) is Timeliness.WAIT:
            if self.clock.monotonic() - began > PATIENCE_S:
                self.refuse(job, AgentCode.EXPIRED, "the time is not known, so it may have come too late")
                return
            yield Wait(self.clock.monotonic() + LOOK_AGAIN_S, is_nudge)
        if timeliness is Timeliness.EXPIRED:
            self.refuse(job, AgentCode.EXPIRED, "it came too late")
            return
        match job:
            case Rinse():
                yield from self._rinse(job, expires_at(self._term(job, began), self.cloud.reading()))
            case Restart():
                self._leave(job)
            case Resume():
                self._resume(job)
            case Settings():
                self._set(job)
            case Update():
                self._update(job)

    def _update(self, job: Update) -> None:
        if self.updater is None:
            self.refuse(job, RejectCode.UNSUPPORTED, "this agent does not update itself")
        else:
            self._give_answer(self.updater.begin(job))

    def end_rinse(self, event: DoneEvent | FailedEvent, job_id: str) -> None:
        """The machine has come to the end of a rinse."""
        known = self._answered.get(job_id)
        if known is None or known.asked != Rinse.__struct_config__.tag:
            log.info("a rinse nobody asked for has ended: %s", event)
        elif isinstance(event, DoneEvent):
            self._give_answer(Answer(reference=job_id, asked=known.asked, status=AnswerStatus.DONE))
        else:
            self._give_answer(Answer(reference=job_id, asked=known.asked, status=AnswerStatus.FAILED, code=event.code))

    def _rinse(self, job: Rinse, until: float) -> Conversation[None]:
        if not self.driver.can("rinse"):
            self.refuse(job, RejectCode.UNSUPPORTED, "this machine cannot be rinsed from afar")
            return
        if not self.driver.is_greeted:
            self.refuse(job, AgentCode.MACHINE_OFFLINE, "the machine does not answer")
            return
        if not self.driver.fits(machine.Rinse(msg_id=MAX_MSG_ID, job_uuid=job.job_id, kind=job.program.value)):
            self.refuse(job, RejectCode.BAD_BODY, "no frame of this machine holds its id")
            return
        self._note(job, AnswerStatus.UNKNOWN)
        try:
            reply = yield from self.driver.rinse(job.job_id, job.program.value, until)
            if reply is None:
                self.answer(job, AnswerStatus.UNKNOWN, AgentCode.MACHINE_OFFLINE, "the machine did not answer")
                return
            if reply.ok:
                self._began(job)
            else:
                self.refuse(job, RejectCode.FAULT if reply.code is UNSET else reply.code, "the machine refused")
            yield from self.driver.status()
        except LineLost as lost:
            if self._answered[job.job_id].status is AnswerStatus.UNKNOWN:
                self.answer(job, AnswerStatus.UNKNOWN, AgentCode.MACHINE_OFFLINE, str(lost))

    def _began(self, job: Rinse) -> None:
        """Unless its end was heard before its beginning."""
        if self._answered[job.job_id].status is AnswerStatus.UNKNOWN:
            self.answer(job, AnswerStatus.STARTED)

    def _set(self, job: Settings) -> None:
        try:
            profile_overrides.laid_over(self.base, job.values)
        except BadProfile as bad:
            self.refuse(job, JobCode.BAD_SETTING, str(bad))
        else:
            self._leave(job, job.values)

    def _resume(self, job: Resume) -> None:
        """The same decision as at the machine's own command line, and acted on in the same place."""
        if self.sales_block.is_lost and not job.accept_loss:
            self.refuse(job, AgentCode.NOT_SELLING, "a damaged journal was put aside; look at it, then --accept-loss")
            return
        log.warning("%s: %s decides to sell again", job.job_id, job.by or "an operator")
        try:
            if job.accept_loss:
                operator_decisions.leave(self.state_dir, Decision.ACCEPT_LOSS)
            operator_decisions.leave(self.state_dir, Decision.RESUME_SELLING)
        except OSError as error:
            self.refuse(job, AgentCode.STORAGE, str(error))
            return
        self.live_state.update(rival="")
        self.answer(job, AnswerStatus.DONE)

    def _leave(self, job: Job, values: profile_overrides.Values | None = None) -> None:
        """Remembered before it is done: the same job, told again after the restart, must not cause the next.

        With `values` those are kept first, or a power cut between the two would have them told as done.
        """
        remembered = json.dumps({"job_id": job.job_id, "asked": _kind(job)})
        try:
            with nullcontext() if values is None else profile_overrides.kept(self.state_dir, values):
                profile_overrides.write_whole(self.state_dir / FILE, remembered)
        except OSError as error:
            self.refuse(job, AgentCode.STORAGE, str(error))
            return
        self.answer(job, AnswerStatus.STARTED)
        self.leaves_at = self.clock.monotonic() + LEAVE_AFTER_S

    def _term(self, job: Job, began: float) -> Term:
        return Term(
            issued_at=job.issued_at,
            deadline_at=job.deadline_at,
            waiting_since=began,
            outlived_a_restart=False,
            freshness_s=LONGEST_LIFE_S,
            broker_until=self.live_state.expiry_of(job.job_id),
        )

    def _note(self, job: Job, status: AnswerStatus) -> None:
        self._remember(Answer(reference=job.job_id, asked=_kind(job), status=status))

    def _give_answer(self, answer: Answer) -> None:
        self._remember(answer)
        self.live_state.add_answer(answer)

    def _remember(self, answer: Answer) -> None:
        self._answered[answer.reference] = answer
        while len(self._answered) > REMEMBERED:
            self._answered.popitem(last=False)


def _kind(job: Job) -> str:
    return str(job.__struct_config__.tag)
