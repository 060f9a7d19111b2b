"""Tasks in the outbox: taken by one, given back, taken over from the dead, withdrawn before anybody began."""

import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import ColumnElement, select
from sqlalchemy.exc import IntegrityError

from cloud.orders import order_tasks, outbox
from cloud.orders.locked_order import LockedOrder
from cloud.orders.order_tasks import LaneWorker, LaneWorkers
from cloud.orders.outbox import Lease, OutboxRow
from cloud.orders.tasks import Lane, Task, may_be_done
from tests.cloud.worlds import OTHER_DEVICE, START, World

ANNA, BORIS = Lease("anna", 30.0), Lease("boris", 30.0)
ORDER = "ord-1"


@pytest.fixture(autouse=True)
def an_order(world: World) -> None:
    world.scan(ORDER)


def a_task(world: World, key: str = "k-1", task: Task = Task.REFUND, due_in: float = 0.0) -> int:
    due_at = START + timedelta(seconds=due_in)
    world.in_docket(ORDER, order_tasks.add_task, task, key, "p-1", START, 100, due_at)
    with world.database.read() as session:
        return session.scalars(select(OutboxRow.id).where(OutboxRow.key == key)).one()


def settle(world: World, row_id: int, owner: str) -> bool:
    return world.in_docket(ORDER, order_tasks.settle_task, row(world, row_id).key, owner, "done", world.now)


def reschedule(world: World, row_id: int, owner: str, seconds: float, why: str) -> bool:
    until = world.now + timedelta(seconds=seconds)
    return world.in_docket(ORDER, order_tasks.reschedule, row(world, row_id).key, owner, until, why)


def withdraw(world: World, order_id: str = ORDER, task: Task = Task.REFUND, subject: str | None = None) -> bool:
    return world.in_docket(order_id, order_tasks.withdraw_tasks, {task}, world.now, subject)


def claimed(world: World, by: Lease, lane: Lane = Lane.PROVIDER) -> list[int]:
    return [row.id for row in world.database.transact(outbox.claim, lane, world.now, by)]


def next_due(world: World, lane: Lane = Lane.PROVIDER) -> datetime | None:
    with world.database.read() as session:
        return outbox.next_due(session, lane)


def row(world: World, row_id: int) -> OutboxRow:
    with world.database.read() as session:
        return session.get_one(OutboxRow, row_id)


def test_the_database_and_we_ourselves_mean_the_same(world: World) -> None:
    """A claim, its holder, and what may be done: each is one rule, for the statement and for a row in hand."""
    by_statement, by_hand = a_task(world), a_task(world, "k-2")
    world.in_docket(ORDER, lambda locked: outbox.claim_row(order_tasks.task_of(locked, "k-2"), ANNA, world.now))
    assert claimed(world, ANNA) == [by_statement]
    world.in_docket(ORDER, order_tasks.mark_no_effect, "k-1")
    rows = row(world, by_statement), row(world, by_hand)
    assert len({(one.claimed_by, one.claimed_until, one.attempts) for one in rows}) == 1

    def found(rule: ColumnElement[bool]) -> set[int]:
        with world.database.read() as session:
            asked = select(OutboxRow.id).where(rule)
            return set(session.scalars(asked, outbox.moments(Lane.PROVIDER, world.now)))

    assert found(outbox.MAY_BE_DONE) == {one.id for one in rows if may_be_done(one)} == {by_hand}
    for passed_s in (0, 29, 1, -3600):
        world.clock.advance(passed_s)
        assert found(outbox.IS_FREE) == {one.id for one in rows if outbox.is_free(one, world.now)}, passed_s


def test_a_due_task_is_taken_by_one_worker_only(world: World) -> None:
    row_id = a_task(world)
    assert claimed(world, ANNA) == [row_id]
    assert claimed(world, BORIS) == []
    taken = row(world, row_id)
    assert (taken.claimed_by, taken.attempts, taken.first_tried_at) == ("anna", 1, START)


def test_nothing_is_taken_before_it_is_due_nor_from_another_lane(world: World) -> None:
    row_id = a_task(world, due_in=60)
    a_task(world, "k-2", Task.MAKE)
    assert claimed(world, ANNA) == []
    world.clock.advance(60)
    assert claimed(world, ANNA) == [row_id]


def test_a_dead_workers_task_is_taken_over_after_its_lease(world: World) -> None:
    row_id = a_task(world)
    claimed(world, ANNA)
    world.clock.advance(29)
    assert claimed(world, BORIS) == []
    world.clock.advance(1)
    assert claimed(world, BORIS) == [row_id]
    taken = row(world, row_id)
    assert (taken.claimed_by, taken.attempts, taken.first_tried_at) == ("boris", 2, START)


def test_whoever_lost_the_lease_settles_nothing(world: World) -> None:
    row_id = a_task(world)
    claimed(world, ANNA)
    world.clock.advance(30)
    claimed(world, BORIS)
    assert not settle(world, row_id, "anna")
    assert not reschedule(world, row_id, "anna", 0, "?")
    assert settle(world, row_id, "boris")
    assert not settle(world, row_id, "boris"), "once"
    assert row(world, row_id).verdict == "done"


def test_a_stranger_neither_holds_a_task_longer_nor_puts_it_off(world: World) -> None:
    world.database.transact(outbox.add_unordered, Task.JOB, "k-1", "j-1", world.now)
    [taken] = world.database.transact(outbox.claim, Lane.JOBS, world.now, ANNA)
    later = world.now + timedelta(seconds=60)
    world.database.transact(outbox.renew, ["k-1"], "boris", later)
    world.database.transact(outbox.reschedule_unordered, taken, "boris", later, "?")
    held = row(world, taken.id)
    assert (held.claimed_by, held.claimed_until, held.due_at) == ("anna", START + timedelta(seconds=30), START)


def test_a_settled_task_is_never_taken_again(world: World) -> None:
    row_id = a_task(world)
    claimed(world, ANNA)
    settle(world, row_id, "anna")
    world.clock.advance(3600)
    assert claimed(world, BORIS) == []
    assert next_due(world) is None


def test_a_rescheduled_task_is_free_and_due_later(world: World) -> None:
    row_id = a_task(world)
    claimed(world, ANNA)
    reschedule(world, row_id, "anna", 5, "busy" * 100)
    assert claimed(world, BORIS) == []
    assert next_due(world) == START + timedelta(seconds=5)
    world.clock.advance(5)
    assert claimed(world, BORIS) == [row_id]
    assert len(row(world, row_id).last_error) == 255


def test_a_worker_is_woken_when_something_can_be_taken_and_not_before(world: World) -> None:
    """A row that is held wants nobody before its lease ends: looking at once, again and again, would only heat."""
    assert next_due(world) is None
    a_task(world)
    assert next_due(world) == START
    claimed(world, ANNA)
    assert next_due(world) == START + timedelta(seconds=30)
    a_task(world, "k-2", due_in=10)
    assert next_due(world) == START + timedelta(seconds=10)


def test_a_task_nobody_began_can_be_withdrawn_and_one_begun_cannot(world: World) -> None:
    fresh, begun = a_task(world, "k-1", due_in=60), a_task(world, "k-2")
    claimed(world, ANNA)
    assert withdraw(world)
    assert (row(world, fresh).verdict, row(world, begun).verdict) == ("withdrawn", "")


def test_what_was_tried_and_certainly_not_done_can_still_be_withdrawn(world: World) -> None:
    row_id = a_task(world)

    def certainly_not_done(locked: LockedOrder) -> None:
        order_tasks.mark_no_effect(locked, "k-1")
        order_tasks.reschedule(locked, "k-1", "anna", world.now, "not connected")

    claimed(world, ANNA)
    assert not withdraw(world)
    world.in_docket(ORDER, certainly_not_done)
    assert row(world, row_id).first_tried_at is None, "its key has no age"
    assert withdraw(world)


@pytest.mark.parametrize("mark", [order_tasks.mark_no_effect, order_tasks.mark_not_begun])
def test_a_key_is_as_old_as_its_first_use_whatever_becomes_of_the_next(
    world: World, mark: Callable[[LockedOrder, str], None]
) -> None:
    """The provider may know it since then, and forgets it a day after."""
    row_id = a_task(world)
    claimed(world, ANNA)
    reschedule(world, row_id, "anna", 3600, "no answer")
    world.clock.advance(3600)
    claimed(world, ANNA)
    world.in_docket(ORDER, mark, "k-1")
    assert row(world, row_id).first_tried_at == START


def test_a_task_is_made_due_sooner_and_never_later(world: World) -> None:
    """Each piece of news counts a refused return's pause from its own moment."""
    row_id = a_task(world, due_in=60)

    def amended(due_in: float) -> datetime:
        due_at = START + timedelta(seconds=due_in)
        world.in_docket(
            ORDER, lambda locked: order_tasks.amend_task(locked, order_tasks.task_of(locked, "k-1"), 100, due_at)
        )
        return row(world, row_id).due_at

    assert amended(90) == START + timedelta(seconds=60)
    assert amended(30) == START + timedelta(seconds=30)


def test_a_task_is_begun_in_the_commit_that_writes_it_only_if_it_is_due(world: World) -> None:
    prepared: list[str] = []

    def prepare(_: LockedOrder, written: OutboxRow) -> Callable[[], None]:
        prepared.append(written.key)
        return lambda: None

    world.database.dispatchers.add(LaneWorkers({Lane.PROVIDER: LaneWorker(ANNA, prepare)}))
    rows = [row(world, a_task(world, "k-1", due_in=60)), row(world, a_task(world, "k-2"))]
    assert prepared == ["k-2"]
    assert [(one.claimed_by, one.attempts) for one in rows] == [("", 0), ("anna", 1)]


def test_withdrawing_names_order_task_and_subject(world: World) -> None:
    row_id = a_task(world)
    assert not withdraw(world, world.scan("another", OTHER_DEVICE), Task.REFUND, "p-1")
    assert not withdraw(world, ORDER, Task.CANCEL, "p-1")
    assert not withdraw(world, ORDER, Task.REFUND, "p-2")
    assert row(world, row_id).settled_at is None


def test_a_key_names_one_act(world: World) -> None:
    a_task(world)
    with pytest.raises(IntegrityError):
        a_task(world)


def test_the_oldest_due_come_first_and_no_more_than_asked_for(world: World) -> None:
    late, early = a_task(world, "k-1", due_in=2), a_task(world, "k-2", due_in=1)
    world.clock.advance(5)
    assert claimed(world, Lease("anna", 30.0, limit=1)) == [early]
    assert claimed(world, Lease("anna", 30.0, limit=1)) == [late]


def test_times_of_any_zone_mean_the_same_moment(world: World) -> None:
    a_task(world)
    in_moscow = world.now.astimezone(timezone(timedelta(hours=3)))
    [taken] = world.database.transact(outbox.claim, Lane.PROVIDER, in_moscow, ANNA)
    assert row(world, taken.id).first_tried_at == START
    assert row(world, taken.id).claimed_until == START + timedelta(seconds=30)
    assert (taken.due_at.tzinfo, taken.due_at) == (UTC, START)


def test_many_workers_at_once_never_share_a_task(world: World) -> None:
    wanted = {a_task(world, f"k-{number}") for number in range(60)}
    taken: Counter[int] = Counter()
    lock, gate = threading.Lock(), threading.Barrier(4)

    def work(name: str) -> None:
        gate.wait()
        while len(taken) < len(wanted):
            mine = claimed(world, Lease(name, 30.0, limit=3))
            with lock:
                taken.update(mine)

    threads = [threading.Thread(target=work, args=(f"worker-{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert set(taken) == wanted
    assert set(taken.values()) == {1}
