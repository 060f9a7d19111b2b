"""Carries jobs to agents: sent again until the agent itself answers or the job's time is over. Lives in the worker.

The same job again is the same job (docs/wire-contract.md), so it needs no answer of the broker's.
"""

import logging
from datetime import datetime, timedelta

from cloud.background.loops import Clock
from cloud.courier.broker import BrokerLink, NotConnected
from cloud.courier.device_jobs import (
    BUSY,
    KINDS,
    DeviceJob,
    Kind,
    State,
    next_overdue,
    order_in_the_way,
    overdue,
    refuse,
)
from cloud.database.database import Database
from cloud.database.transaction import Transaction
from cloud.orders import outbox
from cloud.orders.outbox import Lease, OutboxRow
from cloud.orders.tasks import VOID, Lane
from protocol.errors import WireError
from protocol.messages import Make, Message, Restart, Resume, Rinse, Settings, Update, encode
from protocol.reasons import RinseProgram
from protocol.topics import Channel, topic

log = logging.getLogger("cloud.courier")

TOPIC = outbox.topic(Lane.JOBS)
LEASE_S = 30.0
AGAIN = timedelta(seconds=5)
"""A connected agent has answered by then."""
HELD_AGAIN = timedelta(seconds=1)
"""Somebody holds the job: its agent is answering, most likely."""
IDLE = timedelta(seconds=60)


class JobSender:
    """One per worker; `owner` names its leases."""

    def __init__(self, database: Database, link: BrokerLink, owner: str, clock: Clock) -> None:
        self._database = database
        self._link = link
        self._owner = owner
        self._clock = clock

    def step(self, now: datetime) -> datetime:
        """Send what is due, give up what nobody will answer; return when to look again."""
        for row, job in self._database.transact(self._take, now):
            try:
                self._send(row, job)
            except Exception as error:  # told, sent again when its lease is over, and no other waits
                facts = {"device": job.device_uuid, "job": job.id}
                log.error("a job could not be sent, or not noted as sent", exc_info=error, extra=facts)
        with self._database.read() as session:
            wanted = [outbox.next_due(session, Lane.JOBS), next_overdue(session)]
        return min([now + IDLE, *(at for at in wanted if at is not None)])

    def _take(self, tx: Transaction, now: datetime) -> list[tuple[OutboxRow, DeviceJob]]:
        overdue(tx, now)
        taken = []
        for row in outbox.claim(tx, Lane.JOBS, now, Lease(self._owner, LEASE_S)):
            # Its answer locks the job first, then the row that we hold: it is not waited for.
            job = tx.session.get(DeviceJob, row.subject, with_for_update={"skip_locked": True})
            if job is None and tx.session.get(DeviceJob, row.subject) is not None:
                outbox.reschedule_unordered(tx, row, self._owner, now + HELD_AGAIN, "held")
            elif job is not None and job.kind not in KINDS:
                outbox.reschedule_unordered(tx, row, self._owner, now + AGAIN, "for a newer worker")
            elif job is None or job.expires_at <= now:
                outbox.settle_unordered(tx, row.key, VOID, now)
            elif job.sent_at is None and self._is_in_the_way(tx, job, now):
                refuse(tx, job, BUSY, now)
            else:
                taken.append((row, job))
        return taken

    @staticmethod
    def _is_in_the_way(tx: Transaction, job: DeviceJob, now: datetime) -> bool:
        """Someone may have paid since it was asked for."""
        kind = Kind(job.kind)
        return kind is not Kind.RESUME and order_in_the_way(tx.session, job.device_uuid, kind, now) is not None

    def _send(self, row: OutboxRow, job: DeviceJob) -> None:
        now = self._clock()
        left_s = int((job.expires_at - now).total_seconds())
        try:
            self._link.publish(topic(job.device_uuid, Channel.COMMAND), encode(message_of(job)), max(1, left_s))
        except (NotConnected, WireError, OSError) as error:
            log.warning("a job could not be sent: %s", error, extra={"device": job.device_uuid, "job": job.id})
            self._database.transact(outbox.reschedule_unordered, row, self._owner, now + AGAIN, str(error))
        else:
            self._database.transact(self._sent, row, job.id, now)

    def _sent(self, tx: Transaction, row: OutboxRow, job_id: str, now: datetime) -> None:
        job = tx.session.get_one(DeviceJob, job_id, with_for_update=True)
        outbox.reschedule_unordered(tx, row, self._owner, now + AGAIN, "")
        if job.state == State.WAITING:
            job.state, job.sent_at = State.SENT.value, now


def message_of(job: DeviceJob) -> Message:
    """The job as its agent is told it."""
    job_id, since, until = job.id, job.asked_at, job.expires_at
    match Kind(job.kind):
        case Kind.RINSE:
            program = RinseProgram(job.wanted["program"])
            return Rinse(job_id=job_id, issued_at=since, deadline_at=until, program=program)
        case Kind.RESTART:
            return Restart(job_id=job_id, issued_at=since, deadline_at=until)
        case Kind.SETTINGS:
            return Settings(job_id=job_id, issued_at=since, deadline_at=until, values=job.wanted["values"])
        case Kind.RESUME:
            loss = bool(job.wanted["accept_loss"])
            return Resume(job_id=job_id, issued_at=since, deadline_at=until, by=job.asked_by, accept_loss=loss)
        case Kind.UPDATE:
            return Update(job_id=job_id, issued_at=since, deadline_at=until, **job.wanted)
        case Kind.TEST_CUP:
            drink_no, size = job.wanted["drink_no"], job.wanted["size"]
            return Make(
                command_id=job_id, order_id=job_id, attempt=1, drink_no=drink_no, size=size, price=0, issued_at=since,
                deadline_at=until,
            )  # fmt: skip
