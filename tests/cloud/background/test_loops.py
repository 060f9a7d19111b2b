"""The outermost shell: steps when due or woken, survives what a step raises, ends when told."""

import logging
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial

import pytest
from sqlalchemy.exc import OperationalError

from cloud.background.loops import Loop, ThreadPool, utc_now
from cloud.database.wakeup import Waiter, Wakeups
from tests.cloud.worlds import HandClock
from tests.waiting import wait_until


class Counted:
    """Counts its steps; `next_in` seconds from now it wants the next one."""

    def __init__(self, next_in: float = 3600) -> None:
        self.steps = 0
        self.next_in = next_in
        self.trouble: Exception | None = None

    def has_made(self, steps: int) -> bool:
        return self.steps == steps

    def step(self, now: datetime) -> datetime:
        self.steps += 1
        if self.trouble is not None:
            raise self.trouble
        return now + timedelta(seconds=self.next_in)


@pytest.fixture
def wakeups() -> Wakeups:
    return Wakeups()


@pytest.fixture
def counted() -> Counted:
    return Counted()


@pytest.fixture
def loop(wakeups: Wakeups, counted: Counted) -> Iterator[Loop]:
    made = Loop("counter", counted, wakeups, "work", utc_now)
    made.start()
    yield made
    made.stop()
    made.join(10)
    assert not made.alive


def test_a_loop_steps_at_once_and_again_when_woken(wakeups: Wakeups, counted: Counted, loop: Loop) -> None:
    wait_until(lambda: counted.steps >= 1)

    def woken() -> bool:
        wakeups.wake(["work"])
        return counted.steps >= 20

    wait_until(woken, what="steps by waking alone")


def test_polling_is_the_truth_and_a_lost_wake_up_costs_a_second(counted: Counted, loop: Loop) -> None:
    wait_until(lambda: counted.steps >= 3, what="steps nobody woke it for")


def test_who_goes_by_the_clock_is_stepped_when_its_time_comes_and_for_nothing_else(wakeups: Wakeups) -> None:
    """Regression: each of a dozen such loops stepped once a second, which cost more than all that was idle."""
    clock, counted = HandClock(), Counted(next_in=60)
    loop = Loop("hourly", counted, wakeups, None, clock)
    loop.start()
    wait_until(lambda: counted.steps == 1)
    for seconds, steps in ((59, 1), (1, 2), (-3600, 3)):  # not yet; due; the clock was set back
        clock.advance(seconds)
        wakeups.wake_all()
        loop.wake()
        wait_until(partial(counted.has_made, steps), what="its steps")
    loop.stop()
    loop.join(10)
    assert counted.steps == 3


def test_a_step_that_raises_is_logged_and_tried_again(
    wakeups: Wakeups, counted: Counted, loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    counted.trouble = RuntimeError("no database")
    wakeups.wake(["work"])
    wait_until(lambda: "counter: a step failed" in caplog.text)
    counted.trouble = None
    steps = counted.steps
    wait_until(lambda: counted.steps > steps, what="a step after the failed one")
    assert loop.alive


def test_a_database_that_is_away_is_told_of_once_a_minute_for_all_loops(
    wakeups: Wakeups, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Regression: each of eighteen loops said so each second, 65 000 lines an hour."""
    monkeypatch.setattr(Waiter, "wait", lambda *_: False)
    caplog.set_level(logging.INFO)
    clock, number, seconds = HandClock(), 18, 62
    second, all_failed, answers = threading.Barrier(number), threading.Barrier(number + 1), threading.Event()

    class Asking:
        def __init__(self) -> None:
            self.failed = 0

        def step(self, now: datetime) -> datetime:
            if self.failed < seconds:
                self.failed += 1
                if second.wait(30) == 0:
                    clock.advance(1)
                raise OperationalError("SELECT 1", {}, OSError("connection refused"))
            if not answers.is_set():
                all_failed.wait(30)
            answers.wait(30)
            return now

    loops = [Loop(f"loop-{each}", Asking(), wakeups, "work", clock) for each in range(number)]
    try:
        for loop in loops:
            loop.start()
        all_failed.wait(30)
        assert 2 <= len(caplog.records) < 10
        answers.set()
        wait_until(lambda: f"the database answers again: {number * seconds} steps had failed" in caplog.text)
    finally:
        answers.set()
        for loop in loops:
            loop.stop()
        for loop in loops:
            loop.join(10)


def test_a_naive_wake_time_does_not_end_a_loop(wakeups: Wakeups, caplog: pytest.LogCaptureFixture) -> None:
    class Naive:
        def step(self, now: datetime) -> datetime:
            return now.replace(tzinfo=None)

    loop = Loop("naive", Naive(), wakeups, "work", utc_now)
    loop.start()
    wait_until(lambda: "naive: a step failed" in caplog.text)
    assert loop.alive
    loop.stop()
    loop.join(10)


def test_a_loop_that_ended_listens_no_more(wakeups: Wakeups) -> None:
    loop = Loop("brief", Counted(), wakeups, "work", utc_now)
    loop.start()
    loop.stop()
    loop.join(10)
    assert not loop.alive
    assert wakeups.topics == 0


def test_a_crew_of_none_does_the_work_itself_in_order() -> None:
    pool, done = ThreadPool("nobody", 0), list[int]()
    for number in range(3):
        pool.submit(lambda number=number: done.append(number))  # type: ignore[misc]  # bound on purpose
    assert done == [0, 1, 2]
    assert pool.free == 1
    pool.close()


def test_a_crew_counts_its_free_hands_and_tells_when_the_first_of_all_is_freed() -> None:
    freed, go_on = threading.Semaphore(0), threading.Event()
    pool = ThreadPool("hands", 2, freed.release)

    def wait() -> None:
        assert go_on.wait(30)

    pool.submit(wait)
    assert pool.free == 1
    pool.submit(wait)
    assert pool.free == 0
    go_on.set()
    assert freed.acquire(timeout=30)
    pool.close()
    assert pool.free == 2
    assert not freed.acquire(blocking=False), "nobody waits for the second hand"


@pytest.mark.parametrize("size", [0, 1])
def test_work_that_raises_is_logged_and_frees_its_hand(size: int, caplog: pytest.LogCaptureFixture) -> None:
    pool = ThreadPool("clumsy", size)

    def drop() -> None:
        raise RuntimeError("dropped")

    with caplog.at_level(logging.ERROR):
        pool.submit(drop)
        wait_until(lambda: pool.free == 1 and "clumsy: a piece of work failed" in caplog.text)
    pool.close()


def test_closing_a_crew_lets_it_finish_what_it_holds() -> None:
    done = list[str]()
    begun, go_on = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go_on.wait(30)
        done.append("finished")

    pool = ThreadPool("careful", 1)
    pool.submit(work)
    assert begun.wait(30)
    threading.Timer(0, go_on.set).start()
    pool.close()
    assert done == ["finished"]
