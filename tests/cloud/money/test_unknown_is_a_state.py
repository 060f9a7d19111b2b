"""A call nobody knows the outcome of: asked again with the same key, then looked for, never answered with a new key."""

import pytest

from cloud.orders.at_risk import Next
from cloud.orders.outbox import OutboxRow
from cloud.orders.tasks import Task
from cloud.payments.outcomes import REPLAY_LIMIT_S
from protocol.reasons import Result
from simulator.yookassa.behaviour import Behaviour
from tests.cloud.money.market import ACCOUNTS, Market
from tests.cloud.money.part_returned import PART, poured_and_part_returned
from tests.cloud.money.wire import Fate
from tests.cloud.sums_at_risk import at_risk
from tests.cloud.worlds import PRICE

LETTERS = {Task.CREATE: "pay", Task.CAPTURE: "cap", Task.CANCEL: "can", Task.REFUND: "ref"}
DONE_BUT_UNTOLD = [Fate.LOST_AFTER, Fate.ERROR_500_AFTER, Fate.HTML_502_AFTER, Fate.HTML_200_AFTER]
NOT_DONE = [Fate.LOST_BEFORE, Fate.ERROR_500_BEFORE]


def ready_for(market: Market, task: Task) -> str:
    """An order that now needs exactly this of the provider."""
    if task is Task.CREATE:
        return market.scan("o-1")
    if task is Task.REFUND:
        market.change_credential("north", capture="immediate")
    order_id = market.buys("o-1")
    market.world.publish(order_id)
    if task is Task.CAPTURE:
        market.world.report(order_id, Result.DONE)
    else:
        market.world.report(order_id, Result.REJECTED, "no_water")
    return order_id


def begin(market: Market, task: Task, order_id: str) -> None:
    if task is Task.CREATE:
        market.press(order_id)
    else:
        market.work()


def row_of(market: Market, order_id: str, task: Task) -> OutboxRow:
    return market.world.rows(order_id, task)[-1]


@pytest.mark.parametrize("fate", [*DONE_BUT_UNTOLD, *NOT_DONE])
@pytest.mark.parametrize("task", list(LETTERS))
def test_for_a_whole_day_it_is_the_same_key_and_the_same_bytes(market: Market, task: Task, fate: Fate) -> None:
    order_id = ready_for(market, task)
    market.wire.standing = fate
    begin(market, task, order_id)
    for _ in range(11):
        market.work(2 * 3600)
    assert len(market.wire.keys(LETTERS[task])) <= 1, "and the wire compares the bytes"
    market.wire.standing = Fate.WELL
    market.work(301)
    is_never_opened = task is Task.CREATE and fate in NOT_DONE
    """Its order is long over: it is looked for in the provider's list, and not opened any more."""
    assert [row.verdict for row in market.world.rows(order_id, task)] == ["refused" if is_never_opened else "done"]
    assert len(market.wire.keys(LETTERS[task])) == (0 if is_never_opened else 1)
    assert len(market.theirs()) == (0 if is_never_opened else 1)


@pytest.mark.parametrize("task", list(LETTERS))
def test_it_is_told_how_old_it_is_and_when_it_is_tried_again(market: Market, task: Task) -> None:
    order_id = ready_for(market, task)
    market.wire.standing = Fate.ERROR_500_BEFORE
    begin(market, task, order_id)
    waits = []
    for _ in range(5):
        row = row_of(market, order_id, task)
        assert (row.settled_at, bool(row.last_error)) == (None, True)
        waits.append((row.due_at - market.clock.now).total_seconds())
        market.work(waits[-1])
    assert waits == sorted(waits)
    assert waits[-1] > waits[0], "ever later"
    if task in {Task.CANCEL, Task.REFUND}:
        with market.database.read() as session:
            [risk] = at_risk(session, market.clock.now)
        assert (risk.action, risk.kopecks) == (Next.RETURN_ASKED, PRICE)
        assert risk.oldest_s >= sum(waits)


def test_a_payment_whose_answer_never_came_is_found_in_the_list_by_its_mark(market: Market) -> None:
    order_id = market.scan("o-1")
    market.wire.fates.append(Fate.LOST_AFTER)
    market.press(order_id)
    market.clock.advance(REPLAY_LIMIT_S + 1)
    market.work()
    payment = market.world.payment(order_id)
    assert payment.provider_payment_id == market.theirs()[0].id
    assert (payment.state, market.world.status(order_id)) == ("canceled", "not_paid"), "its hour is long over"
    assert len(market.wire.keys("pay")) == len(market.theirs()) == 1


@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize("task", [Task.CAPTURE, Task.CANCEL])
def test_after_its_key_has_died_a_hold_is_looked_at_before_it_is_touched(
    market: Market, task: Task, done: bool
) -> None:
    """The whole cloud was away for a day, just after the call."""
    order_id = ready_for(market, task)
    market.wire.fates.append(Fate.DIES_AFTER if done else Fate.DIES_BEFORE)
    market.work()
    market.clock.advance(25 * 3600)
    for _ in range(4):
        market.work(61)
    [there] = market.theirs()
    assert there.captured == (PRICE if task is Task.CAPTURE else 0)
    assert there.held == 0
    assert len(market.wire.keys(LETTERS[task])) == 1, "what was not done is asked anew, and only once"
    assert market.world.open_tasks(order_id, task) == []


@pytest.mark.parametrize("delay", [None, 48 * 3600.0])
def test_a_part_returned_is_not_returned_again_when_its_key_has_died(market: Market, delay: float | None) -> None:
    """Regression: the provider takes an old key for a new call, and a part fits twice into its payment."""
    order_id = poured_and_part_returned(market)
    market.yookassa.behaviour = Behaviour(refund_delay=delay)
    market.wire.fates.append(Fate.DIES_AFTER)
    market.work()
    market.clock.advance(25 * 3600)
    market.work()
    market.end()
    assert [refund.amount for refund in market.refunds()] == [PART]
    assert market.world.ledger(order_id) == {"captured": PRICE, "refunded": PART}
    assert market.world.open_tasks(order_id, Task.REFUND) == []


def test_a_part_certainly_not_returned_while_its_key_lived_is_asked_for_anew(market: Market) -> None:
    order_id = poured_and_part_returned(market)
    market.wire.standing = Fate.LOST_BEFORE
    market.work()
    market.clock.advance(25 * 3600)
    market.wire.standing = Fate.WELL
    market.end()
    assert [row.verdict for row in market.world.rows(order_id, Task.REFUND)] == ["refused", "done"]
    assert [refund.amount for refund in market.refunds()] == [PART]


def test_a_key_has_no_age_before_it_was_sent(market: Market) -> None:
    """Nobody could send it for more than a day; its first unknown outcome is asked about as any other."""
    order_id = poured_and_part_returned(market)
    market.spoil_credential("north", "removed")
    for _ in range(31):
        market.work(3600)
    market.spoil_credential("north", "right")
    market.wire.fates.extend([Fate.LOST_AFTER])
    market.work(3600)
    assert row_of(market, order_id, Task.REFUND).attempts > row_of(market, order_id, Task.REFUND).undone
    market.work(3600)
    assert [row.verdict for row in market.world.rows(order_id, Task.REFUND)] == ["done"]
    assert [refund.amount for refund in market.refunds()] == [PART]


def test_a_refund_under_way_of_which_the_provider_will_not_tell_is_not_made_again(market: Market) -> None:
    """Regression: "no such refund" about one under way was taken for a refusal, and its sum was asked for anew."""
    order_id = poured_and_part_returned(market)
    market.yookassa.behaviour = Behaviour(refund_delay=7200.0)
    market.work()
    market.wire.standing = Fate.FORBIDDEN
    market.work(3600)
    market.wire.standing = Fate.WELL
    market.end()
    assert [refund.amount for refund in market.refunds()] == [PART]
    assert [row.verdict for row in market.world.rows(order_id, Task.REFUND)] == ["done"]


def lost_for_good(market: Market) -> str:
    """A return that may have been made or not: its key is dead and the provider shows us no list."""
    order_id = ready_for(market, Task.REFUND)
    market.wire.fates.append(Fate.LOST_BEFORE)
    market.work()
    market.clock.advance(25 * 3600)
    market.wire.fates.append(Fate.FORBIDDEN)
    market.work()
    assert [row.verdict for row in market.world.rows(order_id, Task.REFUND)] == ["lost"]
    return order_id


def test_what_was_lost_for_good_is_a_persons_and_no_later_event_asks_for_it_anew(market: Market) -> None:
    """Regression: part of it coming back by hand made the rest be promised again under a new key."""
    order_id = lost_for_good(market)
    refund = market.yookassa.provider.refund_in_cabinet(market.provider_id(order_id), PART, "by hand")
    market.hint(market.provider_id(order_id))
    market.work(3600)
    assert market.world.ledger(order_id) == {"captured": PRICE, "refunded": refund.amount}
    assert market.world.open_tasks(order_id) == []
    with market.database.read() as session:
        [risk] = at_risk(session, market.clock.now)
    assert (risk.action, risk.kopecks) == (Next.PERSON, PRICE - PART)


def test_a_late_done_after_a_return_was_lost_promises_nothing_either(market: Market) -> None:
    order_id = lost_for_good(market)
    market.world.report(order_id, Result.DONE, revision=2)
    market.work(3600)
    assert market.world.open_tasks(order_id) == []
    assert len(market.wire.keys("ref")) <= 1


def test_a_person_ends_by_hand_what_was_lost_for_good(market: Market) -> None:
    order_id = lost_for_good(market)
    market.yookassa.provider.refund_in_cabinet(market.provider_id(order_id), None, "by hand")
    market.hint(market.provider_id(order_id))
    market.work()
    with market.database.read() as session:
        assert at_risk(session, market.clock.now) == []


def test_a_refusal_of_a_call_that_may_have_been_done_is_no_proof(market: Market) -> None:
    """The first answer was lost; the second refuses. A part must not go back once more under a new key."""
    order_id = poured_and_part_returned(market)
    market.yookassa.behaviour = Behaviour(refund_delay=7200.0)
    market.wire.fates.extend([Fate.LOST_AFTER, Fate.FORBIDDEN])
    market.work()
    market.work(5)
    market.end()
    assert [refund.amount for refund in market.refunds()] == [PART]
    assert market.world.ledger(order_id) == {"captured": PRICE, "refunded": PART}


def test_a_dead_provider_of_one_shop_does_not_hold_up_another(market: Market) -> None:
    market.failures_allowed = 5
    market.wire.of_shop[ACCOUNTS["north"]] = Fate.LOST_BEFORE
    for number in range(20):
        market.press(market.scan(f"north-{number}"))
    market.work()
    to_north = [path for account, path in market.wire.tried if account == ACCOUNTS["north"]]
    assert len(to_north) == 5, "then its circuit is open and nobody waits for it"
    assert market.world.status(market.buys("south-1", "south")) == "paid"
    market.wire.of_shop.clear()
    for _ in range(6):
        market.work(61)
    assert {there.shop_id for there in market.theirs()} == set(ACCOUNTS.values())
    assert len(market.theirs()) == 21, "each payment was opened once, when its shop was back"
