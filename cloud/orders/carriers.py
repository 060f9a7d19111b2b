"""What carries a command to its machine, its agent's broker or the Tmetr API, and which commands an agent can know.

An agent that never was given a command says truthfully that it never had it: so it is asked about none but its own.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, case, func, or_, select
from sqlalchemy.orm import Session

from cloud.fleet.models import Control, Device
from cloud.orders.locked_order import LockedOrder
from cloud.orders.models import MakeCommand, Order
from cloud.orders.outbox import OutboxRow
from cloud.orders.states import Status
from cloud.orders.tasks import ASKED_FOR, Lane, Task

DAY = timedelta(days=1)


def lane_of(locked: LockedOrder) -> Lane:
    """The lane that carries this machine's commands now."""
    return Lane.TMETR if locked.control == Control.TMETR_API else Lane.MQTT


def lane_of_command(locked: LockedOrder, issued: MakeCommand) -> Lane:
    """The lane that carried this command, whatever drives the machine now; the present one if no task of it is left."""
    makes = (task for task in locked.tasks if task.task == Task.MAKE and task.subject == issued.id)
    make = next(makes, None)
    return Lane(make.lane) if make is not None else lane_of(locked)


def unheard_of(session: Session, device_uuids: Collection[str], now: datetime, limit: int) -> list[MakeCommand]:
    """These agents' commands whose outcome is still asked for: those that were published, or may have been."""
    uncertain = select(and_(Order.status == Status.MAKE_FAILED.value, Order.uncertain))
    of_order = uncertain.where(Order.id == MakeCommand.order_id).scalar_subquery()  # by IN, all would be read first
    open_ones = or_(MakeCommand.live, of_order)
    told = and_(MakeCommand.published_at.is_not(None), MakeCommand.issued_at > now - ASKED_FOR)
    found = select(MakeCommand).where(MakeCommand.device_uuid.in_(device_uuids), told, open_ones, _is_an_agents())
    return list(session.scalars(found.order_by(MakeCommand.issued_at).limit(limit)))


def waited_for(session: Session, device_uuids: Collection[str], now: datetime) -> dict[str, list[str]]:
    """By device, the commands that can still be begun and that no agent has said it has."""
    untaken = and_(MakeCommand.live, MakeCommand.accepted_at.is_(None), MakeCommand.issued_at > now - DAY)
    theirs = and_(MakeCommand.device_uuid.in_(device_uuids), untaken, _is_an_agents())
    asked = select(MakeCommand.device_uuid, MakeCommand.id).where(theirs)
    found: dict[str, list[str]] = {}
    for device, command_id in session.execute(asked.order_by(MakeCommand.issued_at)):
        found.setdefault(device, []).append(command_id)
    return found


def _is_an_agents() -> ColumnElement[bool]:
    """The same question as `lane_of_command`."""
    makes = select(OutboxRow.lane).where(OutboxRow.subject == MakeCommand.id, OutboxRow.task == Task.MAKE.value)
    now = case((Device.control == Control.TMETR_API.value, Lane.TMETR.value), else_=Lane.MQTT.value)
    would = select(now).where(Device.device_uuid == MakeCommand.device_uuid)
    return func.coalesce(makes.limit(1).scalar_subquery(), would.scalar_subquery()) != Lane.TMETR.value
