"""The claim of the lane `notify`: of each owner's channels one message at a time, so that nobody's many are in the way.

A channel has its share of messages under way, a failing one a smaller one, and comes after all that work.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import BindParameter, String, and_, bindparam, case, func, or_, select

from cloud.alerts.models import AlertMessage, Channel
from cloud.database.plain_rows import table_of
from cloud.database.transaction import Transaction
from cloud.orders import outbox
from cloud.orders.outbox import IS_DUE, IS_FREE, IS_OPEN, Lease, OutboxRow
from cloud.orders.tasks import Lane

OF_A_CHANNEL, OF_A_FAILING_ONE = 2, 1
"""So many messages of a channel are under way at a time."""
NOBODYS = "?"
"""The owner of what is left of a channel that was removed."""


def _named(name: str) -> BindParameter[Any]:
    return bindparam(name, type_=String(), expanding=True)


_task, _message, _channel = table_of(OutboxRow).c, table_of(AlertMessage), table_of(Channel)
_is_failing = case((_channel.c.failing_since.is_not(None), 1), else_=0)
_is_held = case((IS_FREE, 0), else_=1)
_of_channel = func.row_number().over(partition_by=_message.c.channel_id, order_by=(-_is_held, _task.due_at, _task.id))
_WAITING = (
    select(
        _task.id, _task.due_at, _message.c.channel_id, _channel.c.merchant_id, _is_failing.label("is_failing"),
        _is_held.label("is_held"), _of_channel.label("of_channel"),
    )
    .outerjoin(_message, _message.c.id == _task.subject)  # it is gone when its channel was removed
    .outerjoin(_channel, _channel.c.id == _message.c.channel_id)
    .where(IS_OPEN, or_(IS_DUE, ~IS_FREE))
    .subquery("waiting")
)  # fmt: skip
_w = _WAITING.c
_owner = func.coalesce(_w.merchant_id, NOBODYS)
_share = case((_w.is_failing == 1, OF_A_FAILING_ONE), else_=OF_A_CHANNEL)
_of_owner = func.row_number().over(partition_by=_owner, order_by=(_w.is_failing, _w.of_channel, _w.due_at, _w.id))
_TURNS = (
    select(_w.id, _w.is_failing, _owner.label("owner"), _of_owner.label("of_owner"))
    .where(_w.is_held == 0, _w.of_channel <= _share, _owner.not_in(_named("at_limit")))
    .where(func.coalesce(_w.channel_id, "").not_in(_named("enough")))
    .subquery("turns")
)
_CLAIM = outbox.claim_first(
    select(_task.id)
    .join(_TURNS, _TURNS.c.id == _task.id)
    .where(IS_OPEN, IS_DUE, IS_FREE, _TURNS.c.of_owner == 1)
    .order_by(_TURNS.c.is_failing, case((_TURNS.c.owner.in_(_named("served")), 1), else_=0))
)
_HELD = and_(_message.c.channel_id == bindparam("of_channel", type_=String()), _message.c.held.is_(True))
_CLAIM_HELD = outbox.claim_first(
    select(_task.id).join(_message, _message.c.id == _task.subject).where(IS_OPEN, IS_DUE, IS_FREE, _HELD)
)


@dataclass
class Served:
    """What a step has done so far: its next turns are others'."""

    owners: set[str] = field(default_factory=set)
    letters: Counter[str] = field(default_factory=Counter)
    """By channel."""

    def enough(self) -> list[str]:
        """Channels to which no more is sent in this step: messengers take few messages a second."""
        return [channel_id for channel_id, number in self.letters.items() if number >= OF_A_CHANNEL]


def claim(tx: Transaction, now: datetime, by: Lease, at_limit: Collection[str], so_far: Served) -> Sequence[OutboxRow]:
    """Take one due task of each owner who is not `at_limit`; first of those who were not served in this step."""
    left_out = {"at_limit": list(at_limit), "enough": so_far.enough(), "served": list(so_far.owners)}
    return outbox.claim_by(tx, _CLAIM, Lane.NOTIFY, now, by, **left_out)


def claim_held(tx: Transaction, channel_id: str, now: datetime, by: Lease) -> Sequence[OutboxRow]:
    """Take what waited for the end of this channel's quiet hours."""
    return outbox.claim_by(tx, _CLAIM_HELD, Lane.NOTIFY, now, by, of_channel=channel_id)
