"""Money returned in parts through a bank that goes on telling the first sum: what nobody can tell is a person's."""

import logging
from collections.abc import Iterator

import pytest

from cloud.orders import operator_actions
from cloud.orders.at_risk import Next
from cloud.orders.tasks import BY_HAND, DONE, Task
from cloud.payments.reconcile.days import Day
from cloud.payments.reconcile.ledger_view import ShopKey
from simulator.tbank.terms import Behaviour
from tests.cloud.payments.contract.tbank_rig import TBankRig
from tests.cloud.payments.contract.till import ContractTill
from tests.cloud.payments.reconciling import a_reconciler
from tests.cloud.sums_at_risk import at_risk
from tests.cloud.worlds import World

SLOW = Behaviour(original_amount=True, refund_delay=60.0)
FAILING = Behaviour(original_amount=True, refund_delay=60.0, refund_fails=True)


@pytest.fixture
def till(sqlite_world: World) -> Iterator[ContractTill]:
    rig = TBankRig(sqlite_world.clock, sqlite_world)
    rig.bank.behaviour = SLOW
    made = ContractTill(sqlite_world, rig)
    yield made
    made.close()
    rig.close()


def give_back(till: ContractTill, order_id: str, kopecks: int) -> None:
    world = till.world
    world.database.transact(operator_actions.give_back, order_id, kopecks, "op@example.org", "sour", world.now)
    for _ in range(10):
        till.work(60)


@pytest.mark.parametrize("behaviour", [SLOW, FAILING], ids=["made", "failed"])
def test_a_further_part_that_the_bank_tells_no_more_of_is_a_persons(
    till: ContractTill, behaviour: Behaviour, caplog: pytest.LogCaptureFixture
) -> None:
    order_id = till.poured()
    give_back(till, order_id, 5000)
    assert isinstance(till.rig, TBankRig)
    till.rig.bank.behaviour = behaviour
    give_back(till, order_id, 4000)
    till.work(3600)
    assert [row.verdict for row in till.world.rows(order_id, Task.REFUND)] == [DONE, BY_HAND]
    errors = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert errors == ["a person must do it there: refund"]
    with till.world.database.read() as session:
        assert [(money.action, money.kopecks) for money in at_risk(session, till.world.now)] == [(Next.PERSON, 4000)]
    assert till.money(order_id).returned == (5000 if behaviour is FAILING else 9000), "nothing is sent twice"


def test_a_part_that_is_back_is_so_for_the_night_too_while_the_next_is_under_way(till: ContractTill) -> None:
    """Regression: the bank told of no return but the one under way, and the first was "returned only here"."""
    order_id = till.poured()
    give_back(till, order_id, 5000)
    assert isinstance(till.rig, TBankRig)
    till.rig.bank.behaviour = Behaviour(refund_delay=86400.0)
    give_back(till, order_id, 4000)
    shop = ShopKey("north", "TBank", till.rig.shop.account_id)
    found = a_reconciler(till).reconcile(shop, Day.of(till.world.now)).findings
    assert {finding.kind for finding in found} == {"goodwill", "no_list"}
    assert till.world.ledger(order_id)["refunded"] == 5000
