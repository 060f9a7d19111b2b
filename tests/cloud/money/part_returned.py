"""A poured drink of which a person returns a part: where most dangers of returning twice begin."""

from cloud.orders import operator_actions
from protocol.reasons import Result
from tests.cloud.money.market import Market

PART = 5000


def poured_and_part_returned(market: Market) -> str:
    """The person has just decided; nothing is sent yet."""
    market.change_credential("north", capture="immediate")
    order_id = market.buys("o-1")
    market.world.publish(order_id)
    market.world.report(order_id, Result.DONE)
    decide(market, order_id, PART)
    return order_id


def decide(market: Market, order_id: str, kopecks: int) -> None:
    market.database.transact(operator_actions.give_back, order_id, kopecks, "op@example.org", "sour", market.clock.now)
