"""Versions that are kept, and how far each rollout is: by wave, by what stands, and machine by machine, worst first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Case, ColumnElement, Select, and_, case, func, literal, or_, select
from sqlalchemy.orm import Session

from cloud.access.journal import Subject
from cloud.access.person import Scope
from cloud.console.shell.paging import Key, Listed, newest_first
from cloud.console.shell.section import Kind
from cloud.courier.device_jobs import DeviceJob, State
from cloud.fleet.models import Control, Device, DeviceLive
from cloud.releases import rollouts, standing, waves
from cloud.releases.models import GOES_ON, Release, Rollout, RolloutMachine, RolloutState, Step
from protocol.reasons import UpdateCode

PAGE = 50
WORST = ("rolled_back", "failed", "skipped", "gone", "tries", "asked", "waits", "away", "later", "out", "done")
"""How a machine stands, in one word; in this order they are listed."""
LOOKS = {"rolled_back": "bad", "failed": "bad", "skipped": "warn", "gone": "warn", "done": "good"}


@dataclass(frozen=True)
class Version:
    """One that is kept."""

    version: str
    size: int
    added_at: datetime
    added_by: str
    machines: int
    """That run it now."""


@dataclass(frozen=True)
class Machine:
    """One machine of a rollout."""

    device_uuid: str
    location: str
    wave: int
    stands: str
    tries: int
    code: str
    words: str
    runs: str
    """The version its agent has told of last."""
    changed_at: datetime


@dataclass(frozen=True)
class Wave:
    """One wave: how many machines, and how they stand."""

    number: int
    machines: int
    counts: Mapping[str, int]

    @property
    def look(self) -> str:
        """The colour of its worst machine; good once all have the version."""
        looks = {LOOKS.get(name, "") for name, n in self.counts.items() if n}
        return next((look for look in ("bad", "warn") if look in looks), "good" if looks == {"good"} else "")


@dataclass(frozen=True)
class Progress:
    """A rollout, and how far it is."""

    rollout: Rollout
    counts: Mapping[str, int]
    waves: Sequence[Wave]
    machines: Listed[Machine]

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def has_failed(self) -> bool:
        return bool(self.counts.get("failed") or self.counts.get("rolled_back"))


def versions(session: Session, scope: Scope) -> tuple[list[Version], dict[str, int]]:
    """Those that are kept, the newest first; and what else runs, installed by hand: version and machines."""
    asked = select(DeviceLive.agent_version, func.count()).join(Device, Device.device_uuid == DeviceLive.device_uuid)
    mine = scope.where(Device.merchant_id, Device.device_uuid)
    running = session.execute(
        asked.where(Device.control == Control.AGENT.value, mine).group_by(DeviceLive.agent_version)
    )
    runs = {version: n for version, n in running.all() if version}
    kept = [
        Version(one.version, one.size, one.added_at, one.added_by, runs.pop(one.version, 0))
        for one in session.scalars(select(Release).order_by(Release.added_at.desc(), Release.version.desc()))
    ]
    return kept, dict(sorted(runs.items()))


def usual_sizes(session: Session, scope: Scope) -> list[int]:
    """How many machines with an agent there are after each of the usual waves."""
    mine = scope.where(Device.merchant_id, Device.device_uuid)
    meant = (Device.control == Control.AGENT.value, standing.in_service(), mine)
    return waves.sizes(waves.DEFAULT, session.scalar(select(func.count()).select_from(Device).where(*meant)) or 0)


def every(session: Session, after: Key | None) -> Listed[Rollout]:
    """All rollouts, the newest first."""
    asked = select(Rollout.asked_at.label("at"), Rollout.id.label("id"), Rollout)
    rows, following = newest_first(session, asked, Rollout.asked_at, Rollout.id, after, 20)
    return Listed([row[2] for row in rows], following)


def progress(session: Session, scope: Scope, rollout: Rollout, stands: str = "", after: str = "",
             limit: int = PAGE) -> Progress:  # fmt: skip
    """How far it is; of the machines those that stand so, from `after` on."""
    how = _stands(rollout)
    mine = scope.where(Device.merchant_id, Device.device_uuid)
    counted = session.execute(
        _machines(rollout, RolloutMachine.wave, how, func.count()).where(mine).group_by(RolloutMachine.wave, how)
    ).all()
    by_wave: dict[int, dict[str, int]] = {}
    for wave, name, n in counted:
        by_wave.setdefault(wave, {})[name] = n
    totals = {name: sum(counts.get(name, 0) for counts in by_wave.values()) for name in WORST}
    return Progress(
        rollout,
        {name: n for name, n in totals.items() if n},
        [
            Wave(number, sum(counts.values()), {name: n for name in WORST if (n := counts.get(name, 0))})
            for number, counts in sorted(by_wave.items())
        ],
        _listed(session, rollout, mine, stands, after, limit),
    )  # fmt: skip


def _listed(
    session: Session, rollout: Rollout, mine: ColumnElement[bool], stands: str, after: str, limit: int
) -> Listed[Machine]:
    how = _stands(rollout)
    place = case({name: number for number, name in enumerate(WORST)}, value=how)
    asked = _machines(rollout, RolloutMachine, Device.location, DeviceLive.agent_version, how).where(mine)
    if stands:
        asked = asked.where(how == stands)
    number, _, name = after.partition(".")
    if number.isdecimal():
        asked = asked.where(or_(place > int(number), and_(place == int(number), RolloutMachine.device_uuid > name)))
    rows = session.execute(asked.order_by(place, RolloutMachine.device_uuid).limit(limit + 1)).all()
    found = [
        Machine(one.device_uuid, location, one.wave, name, one.tries, one.code, one.words, runs or "", one.changed_at)
        for one, location, runs, name in rows[:limit]
    ]
    last = found[-1] if len(rows) > limit else None
    return Listed(found, f"{WORST.index(last.stands)}.{last.device_uuid}" if last else "")


def _machines(rollout: Rollout, *columns: Any) -> Select[*tuple[Any, ...]]:
    with_jobs = standing.machines(rollout, *columns)
    return with_jobs.outerjoin(DeviceJob, DeviceJob.id == RolloutMachine.job_id)


def _stands(rollout: Rollout) -> Case[str]:
    """How a machine stands, as SQL: a fleet is counted there. Of a rollout long over no machine is "gone"."""
    state, is_there = RolloutMachine.state, standing.is_there()
    runs_it = and_(is_there, DeviceLive.agent_version == rollout.version)
    is_watched = and_(literal(rollout.state in GOES_ON), standing.in_service())
    is_left = or_(literal(rollout.state == RolloutState.DONE), ~standing.in_service())
    return case(
        (and_(state == Step.FAILED, RolloutMachine.code == UpdateCode.ROLLED_BACK), "rolled_back"),
        (state == Step.FAILED, "failed"),
        (state == Step.SKIPPED, "skipped"),
        (and_(state == Step.DONE, is_watched, ~runs_it), "gone"),
        (state == Step.DONE, "done"),
        (and_(state == Step.ASKED, DeviceJob.state == State.STARTED), "tries"),
        (state == Step.ASKED, "asked"),
        (is_left, "out"),
        (RolloutMachine.wave > rollout.wave, "later"),
        (~is_there, "away"),
        else_="waits",
    )


def _release(session: Session, version: str) -> Subject | None:
    known = session.scalar(select(Release.version).where(Release.version == version))
    return None if known is None else Subject("release", version)


def _rollout(session: Session, rollout_id: str) -> Subject | None:
    row = session.get(Rollout, int(rollout_id)) if rollout_id.isdecimal() and len(rollout_id) < 10 else None
    return None if row is None else rollouts.subject_of(row)


RELEASE = Kind("release", "version", _release)
ROLLOUT = Kind("rollout", "rollout_id", _rollout)
