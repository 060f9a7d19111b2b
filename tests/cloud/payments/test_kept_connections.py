"""Connections of many shops and threads, counted by a real server: no more of them than calls, and none for long."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Barrier

import pytest

from cloud.payments.kept_connections import KeptConnections
from cloud.payments.transport import Question, Reply, Transport
from tests.cloud.payments.scripted_provider import Answer, Request, ScriptedProvider, says
from tests.waiting import wait_until

ASK = Question("GET", "/payments", read_timeout_s=30)
REST_S = 30.0
Shops = Callable[..., list[Transport]]


@pytest.fixture
def now() -> list[float]:
    return [0.0]


@pytest.fixture
def shops(yookassa: ScriptedProvider, now: list[float]) -> Iterator[Shops]:
    """Makes so many transports that share what they keep."""
    with ExitStack() as closing:

        def make(count: int, most: int = 100) -> list[Transport]:
            kept = KeptConnections(most, REST_S, lambda: now[0])  # type: ignore[var-annotated]
            made = [
                Transport(yookassa.url, user_agent="test", basic_auth=None, connect_timeout_s=30, kept=kept)
                for _ in range(count)
            ]
            for one in made:
                closing.callback(one.close)
            return made

        yield make


def ask(shop: Transport) -> None:
    assert isinstance(shop.exchange(ASK), Reply)


def ask_at_once(shop: Transport, provider: ScriptedProvider, times: int) -> None:
    """None is answered before all are asked."""
    together = Barrier(times)

    def answer(_: Request) -> Answer:
        together.wait(30)
        return says({})

    usual, provider.answer_with = provider.answer_with, answer
    with ThreadPoolExecutor(times) as threads:
        list(threads.map(ask, [shop] * times))
    provider.answer_with = usual


def test_a_thread_finds_the_connection_another_has_used(yookassa: ScriptedProvider, shops: Shops) -> None:
    """Regression: each thread kept one to each shop for ever: with 64 and 16 of them the worker lost its broker."""
    many = shops(5)
    with ExitStack() as threads:
        for thread in [threads.enter_context(ThreadPoolExecutor(1)) for _ in range(4)]:
            for shop in many:
                thread.submit(ask, shop).result()
        assert len(yookassa.connected) == len(many)


def test_two_calls_at_once_never_share_one(yookassa: ScriptedProvider, shops: Shops) -> None:
    [shop] = shops(1)
    ask_at_once(shop, yookassa, 3)
    assert len({request.client for request in yookassa.requests}) == 3
    ask_at_once(shop, yookassa, 3)
    assert len({request.client for request in yookassa.requests}) == 3, "kept, each of them"


def test_what_has_rested_long_is_closed_by_whoever_comes_also_at_another_shop(
    yookassa: ScriptedProvider, shops: Shops, now: list[float]
) -> None:
    busy, quiet = shops(2)
    ask_at_once(busy, yookassa, 3)
    ask(quiet)
    now[0] = REST_S - 1
    ask(busy)
    assert len(yookassa.connected) == 4
    now[0] = REST_S
    ask(busy)
    wait_until(lambda: len(yookassa.connected) == 1, what="what nobody used meanwhile to be closed")
    ask(quiet)
    assert len(yookassa.connected) == 2


def test_however_many_shops_there_are_few_connections_rest(yookassa: ScriptedProvider, shops: Shops) -> None:
    many = shops(6, most=2)
    for shop in many:
        ask(shop)
    wait_until(lambda: len(yookassa.connected) == 2)
    assert {request.client for request in yookassa.requests[-2:]} == yookassa.connected, "those used last"


def test_a_shop_that_is_closed_closes_its_own_only(yookassa: ScriptedProvider, shops: Shops) -> None:
    left, stays = shops(2)
    ask_at_once(left, yookassa, 2)
    ask(stays)
    left.close()
    wait_until(lambda: len(yookassa.connected) == 1)
    ask(stays)
    assert yookassa.connected == {yookassa.requests[-1].client} == {yookassa.requests[-2].client}
