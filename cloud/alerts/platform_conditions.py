"""What is wrong with our own service now: its workers, its way to the broker, its clock, the channels of alerts."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud.alerts.incident import Condition
from cloud.alerts.kinds import PLATFORM, Kind
from cloud.alerts.models import Channel
from cloud.background import heartbeat


def broken_workers(session: Session, now: datetime) -> list[Condition]:
    """Nobody works, or nobody reaches the broker. Who looks is alive, so with one worker only the latter is seen."""
    alive = heartbeat.alive(session, now)
    if not alive:
        return [Condition(Kind.WORKER_DOWN, PLATFORM, "", now)]
    return [] if any(worker.broker_connected for worker in alive) else [Condition(Kind.BROKER_DOWN, PLATFORM, "", now)]


def broken_channels(session: Session, now: datetime) -> list[Condition]:
    """Channels that refuse what is sent to them. Told to the merchant over its others, and to the platform's."""
    return [
        Condition(
            Kind.CHANNEL_BROKEN, channel.merchant_id, channel.id, channel.broken_since,
            {"name": channel.name, "why": channel.broken_why},
        )
        for channel in session.scalars(select(Channel).where(Channel.broken_since.is_not(None)))
        if channel.broken_since is not None
    ]  # fmt: skip
