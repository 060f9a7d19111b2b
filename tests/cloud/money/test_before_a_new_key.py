"""Money goes back once: before a return is asked for under a new key, the provider's own books have been asked.

Parts of a price fit into their payment twice, so the provider itself refuses no second one of them.
"""

import pytest

from cloud.orders.at_risk import Next
from cloud.orders.models import Order
from cloud.orders.tasks import Task
from protocol.reasons import Result
from simulator.yookassa.behaviour import Behaviour
from tests.cloud.money.market import Market
from tests.cloud.money.part_returned import PART, decide, poured_and_part_returned
from tests.cloud.money.wire import Fate
from tests.cloud.sums_at_risk import at_risk
from tests.cloud.worlds import PRICE

KEY_IS_DEAD_S = 25 * 3600


@pytest.fixture
def order_id(market: Market) -> str:
    return poured_and_part_returned(market)


def verdicts(market: Market, order_id: str) -> list[str]:
    return [row.verdict for row in market.world.rows(order_id, Task.REFUND)]


def returned(market: Market) -> list[int]:
    return [refund.amount for refund in market.refunds()]


def risks(market: Market) -> dict[Next, int]:
    with market.database.read() as session:
        return {risk.action: risk.kopecks for risk in at_risk(session, market.clock.now)}


def lose(market: Market, fate: Fate) -> None:
    """The call is made (or not), its answer is lost, and nobody asks again before its key is dead."""
    market.wire.fates.append(fate)
    market.work()
    market.clock.advance(KEY_IS_DEAD_S)


@pytest.mark.parametrize("fate", [Fate.LOST_AFTER, Fate.LOST_BEFORE])
def test_whatever_happens_after_a_lost_return_nobody_asks_for_it_under_a_new_key(
    market: Market, order_id: str, fate: Fate
) -> None:
    """The provider would not tell when its key died: from then on it is a person's, each later event included."""
    lose(market, fate)
    market.wire.fates.append(Fate.FORBIDDEN)
    market.work()
    assert verdicts(market, order_id) == ["lost"]
    there = returned(market)
    decide(market, order_id, 3000)
    market.yookassa.provider.refund_in_cabinet(market.provider_id(order_id), 1000, "by hand")
    for _ in range(3):
        market.hint(market.provider_id(order_id))
        market.world.report(order_id, Result.DONE, revision=2)
        market.work(KEY_IS_DEAD_S)
    assert returned(market) == [*there, 1000]
    assert len(market.wire.keys("ref")) <= 1
    assert risks(market) == {Next.PERSON: PART + 3000 - 1000 - sum(there)}


@pytest.mark.parametrize("fate", [Fate.LOST_AFTER, Fate.LOST_BEFORE])
def test_a_return_in_a_list_nobody_can_read_is_not_taken_for_none(market: Market, order_id: str, fate: Fate) -> None:
    """Regression: entries we cannot read were passed over, and the part went back once more."""
    lose(market, fate)
    market.wire.standing = Fate.UNREADABLE_LIST
    market.work()
    done = fate is Fate.LOST_AFTER
    assert verdicts(market, order_id)[0] == ("lost" if done else "refused"), "an empty list is read to its end"
    market.work(KEY_IS_DEAD_S)
    market.end()
    assert returned(market) == [PART]


def test_after_a_refusal_that_lied_the_books_there_are_asked_first(market: Market, order_id: str) -> None:
    market.wire.fates.append(Fate.FORBIDDEN_AFTER)
    market.work()
    market.work(61)
    market.end()
    assert returned(market) == [PART]
    assert market.world.ledger(order_id) == {"captured": PRICE, "refunded": PART}
    assert market.world.open_tasks(order_id, Task.REFUND) == []


def test_after_a_refusal_that_lied_a_return_under_way_is_waited_for(market: Market, order_id: str) -> None:
    """Regression: "403", and the money was on its way; a minute later it went once more under the next key."""
    market.yookassa.behaviour = Behaviour(refund_delay=6 * 3600.0)
    market.wire.fates.append(Fate.FORBIDDEN_AFTER)
    market.work()
    for _ in range(5):
        market.work(3600)
    assert returned(market) == [PART]
    assert market.world.open_tasks(order_id, Task.REFUND) == ["refund"], "nothing new is sent before its end is known"
    market.end()
    assert returned(market) == [PART]
    assert market.world.ledger(order_id) == {"captured": PRICE, "refunded": PART}


@pytest.mark.parametrize("silence", [Fate.NOT_SENT, Fate.LOST_BEFORE, Fate.FORBIDDEN, Fate.TOO_MANY_REQUESTS])
def test_while_the_books_there_cannot_be_asked_no_new_key_is_used(market: Market, order_id: str, silence: Fate) -> None:
    market.wire.fates.append(Fate.FORBIDDEN)
    market.work()
    market.wire.standing = silence
    for _ in range(10):
        market.work(3600)
    assert market.wire.keys("ref") == []
    assert market.world.open_tasks(order_id, Task.REFUND) == ["refund"]
    assert risks(market) == {Next.RETURN_OPEN: PART}, "and it is seen to stand open"
    market.wire.standing = Fate.WELL
    market.end()
    assert returned(market) == [PART]
    assert risks(market) == {}


def test_what_a_person_returns_there_meanwhile_is_counted_before_the_rest_is_asked_for(
    market: Market, order_id: str
) -> None:
    """Regression: a return by hand still under way was no part of what had gone back."""
    market.yookassa.behaviour = Behaviour(refund_delay=4 * 3600.0)
    lose(market, Fate.LOST_BEFORE)
    market.yookassa.provider.refund_in_cabinet(market.provider_id(order_id), 4000, "by hand")
    market.work()
    market.work(3600)
    assert returned(market) == [4000]
    market.end()
    assert returned(market) == [4000, PART - 4000]
    assert market.world.ledger(order_id) == {"captured": PRICE, "refunded": PART}


@pytest.mark.parametrize("in_cabinet", [PART, 3000])
def test_what_a_person_returns_there_while_our_own_call_fails_is_not_returned_beside_it(
    market: Market, order_id: str, in_cabinet: int
) -> None:
    """Regression: the same bytes under the same key were sent again, and the part fitted beside the other."""
    market.wire.fates.append(Fate.LOST_BEFORE)
    market.work()
    market.yookassa.provider.refund_in_cabinet(market.provider_id(order_id), in_cabinet, "by hand")
    market.hint(market.provider_id(order_id))
    market.end()
    assert sum(returned(market)) == PART
    assert market.world.ledger(order_id) == {"captured": PRICE, "refunded": PART}
    assert market.world.open_tasks(order_id, Task.REFUND) == []


def test_a_second_part_decided_while_the_firsts_answer_is_lost_goes_back_too(market: Market, order_id: str) -> None:
    """Regression: our own return was counted by the payment's news, and the next one was never promised."""
    market.wire.fates.append(Fate.LOST_AFTER)
    market.work()
    market.hint(market.provider_id(order_id))
    _, poller = market.workers[0]
    poller.step(market.clock.now)
    assert market.world.ledger(order_id) == {"captured": PRICE, "refunded": PART}
    decide(market, order_id, PART)
    market.work(5)
    market.end()
    assert returned(market) == [PART, PART]
    assert risks(market) == {}


def test_the_buyer_is_told_of_the_end_a_person_made_of_a_lost_return(market: Market) -> None:
    """Regression: the page said for ever that the money was on its way."""
    market.change_credential("north", capture="immediate")
    order_id = market.buys("o-1")
    market.world.publish(order_id)
    market.world.report(order_id, Result.REJECTED, "no_water")
    lose(market, Fate.LOST_BEFORE)
    market.wire.fates.append(Fate.FORBIDDEN)
    market.work()
    assert told(market, market.world.order(order_id)) == ("in_progress", False), "it is left to a person"
    market.yookassa.provider.refund_in_cabinet(market.provider_id(order_id), None, "by hand")
    market.hint(market.provider_id(order_id))
    market.work()
    assert told(market, market.world.order(order_id)) == ("done", True)


def test_a_hold_let_go_is_back_as_soon_as_the_provider_says_so(market: Market) -> None:
    """Regression: with the notification read before the call's own answer, the page went on letting it go."""
    market.change_credential("north", capture="on_dispense")
    order_id = market.buys("o-1")
    market.world.publish(order_id)
    market.world.report(order_id, Result.REJECTED, "no_water")
    market.wire.fates.append(Fate.LOST_AFTER)
    market.work()
    assert told(market, market.world.order(order_id)) == ("in_progress", True)
    market.hint(market.provider_id(order_id), "canceled")
    market.work()
    assert [row.settled_at for row in market.world.rows(order_id, Task.CANCEL)] == [None], "our call has no answer"
    assert told(market, market.world.order(order_id)) == ("done", True)


def told(market: Market, order: Order) -> tuple[str, bool]:
    """How the return goes, and whether the buyer is told by when."""
    found = market.world.money_back(order.id)
    assert found is not None
    return found.status, found.expected_by is not None
