"""What an operator asks of a machine's agent besides drinks: asked, refused, sent, answered or not; one row a job.

A test cup is a make command of no order and no price: the agent's journal pours it at most once, the machine counts it
as free, and no book of ours ever sees it (promise 10).
"""

import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import JSON, ForeignKey, Index, String, and_, or_, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from cloud.database.base import Base
from cloud.database.transaction import Transaction
from cloud.fleet import closing, sessions
from cloud.fleet.models import Control, Device, DeviceLive, Drink
from cloud.orders import outbox
from cloud.orders.models import Order
from cloud.orders.states import ON_ITS_WAY, Status, values_of
from cloud.orders.tasks import Task
from protocol.fields import SettingValue
from protocol.messages import Accepted, Answer, Outcome, Progress, Unsupported
from protocol.reasons import AnswerStatus, RejectCode, Result, RinseProgram

log = logging.getLogger("cloud.courier")

LIVES_FOR = timedelta(seconds=60)
"""Not begun after that: until then the person who asked stands there. An agent's own limit is ten minutes."""
ANSWER_TAKES = timedelta(seconds=5)
"""From the last moment at which it may begin to the answer."""
ENDS_WITHIN = timedelta(minutes=10)
"""The longest cleaning, or restart; nobody will tell of a job that has not ended by then."""
UPDATE_ENDS_WITHIN = timedelta(minutes=45)
"""It fetches, waits for a moment without an order, and is tried."""
ANOTHERS_END_WITHIN = timedelta(days=1)
"""Begun, and of a kind that only newer programs know: theirs to end, but nobody's after they are gone."""
CUP = "test-"
"""Ids of test cups begin so: commands of orders never do."""


class Kind(StrEnum):
    """What can be asked; the words of the wire, but for the test cup."""

    RINSE = "rinse"
    RESTART = "restart"
    SETTINGS = "settings"
    RESUME = "resume"
    TEST_CUP = "test_cup"
    UPDATE = "update"


KINDS = frozenset(kind.value for kind in Kind)


class State(StrEnum):
    """How far a job has come."""

    WAITING = "waiting"
    SENT = "sent"
    """Told to the broker, and told again until the agent answers."""
    STARTED = "started"
    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    """The agent itself cannot say what became of it."""
    UNSUPPORTED = "unsupported"
    """The agent is older than the job."""
    EXPIRED = "expired"
    """No answer came while it could begin."""
    SILENT = "silent"
    """It began, and nobody told of its end."""


OPEN = frozenset({State.WAITING, State.SENT, State.STARTED})
_OF_STATUS = {
    AnswerStatus.STARTED: State.STARTED,
    AnswerStatus.DONE: State.DONE,
    AnswerStatus.FAILED: State.FAILED,
    AnswerStatus.REFUSED: State.REFUSED,
    AnswerStatus.UNKNOWN: State.UNKNOWN,
}
_OF_RESULT = {
    Result.DONE: State.DONE,
    Result.REJECTED: State.REFUSED,
    Result.FAILED: State.FAILED,
    Result.UNKNOWN: State.UNKNOWN,
}
_TOLD = frozenset({State.DONE, State.FAILED, State.REFUSED, State.UNSUPPORTED})
"""The agent's last word; an `unknown` it may correct."""


class DeviceJob(Base):
    """One job, its answer, or that there was none."""

    __tablename__ = "jobs"
    __table_args__ = (
        Index("ix_jobs_device", "device_uuid", "asked_at"),
        Index("ix_jobs_asked", "asked_at"),
        Index(
            "ix_jobs_open",
            "expires_at",
            postgresql_where=text("ended_at IS NULL"),
            sqlite_where=text("ended_at IS NULL"),
        ),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    device_uuid: Mapped[str] = mapped_column(ForeignKey("devices.device_uuid"))
    kind: Mapped[str] = mapped_column(String(16))
    wanted: Mapped[dict[str, Any]] = mapped_column(JSON)
    """Its particulars: program, values, drink, ..."""
    asked_by: Mapped[str] = mapped_column(String(128))
    asked_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    """It must have begun by then."""
    state: Mapped[str] = mapped_column(String(16), default=State.WAITING.value)
    code: Mapped[str] = mapped_column(String(64), default="")
    words: Mapped[str] = mapped_column(String(500), default="")
    sent_at: Mapped[datetime | None] = mapped_column(default=None)
    answered_at: Mapped[datetime | None] = mapped_column(default=None)
    """The agent's latest word."""
    ended_at: Mapped[datetime | None] = mapped_column(default=None)


@dataclass(frozen=True)
class Wanted:
    """What is asked. The rest is of one kind each: `program` of a rinse, `values` of settings, `drink_no` of a cup."""

    kind: Kind
    program: RinseProgram = RinseProgram.RINSE
    values: dict[str, SettingValue] | None = None
    accept_loss: bool = False
    drink_no: str = ""
    size: int = 1
    update: dict[str, Any] | None = None
    """Which version, and where it is."""

    def facts(self) -> dict[str, Any]:
        match self.kind:
            case Kind.RINSE:
                return {"program": self.program.value}
            case Kind.SETTINGS:
                return {"values": self.values or {}}
            case Kind.RESUME:
                return {"accept_loss": self.accept_loss}
            case Kind.TEST_CUP:
                return {"drink_no": self.drink_no, "size": self.size}
            case Kind.UPDATE:
                return dict(self.update or {})
            case Kind.RESTART:
                return {}


class Resumed(NamedTuple):
    """What letting a machine sell came to."""

    was_two: bool
    """Two agents had stopped it."""
    asks_agent: bool
    """Its agent must give its leave too: a job."""


class NotNow(Exception):
    """Refused before anybody was asked; `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


BUSY, ASKED_ALREADY, NO_AGENT, NO_DRINK = RejectCode.BUSY.value, "asked_already", "no_agent", "bad_drink"


def topic_of(job_id: str) -> str:
    """Woken with each change of the job."""
    return f"job:{job_id}"


def new_id(kind: Kind, random: str) -> str:
    """The id of a job, of the caller's random text."""
    return (CUP if kind is Kind.TEST_CUP else f"{kind.value}-") + random


def ask(tx: Transaction, device_uuid: str, wanted: Wanted, by: str, job_id: str, now: datetime) -> DeviceJob:
    """Have a worker put it to the agent. Raises `NotNow`: while an order is live, or another job; `NoSuchThing`."""
    device = closing.lock(tx, device_uuid)  # two who ask at once: the second finds the first's job
    assert isinstance(device, Device)  # noqa: S101  # without a drink it is the machine
    if device.control != Control.AGENT:
        raise NotNow(NO_AGENT)
    if wanted.kind is Kind.TEST_CUP and not _pours(tx.session, device_uuid, wanted):
        raise NotNow(NO_DRINK)
    if wanted.kind is not Kind.RESUME:  # which touches nothing, and may be what all the others wait for
        _refuse_beside_others(tx.session, device_uuid, wanted.kind, now)
    job = DeviceJob(
        id=job_id, device_uuid=device_uuid, kind=wanted.kind.value, wanted=wanted.facts(), asked_by=by[:128],
        asked_at=now, expires_at=now + LIVES_FOR, state=State.WAITING.value, code="", words="",
    )  # fmt: skip
    tx.session.add(job)
    outbox.add_unordered(tx, Task.JOB, job_id, job_id, now)
    facts = {"device": device_uuid, "job": job_id, "by": by}
    tx.log_after_commit(log.warning, "%s asked for", wanted.kind.value, extra=facts)
    return job


def let_sell(
    tx: Transaction, device_uuid: str, by: str, job_id: str, now: datetime, *, accept_loss: bool = False
) -> Resumed:
    """A person has looked at the machine: whatever stopped or closed it, it sells again, by its agent's leave too.

    Raises `NotNow`, `NoSuchThing`.
    """
    live = tx.session.get(DeviceLive, device_uuid, with_for_update=True)
    if live is None:
        raise closing.NoSuchThing(f"there is no {device_uuid}")
    asks_agent = tx.session.get_one(Device, device_uuid).control == Control.AGENT
    if asks_agent:
        ask(tx, device_uuid, Wanted(Kind.RESUME, accept_loss=accept_loss), by, job_id, now)
    was_two = live.two_agents_since is not None
    sessions.resume(tx, live, by, now)
    closing.open_again(tx, device_uuid, "", by, now)
    return Resumed(was_two, asks_agent)


def live_order(session: Session, device_uuid: str) -> str | None:
    """An order this machine has been paid for and has not ended."""
    live = select(Order.id).where(Order.device_uuid == device_uuid, Order.status.in_(values_of(ON_ITS_WAY)))
    return session.scalar(live.limit(1))


def order_in_the_way(session: Session, device_uuid: str, kind: Kind, now: datetime) -> str | None:
    """An order this job would disturb: one that is paid for, and of an update one that is being paid as well."""
    found = live_order(session, device_uuid)
    if found is not None or kind is not Kind.UPDATE:
        return found
    paying = select(Order.id).where(
        Order.device_uuid == device_uuid, Order.status == Status.PENDING.value, Order.expires_at > now
    )
    return session.scalar(paying.limit(1))


def is_test_cup(message: Accepted | Progress | Outcome) -> bool:
    """Of a test cup, not of an order's command."""
    return message.command_id.startswith(CUP)


def answered(tx: Transaction, device_uuid: str, said: Answer | Unsupported, now: datetime) -> None:
    """What the agent says of a job; of a cancel, or a job nobody knows, it is only logged."""
    job = _of_device(tx.session, device_uuid, said.reference)
    if job is None:
        facts = {"device": device_uuid, "command": said.reference}
        asked = said.asked if isinstance(said, Answer) else said.unknown_kind
        tx.log_after_commit(log.info, "an answer about %s", asked, extra=facts)
    elif isinstance(said, Unsupported):
        _note(tx, job, State.UNSUPPORTED, "", said.unknown_kind, now)
    else:
        _note(tx, job, _OF_STATUS[said.status], said.code, said.words, now)


def cup_reported(tx: Transaction, device_uuid: str, said: Accepted | Progress | Outcome, now: datetime) -> None:
    """What the machine says of a test cup: never of an order. A good one opens what the breaker closed."""
    job = _of_device(tx.session, device_uuid, said.command_id)
    if job is None:
        tx.log_after_commit(log.warning, "report of a test cup nobody asked for", extra={"device": device_uuid})
        return
    if not isinstance(said, Outcome):
        _note(tx, job, State.STARTED, "", "", now)
        return
    was = State(job.state)
    _note(tx, job, _OF_RESULT[said.result], said.code, "", now)
    if said.result is Result.DONE and was is not State.DONE:
        drink_no = str(job.wanted.get("drink_no", ""))
        good = partial(closing.poured_a_test_cup, tx, device_uuid, drink_no, job.asked_by, now)
        tx.at_the_end(closing.place_of(device_uuid), good)


def cups_waited_for(session: Session, device_uuids: Collection[str], now: datetime) -> dict[str, list[str]]:
    """By device, the test cups that can still be begun and that no machine has said it has."""
    untaken = and_(DeviceJob.state.in_([State.WAITING.value, State.SENT.value]), DeviceJob.expires_at > now)
    theirs = and_(DeviceJob.device_uuid.in_(device_uuids), DeviceJob.kind == Kind.TEST_CUP.value)
    asked = select(DeviceJob.device_uuid, DeviceJob.id).where(DeviceJob.ended_at.is_(None), untaken, theirs)
    found: dict[str, list[str]] = {}
    for device, job_id in session.execute(asked.order_by(DeviceJob.asked_at)):
        found.setdefault(device, []).append(job_id)
    return found


def overdue(tx: Transaction, now: datetime) -> None:
    """End those that nobody will answer any more."""
    late = or_(
        and_(DeviceJob.state != State.STARTED.value, DeviceJob.expires_at <= now - ANSWER_TAKES),
        and_(DeviceJob.kind.in_(KINDS - {Kind.UPDATE.value}), DeviceJob.expires_at <= now - ENDS_WITHIN),
        and_(DeviceJob.kind == Kind.UPDATE.value, DeviceJob.expires_at <= now - UPDATE_ENDS_WITHIN),
        DeviceJob.expires_at <= now - ANOTHERS_END_WITHIN,
    )
    found = select(DeviceJob).where(DeviceJob.ended_at.is_(None), late).with_for_update(skip_locked=True)
    for job in tx.session.scalars(found).all():
        _end(tx, job, State.SILENT if job.state == State.STARTED else State.EXPIRED, now)
        facts = {"device": job.device_uuid, "job": job.id}
        tx.log_after_commit(log.warning, "%s: the agent did not answer (%s)", job.kind, job.state, extra=facts)


def next_overdue(session: Session) -> datetime | None:
    """When the next of them will have waited long enough."""
    soonest = select(DeviceJob.state, DeviceJob.kind, DeviceJob.expires_at).where(DeviceJob.ended_at.is_(None))
    ends = [
        at + _may_take(kind, state)
        for state, kind, at in session.execute(soonest.order_by(DeviceJob.expires_at).limit(50))
    ]
    return min(ends, default=None)


def _may_take(kind: str, state: str) -> timedelta:
    if state != State.STARTED:
        return ANSWER_TAKES
    if kind not in KINDS:
        return ANOTHERS_END_WITHIN
    return UPDATE_ENDS_WITHIN if kind == Kind.UPDATE else ENDS_WITHIN


def latest(session: Session, device_uuid: str, limit: int) -> list[DeviceJob]:
    """A machine's jobs, newest first."""
    of_device = select(DeviceJob).where(DeviceJob.device_uuid == device_uuid)
    return list(session.scalars(of_device.order_by(DeviceJob.asked_at.desc(), DeviceJob.id).limit(limit)))


def latest_update(session: Session, device_uuid: str) -> DeviceJob | None:
    """The last time its agent was asked to update itself."""
    asked = select(DeviceJob).where(DeviceJob.device_uuid == device_uuid, DeviceJob.kind == Kind.UPDATE.value)
    return session.scalar(asked.order_by(DeviceJob.asked_at.desc()).limit(1))


def refuse(tx: Transaction, job: DeviceJob, code: str, now: datetime) -> None:
    """By the cloud itself: it was not sent, and will not be."""
    job.code = code
    _end(tx, job, State.REFUSED, now)


def _note(tx: Transaction, job: DeviceJob, state: State, code: str, words: str, now: datetime) -> None:
    """The agent has said it; also after nobody expected an answer any more."""
    if State(job.state) in _TOLD or (state is State.STARTED and job.state != State.WAITING and job.state != State.SENT):
        return
    job.code, job.words, job.answered_at = code[:64], words[:500], now
    outbox.settle_unordered(tx, job.id, state.value, now)
    if state is State.STARTED:
        job.state = state.value
        tx.notify(topic_of(job.id))
    else:
        _end(tx, job, state, now)
    facts = {"device": job.device_uuid, "job": job.id}
    tx.log_after_commit(log.info, "%s: %s %s", job.kind, state.value, code, extra=facts)


def _end(tx: Transaction, job: DeviceJob, state: State, now: datetime) -> None:
    job.state, job.ended_at = state.value, now
    outbox.settle_unordered(tx, job.id, state.value, now)
    tx.notify(topic_of(job.id))


def _of_device(session: Session, device_uuid: str, job_id: str) -> DeviceJob | None:
    """A device can only speak for itself (promise 5)."""
    job = session.get(DeviceJob, job_id, with_for_update=True)
    return job if job is not None and job.device_uuid == device_uuid else None


def _refuse_beside_others(session: Session, device_uuid: str, kind: Kind, now: datetime) -> None:
    if order_in_the_way(session, device_uuid, kind, now) is not None:
        raise NotNow(BUSY)
    of_device = and_(DeviceJob.device_uuid == device_uuid, DeviceJob.ended_at.is_(None))
    if session.scalar(select(DeviceJob.id).where(of_device).limit(1)) is not None:
        raise NotNow(ASKED_ALREADY)


def _pours(session: Session, device_uuid: str, wanted: Wanted) -> bool:
    drink = session.get(Drink, (device_uuid, wanted.drink_no))
    return drink is not None and wanted.size in {0, 1, 2} and drink.price(wanted.size) is not None
