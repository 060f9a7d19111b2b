"""The journal only grows, its days are sealed, and a seal finds what was done beside the triggers."""

from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from cloud.access import seals
from cloud.access.acts import Act
from cloud.access.journal import Author, Entry, Subject, record
from cloud.access.signing import Signer
from cloud.database.transaction import Transaction
from tests.cloud.worlds import SECRET_KEY, World

SIGNER = Signer(SECRET_KEY)
ENTRY = Entry(Act.EDIT_MENU, Author("u1", "Ann"), Subject("drink", "latte", "north"), "", {"price": 1}, {"price": 2})


def days_of_entries(world: World, days: int) -> None:
    for _ in range(days):
        for _ in range(2):
            world.database.transact(record, ENTRY, world.now)
        world.clock.advance(timedelta(days=1).total_seconds())


def verified(world: World) -> tuple[int, list[str]]:
    with world.database.read() as session:
        count, broken = seals.verify(session, SIGNER)
    return count, [f"{one.day} {one.why}" for one in broken]


def run(world: World, statement: str) -> None:
    def work(tx: Transaction) -> None:
        tx.session.execute(text(statement))

    world.database.transact(work)


@pytest.mark.parametrize(
    "statement", ["UPDATE journal SET why = 'x'", "DELETE FROM journal", "DELETE FROM journal_seals"]
)
def test_rows_are_neither_changed_nor_removed(world: World, statement: str) -> None:
    days_of_entries(world, 1)
    world.database.transact(seals.seal_days, SIGNER, world.now)

    with pytest.raises(DBAPIError, match="only grows"):
        run(world, statement)


def test_a_day_is_sealed_once_it_is_over_and_found_whole(world: World) -> None:
    days_of_entries(world, 2)
    world.database.transact(record, ENTRY, world.now)

    assert world.database.transact(seals.seal_days, SIGNER, world.now) == 2
    assert world.database.transact(seals.seal_days, SIGNER, world.now) == 0
    assert verified(world) == (2, [])


@pytest.mark.parametrize(
    "forgery",
    ["UPDATE journal SET why = 'another' WHERE id = 2", "DELETE FROM journal WHERE id = 1",
     "UPDATE journal_seals SET entries = 1 WHERE day = '2026-03-02'"],
)  # fmt: skip
def test_what_is_done_beside_the_triggers_is_found(sqlite_world: World, forgery: str) -> None:
    world = sqlite_world
    days_of_entries(world, 2)
    world.database.transact(seals.seal_days, SIGNER, world.now)
    for name in ("journal_no_update", "journal_no_delete", "journal_seals_no_update"):
        run(world, f"DROP TRIGGER {name}")

    run(world, forgery)

    count, broken = verified(world)
    assert count == 2
    assert broken[0].startswith("2026-03-02")


def test_another_key_signs_nothing_of_ours(world: World) -> None:
    days_of_entries(world, 1)
    world.database.transact(seals.seal_days, Signer("another secret of more than thirty-two letters"), world.now)

    assert verified(world)[1] == ["2026-03-02 the seal is not signed by our key"]
    with world.database.read() as session:
        both = Signer(SECRET_KEY, ("another secret of more than thirty-two letters",))
        assert seals.verify(session, both)[1] == []
