"""How a rollout stands: how far its machines are, which are to be asked, and what it waits for. Only reads."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Case, ColumnElement, Select, and_, case, func, or_, select
from sqlalchemy.orm import Session

from cloud.fleet import machine_events
from cloud.fleet.availability import CLOSED
from cloud.fleet.broker_identities import REVOKED, BrokerIdentity
from cloud.fleet.models import Device, DeviceLive
from cloud.releases import waves
from cloud.releases.models import Rollout, RolloutMachine, Step
from cloud.releases.waves import Tally, Wait

HELD_FOR = timedelta(days=1)
"""So long the next wave waits for a machine that has the version and is gone."""


def in_service() -> ColumnElement[bool]:
    """Whether a `Device` is neither closed in the fleet file nor revoked: no rollout waits for one that is."""
    revoked = select(BrokerIdentity.device_uuid).where(BrokerIdentity.state == REVOKED)
    return and_(Device.status != CLOSED, Device.device_uuid.not_in(revoked))


def is_there() -> ColumnElement[bool]:
    """Whether a machine is online; its `DeviceLive` may be missing."""
    return func.coalesce(DeviceLive.online, False)


def tally(session: Session, rollout: Rollout, now: datetime) -> Tally:
    """Of the machines of the waves up to the present one."""
    again = machine_events.agents_started(session, rollout.settled_at) if rollout.settled_at else set()
    stands = _stands(rollout, now)
    found = session.execute(machines(rollout, RolloutMachine.device_uuid, stands).where(_is_present(rollout))).all()
    counts = Counter(name for _, name in found)
    return Tally(
        waiting=counts["waiting"], asked=counts["asked"], done=counts["done"] + counts["gone"],
        failed=counts["failed"], gone=counts["gone"], unreached=counts["unreached"],
        restarted=sum(device_uuid in again for device_uuid, name in found if name in {"done", "gone"}),
    )  # fmt: skip


def to_ask(session: Session, rollout: Rollout, now: datetime) -> Sequence[RolloutMachine]:
    """Those of the present waves that wait, are there, and were not put off."""
    is_due = or_(RolloutMachine.not_before.is_(None), RolloutMachine.not_before <= now)
    waits = and_(_is_present(rollout), RolloutMachine.state == Step.WAITING, is_there(), in_service(), is_due)
    asked = machines(rollout, RolloutMachine).where(waits)
    return session.scalars(asked.order_by(RolloutMachine.wave, RolloutMachine.device_uuid)).all()


def with_another_version(session: Session, rollout: Rollout, since: datetime) -> Sequence[tuple[RolloutMachine, str]]:
    """Those that took it before `since` and are there with another version, and with which: a spare computer's, say."""
    took_it = and_(RolloutMachine.state == Step.DONE, RolloutMachine.changed_at <= since, in_service())
    runs_other = and_(is_there(), DeviceLive.agent_version != rollout.version)
    found = session.execute(machines(rollout, RolloutMachine, DeviceLive.agent_version).where(took_it, runs_other))
    return [(one, version) for one, version in found.all()]


def runs(session: Session, one: RolloutMachine) -> bool:
    """Whether it is there with the rollout's version."""
    live = session.get(DeviceLive, one.device_uuid)
    version = session.get_one(Rollout, one.rollout_id).version
    return live is not None and live.online and live.agent_version == version


def is_last(session: Session, rollout: Rollout) -> bool:
    """Whether no machine waits for a later wave."""
    return session.scalar(_later(rollout)) is None


def next_later(session: Session, rollout: Rollout) -> RolloutMachine | None:
    """The first of those that wait for a later wave and are there."""
    found: RolloutMachine | None = session.scalar(_later(rollout).where(is_there()))
    return found


def wait(session: Session, rollout: Rollout, now: datetime) -> tuple[Wait, int]:
    """What a running one waits for, and of how many machines."""
    return waves.wait_of(tally(session, rollout, now), is_last=is_last(session, rollout))


def machines(rollout: Rollout, *columns: Any) -> Select[*tuple[Any, ...]]:
    """These columns of each of its machines, its `Device` and, if there is one, its `DeviceLive`."""
    return (
        select(*columns)
        .select_from(RolloutMachine)
        .join(Device, Device.device_uuid == RolloutMachine.device_uuid)
        .outerjoin(DeviceLive, DeviceLive.device_uuid == RolloutMachine.device_uuid)
        .where(RolloutMachine.rollout_id == rollout.id)
    )


def _is_present(rollout: Rollout) -> ColumnElement[bool]:
    return RolloutMachine.wave <= rollout.wave


def _later(rollout: Rollout) -> Select[*tuple[Any, ...]]:
    waits = and_(RolloutMachine.wave > rollout.wave, RolloutMachine.state == Step.WAITING, in_service())
    turn = RolloutMachine.wave, RolloutMachine.device_uuid
    return machines(rollout, RolloutMachine).where(waits).order_by(*turn).limit(1)


def _stands(rollout: Rollout, now: datetime) -> Case[str]:
    """How the tally counts a machine; "" is not at all: it was skipped, is out of service, or gone for long."""
    state = RolloutMachine.state
    is_held_for = or_(DeviceLive.seen_at > now - HELD_FOR, RolloutMachine.changed_at > now - HELD_FOR)
    return case(
        (state == Step.ASKED, "asked"),
        (state == Step.FAILED, "failed"),
        (or_(state == Step.SKIPPED, ~in_service()), ""),
        (and_(state == Step.WAITING, is_there()), "waiting"),
        (state == Step.WAITING, "unreached"),
        (and_(is_there(), DeviceLive.agent_version == rollout.version), "done"),
        (or_(is_there(), is_held_for), "gone"),
        else_="",
    )
