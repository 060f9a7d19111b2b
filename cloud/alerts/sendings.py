"""The outbox's lane `notify`: one open task a message at most; its key names the sending.

A task says "bring this message up to date": what is to be told is judged when it is taken, not when it was written.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, func, select, update

from cloud.alerts.channels.sender import OURS
from cloud.alerts.models import AlertMessage, Channel
from cloud.database.transaction import Transaction
from cloud.orders.outbox import OutboxRow, topic
from cloud.orders.tasks import DONE, WITHDRAWN, Lane, Task, may_be_done_before

NOTIFY = topic(Lane.NOTIFY)
GIVEN_UP = "given_up"
"""Verdict of what was tried in vain for as long as anything is."""


@dataclass(frozen=True)
class Sending:
    """A claimed task."""

    key: str
    message_id: str
    created_at: datetime
    may_have_arrived: bool
    """An earlier attempt may have done it."""


def of_row(row: OutboxRow) -> Sending:
    """The task as it was claimed."""
    return Sending(row.key, row.subject, row.created_at, may_be_done_before(row))


def want(tx: Transaction, message: AlertMessage, now: datetime, due_at: datetime) -> None:
    """Have the message brought up to date at `due_at`; sooner than planned if need be."""
    due_at = max(due_at, message.not_before or due_at)
    if message.task_due_at is not None:
        if due_at < message.task_due_at:
            _change(tx, key_of(message), due_at=due_at)
            message.task_due_at = due_at
            tx.notify(NOTIFY)
        return
    message.sendings += 1
    message.task_due_at = due_at
    tx.session.add(
        OutboxRow(
            lane=Lane.NOTIFY.value, task=Task.NOTIFY.value, key=key_of(message), order_id="", subject=message.id,
            created_at=now, due_at=due_at,
        )
    )  # fmt: skip
    tx.notify(NOTIFY)


def key_of(message: AlertMessage) -> str:
    """The key of its last task."""
    return f"notify-{message.id}-{message.sendings}"


def is_held(tx: Transaction, key: str, owner: str) -> bool:
    """Whether `owner` still holds the task."""
    held = and_(OutboxRow.key == key, OutboxRow.claimed_by == owner, OutboxRow.settled_at.is_(None))
    return tx.session.scalar(select(OutboxRow.id).where(held).with_for_update()) is not None


def failed_until(tx: Transaction, channel_id: str, after: datetime, latest: datetime) -> datetime | None:
    """When the last message that was tried in vain is due again, if between `after` and `latest`."""
    waits = and_(OutboxRow.last_error != "", OutboxRow.due_at > after, OutboxRow.due_at <= latest)
    return tx.session.scalar(select(func.max(OutboxRow.due_at)).where(_open_of(channel_id), waits))


def settle(tx: Transaction, message: AlertMessage, key: str, now: datetime, verdict: str = DONE) -> None:
    """It is done with. A channel that has nothing left to be told is not tried any more, so it cannot be failing.

    Of a trouble that was given up it is to be told still: that is wanted again at once. What is wrong on our own server
    does not pass because nothing is tried.
    """
    _change(tx, key, settled_at=now, verdict=verdict, claimed_by="", claimed_until=None, last_error="")
    if key == key_of(message):
        message.task_due_at = message.not_before = None
    is_wanted_still = verdict == GIVEN_UP and message.incident_id is not None
    channel = tx.session.get(Channel, message.channel_id)
    if channel is None or channel.failing_since is None or channel.failing_why in OURS:
        return
    if not is_wanted_still and not _has_open(tx, channel):
        channel.fails_no_more()


def withdraw(tx: Transaction, message: AlertMessage, key: str, now: datetime) -> None:
    """There is nothing to tell any more."""
    settle(tx, message, key, now, WITHDRAWN)


def drop(tx: Transaction, key: str, now: datetime) -> None:
    """Its message is gone, with its channel."""
    _change(tx, key, settled_at=now, verdict=WITHDRAWN, claimed_by="", claimed_until=None)


def reschedule(tx: Transaction, message: AlertMessage, key: str, due_at: datetime, why: str, *, undone: bool) -> None:
    """Again at `due_at`; `undone`: the attempt certainly did nothing."""
    _change(
        tx, key, due_at=due_at, claimed_by="", claimed_until=None, last_error=why[:255],
        undone=OutboxRow.undone + int(undone),
    )  # fmt: skip
    message.task_due_at = message.not_before = due_at


def _open_of(channel_id: str) -> ColumnElement[bool]:
    its = select(AlertMessage.id).where(AlertMessage.channel_id == channel_id, AlertMessage.task_due_at.is_not(None))
    return and_(OutboxRow.lane == Lane.NOTIFY.value, OutboxRow.settled_at.is_(None), OutboxRow.subject.in_(its))


def _has_open(tx: Transaction, channel: Channel) -> bool:
    wanted = and_(AlertMessage.channel_id == channel.id, AlertMessage.task_due_at.is_not(None))
    return tx.session.scalar(select(AlertMessage.id).where(wanted).limit(1)) is not None


def _change(tx: Transaction, key: str, **values: object) -> None:
    open_one = and_(OutboxRow.key == key, OutboxRow.settled_at.is_(None))
    tx.session.execute(update(OutboxRow).where(open_one).values(**values))
