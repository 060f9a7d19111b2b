"""Money on its way back: by its own road, until the provider's answer is final, told to the buyer by method."""

import logging
from datetime import timedelta

import pytest
from sqlalchemy import select

from cloud.orders import operator_actions
from cloud.orders.models import Movement
from cloud.orders.operator_actions import NotReturnable
from cloud.orders.tasks import Task
from protocol.reasons import Result
from simulator.yookassa.behaviour import Behaviour
from tests.cloud.money.market import Market
from tests.cloud.money.wire import Fate
from tests.cloud.worlds import PRICE

RETURNS = (Task.CANCEL, Task.REFUND)


def not_poured(market: Market, capture: str = "immediate", method: str = "bank_card") -> str:
    """Paid, and the machine says that nothing was poured; the return is not sent yet."""
    market.change_credential("north", capture=capture)
    order_id = market.buys("o-1", method=method)
    market.world.publish(order_id)
    market.world.report(order_id, Result.REJECTED, "no_water")
    return order_id


@pytest.mark.parametrize(("capture", "task"), [("on_dispense", Task.CANCEL), ("immediate", Task.REFUND)])
def test_a_hold_is_cancelled_and_taken_money_refunded(market: Market, capture: str, task: Task) -> None:
    order_id = not_poured(market, capture)
    assert market.world.open_tasks(order_id, *RETURNS) == [task.value]
    market.end()
    assert market.kept(order_id) == 0
    assert len(market.refunds()) == (1 if task is Task.REFUND else 0), "a cancelled hold costs nobody anything"


@pytest.mark.parametrize("why", ["insufficient_funds", "general_decline", "rejected_by_payee"])
def test_a_refund_the_provider_cancels_alerts_and_is_made_again(
    market: Market, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    order_id = not_poured(market)
    market.yookassa.behaviour = Behaviour(refund_failure=why, refund_delay=600.0)
    with caplog.at_level(logging.ERROR):
        market.work()
        market.work(3600)
    assert f"refund was canceled by the provider: {why}" in caplog.text
    assert market.kept(order_id) == PRICE
    market.yookassa.behaviour = Behaviour()
    market.end()
    assert market.kept(order_id) == 0
    verdicts = [row.verdict for row in market.world.rows(order_id, Task.REFUND)]
    assert (set(verdicts[:-1]), verdicts[-1]) == ({"refused"}, "done")
    assert len(market.wire.keys("ref")) == len(verdicts), "each under a key of its own"


@pytest.mark.parametrize(("method", "days"), [("bank_card", 3), ("sbp", 1), ("yoo_money", 0)])
def test_the_buyer_is_told_by_when_for_each_method(market: Market, method: str, days: int) -> None:
    order_id = not_poured(market, method=method)
    market.work()
    asked_at = market.clock.now
    told = market.world.money_back(order_id)
    assert told is not None
    assert (told.amount, told.expected_by) == (PRICE, asked_at + timedelta(days=days))
    assert told.status == ("in_progress" if method == "sbp" else "done"), "done is the provider's last word only"
    market.end()
    ended = market.world.money_back(order_id)
    assert ended is not None
    assert (ended.status, ended.expected_by) == ("done", told.expected_by)


def test_the_sum_of_a_return_not_sent_yet_follows_what_is_owed(market: Market) -> None:
    """Regression: written down for the whole it could not be sent, and a part came back by hand meanwhile."""
    order_id = not_poured(market)
    market.wire.fates.append(Fate.NOT_SENT)
    market.work()
    market.yookassa.provider.refund_in_cabinet(market.provider_id(order_id), 5000, "by hand")
    market.hint(market.provider_id(order_id))
    market.end()
    assert sorted(refund.amount for refund in market.refunds()) == [5000, PRICE - 5000]
    assert [row.verdict for row in market.world.rows(order_id, Task.REFUND)] == ["withdrawn", "done"]


def test_the_failed_attempts_are_in_the_ledger_and_move_nothing(market: Market) -> None:
    order_id = not_poured(market)
    market.wire.fates.append(Fate.FORBIDDEN)
    market.work()
    market.end()
    assert market.world.ledger(order_id) == {"captured": PRICE, "refunded": PRICE}
    with market.database.read() as session:
        rows = session.execute(select(Movement.kind, Movement.amount).order_by(Movement.id)).all()
    assert [tuple(row) for row in rows] == [("captured", PRICE), ("refund_failed", PRICE), ("refunded", PRICE)]
    assert [row.verdict for row in market.world.rows(order_id, Task.REFUND)] == ["refused", "done"]


def give(market: Market, order_id: str, kopecks: int | None) -> int:
    return market.database.transact(
        operator_actions.give_back, order_id, kopecks, "op@example.org", "sour", market.clock.now
    )


def poured(market: Market) -> str:
    market.change_credential("north", capture="immediate")
    order_id = market.buys("o-1")
    market.world.publish(order_id)
    market.world.report(order_id, Result.DONE)
    return order_id


@pytest.mark.parametrize("kopecks", [1, 99, PRICE - 100, PRICE - 1])
def test_a_part_the_provider_would_never_return_is_not_promised(market: Market, kopecks: int) -> None:
    """Regression: such a part was promised, refused and asked for anew every hour for ever."""
    order_id = poured(market)
    with pytest.raises(NotReturnable):
        give(market, order_id, kopecks)
    assert market.world.open_tasks(order_id, Task.REFUND) == []


def test_parts_add_up_to_the_price_and_no_further(market: Market) -> None:
    order_id = poured(market)
    for kopecks in (100, 5000, None):
        give(market, order_id, kopecks)
        market.work()
    with pytest.raises(NotReturnable):
        give(market, order_id, 100)
    assert sum(refund.amount for refund in market.refunds()) == PRICE
    assert market.kept(order_id) == 0


def test_what_went_back_already_cannot_be_returned_by_a_person(market: Market) -> None:
    """The hold of a poured drink was cancelled by hand: there is nothing left to give."""
    order_id = market.buys("o-1")
    market.in_cabinet(market.provider_id(order_id), "cancel")
    market.world.publish(order_id)
    market.world.report(order_id, Result.DONE)
    market.end()
    with pytest.raises(NotReturnable):
        give(market, order_id, None)
