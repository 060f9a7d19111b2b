"""The tasks of one order, changed under its lock: added, amended, withdrawn, settled, rescheduled.

A task is a row of the outbox. Its order is locked first and its row with it, so what is decided here still holds
when it is committed, whichever worker claims rows meanwhile (`outbox.claim` passes over what is locked).
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from cloud.database.plain_rows import fresh
from cloud.orders.locked_order import LockedOrder
from cloud.orders.outbox import Lease, OutboxRow, claim_row, topic
from cloud.orders.tasks import BY_HAND, DONE, LANE_OF, STOPPED, WITHDRAWN, Lane, Task, may_be_done


@dataclass(frozen=True)
class LaneWorker:
    """A lane's worker in this very process: it is given a new row in the commit that writes it, already claimed."""

    lease: Lease
    prepare: Callable[[LockedOrder, OutboxRow], Callable[[], None] | None]
    """Looks at what the row is about, in the transaction about to write it, and may write the call into it.

    What it gives back is called after the commit; None leaves the row to the worker that looks for due rows.
    """


@dataclass(frozen=True)
class LaneWorkers:
    """The dispatcher of tasks: which lanes have their worker in this process."""

    by_lane: Mapping[Lane, LaneWorker] = field(default_factory=dict)


def add_task(
    locked: LockedOrder, task: Task, key: str, subject: str, now: datetime, amount: int = 0,
    due_at: datetime | None = None, lane: Lane | None = None,
) -> OutboxRow:  # fmt: skip
    """Write down one act to be done; due at once unless told otherwise. The key must be new."""
    lane = lane or LANE_OF[task]
    row = fresh(
        OutboxRow, lane=lane.value, task=task.value, key=key, order_id=locked.order.id, subject=subject, amount=amount,
        created_at=now, due_at=due_at or now,
    )  # fmt: skip
    workers: LaneWorkers | None = locked.tx.dispatchers.get(LaneWorkers)
    worker = workers.by_lane.get(lane) if workers is not None and row.due_at <= now else None
    begin = worker.prepare(locked, row) if worker is not None else None
    if worker is not None and begin is not None:
        claim_row(row, worker.lease, now)
        locked.tx.after_commit(begin)
    else:
        locked.tx.notify(topic(lane))
    locked.add(row)
    return row


def leave_to_person(locked: LockedOrder, task: Task, key: str, subject: str, amount: int, now: datetime) -> None:
    """Write down an act that nobody here can do, ended as it begins. The key must be new."""
    locked.add(
        fresh(
            OutboxRow, lane=LANE_OF[task].value, task=task.value, key=key, order_id=locked.order.id, subject=subject,
            amount=amount, created_at=now, due_at=now, settled_at=now, verdict=BY_HAND,
        )
    )  # fmt: skip


def task_of(locked: LockedOrder, key: str) -> OutboxRow:
    """The task as it stands now. Raises `LookupError`."""
    for row in locked.tasks:
        if row.key == key:
            return row
    raise LookupError(f"no task {key}")


def settle_task(locked: LockedOrder, key: str, owner: str, verdict: str, now: datetime) -> bool:
    """The act's outcome is known. False when the lease was lost: someone else may have settled it."""
    row = _let_go(locked, key, owner)
    if row is None:
        return False
    row.settled_at, row.verdict, row.last_error = now, verdict[:64], ""
    return True


def reschedule(locked: LockedOrder, key: str, owner: str, due_at: datetime, error: str) -> bool:
    """Not known yet, or not possible now: again at `due_at`. False when the lease was lost."""
    row = _let_go(locked, key, owner)
    if row is None:
        return False
    row.due_at, row.last_error = due_at, error[:255]
    return True


def mark_no_effect(locked: LockedOrder, key: str) -> None:
    """The attempt under way has certainly done nothing. Before the first that may have, no key has an age."""
    row = task_of(locked, key)
    row.undone += 1
    if not may_be_done(row):
        row.first_tried_at = None


def mark_not_begun(locked: LockedOrder, key: str) -> None:
    """The attempt under way was held back by ourselves: it was none."""
    row = task_of(locked, key)
    row.attempts -= 1
    if not may_be_done(row):
        row.first_tried_at = None


def amend_task(locked: LockedOrder, row: OutboxRow, amount: int, due_at: datetime) -> None:
    """Change a task nobody has tried: another amount, or sooner."""
    if row.attempts:  # also in vain: its key may be known there by these bytes, and its next try has its time
        return
    if due_at < row.due_at:
        row.due_at = due_at
        locked.tx.notify(topic(Lane(row.lane)))
    if row.amount != amount:  # its call may be written already: we may have held it back ourselves
        row.amount, row.call_path, row.call_body = amount, "", None


def withdraw_tasks(locked: LockedOrder, tasks: Collection[Task], now: datetime, subject: str | None = None) -> bool:
    """Withdraw tasks nobody has begun; whether there were any.

    What may have been done once cannot be taken back.
    """
    back = [
        row
        for row in locked.tasks
        if Task(row.task) in tasks and subject in {None, row.subject} and _is_open(row) and not may_be_done(row)
    ]
    for row in back:
        row.settled_at, row.verdict = now, WITHDRAWN
    return bool(back)


def stop_task(locked: LockedOrder, task: Task, subject: str, now: datetime) -> bool:
    """Let nobody try it (again); whether it is certain that nobody has done it yet."""
    rows = [row for row in locked.tasks if (row.task, row.subject) == (task, subject)]
    for row in filter(_is_open, rows):
        row.settled_at, row.verdict = now, STOPPED if may_be_done(row) else WITHDRAWN
    return not any(may_be_done(row) for row in rows)


def finish_tasks(locked: LockedOrder, tasks: Collection[Task], subject: str, now: datetime) -> None:
    """End tasks whose result is known: they need not be tried again, whichever worker holds them."""
    for row in _open_ones(locked, tasks, subject):
        row.settled_at, row.verdict, row.last_error = now, DONE if may_be_done(row) else WITHDRAWN, ""


def hasten_tasks(locked: LockedOrder, tasks: Collection[Task], subject: str, now: datetime) -> None:
    """Have those tried now that wait for a later try."""
    for row in _open_ones(locked, tasks, subject):
        if row.claimed_until is None and row.due_at > now:
            row.due_at = now
            locked.tx.notify(topic(Lane(row.lane)))


def _open_ones(locked: LockedOrder, tasks: Collection[Task], subject: str) -> list[OutboxRow]:
    return [row for row in locked.tasks if Task(row.task) in tasks and row.subject == subject and _is_open(row)]


def _let_go(locked: LockedOrder, key: str, owner: str) -> OutboxRow | None:
    """The task, held no more; None unless `owner` held it."""
    row = task_of(locked, key)
    if not _is_open(row) or row.claimed_by != owner:
        return None
    row.claimed_by, row.claimed_until = "", None
    return row


def _is_open(row: OutboxRow) -> bool:
    return row.settled_at is None
