"""What is wrong with our own service now: workers, the way to the broker, channels of alerts, a stopped rollout."""

from datetime import datetime, timedelta

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from cloud.alerts.incident import Condition
from cloud.alerts.kinds import PLATFORM, Kind
from cloud.alerts.models import Channel
from cloud.background import heartbeat
from cloud.releases import rollouts

FAILING_FOR = timedelta(minutes=10)
"""A messenger that is blocked or down refuses nothing: so long without an answer it is a trouble."""
UNDECIDED_FOR = timedelta(days=7)
"""A stopped rollout that nobody has taken up again by then has been given up."""


def broken_workers(session: Session, now: datetime) -> list[Condition]:
    """Tell that no worker works, or that none reaches or hears the machines, as `/ready` says.

    The worker that looks is alive, so with one worker only the latter is seen.
    """
    alive = heartbeat.alive(session, now)
    if not alive:
        return [Condition(Kind.WORKER_DOWN, PLATFORM, "", now)]
    return [Condition(Kind.BROKER_DOWN, PLATFORM, "", now)] if heartbeat.missing_to_machines(alive) else []


def broken_channels(session: Session, now: datetime) -> list[Condition]:
    """Channels that refuse what is sent to them, or that nothing has reached for a while. Told over the others."""
    is_failing = Channel.failing_since <= now - FAILING_FOR
    found = []
    for channel in session.scalars(select(Channel).where(or_(Channel.broken_since.is_not(None), is_failing))):
        since, why = channel.broken_since, channel.broken_why
        if since is None:
            since, why = channel.failing_since or now, channel.failing_why
        facts = {"name": channel.name, "why": why}
        found.append(Condition(Kind.CHANNEL_BROKEN, channel.merchant_id, channel.id, since, facts))
    return found


def stopped_rollouts(session: Session, now: datetime) -> list[Condition]:
    """The last rollout, stopped after machines failed: a person says whether it goes on."""
    stopped = rollouts.stopped_by_failures(session)
    if stopped is None or now - stopped.at > UNDECIDED_FOR:
        return []
    facts = {"version": stopped.version, "failed": stopped.failed}
    return [Condition(Kind.ROLLOUT_STOPPED, PLATFORM, stopped.version, stopped.at, facts)]
