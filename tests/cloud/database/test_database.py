"""The database: all or nothing, errors to whoever caused them, wake-ups only after the commit."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import psycopg
import pytest
from pytest_mock import MockerFixture
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError, OperationalError, StatementError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from cloud.background.heartbeat import WorkerLife
from cloud.database.base import Base, UtcDateTime
from cloud.database.database import Database, normalise_url
from cloud.database.listen import ChangeListener
from cloud.database.transaction import Transaction
from cloud.database.wakeup import Waiter
from tests.cloud.database.written import NOON, Trouble, add, names
from tests.waiting import wait_until


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


def woken(ear: Waiter) -> bool:
    return ear.wait(0)


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
    with suppress(DBAPIError), database.read() as session:  # PostgreSQL refuses it at once
        session.add(WorkerLife(id="one", seen_at=NOON))
        session.flush()
    assert names(database) == set()


def test_a_look_sees_one_moment(database: Database, another: Database) -> None:
    database.transact(add, "one")
    with database.read() as session:
        before = session.scalars(select(WorkerLife.id)).all()
        another.transact(add, "two")
        assert session.scalars(select(WorkerLife.id)).all() == before == ["one"]
    assert names(database) == {"one", "two"}


def test_a_savepoint_inside_a_piece_of_work_is_its_own(database: Database) -> None:
    def partly(tx: Transaction) -> None:
        add(tx, "kept")
        with pytest.raises(Trouble), tx.session.begin_nested():
            add(tx, "undone", Trouble())
        add(tx, "kept too")

    database.transact(partly)
    assert names(database) == {"kept", "kept too"}


def test_of_several_who_open_a_new_file_at_once_none_is_refused(tmp_path: Path, mocker: MockerFixture) -> None:
    """SQLite does not wait for another who switches it to WAL, and refuses at once."""
    with closing(sqlite3.connect(tmp_path / "coffee.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        wait = mocker.patch("cloud.database.sqlite.time.sleep", side_effect=lambda _s: other.execute("COMMIT"))
        with closing(Database(f"sqlite:///{tmp_path}/coffee.db")) as database, database.engine.connect():
            wait.assert_called_once()


def test_waiters_wake_only_after_the_commit(database: Database) -> None:
    heard_inside = []

    def work(tx: Transaction, ear: Waiter) -> None:
        tx.notify("news")
        heard_inside.append(woken(ear))

    with database.wakeups.waiter("news") as ear, database.wakeups.waiter("other") as other:
        database.transact(work, ear)
        assert heard_inside == [False]
        assert woken(ear)
        assert not woken(other)


def test_undone_work_wakes_nobody(database: Database) -> None:
    with database.wakeups.waiter("news") as ear:
        with pytest.raises(Trouble):
            database.transact(add, "one", Trouble(), "news")
        assert not woken(ear)


def test_a_wake_up_finds_the_change_there(database: Database) -> None:
    with database.wakeups.waiter("news") as ear, ThreadPoolExecutor(1) as pool:
        seen = pool.submit(lambda: ear.wait(30) and names(database))
        database.transact(add, "one", None, "news")
        assert seen.result() == {"one"}


def test_another_processs_commit_wakes_this_one(database: Database, another: Database) -> None:
    listener = ChangeListener(database)
    with database.wakeups.waiter("news") as ear:
        listener.start()
        try:
            number = iter(range(10_000))

            def committed_elsewhere_and_heard() -> bool:
                another.transact(add, f"w{next(number)}", None, "news")
                return ear.wait(0.2)

            wait_until(lambda: ear.wait(0.2) or True, what="the listener's first look")
            wait_until(committed_elsewhere_and_heard, what="the other connection's wake-up")
        finally:
            listener.stop()


@contextmanager
def listening(url: str) -> Iterator[tuple[Database, Callable[[], bool]]]:
    """Another process's database, and whether what it tells now is heard here."""
    with closing(Database(url)) as here, closing(Database(url)) as there:
        Base.metadata.create_all(here.engine)
        numbers = iter(range(10_000))
        listener = ChangeListener(here)

        def is_heard() -> bool:
            with suppress(OperationalError):  # its own connections may have been broken as well
                there.transact(add, f"w{next(numbers)}", None, "news")
            return ear.wait(0.2)

        with here.wakeups.waiter("news") as ear:
            listener.start()
            try:
                yield there, is_heard
            finally:
                listener.stop()


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
    listener = ChangeListener(database)
    listener.start()
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
            listener.stop()


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
