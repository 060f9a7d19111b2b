"""The dialog of a return: it proposes what is left, and says of a wrong sum what would be a right one."""

import re

import pytest
from flask.testing import FlaskClient
from sqlalchemy import update

from cloud.orders.models import Order
from cloud.orders.rules import Rules
from tests.cloud.console.building import OWN, Console, post
from tests.cloud.orders.test_operator_actions import poured, silent

SUPPORT = f"support@{OWN}"
PROPOSED = re.compile(r'id="f-roubles"[^>]*value="([^"]*)"')
SAID = re.compile(r'class="notice (\w+)".*?<span>(.*?)</span>')


def waiting(console: Console) -> str:
    """An order of which nobody knows whether it was poured."""
    console.world.rules = Rules(uncertain_returns_a_day=0)
    return silent(console.world)


def reader(console: Console, language: str) -> FlaskClient:
    client = console.client(SUPPORT)
    client.set_cookie("coffee_language", language, path="/console")
    return client


@pytest.mark.parametrize(
    ("kopecks", "language", "proposed"),
    [(14905, "ru", "149,05"), (14905, "en", "149.05"), (14950, "ru", "149,50"), (14900, "ru", "149")],
)
def test_it_proposes_what_is_left(console: Console, kopecks: int, language: str, proposed: str) -> None:
    order_id = waiting(console)
    console.world.database.transact(lambda tx: tx.connection.execute(update(Order).values(price=kopecks)))
    assert PROPOSED.findall(reader(console, language).get(f"/console/orders/{order_id}").text) == [proposed]


@pytest.mark.parametrize(
    ("is_known", "typed", "language", "said"),
    [
        (True, "1790", "ru", "По этому заказу можно вернуть 179\u00a0₽, не больше."),
        (True, "178,50", "en", "179\u00a0₽ can be returned: all of it, or a part of at least 1 ₽ "
         "that leaves more than 1 ₽."),
        (False, "10", "ru", "Неизвестно, налит ли напиток, поэтому возвращается всё: 179\u00a0₽."),
        (False, "abc", "en", "That is no amount in roubles."),
    ],
)  # fmt: skip
def test_a_wrong_sum_is_told_from_nothing_to_return(
    console: Console, is_known: bool, typed: str, language: str, said: str
) -> None:
    order_id = poured(console.world) if is_known else waiting(console)
    client = reader(console, language)
    shown = post(client, f"/console/orders/{order_id}/return", roubles=typed, reason="not_poured").location
    assert SAID.findall(client.get(shown or "").text) == [("bad", said)]
    assert "refund" not in console.world.open_tasks(order_id)
