"""The use cases of releases: add a bundle; start, pause and stop its way over a fleet. Each leaves a journal entry."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from cloud.access.journal import Author, Entry, Subject, record
from cloud.database.transaction import Transaction
from cloud.fleet.models import Device, DeviceLive
from cloud.releases import bundling, waves
from cloud.releases.models import Release, Rollout, RolloutMachine, RolloutState, Step
from protocol.errors import Malformed

TOPIC = "rollouts"
"""Woken when there is something to do."""


class CannotRelease(Exception):
    """Why not."""


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


def add(tx: Transaction, bundle: bytes, keys: Sequence[str], author: Author, now: datetime) -> Release:
    """Keep a bundle, once one of our keys is known to have signed it. Raises `CannotRelease`."""
    if not keys:
        raise CannotRelease("COFFEE_RELEASE_KEYS names no key that may sign")
    try:
        manifest = bundling.opened(bundle, keys)
    except Malformed as error:
        raise CannotRelease(str(error)) from None
    digest = hashlib.sha256(bundle).hexdigest()
    known = tx.session.get(Release, manifest.version)
    if known is not None:
        if known.sha256 != digest:
            raise CannotRelease(f"{manifest.version} is there already, with other contents: give it another version")
        return known
    release = Release(
        version=manifest.version, size=len(bundle), sha256=digest, bundle=bundle, added_at=now, added_by=author.who
    )  # fmt: skip
    tx.session.add(release)
    _note(tx, "release_add", release.version, author, now, {"sha256": digest})
    return release


def start(tx: Transaction, plan: Plan, author: Author, now: datetime) -> Rollout:
    """Begin; the machines are dealt to the waves now. Raises `CannotRelease`, `waves.BadWaves`."""
    if tx.session.get(Release, plan.version) is None:
        raise CannotRelease(f"there is no {plan.version}: `coffee-cloud release add`")
    if (other := going_on(tx.session)) is not None:
        raise CannotRelease(f"{other.version} is {other.state}: stop it first, or `release resume` it")
    machines = _in_turn(tx.session, plan)
    if not machines:
        raise CannotRelease("no machine with an agent is meant")
    ends = waves.sizes(plan.waves, len(machines))
    rollout = Rollout(
        version=plan.version, state=RolloutState.RUNNING.value, waves=list(plan.waves), wave=0, soak_s=plan.soak_s,
        allow_older=plan.allow_older, asked_by=author.who[:128], asked_at=now, why="",
    )  # fmt: skip
    tx.session.add(rollout)
    tx.session.flush()
    for place, device_uuid in enumerate(machines):
        wave = waves.wave_of(place, ends)
        if wave is not None:
            one = RolloutMachine(rollout_id=rollout.id, device_uuid=device_uuid, wave=wave, changed_at=now)
            tx.session.add(one)
    told = {"waves": list(plan.waves), "soak_s": plan.soak_s, "machines": min(ends[-1], len(machines))}
    _note(tx, "rollout_start", plan.version, author, now, told)
    tx.notify(TOPIC)
    return rollout


def pause(tx: Transaction, author: Author, now: datetime) -> Rollout:
    """Ask nobody more until it is resumed. Raises `CannotRelease`."""
    rollout = _held(tx, {RolloutState.RUNNING})
    _turn(tx, rollout, RolloutState.PAUSED, "rollout_pause", author, "", now)
    return rollout


def resume(tx: Transaction, author: Author, now: datetime, *, again: bool = False) -> Rollout:
    """Go on with the one that is paused or was stopped last; `again`: also with the machines that failed.

    Without it those are left out. Raises `CannotRelease`.
    """
    rollout = _held(tx, {RolloutState.PAUSED, RolloutState.STOPPED})
    if (other := going_on(tx.session)) is not None and other.id != rollout.id:
        raise CannotRelease(f"{other.version} is {other.state}: stop it first")
    left = Step.WAITING if again else Step.SKIPPED
    failed = (RolloutMachine.rollout_id == rollout.id) & (RolloutMachine.state == Step.FAILED.value)
    tx.session.execute(update(RolloutMachine).where(failed).values(state=left.value, tries=0, changed_at=now))
    rollout.settled_at = rollout.ended_at = None
    _turn(tx, rollout, RolloutState.RUNNING, "rollout_resume", author, "", now)
    return rollout


def stop(tx: Transaction, author: Author, why: str, now: datetime) -> Rollout:
    """Ask nobody more; who was asked already goes on by himself. Raises `CannotRelease`."""
    rollout = _held(tx, {RolloutState.RUNNING, RolloutState.PAUSED})
    end(tx, rollout, RolloutState.STOPPED, author, why, now)
    return rollout


def end(tx: Transaction, rollout: Rollout, state: RolloutState, author: Author, why: str, now: datetime) -> None:
    rollout.ended_at = now
    act = "rollout_stop" if state is RolloutState.STOPPED else "rollout_end"
    _turn(tx, rollout, state, act, author, why, now)


def going_on(session: Session) -> Rollout | None:
    states = (RolloutState.RUNNING.value, RolloutState.PAUSED.value)
    return session.scalar(select(Rollout).where(Rollout.state.in_(states)).limit(1))


def latest(session: Session) -> Rollout | None:
    return session.scalar(select(Rollout).order_by(Rollout.id.desc()).limit(1))


def counts(session: Session, rollout_id: int) -> list[tuple[int, str, int]]:
    """Wave, step, and how many machines."""
    asked = select(RolloutMachine.wave, RolloutMachine.state, func.count()).where(
        RolloutMachine.rollout_id == rollout_id
    )
    found = session.execute(asked.group_by(RolloutMachine.wave, RolloutMachine.state)).all()
    return sorted((wave, state, count) for wave, state, count in found)


def troubles(session: Session, rollout_id: int, limit: int = 20) -> list[RolloutMachine]:
    """Machines that failed or were skipped, with their words."""
    bad = (Step.FAILED.value, Step.SKIPPED.value)
    asked = select(RolloutMachine).where(RolloutMachine.rollout_id == rollout_id, RolloutMachine.state.in_(bad))
    return list(session.scalars(asked.order_by(RolloutMachine.changed_at.desc()).limit(limit)))


def _in_turn(session: Session, plan: Plan) -> list[str]:
    """All meant, in the order they are asked: the named ones, then those that are there, dealt out by chance."""
    asked = select(Device.device_uuid, DeviceLive.online).join(
        DeviceLive, DeviceLive.device_uuid == Device.device_uuid, isouter=True
    )
    asked = asked.where(Device.control == "agent")
    if plan.merchant_id:
        asked = asked.where(Device.merchant_id == plan.merchant_id)
    found = {device_uuid: bool(online) for device_uuid, online in session.execute(asked)}
    if unknown := [name for name in plan.first if name not in found]:
        raise CannotRelease(f"{unknown[0]} is none of these machines")

    def turn(device_uuid: str) -> tuple[bool, bool, bytes]:
        chance = hashlib.sha256(f"{plan.version} {device_uuid}".encode()).digest()
        return device_uuid not in plan.first, not found[device_uuid], chance

    return sorted(found, key=turn)


def _held(tx: Transaction, states: set[RolloutState]) -> Rollout:
    wanted = select(Rollout).where(Rollout.state.in_(sorted(state.value for state in states)))
    rollout = tx.session.scalar(wanted.order_by(Rollout.id.desc()).limit(1).with_for_update())
    if rollout is None:
        raise CannotRelease("there is none that is " + " or ".join(sorted(states)))
    return rollout


def _turn(
    tx: Transaction, rollout: Rollout, state: RolloutState, act: str, author: Author, why: str, now: datetime
) -> None:
    before, rollout.state, rollout.why = rollout.state, state.value, why[:500]
    subject = Subject("release", rollout.version)
    record(tx, Entry(act, author, subject, why=why, before={"state": before}, after={"state": state.value}), now)
    tx.notify(TOPIC)


def _note(tx: Transaction, act: str, version: str, author: Author, now: datetime, after: dict[str, object]) -> None:
    record(tx, Entry(act, author, Subject("release", version), after=after), now)
