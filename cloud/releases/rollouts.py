"""The use cases of releases: add a bundle; start, pause and stop its way over a fleet. The caller journals each."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, case, func, select, update
from sqlalchemy.orm import Session

from cloud.access.journal import Subject
from cloud.database.transaction import Transaction
from cloud.fleet.models import Control, Device, DeviceLive
from cloud.releases import bundling, standing, waves
from cloud.releases.models import GOES_ON, Release, Rollout, RolloutMachine, RolloutState, Step
from protocol.errors import Malformed

TOPIC = "rollouts"
"""Woken when there is something to do."""


class CannotRelease(Exception):
    """Why not: a code for callers with words of their own, what or whom it is about, and the words."""

    def __init__(self, code: str, words: str, about: str = "") -> None:
        super().__init__(words)
        self.code = code
        self.about = about


@dataclass(frozen=True)
class Plan:
    """How a version is to be brought out."""

    version: str
    waves: Sequence[str] = waves.DEFAULT
    soak_s: int = 3600
    allow_older: bool = False
    merchant_id: str = ""
    """Only its machines; "" is everybody's."""
    first: Sequence[str] = ()
    """Machines that are asked before all others."""


@dataclass(frozen=True)
class Turned:
    """A rollout and what an act made of it, as the journal tells it."""

    rollout: Rollout
    before: Mapping[str, object] | None
    after: Mapping[str, object]

    @property
    def subject(self) -> Subject:
        return subject_of(self.rollout)


@dataclass(frozen=True)
class Stopped:
    """A rollout that goes no further."""

    version: str
    at: datetime
    failed: int
    """Machines that did not take the version."""


def subject_of(rollout: Rollout) -> Subject:
    """Name a rollout in the journal: the version for its readers, the number for looking the rollout up."""
    return Subject("rollout", f"{rollout.version}/{rollout.id}")


def add(tx: Transaction, bundle: bytes, keys: Sequence[str], by: str, now: datetime) -> tuple[Release, bool]:
    """Keep a bundle, once one of our keys is known to have signed it; whether it is new. Raises `CannotRelease`."""
    if not keys:
        raise CannotRelease("no_keys", "COFFEE_RELEASE_KEYS names no key that may sign")
    try:
        manifest = bundling.opened(bundle, keys)
    except Malformed as error:
        raise CannotRelease("not_signed", str(error)) from None
    digest = hashlib.sha256(bundle).hexdigest()
    known = tx.session.get(Release, manifest.version)
    if known is not None:
        if known.sha256 != digest:
            words = f"{manifest.version} is there already, with other contents: give it another version"
            raise CannotRelease("other_contents", words, manifest.version)
        return known, False
    release = Release(
        version=manifest.version, size=len(bundle), sha256=digest, bundle=bundle, added_at=now, added_by=by[:128]
    )  # fmt: skip
    tx.session.add(release)
    return release, True


def start(tx: Transaction, plan: Plan, by: str, now: datetime) -> Turned:
    """Begin; the machines are dealt to the waves now. Raises `CannotRelease`, `waves.BadWaves`."""
    _one_at_a_time(tx)
    release = tx.session.get(Release, plan.version)
    if release is None:
        raise CannotRelease("no_such_version", f"there is no {plan.version}: `coffee-cloud release add`", plan.version)
    if (other := going_on(tx.session)) is not None:
        words = f"{other.version} is {other.state}: stop it first, or `release resume` it"
        raise CannotRelease("another_goes_on", words, other.version)
    machines = _in_turn(tx.session, plan, bundling.machines_of(release.bundle))
    if not machines:
        raise CannotRelease("no_machines", "no machine with an agent is meant")
    ends = waves.sizes(plan.waves, len(machines))
    rollout = Rollout(
        version=plan.version, state=RolloutState.RUNNING.value, waves=list(plan.waves), wave=0, soak_s=plan.soak_s,
        allow_older=plan.allow_older, asked_by=by[:128], asked_at=now, why="",
    )  # fmt: skip
    tx.session.add(rollout)
    tx.session.flush()
    for place, device_uuid in enumerate(machines):
        wave = waves.wave_of(place, ends)
        if wave is not None:
            one = RolloutMachine(rollout_id=rollout.id, device_uuid=device_uuid, wave=wave, changed_at=now)
            tx.session.add(one)
    tx.notify(TOPIC)
    told = {"waves": list(plan.waves), "soak_s": plan.soak_s, "machines": min(ends[-1], len(machines))}
    return Turned(rollout, None, told)


def pause(tx: Transaction, rollout_id: int | None = None) -> Turned:
    """Ask nobody more until it is resumed. `rollout_id`: this one and no other. Raises `CannotRelease`."""
    return _turn(tx, _held(tx, {RolloutState.RUNNING}, rollout_id), RolloutState.PAUSED, "")


def resume(tx: Transaction, now: datetime, rollout_id: int | None = None, *, again: bool = False) -> Turned:
    """Go on with the latest, if it is paused or stopped; `again`: also with the machines that failed.

    Without it those are left out. Raises `CannotRelease`: an older one would undo what came after it.
    """
    _one_at_a_time(tx)
    rollout = _held(tx, {RolloutState.PAUSED, RolloutState.STOPPED}, rollout_id)
    if (other := going_on(tx.session)) is not None and other.id != rollout.id:
        raise CannotRelease("another_goes_on", f"{other.version} is {other.state}: stop it first", other.version)
    if (newer := latest(tx.session)) is not None and newer.id != rollout.id:
        words = f"{newer.version} was brought out after {rollout.version}: `release start` it anew"
        raise CannotRelease("moved_on", words)
    if again or rollout.state == RolloutState.STOPPED.value:  # where it is only paused, a failure has yet to stop it
        left = Step.WAITING if again else Step.SKIPPED
        swept = update(RolloutMachine).where(_failed(rollout.id))
        tx.session.execute(swept.values(state=left.value, tries=0, changed_at=now))
    rollout.settled_at = rollout.ended_at = None
    return _turn(tx, rollout, RolloutState.RUNNING, "")


def stop(tx: Transaction, why: str, now: datetime, rollout_id: int | None = None) -> Turned:
    """Ask no more machines; one that was asked already goes on by itself. Raises `CannotRelease`."""
    rollout = _held(tx, {RolloutState.RUNNING, RolloutState.PAUSED}, rollout_id)
    return end(tx, rollout, RolloutState.STOPPED, why, now)


def end(tx: Transaction, rollout: Rollout, state: RolloutState, why: str, now: datetime) -> Turned:
    rollout.ended_at = now
    return _turn(tx, rollout, state, why)


def going_on(session: Session) -> Rollout | None:
    return session.scalar(select(Rollout).where(Rollout.state.in_(GOES_ON)).limit(1))


def latest(session: Session) -> Rollout | None:
    return session.scalar(select(Rollout).order_by(Rollout.id.desc()).limit(1))


def counts(session: Session, rollout_id: int) -> list[tuple[int, str, int]]:
    """Return wave, step, and how many machines; those that would wait but are out of service are told apart."""
    is_out = and_(RolloutMachine.state == Step.WAITING, ~standing.in_service())
    step = case((is_out, "out of service"), else_=RolloutMachine.state)
    asked = select(RolloutMachine.wave, step, func.count()).where(RolloutMachine.rollout_id == rollout_id)
    asked = asked.join(Device, Device.device_uuid == RolloutMachine.device_uuid)
    found = session.execute(asked.group_by(RolloutMachine.wave, step)).all()
    return sorted((wave, name, count) for wave, name, count in found)


def troubles(session: Session, rollout_id: int, limit: int = 20) -> list[RolloutMachine]:
    """Machines that failed or were skipped, with their words."""
    bad = (Step.FAILED.value, Step.SKIPPED.value)
    asked = select(RolloutMachine).where(RolloutMachine.rollout_id == rollout_id, RolloutMachine.state.in_(bad))
    return list(session.scalars(asked.order_by(RolloutMachine.changed_at.desc()).limit(limit)))


def _in_turn(session: Session, plan: Plan, made_for: Sequence[str]) -> list[str]:
    """Return all meant, in the order they are asked: the named as named, then those that are there, dealt by chance.

    `made_for`: the only machines the version is for; none named is every machine.
    """
    asked = select(Device.device_uuid, DeviceLive.online).join(
        DeviceLive, DeviceLive.device_uuid == Device.device_uuid, isouter=True
    )
    asked = asked.where(Device.control == Control.AGENT.value, standing.in_service())
    if plan.merchant_id:
        asked = asked.where(Device.merchant_id == plan.merchant_id)
    if made_for:
        asked = asked.where(Device.device_uuid.in_(made_for))
    found = {device_uuid: bool(online) for device_uuid, online in session.execute(asked)}
    if unknown := [name for name in plan.first if name not in found]:
        raise CannotRelease("no_such_machine", f"{unknown[0]} is none of these machines, or out of service", unknown[0])

    named = {device_uuid: place for place, device_uuid in reversed(list(enumerate(plan.first)))}

    def turn(device_uuid: str) -> tuple[int, bool, bytes]:
        chance = hashlib.sha256(f"{plan.version} {device_uuid}".encode()).digest()
        return named.get(device_uuid, len(plan.first)), not found[device_uuid], chance

    return sorted(found, key=turn)


def failed(session: Session, rollout_id: int, limit: int) -> Sequence[RolloutMachine]:
    """Machines that did not take it."""
    asked = select(RolloutMachine).where(_failed(rollout_id)).order_by(RolloutMachine.device_uuid)
    return session.scalars(asked.limit(limit)).all()


def has_failed(session: Session, rollout_id: int) -> bool:
    """Tell whether a machine has failed: to go on is then a choice, with it or without."""
    return session.scalar(select(RolloutMachine.device_uuid).where(_failed(rollout_id)).limit(1)) is not None


def stopped_by_failures(session: Session) -> Stopped | None:
    """The last rollout, if it is stopped and machines have failed."""
    rollout = latest(session)
    if rollout is None or rollout.state != RolloutState.STOPPED.value or rollout.ended_at is None:
        return None
    failed = session.scalar(select(func.count()).select_from(RolloutMachine).where(_failed(rollout.id))) or 0
    return Stopped(rollout.version, rollout.ended_at, failed) if failed else None


def _one_at_a_time(tx: Transaction) -> None:
    """Let the second of two that begin at once find the first. The versions stand for the fleet they go to."""
    tx.session.execute(select(Release.version).order_by(Release.version).with_for_update()).all()


def _failed(rollout_id: int) -> ColumnElement[bool]:
    return (RolloutMachine.rollout_id == rollout_id) & (RolloutMachine.state == Step.FAILED.value)


def _held(tx: Transaction, states: set[RolloutState], rollout_id: int | None) -> Rollout:
    wanted = select(Rollout).where(Rollout.state.in_(sorted(state.value for state in states)))
    if rollout_id is not None:
        wanted = wanted.where(Rollout.id == rollout_id)
    rollout = tx.session.scalar(wanted.order_by(Rollout.id.desc()).limit(1).with_for_update())
    if rollout is None:
        raise CannotRelease("moved_on", "there is none that is " + " or ".join(sorted(states)))
    return rollout


def _turn(tx: Transaction, rollout: Rollout, state: RolloutState, why: str) -> Turned:
    before, rollout.state, rollout.why = rollout.state, state.value, why[:500]
    tx.notify(TOPIC)
    return Turned(rollout, {"state": before}, {"state": state.value})
