"""Programs from before the archive: what rests comes back for them, and what they made meanwhile stops nothing."""

import logging
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import insert, select

from cloud.cli import main
from cloud.database.transaction import Transaction
from cloud.orders import archive
from cloud.orders.archive import ArchivedOrder
from cloud.orders.archiving import Archiving
from tests.cloud.orders.test_archive import LATELY, given_back, poured, rest, rows
from tests.cloud.tills import Till
from tests.cloud.worlds import SECRET_KEY


def made_anew(tx: Transaction, order_id: str) -> None:
    """It lives, as an older program that finds none makes it, and rests as before."""
    [row] = tx.connection.execute(select(ArchivedOrder.__table__)).mappings().all()
    assert archive.bring_back(tx, [order_id]) == [order_id]
    tx.connection.execute(insert(ArchivedOrder), [dict(row)])


def test_an_order_made_anew_stops_no_other_from_resting(till: Till, caplog: pytest.LogCaptureFixture) -> None:
    """Regression: its number was taken in the archive, and from there on nothing rested any more."""
    world, order_id = till.world, given_back(till)
    assert rest(world) == [order_id]
    world.database.transact(made_anew, order_id)
    anew = rows(world, order_id)
    other = poured(till)
    caplog.set_level(logging.WARNING, "cloud.orders.archive")
    assert rest(world) == sorted([order_id, other])
    loop = Archiving(world.database, LATELY)
    for _ in range(3):
        loop.step(world.now)
    told = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert [vars(record)["order_id"] for record in told] == [order_id] * 2, "once each"
    assert world.database.transact(archive.bring_back, [order_id, other]) == [other]
    assert rows(world, order_id) == anew


def test_everything_comes_back_by_a_command(sqlite_till: Till, tmp_path: Path) -> None:
    world = sqlite_till.world
    before = {order_id: rows(world, order_id) for order_id in (poured(sqlite_till), given_back(sqlite_till))}
    assert rest(world) == sorted(before)
    settings = {"COFFEE_SECRET_KEY": SECRET_KEY, "COFFEE_DATABASE_URL": f"sqlite:///{tmp_path}/coffee.db"}
    assert CliRunner().invoke(main, ["archive"], env=settings).exit_code == 2
    for said in "2 orders are back.", "0 orders are back.":
        assert said in CliRunner().invoke(main, ["archive", "--bring-back"], env=settings).output
    assert {order_id: rows(world, order_id) for order_id in before} == before
    with world.database.read() as session:
        assert session.scalars(select(ArchivedOrder)).all() == []
