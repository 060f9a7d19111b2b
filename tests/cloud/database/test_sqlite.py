"""SQLite's file: its owner's alone, and watched for what other processes write, not for what we write ourselves."""

import os
from contextlib import closing
from pathlib import Path

import pytest

from cloud.database.base import Base
from cloud.database.database import Database
from cloud.database.listen import ChangeListener
from tests.cloud.database.written import add, names
from tests.waiting import wait_until


def test_what_this_process_commits_to_a_sqlite_file_wakes_nobody_who_did_not_ask(tmp_path: Path) -> None:
    """It would wake the loops, whose sign of life is a commit, which would wake them: for ever, at full speed."""
    url = f"sqlite:///{tmp_path}/coffee.db"
    with closing(Database(url)) as here, closing(Database(url)) as there, here.wakeups.waiter("others") as ear:
        Base.metadata.create_all(here.engine)
        looks: list[bool] = []
        look = here.changed_elsewhere

        def counted() -> bool:
            looks.append(look())
            return looks[-1]

        here.changed_elsewhere = counted  # type: ignore[method-assign]  # to know when it has looked
        listener = ChangeListener(here)
        listener.start()
        try:
            assert listener.wait_hearing(30)
            ear.wait(0)
            for number in range(5):
                before = len(looks)
                here.transact(add, f"h{number}", None, "own")
                wait_until(lambda before=before: len(looks) > before, what="the listener to see it")  # type: ignore[misc]  # a default binds the loop's value
            assert not ear.wait(0)
            there.transact(add, "t")
            wait_until(lambda: ear.wait(0.1), what="the other's commit")
        finally:
            listener.stop()


@pytest.mark.parametrize("mask", [0o000, 0o022])
def test_a_sqlite_file_is_its_owners_alone(tmp_path: Path, mask: int) -> None:
    """Buyers' addresses are in it, and in the log beside it."""
    file = tmp_path / "coffee.db"
    before = os.umask(mask)
    try:
        with closing(Database(f"sqlite:///{file}")) as database:
            Base.metadata.create_all(database.engine)
            database.transact(add, "one")
            assert {path.name: oct(path.stat().st_mode & 0o777) for path in tmp_path.iterdir()} == dict.fromkeys(
                ("coffee.db", "coffee.db-wal", "coffee.db-shm"), "0o600"
            )
    finally:
        os.umask(before)


def test_a_sqlite_file_of_before_is_closed_to_others_while_it_is_in_use(tmp_path: Path) -> None:
    file = tmp_path / "coffee.db"
    with closing(Database(f"sqlite:///{file}")) as running:
        Base.metadata.create_all(running.engine)
        running.transact(add, "one")
        for path in tmp_path.iterdir():
            path.chmod(0o644)
        with closing(Database(f"sqlite:///{file}")) as newer:
            assert names(newer) == {"one"}
        assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
        running.transact(add, "two")
        assert names(running) == {"one", "two"}
