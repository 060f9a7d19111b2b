"""Which machines have a name of their own at the broker, and how far each has come."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, select
from sqlalchemy.orm import Session

from cloud.access.person import Scope
from cloud.console.shell.paging import Listed
from cloud.courier.device_jobs import DeviceJob, Kind, State
from cloud.fleet.broker_identities import ACTIVE, BrokerIdentity
from cloud.fleet.enrolment import Enrolment
from cloud.fleet.models import Control, Device, DeviceLive

PAGE = 50


@dataclass(frozen=True)
class Machine:
    """One machine and the steps from a code to selling."""

    device_uuid: str
    location: str
    qr: str
    """Which codes it sells by (`fleet/qr_key.py`)."""
    code_until: datetime | None
    """A code is open until then."""
    identity: str
    """active, revoked, or empty: it never enrolled."""
    is_at_broker: bool
    """The broker knows what we want of it."""
    is_online: bool
    has_state: bool
    """The machine behind the agent has said how it is."""
    agent_version: str
    has_cup: bool = False

    @property
    def stands(self) -> str:
        """The last step it has taken, in one word."""
        if self.identity == "revoked":
            return "revoked"
        if self.identity != ACTIVE:
            return "code" if self.code_until is not None else "none"
        if not self.is_online:
            return "waits" if self.is_at_broker else "enrolled"
        return "done" if self.has_state else "online"


def machines_in(session: Session, scope: Scope, after: str, now: datetime) -> Listed[Machine]:
    """Machines with an agent by name, those behind `after`."""
    wanted = _machines().where(scope.where(Device.merchant_id, Device.device_uuid), Device.device_uuid > after)
    rows = session.execute(wanted.order_by(Device.device_uuid).limit(PAGE + 1)).all()
    found = [_made(row, now) for row in rows[:PAGE]]
    return Listed(found, found[-1].device_uuid if len(rows) > PAGE else "")


def machine(session: Session, scope: Scope, device_uuid: str, now: datetime) -> Machine | None:
    """This one; None where it has no agent."""
    inside = scope.where(Device.merchant_id, Device.device_uuid)
    row = session.execute(_machines().where(inside, Device.device_uuid == device_uuid)).first()
    if row is None:
        return None
    found = _made(row, now)
    return replace(found, has_cup=_had_a_cup(session, device_uuid, row[2]))


def _had_a_cup(session: Session, device_uuid: str, identity: BrokerIdentity | None) -> bool:
    """A test cup since it has this name."""
    if identity is None:
        return False
    poured = select(DeviceJob.id).where(
        DeviceJob.device_uuid == device_uuid, DeviceJob.kind == Kind.TEST_CUP.value,
        DeviceJob.state == State.DONE.value, DeviceJob.asked_at >= identity.changed_at,
    )  # fmt: skip
    return session.scalar(poured.limit(1)) is not None


def _machines() -> Select[*tuple[Any, ...]]:
    return (
        select(Device, DeviceLive, BrokerIdentity, Enrolment)
        .outerjoin(DeviceLive, DeviceLive.device_uuid == Device.device_uuid)
        .outerjoin(BrokerIdentity, BrokerIdentity.device_uuid == Device.device_uuid)
        .outerjoin(Enrolment, Enrolment.device_uuid == Device.device_uuid)
        .where(Device.control == Control.AGENT.value)
    )


def _made(row: Row[*tuple[Any, ...]], now: datetime) -> Machine:
    device, live, identity, code = row
    return Machine(
        device_uuid=device.device_uuid,
        location=device.location,
        qr=device.qr,
        code_until=code.expires_at if code is not None and code.expires_at > now else None,
        identity=identity.state if identity is not None else "",
        is_at_broker=identity is not None and identity.applied == identity.version,
        is_online=live is not None and live.online,
        has_state=live is not None and live.online and bool((live.state or {}).get("machine")),
        agent_version=(live.agent_version if live is not None else "") or "",
    )
