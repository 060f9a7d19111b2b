"""Polling finds what webhooks lose: frozen on the order, fast then slow, until the provider's answer is final."""

from datetime import timedelta
from pathlib import Path

import pytest

from simulator.yookassa.terms import Terms
from tests.cloud.money.market import Market, a_market
from tests.cloud.money.wire import Fate

PATIENT = Terms(payment_lifetime=timedelta(hours=3))
"""A provider that keeps a payment open long after its hour."""


def opened(market: Market, how: str = "polling") -> str:
    market.change_credential("north", status_check=how)
    order_id = market.scan("o-1")
    market.press(order_id)
    return order_id


@pytest.mark.parametrize("how", ["polling", "webhook", "none"])
def test_how_a_payment_is_followed_is_frozen_when_it_is_opened(market: Market, how: str) -> None:
    order_id = opened(market, how)
    market.change_credential("north", status_check="webhook" if how == "polling" else "polling")
    market.work(2)
    assert market.world.payment(order_id).status_check == how
    asked = [sent for sent in market.wire.sent if sent.verb == "GET"]
    assert len(asked) == (1 if how == "polling" else 0), "two seconds later only polling has asked"


@pytest.mark.parametrize("how", ["polling", "webhook", "none"])
def test_a_payment_is_watched_for_more_than_an_hour_after_its_orders_expiry(tmp_path: Path, how: str) -> None:
    with a_market(tmp_path, terms=PATIENT) as market:
        order_id = opened(market, how)
        expires_at = market.world.order(order_id).expires_at
        while market.clock.now < expires_at + timedelta(minutes=66):
            market.work(59)
        assert market.world.status(order_id) == "pending"
        market.yookassa.pay(market.provider_id(order_id))
        market.work(60)
        assert market.world.status(order_id) == "manual_make", "no notification ever came"


def test_successful_checks_never_count_as_failures(tmp_path: Path) -> None:
    with a_market(tmp_path, terms=PATIENT) as market:
        order_id = opened(market)
        for _ in range(170):
            market.work(2)
        asked = [sent for sent in market.wire.sent if sent.verb == "GET"]
        assert len(asked) >= 50
        assert (market.world.payment(order_id).checks, market.world.status(order_id)) == (0, "pending")
        market.wire.standing = Fate.LOST_BEFORE
        for _ in range(40):
            market.work(300)
        assert market.world.payment(order_id).checks >= 30
        assert market.world.status(order_id) == "pending", "nor do failures end an order"


def test_it_asks_often_while_the_buyer_waits_and_rarely_afterwards(market: Market) -> None:
    opened(market)

    def asked_within(seconds: int) -> int:
        before = len(market.wire.sent)
        for _ in range(seconds):
            market.work(1)
        return len(market.wire.sent) - before

    assert asked_within(40) == 20
    market.work(200)
    assert 3 <= asked_within(50) <= 5, "each twentieth of its age"
    market.work(60)
    assert asked_within(120) == 2


def test_many_workers_ask_about_a_payment_once(market: Market) -> None:
    for number in range(6):
        market.press(market.scan(f"o-{number}"))
    before = len(market.wire.sent)
    now = market.clock.advance(2)
    for _, poller in [*market.workers, *market.workers] * 4:
        poller.step(now)
    asked = [sent.path for sent in market.wire.sent[before:]]
    assert sorted(asked) == sorted(f"/payments/{there.id}" for there in market.theirs())
