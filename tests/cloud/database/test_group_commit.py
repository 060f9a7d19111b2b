"""Work of several committed as one: each his own result or error, and nobody waits longer than he must."""

import logging
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from cloud.background.heartbeat import WorkerLife
from cloud.database.database import Database
from cloud.database.group_commit import MAX_GROUP, Piece
from cloud.database.transaction import Transaction
from tests.cloud.database.written import NOON, Trouble, add, names
from tests.waiting import wait_until


@pytest.fixture
def database(migrated_database: Database) -> Database:
    return migrated_database


class Stopping:
    """A piece of work that does not end before it is let go."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()

    def __call__(self, _tx: Transaction) -> None:
        self.begun.set()
        assert self.go_on.wait(30)


class BusyWriter:
    """Keeps the one writer of SQLite busy so that others gather; on PostgreSQL it is in nobody's way."""

    def __init__(self, database: Database) -> None:
        self._work = Stopping()
        self._thread = threading.Thread(target=database.transact, args=(self._work,))

    def __enter__(self) -> None:
        self._thread.start()
        assert self._work.begun.wait(30)

    def __exit__(self, *_: object) -> None:
        self._work.go_on.set()
        self._thread.join()


def test_pieces_of_a_group_fail_alone(database: Database) -> None:
    """Of the pieces waiting together every third raises and every fifth breaks a constraint."""
    database.transact(add, "taken")
    with ThreadPoolExecutor(45) as pool, BusyWriter(database):
        results: list[Future[str]] = []
        for number in range(45):
            if number % 3 == 0:
                results.append(pool.submit(database.transact, add, f"w{number}", Trouble(number)))
            elif number % 5 == 0:
                results.append(pool.submit(database.transact, add, "taken"))
            else:
                results.append(pool.submit(database.transact, add, f"w{number}"))
    for number, result in enumerate(results):
        if number % 3 == 0:
            assert isinstance(result.exception(), Trouble)
            assert str(result.exception()) == str(number), "each its own error"
        elif number % 5 == 0:
            assert isinstance(result.exception(), IntegrityError)
        else:
            assert result.result() == f"w{number}"
    assert names(database) == {"taken"} | {f"w{n}" for n in range(45) if n % 3 and n % 5}


def test_more_than_one_groups_worth_of_writers_all_get_their_results(database: Database) -> None:
    count = MAX_GROUP + 20 if database.is_sqlite else 15
    with ThreadPoolExecutor(count) as pool, BusyWriter(database):
        results = [pool.submit(database.transact, add, f"w{number}") for number in range(count)]
    assert [result.result() for result in results] == [f"w{number}" for number in range(count)]
    assert len(names(database)) == count


def test_who_is_committed_does_not_wait_for_the_next_group(database: Database) -> None:
    """Each writes once, together with the others, and once more, which does not end before all were told of the first.

    Whoever commits the first group comes back at once with the next.
    """
    waiting = database._together._waiting  # who is in which group cannot be seen from outside
    before, again = Stopping(), Stopping()
    told: list[str] = []

    def twice(number: int) -> None:
        told.append(database.transact(add, f"w{number}", key=f"{number}"))
        database.transact(again, key="again")

    with ThreadPoolExecutor(11) as pool:
        try:
            ends = [pool.submit(database.transact, before, key="before")]
            assert before.begun.wait(30)
            ends += [pool.submit(twice, number) for number in range(10)]
            wait_until(lambda: len(waiting) == 10, what="all of the first group")
            before.go_on.set()
            wait_until(lambda: len(told) == 10, what="the first results")
        finally:
            again.go_on.set()
        for end in ends:
            end.result(30)


def test_what_follows_one_piece_and_fails_takes_nothing_from_the_others(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Regression: who shared its commit was told that all had failed, and nobody was woken."""
    waiting = database._together._waiting
    before, followed = Stopping(), threading.Event()

    def bad() -> None:
        raise Trouble

    def piece(tx: Transaction, name: str, act: Callable[[], None]) -> str:
        tx.after_commit(act)
        tx.notify(name)
        tx.log_after_commit(logging.getLogger("cloud").warning, "%s is told", name, extra={})
        return name

    with ThreadPoolExecutor(3) as pool, database.wakeups.waiter("second") as ear:
        begun = pool.submit(database.transact, before, key="before")
        assert before.begun.wait(30)
        ends = []
        for name, act in (("first", bad), ("second", followed.set)):
            ends.append(pool.submit(database.transact, piece, name, act, key=name))
            wait_until(lambda: len(waiting) == len(ends), what="both in one group")
        before.go_on.set()
        assert [end.result(30) for end in ends] == ["first", "second"]
        begun.result(30)
        assert ear.wait(30)
    assert followed.is_set()
    assert "what follows a commit failed" in caplog.text
    assert "second is told" in caplog.text


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C raises, also where the tests were begun in the background and have inherited that it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("is_next", [True, False], ids=["it was to lead", "others are before it"])
def test_who_is_interrupted_while_waiting_keeps_nobody(database: Database, is_next: bool) -> None:
    waiting = database._together._waiting
    before = Stopping()

    def interrupt() -> None:
        wait_until(lambda: len(waiting) == 2, what="both who wait")
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    with ThreadPoolExecutor(3) as pool:
        ends: list[Future[Any]] = [pool.submit(database.transact, before, key="before")]
        assert before.begun.wait(30)
        if not is_next:
            ends.append(pool.submit(database.transact, add, "other", key="other"))
            wait_until(lambda: len(waiting) == 1, what="the other")
        interrupting = pool.submit(interrupt)
        if is_next:
            ends.append(pool.submit(_once_somebody_waits, database, waiting))
        with pytest.raises(KeyboardInterrupt):
            database.transact(add, "interrupted", key="interrupted")
        interrupting.result(30)
        before.go_on.set()
        for end in ends:
            end.result(30)
        assert database.transact(add, "afterwards") == "afterwards"
    assert names(database) == {"other", "afterwards"}


class InterruptedAsSoonAsHeld:
    """A piece's turn whose waiter hears Ctrl-C in the very instant after it was given to him."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.locked, self.release = self._lock.locked, self._lock.release

    def acquire(self) -> None:
        waits = self._lock.locked()
        self._lock.acquire()
        if waits:
            raise KeyboardInterrupt


def test_who_is_interrupted_once_woken_to_lead_keeps_nobody(database: Database) -> None:
    """Regression: he was taken for one who waits, nobody led, and all who came later waited for ever."""
    together = database._together
    before = Stopping()
    piece: Piece[str] = Piece(add, ("woken",), {}, "woken", turn=InterruptedAsSoonAsHeld())  # type: ignore[arg-type]
    with ThreadPoolExecutor(3) as pool:
        ends: list[Future[Any]] = [pool.submit(database.transact, before, key="before")]
        assert before.begun.wait(30)
        interrupted = pool.submit(together.transact, piece)
        wait_until(lambda: len(together._waiting) == 1, what="the one to be interrupted")
        ends.append(pool.submit(database.transact, add, "other", key="other"))
        wait_until(lambda: len(together._waiting) == 2, what="the other")
        before.go_on.set()
        assert isinstance(interrupted.exception(30), KeyboardInterrupt)
        for end in ends:
            end.result(30)
    assert database.transact(add, "afterwards") == "afterwards"
    assert names(database) == {"woken", "other", "afterwards"}, "he had been chosen to do it, and has"


def _once_somebody_waits(database: Database, waiting: Sized) -> None:
    wait_until(lambda: len(waiting) == 1, what="the one to be interrupted")
    database.transact(add, "other", key="other")


def test_after_the_end_of_the_program_was_asked_for_in_a_group_others_are_served(database: Database) -> None:
    def ends(_tx: Transaction) -> None:
        raise SystemExit

    with pytest.raises(SystemExit):
        database.transact(ends)
    assert database.transact(add, "one") == "one"


def test_writers_without_pause_lose_no_update(database: Database) -> None:
    database.transact(add, "counter")

    def later(tx: Transaction) -> None:
        life = tx.session.get_one(WorkerLife, "counter", with_for_update=True)
        life.seen_at += timedelta(seconds=1)

    with ThreadPoolExecutor(8) as pool:
        for result in [pool.submit(lambda: [database.transact(later) for _ in range(10)]) for _ in range(8)]:
            result.result()
    with database.read() as session:
        assert session.get_one(WorkerLife, "counter").seen_at == NOON + timedelta(seconds=80)


def test_a_group_that_cannot_be_committed_fails_everybody_in_it(tmp_path: object) -> None:
    """A deferred constraint breaks the commit itself: nobody may be told that his work is safe."""
    database = Database(f"sqlite:///{tmp_path}/coffee.db")
    with sqlite3.connect(f"{tmp_path}/coffee.db") as raw:
        raw.execute("CREATE TABLE parent (id INTEGER PRIMARY KEY)")
        raw.execute("CREATE TABLE child (parent INTEGER REFERENCES parent(id) DEFERRABLE INITIALLY DEFERRED)")
    raw.close()

    def insert(tx: Transaction, statement: str) -> str:
        tx.connection.exec_driver_sql(statement)
        return "safe"

    with ThreadPoolExecutor(2) as pool, BusyWriter(database):
        good = pool.submit(database.transact, insert, "INSERT INTO parent VALUES (1)")
        bad = pool.submit(database.transact, insert, "INSERT INTO child VALUES (99)")
    assert isinstance(bad.exception(), IntegrityError)
    with database.read() as session:
        is_stored = bool(session.connection().exec_driver_sql("SELECT count(*) FROM parent").scalar())
    assert is_stored is (good.exception() is None), "told the truth about the commit"
    assert database.transact(insert, "INSERT INTO parent VALUES (2)") == "safe", "and the next group is well"
    database.close()
