"""The database: all or nothing, in groups on SQLite, errors to whoever caused them, wake-ups only after the commit."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pytest_mock import MockerFixture
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError, OperationalError, StatementError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from cloud.background.heartbeat import WorkerLife
from cloud.database.base import Base, UtcDateTime
from cloud.database.database import Database, normalise_url
from cloud.database.group_commit import MAX_GROUP
from cloud.database.listen import ChangeListener
from cloud.database.transaction import Transaction
from cloud.database.wakeup import Waiter
from tests.waiting import wait_until

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


class Trouble(Exception):
    """What a piece of work raises here."""


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    for tables in (Base, Ours):
        tables.metadata.create_all(opened.engine)
    yield opened
    opened.close()


@pytest.fixture
def another(database: Database, database_url: str) -> Iterator[Database]:
    """The same database as another process has it."""
    opened = Database(database_url)
    yield opened
    opened.close()


def add(tx: Transaction, name: str, trouble: Exception | None = None, topic: str = "") -> str:
    tx.session.add(WorkerLife(id=name, seen_at=NOON))
    tx.session.flush()
    if topic:
        tx.notify(topic)
    if trouble is not None:
        raise trouble
    return name


def names(database: Database) -> set[str]:
    with database.read() as session:
        return set(session.scalars(select(WorkerLife.id)))


def rung(ear: Waiter) -> bool:
    return ear.wait(0)


class BusyWriter:
    """Keeps the one writer of SQLite busy so that others gather; on PostgreSQL it is in nobody's way."""

    def __init__(self, database: Database) -> None:
        self._begun, self._go_on = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=database.transact, args=(self._hold,))

    def _hold(self, _session: Session) -> None:
        self._begun.set()
        assert self._go_on.wait(30)

    def __enter__(self) -> None:
        self._thread.start()
        assert self._begun.wait(30)

    def __exit__(self, *_: object) -> None:
        self._go_on.set()
        self._thread.join()


def test_what_work_returns_comes_back_once_it_is_committed(database: Database, another: Database) -> None:
    assert database.transact(add, "one") == "one"
    assert names(another) == {"one"}


def test_what_work_raises_comes_out_and_undoes_its_changes(database: Database) -> None:
    with pytest.raises(Trouble):
        database.transact(add, "one", Trouble())
    assert names(database) == set()


def test_objects_can_be_read_after_the_commit(database: Database) -> None:
    def made(tx: Transaction) -> WorkerLife:
        life = WorkerLife(id="one", seen_at=NOON)
        tx.session.add(life)
        return life

    life = database.transact(made)
    assert (life.id, life.seen_at, life.broker_connected) == ("one", NOON, False)


def test_reading_changes_nothing(database: Database) -> None:
    with database.read() as session:
        session.add(WorkerLife(id="one", seen_at=NOON))
        session.flush()
    assert names(database) == set()


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


class Stopping:
    """A piece of work that does not end before it is let go."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()

    def __call__(self, _tx: Transaction) -> None:
        self.begun.set()
        assert self.go_on.wait(30)


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


def test_a_savepoint_inside_a_piece_of_work_is_its_own(database: Database) -> None:
    def partly(tx: Transaction) -> None:
        add(tx, "kept")
        with pytest.raises(Trouble), tx.session.begin_nested():
            add(tx, "undone", Trouble())
        add(tx, "kept too")

    database.transact(partly)
    assert names(database) == {"kept", "kept too"}


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


def test_of_several_who_open_a_new_file_at_once_none_is_refused(tmp_path: Path, mocker: MockerFixture) -> None:
    """SQLite does not wait for another who switches it to WAL, and refuses at once."""
    with closing(sqlite3.connect(tmp_path / "coffee.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        wait = mocker.patch("cloud.database.sqlite.time.sleep", side_effect=lambda _s: other.execute("COMMIT"))
        with closing(Database(f"sqlite:///{tmp_path}/coffee.db")) as database, database.engine.connect():
            wait.assert_called_once()


def test_wake_ups_ring_only_after_the_commit(database: Database) -> None:
    heard_inside = []

    def work(tx: Transaction, ear: Waiter) -> None:
        tx.notify("news")
        heard_inside.append(rung(ear))

    with database.wakeups.waiter("news") as ear, database.wakeups.waiter("other") as other:
        database.transact(work, ear)
        assert heard_inside == [False]
        assert rung(ear)
        assert not rung(other)


def test_undone_work_rings_nobody(database: Database) -> None:
    with database.wakeups.waiter("news") as ear:
        with pytest.raises(Trouble):
            database.transact(add, "one", Trouble(), "news")
        assert not rung(ear)


def test_a_wake_up_finds_the_change_there(database: Database) -> None:
    with database.wakeups.waiter("news") as ear, ThreadPoolExecutor(1) as pool:
        seen = pool.submit(lambda: ear.wait(30) and names(database))
        database.transact(add, "one", None, "news")
        assert seen.result() == {"one"}


def test_another_processs_commit_wakes_this_one(database: Database, another: Database) -> None:
    watch = ChangeListener(database)
    with database.wakeups.waiter("news") as ear:
        watch.start()
        try:
            number = iter(range(10_000))

            def committed_elsewhere_and_heard() -> bool:
                another.transact(add, f"w{next(number)}", None, "news")
                return ear.wait(0.2)

            wait_until(lambda: ear.wait(0.2) or True, what="the watch's first look")
            wait_until(committed_elsewhere_and_heard, what="the other connection's wake-up")
        finally:
            watch.stop()


@contextmanager
def listening(url: str) -> Iterator[tuple[Database, Callable[[], bool]]]:
    """Another process's database, and whether what it tells now is heard here."""
    with closing(Database(url)) as here, closing(Database(url)) as there:
        Base.metadata.create_all(here.engine)
        numbers = iter(range(10_000))
        watch = ChangeListener(here)

        def is_heard() -> bool:
            with suppress(OperationalError):  # its own connections may have been broken as well
                there.transact(add, f"w{next(numbers)}", None, "news")
            return ear.wait(0.2)

        with here.wakeups.waiter("news") as ear:
            watch.start()
            try:
                yield there, is_heard
            finally:
                watch.stop()


def test_notices_go_on_after_every_connection_was_broken(postgres_url: str) -> None:
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> %s"
    with listening(postgres_url) as (_, is_heard):
        wait_until(is_heard, what="a notice")
        with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as operator:
            operator.execute(others, (operator.info.backend_pid,))
        wait_until(is_heard, what="the next")


def test_a_real_other_process_wakes_this_one(database: Database, database_url: str) -> None:
    program = (
        "import sys\n"
        "\n"
        "from cloud.database.database import Database\n"
        "database = Database(sys.argv[1])\n"
        "from cloud.background import heartbeat\n"
        "from cloud.background.loops import utc_now\n"
        "def work(tx, number):\n"
        "    heartbeat.beat(tx, f'other-{number}', True, utc_now())\n"
        "    tx.notify('news')\n"
        "for number in range(2000):\n"
        "    if sys.stdin.readline() != 'again\\n': break\n"
        "    database.transact(work, number)\n"
        "database.close()\n"
    )
    watch = ChangeListener(database)
    watch.start()
    with subprocess.Popen(
        [sys.executable, "-c", program, database_url],
        stdin=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        assert process.stdin is not None

        def heard() -> bool:
            assert process.stdin is not None
            process.stdin.write("again\n")
            process.stdin.flush()
            return ear.wait(0.3)

        try:
            with database.wakeups.waiter("news") as ear:
                wait_until(heard, timeout=60, what="the other process's wake-up")
                wait_until(lambda: any(name.startswith("other-") for name in names(database)), what="its row")
        finally:
            process.stdin.close()
            watch.stop()


class Ours(DeclarativeBase):
    """Beside the cloud's own tables, so that nobody takes these for a part of them."""

    type_annotation_map = {datetime: UtcDateTime()}  # noqa: RUF012  # SQLAlchemy reads a plain class attribute


class Moment(Ours):
    """A table of these tests alone."""

    __tablename__ = "test_moments"

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime | None]


def test_times_come_back_aware_and_in_utc(database: Database) -> None:
    in_moscow = NOON.astimezone(timezone(timedelta(hours=3)))

    def store(tx: Transaction) -> None:
        tx.session.add_all([Moment(id=1, at=in_moscow), Moment(id=2, at=None)])

    database.transact(store)
    with database.read() as session:
        at = session.get_one(Moment, 1).at
        assert at is not None
        assert (at, at.tzinfo) == (NOON, UTC)
        assert session.get_one(Moment, 2).at is None
        assert session.scalar(select(func.count()).where(Moment.at <= in_moscow)) == 1


def test_a_naive_time_is_refused(database: Database) -> None:
    with pytest.raises(StatementError, match="naive"):
        database.transact(lambda tx: tx.session.add(Moment(id=1, at=datetime(2026, 3, 2))))  # noqa: DTZ001  # the point


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        ("postgres://u@h/d", "postgresql+psycopg://u@h/d"),
        ("postgresql://u@h/d", "postgresql+psycopg://u@h/d"),
        ("postgresql+psycopg://u@h/d", "postgresql+psycopg://u@h/d"),
        ("sqlite:///var/coffee.db", "sqlite:///var/coffee.db"),
    ],
)
def test_the_driver_is_always_spelled(told: str, meant: str) -> None:
    assert normalise_url(told) == meant
