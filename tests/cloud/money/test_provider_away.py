"""The provider is away for an hour at any moment of an order's life: nothing is lost, nothing happens twice."""

import pytest

from protocol.reasons import Result
from tests.cloud.money.market import Market
from tests.cloud.money.truth import Truth
from tests.cloud.money.wire import Fate
from tests.cloud.sums_at_risk import at_risk
from tests.cloud.worlds import PRICE

HOUR_S = 3600
AWAY = [Fate.NOT_SENT, Fate.LOST_BEFORE, Fate.LOST_AFTER, Fate.ERROR_500_BEFORE, Fate.ERROR_500_AFTER,
        Fate.HTML_502_AFTER, Fate.TOO_MANY_REQUESTS]  # fmt: skip


def an_hour_without(market: Market, fate: Fate) -> None:
    """Loops, deadlines and machines go on meanwhile."""
    market.wire.standing = fate
    for _ in range(HOUR_S // 60):
        market.work(60)
        market.deadlines.step(market.clock.now)
    market.wire.standing = Fate.WELL
    market.work(301)


def cases() -> list[object]:
    """Every fate at every moment always runs, with captures and results in turn; the rest are for `--long`."""
    return [
        pytest.param(capture, moment, result, fate, marks=[] if (a + b + c + d) % 3 == 0 else [pytest.mark.long])
        for a, capture in enumerate(["on_dispense", "immediate"])
        for b, moment in enumerate(["open", "pay", "end"])
        for c, result in enumerate([Result.DONE, Result.REJECTED])
        for d, fate in enumerate(AWAY)
    ]


@pytest.mark.parametrize(("capture", "moment", "result", "fate"), cases())
def test_away_for_an_hour_when_it_is_to(market: Market, capture: str, moment: str, result: Result, fate: Fate) -> None:
    market.change_credential("north", capture=capture)
    truth, order_id = Truth(), market.scan("o-1")
    if moment == "open":
        market.wire.standing = fate
    market.press(order_id)
    if moment == "open":
        an_hour_without(market, fate)
    paid = any(there.status == "pending" for there in market.theirs())
    if paid:
        market.yookassa.pay(market.theirs()[0].id)
    if moment == "pay":
        an_hour_without(market, fate)
    market.work(2)
    if market.world.commands(order_id):
        market.world.publish(order_id)
        if result is Result.DONE:
            truth.poured.add(order_id)
        market.world.report(order_id, result, "" if result is Result.DONE else "no_water")
    if moment == "end":
        an_hour_without(market, fate)
    assert truth.at_every_step(market) == []
    market.end()
    assert truth.at_the_end(market) == []
    assert len(market.theirs()) <= 1
    with market.database.read() as session:
        assert at_risk(session, market.clock.now) == []
    assert market.kept(order_id) == (PRICE if market.world.status(order_id) == "successful" else 0)
    assert market.world.status(order_id) == expected(moment, result, market, paid)


def expected(moment: str, result: Result, market: Market, paid: bool) -> str:
    """Seen in time it was made or not; seen after the hour, nobody was there any more; never paid, it ended unpaid."""
    if moment == "end":
        return "successful" if result is Result.DONE else "make_failed"
    if paid:
        return "make_failed"
    return "not_paid" if market.theirs() else "failed"
