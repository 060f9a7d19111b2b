"""What one order has been promised, changed in its docket: made, amended, taken back, settled, put off.

A promise is a row of the outbox. Its order is locked first and its row with it, so what is decided here still holds
when it is committed, whoever takes rows meanwhile (`outbox.claim` passes over what is locked).
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cloud.database.group_commit import after_commit, ring
from cloud.database.plain_rows import fresh
from cloud.orders.locked_order import Docket
from cloud.orders.outbox import Claim, OutboxRow, topic
from cloud.orders.tasks import LANE_OF, STOPPED, WITHDRAWN, Lane, Task


@dataclass(frozen=True)
class AtHand:
    """A lane's worker in this very process: it is given a new row in the commit that writes it, already claimed."""

    claim: Claim
    prepare: Callable[[Docket, OutboxRow], Callable[[], None] | None]
    """Looks at what the row is about, in the transaction about to write it, and may write the call into it.

    What it gives back is called after the commit; None leaves the row to whoever looks for it.
    """


def know_at_hand(known: dict[str, Any], lane: Lane, worker: AtHand | None) -> None:
    """Let the sessions that find `known` in their `info` give this lane's rows to `worker`, or to nobody."""
    known[topic(lane)] = worker


def promise(
    docket: Docket, task: Task, key: str, subject: str, now: datetime, amount: int = 0,
    due_at: datetime | None = None, lane: Lane | None = None,
) -> OutboxRow:  # fmt: skip
    """Promise one act; due at once unless told otherwise. The key must be new."""
    lane = lane or LANE_OF[task]
    row = fresh(
        OutboxRow, lane=lane.value, task=task.value, key=key, order_id=docket.order.id, subject=subject, amount=amount,
        created_at=now, due_at=due_at or now,
    )  # fmt: skip
    at_hand: AtHand | None = docket.session.info.get(topic(lane))
    begin = at_hand.prepare(docket, row) if at_hand is not None and row.due_at <= now else None
    if at_hand is not None and begin is not None:
        take(row, at_hand.claim, now)
        after_commit(docket.session, begin)
    else:
        ring(docket.session, topic(lane))
    docket.add(row)
    return row


def take(row: OutboxRow, by: Claim, now: datetime) -> None:
    """Claim a promise in a transaction that holds its order."""
    row.claimed_by, row.claimed_until = by.owner, now + timedelta(seconds=by.lease_s)
    row.attempts, row.first_tried_at = row.attempts + 1, row.first_tried_at or now


def of(docket: Docket, key: str) -> OutboxRow:
    """The promise as it stands now. Raises `LookupError`."""
    for row in docket.promises:
        if row.key == key:
            return row
    raise LookupError(f"no promise {key}")


def settle(docket: Docket, key: str, owner: str, verdict: str, now: datetime) -> bool:
    """The act's outcome is known. False when the lease was lost: someone else may have settled it."""
    row = _let_go(docket, key, owner)
    if row is None:
        return False
    row.settled_at, row.verdict, row.last_error = now, verdict[:64], ""
    return True


def put_off(docket: Docket, key: str, owner: str, due_at: datetime, error: str) -> bool:
    """Not known yet, or not possible now: again at `due_at`. False when the lease was lost."""
    row = _let_go(docket, key, owner)
    if row is None:
        return False
    row.due_at, row.last_error = due_at, error[:255]
    return True


def nothing_done(docket: Docket, key: str) -> None:
    """The attempt under way has certainly done nothing. Before the first that may have, no key has an age."""
    row = of(docket, key)
    row.undone += 1
    if row.undone >= row.attempts:
        row.first_tried_at = None


def not_begun(docket: Docket, key: str) -> None:
    """The attempt under way was held back by ourselves: it was none."""
    row = of(docket, key)
    row.attempts -= 1
    if row.undone >= row.attempts:
        row.first_tried_at = None


def amend(docket: Docket, row: OutboxRow, amount: int, due_at: datetime) -> None:
    """A promise nobody has begun to keep: another amount, or sooner."""
    if row.attempts:
        return
    if due_at < row.due_at:
        row.due_at = due_at
        ring(docket.session, topic(Lane(row.lane)))
    row.amount = amount


def withdraw(docket: Docket, tasks: Collection[Task], now: datetime, subject: str | None = None) -> bool:
    """Take back promises nobody has begun to keep; whether there were any.

    What may have been done once cannot be taken back.
    """
    back = [
        row
        for row in docket.promises
        if Task(row.task) in tasks and subject in {None, row.subject} and _is_open(row) and row.attempts == row.undone
    ]
    for row in back:
        row.settled_at, row.verdict = now, WITHDRAWN
    return bool(back)


def stop(docket: Docket, task: Task, subject: str, now: datetime) -> bool:
    """Let nobody try it (again); whether it is certain that nobody has done it yet."""
    rows = [row for row in docket.promises if (row.task, row.subject) == (task, subject)]
    for row in filter(_is_open, rows):
        row.settled_at, row.verdict = now, WITHDRAWN if row.attempts == row.undone else STOPPED
    return all(row.attempts == row.undone for row in rows)


def _let_go(docket: Docket, key: str, owner: str) -> OutboxRow | None:
    """The promise, held no more; None unless `owner` held it."""
    row = of(docket, key)
    if not _is_open(row) or row.claimed_by != owner:
        return None
    row.claimed_by, row.claimed_until = "", None
    return row


def _is_open(row: OutboxRow) -> bool:
    return row.settled_at is None
