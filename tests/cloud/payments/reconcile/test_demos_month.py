"""The demo's month is in the provider's books too: its nights find no difference, and its money can be returned."""

from pathlib import Path

import pytest
from sqlalchemy import select

from cloud.orders import operator_actions
from cloud.orders.models import Order
from cloud.orders.states import Status
from simulator.demo import history
from simulator.machine.menu import STANDARD_MENU
from tests.cloud.payments.reconciling import at, reconciled
from tests.cloud.tills import Till


@pytest.fixture
def till(sqlite_till: Till) -> Till:
    """At six in the evening, after a month that was invented."""
    world = sqlite_till.world
    world.clock.now = at(18)
    past = history.write(Path(str(world.database.url.database)), STANDARD_MENU, world.now, brew_s=8.0)
    sqlite_till.yookassa.provider.remember(past)
    return sqlite_till


def test_the_night_finds_no_difference(till: Till) -> None:
    report = reconciled(till)
    assert (report.findings, report.is_clean) == ([], True)
    row = report.row
    assert row.payments_there == row.payments_here > 10
    assert row.taken_there == row.taken_here > 0


def test_the_money_of_an_invented_order_can_be_returned(till: Till) -> None:
    """Regression: the provider knew none of them."""
    world = till.world
    with world.database.read() as session:
        poured = select(Order.id).where(Order.status == Status.SUCCESSFUL.value).order_by(Order.created_at)
        oldest = session.scalars(poured).first()
    assert oldest is not None
    owed = world.database.transact(operator_actions.give_back, oldest, None, "op@example.org", "sour", world.now)
    till.work()
    assert till.booked(oldest)["refunded"] == owed
