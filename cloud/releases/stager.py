"""The loop that brings a version over a fleet: asks machine by machine, reads their answers, goes on or stops."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import select

from cloud.access.acts import Act
from cloud.access.journal import Author, Entry, record
from cloud.courier import device_jobs
from cloud.courier.device_jobs import DeviceJob, Kind, NotNow, State, Wanted
from cloud.database.database import Database
from cloud.database.transaction import Transaction
from cloud.fleet import update_lock
from cloud.fleet.models import Device
from cloud.releases import rollouts, standing, waves
from cloud.releases.models import GOES_ON, Release, Rollout, RolloutMachine, RolloutState, Step
from cloud.releases.release_route import url_of
from cloud.releases.waves import Next

log = logging.getLogger("cloud.releases")

AT_ONCE = 20
"""Machines asked and not done: each fetches a bundle, and sells nothing for a minute or two."""
AGAIN = timedelta(minutes=5)
"""A machine that was busy, or not there, is asked again. What it runs since it answered has arrived by then, too."""
WHILE_ASKED, WHILE_RUNNING, IDLE = timedelta(seconds=5), timedelta(seconds=30), timedelta(minutes=10)
BY_ITSELF = Author("cloud", "rollout")
OTHER_VERSION = "other_version"
"""Why a machine that was done is asked anew."""
FINISHED = "rollout_end"
"""In the journal; no person's act."""


class Stager:
    """One per worker; they hold the rollout's row in turns."""

    def __init__(self, database: Database, public_url: str, new_id: Callable[[], str]) -> None:
        self._database = database
        self._public_url = public_url
        self._new_id = new_id

    def step(self, now: datetime) -> datetime:
        """Read answers, go on; when to look again."""
        return now + self._database.transact(self._work, now)

    def _work(self, tx: Transaction, now: datetime) -> timedelta:
        for device_uuid in update_lock.expire(tx, now):
            tx.log_after_commit(log.warning, "the update lock has run out", extra={"device": device_uuid})
        is_anyone_asked = self._hear(tx, now)
        rollout = self._in_course(tx)
        if rollout is not None:
            is_anyone_asked |= self._go_on(tx, rollout, now)
        return WHILE_ASKED if is_anyone_asked else WHILE_RUNNING if rollout is not None else IDLE

    def _in_course(self, tx: Transaction) -> Rollout | None:
        """A paused one too: of its machines that were asked one may fail."""
        in_course = select(Rollout).where(Rollout.state.in_(GOES_ON))
        return tx.session.scalar(in_course.limit(1).with_for_update(skip_locked=True))

    def _hear(self, tx: Transaction, now: datetime) -> bool:
        """Take in what became of the jobs; whether any is still open."""
        asked = select(RolloutMachine, DeviceJob).join(DeviceJob, DeviceJob.id == RolloutMachine.job_id)
        asked = asked.where(RolloutMachine.state == Step.ASKED.value).with_for_update(
            of=RolloutMachine, skip_locked=True
        )
        is_open = False
        for one, job in tx.session.execute(asked.limit(10 * AT_ONCE)).all():
            if State(job.state) in device_jobs.OPEN:
                is_open = True
            else:
                self._note_end(tx, one, job, now)
        return is_open

    def _note_end(self, tx: Transaction, one: RolloutMachine, job: DeviceJob, now: datetime) -> None:
        state = State(job.state)
        if state is State.SILENT and standing.runs(tx.session, one):
            state = State.DONE  # only its word was lost
        step = waves.step_of(state, job.code, one.tries)
        one.state, one.code, one.words = step.value, job.code or job.state, job.words
        one.changed_at, one.not_before = now, now + AGAIN
        update_lock.release(tx, one.device_uuid)
        facts = {"device": one.device_uuid, "job": job.id}
        tx.log_after_commit(log.warning, "update %s: %s %s", step.value, job.state, job.code, extra=facts)

    def _go_on(self, tx: Transaction, rollout: Rollout, now: datetime) -> bool:
        is_paused = rollout.state == RolloutState.PAUSED.value
        if not is_paused:
            self._take_back(tx, rollout, now)
        tally, is_last = standing.tally(tx.session, rollout, now), standing.is_last(tx.session, rollout)
        soak = timedelta(seconds=rollout.soak_s)
        match waves.next_of(tally, is_last=is_last, settled_at=rollout.settled_at, soak=soak, now=now,
                            is_paused=is_paused):  # fmt: skip
            case Next.STOP:
                failed = rollouts.failed(tx.session, rollout.id, 5)
                why = "; ".join(f"{one.device_uuid}: {one.code} {one.words}".strip() for one in failed)
                turned = rollouts.end(tx, rollout, RolloutState.STOPPED, why, now)
                record(tx, Entry(Act.STOP_ROLLOUT, BY_ITSELF, turned.subject, why, turned.before, turned.after), now)
                tx.log_after_commit(log.error, "the rollout of %s has stopped: %s", rollout.version, why, extra={})
            case Next.FINISH:
                turned = rollouts.end(tx, rollout, RolloutState.DONE, "", now)
                record(tx, Entry(FINISHED, BY_ITSELF, turned.subject, "", turned.before, turned.after), now)
            case Next.SETTLE:
                rollout.settled_at = now
            case Next.ADVANCE:
                rollout.wave, rollout.settled_at = rollout.wave + 1, None
                tx.log_after_commit(log.warning, "%s: wave %d begins", rollout.version, rollout.wave + 1, extra={})
                return True
            case Next.BRING_FORWARD:
                self._bring_forward(tx, rollout)
            case Next.ASK:
                return self._ask_some(tx, rollout, AT_ONCE - tally.asked, now)
            case Next.SOAK | Next.WAIT:
                pass
        return False

    def _take_back(self, tx: Transaction, rollout: Rollout, now: datetime) -> None:
        """Machines that run another version again are asked anew; a rollback never gets here: its job has failed."""
        for one, version in standing.with_another_version(tx.session, rollout, now - AGAIN):
            one.state, one.changed_at = waves.step_with_another_version(one.tries).value, now
            one.code, one.words = OTHER_VERSION, f"it runs {version}"
            rollout.settled_at = None
            facts = {"device": one.device_uuid}
            tx.log_after_commit(log.warning, "update %s: it runs %s again", one.state, version, extra=facts)

    def _bring_forward(self, tx: Transaction, rollout: Rollout) -> None:
        one = standing.next_later(tx.session, rollout)
        if one is not None:
            one.wave, rollout.settled_at = rollout.wave, None
            facts = {"device": one.device_uuid}
            tx.log_after_commit(log.warning, "%s: nobody has it yet, one more is asked", rollout.version, extra=facts)

    def _ask_some(self, tx: Transaction, rollout: Rollout, room: int, now: datetime) -> bool:
        release = tx.session.get_one(Release, rollout.version)
        is_anyone_asked = False
        for one in standing.to_ask(tx.session, rollout, now):
            if room <= 0:
                break
            if self._ask(tx, rollout, release, one, now):
                room, is_anyone_asked = room - 1, True
        return is_anyone_asked

    def _ask(self, tx: Transaction, rollout: Rollout, release: Release, one: RolloutMachine, now: datetime) -> bool:
        """With the machine's row held: no order is live, and none begins until the job's end or the lease's."""
        job_id = device_jobs.new_id(Kind.UPDATE, self._new_id())
        wanted = Wanted(
            Kind.UPDATE,
            update={
                "version": release.version, "url": url_of(self._public_url, release.version), "size": release.size,
                "sha256": release.sha256, "allow_older": rollout.allow_older,
            },
        )  # fmt: skip
        try:
            device_jobs.ask(tx, one.device_uuid, wanted, f"rollout of {release.version}", job_id, now)
        except NotNow as not_now:
            one.not_before, one.code = now + WHILE_RUNNING, not_now.code
            if not_now.code == device_jobs.NO_AGENT:
                one.state, one.changed_at = Step.SKIPPED.value, now
            return False
        update_lock.take(tx, tx.session.get_one(Device, one.device_uuid), now)
        one.state, one.job_id, one.tries, one.changed_at = Step.ASKED.value, job_id, one.tries + 1, now
        one.code = one.words = ""
        return True
