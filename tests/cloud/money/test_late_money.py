"""Money that comes late, after the expiry, or to an order that has failed: poured at a person's word, or given back."""

from collections.abc import Callable

import pytest

from cloud.orders import making
from cloud.orders.making import NotPourable
from cloud.orders.tasks import Task
from protocol.reasons import Result
from tests.cloud.money.market import Market
from tests.cloud.money.wire import Fate
from tests.cloud.worlds import PRICE

CAPTURES = pytest.mark.parametrize("capture", ["on_dispense", "immediate"])
RETURNS = (Task.CANCEL, Task.REFUND)


def paid_late(market: Market, capture: str, after_s: float = 301) -> str:
    market.change_credential("north", capture=capture)
    order_id = market.scan("o-1")
    market.press(order_id)
    market.clock.advance(after_s)
    market.yookassa.pay(market.provider_id(order_id))
    market.hint(market.provider_id(order_id))
    market.work()
    assert market.world.status(order_id) == "manual_make"
    return order_id


def pour(market: Market, order_id: str, who: str) -> None:
    market.database.transact(making.pour_now, order_id, who, market.world.rules, market.clock.now)


@CAPTURES
@pytest.mark.parametrize("after_s", [301, 901, 3590])
@pytest.mark.parametrize("who", ["buyer", "op@example.org"])
def test_late_money_is_poured_for_at_a_persons_word(market: Market, capture: str, after_s: float, who: str) -> None:
    """After the fast track, after the order's expiry, and in the last seconds of the provider's hour."""
    order_id = paid_late(market, capture, after_s)
    assert market.world.commands(order_id) == [], "never by itself"
    pour(market, order_id, who)
    assert market.world.history(order_id)[-1].actor == who
    with pytest.raises(NotPourable):
        pour(market, order_id, who)
    market.world.publish(order_id)
    market.world.report(order_id, Result.DONE)
    market.end()
    assert market.world.status(order_id) == "successful"
    assert market.kept(order_id) == PRICE


@CAPTURES
@pytest.mark.parametrize("after_s", [301, 3590])
def test_late_money_nobody_asks_for_goes_back_by_itself(market: Market, capture: str, after_s: float) -> None:
    order_id = paid_late(market, capture, after_s)
    market.clock.advance(market.world.rules.manual_make_s - 1)
    market.deadlines.step(market.clock.now)
    market.work()
    assert market.world.status(order_id) == "manual_make"
    market.clock.advance(1)
    market.deadlines.step(market.clock.now)
    market.work()
    assert (market.world.status(order_id), market.world.order(order_id).reason) == ("make_failed", "expired")
    assert market.kept(order_id) == sum(there.held for there in market.theirs()) == 0
    with pytest.raises(NotPourable):
        pour(market, order_id, "buyer")


def by_hand_refunded(market: Market, provider_id: str) -> None:
    market.yookassa.provider.refund_in_cabinet(provider_id, None, "by hand")


def by_hand_canceled(market: Market, provider_id: str) -> None:
    market.in_cabinet(provider_id, "cancel")


@pytest.mark.parametrize(("capture", "by_hand"), [("immediate", by_hand_refunded), ("on_dispense", by_hand_canceled)])
def test_nothing_is_poured_for_late_money_that_went_back_by_hand(
    market: Market, capture: str, by_hand: Callable[[Market, str], None]
) -> None:
    """Regression: support had returned the money, and the buyer's page still poured."""
    order_id = paid_late(market, capture)
    by_hand(market, market.provider_id(order_id))
    market.hint(market.provider_id(order_id))
    market.work()
    with pytest.raises(NotPourable):
        pour(market, order_id, "buyer")
    market.deadlines.step(market.clock.now)
    assert market.world.status(order_id) == "make_failed", "and the order waits no longer"
    assert market.world.open_tasks(order_id, *RETURNS) == []


@CAPTURES
def test_money_on_a_failed_order_goes_back(market: Market, capture: str) -> None:
    """The provider refused our create, and yet it had opened the payment, and somebody paid it."""
    market.change_credential("north", capture=capture)
    order_id = market.scan("o-1")
    market.wire.fates.append(Fate.FORBIDDEN_AFTER)
    assert market.press(order_id) == "provider_refused"
    assert market.world.status(order_id) == "failed"
    [there] = market.theirs()
    market.yookassa.pay(there.id)
    market.collect_letters()
    for letter in market.letters:
        market.notify(letter)
    market.work()
    [there] = market.theirs()
    assert (there.held, there.captured - there.refunded) == (0, 0)
    assert market.world.status(order_id) == "failed"
    assert market.world.commands(order_id) == []
    assert market.world.ledger(order_id).get("refunded" if capture == "immediate" else "canceled") == PRICE
