"""A scripted provider, and clients of it, for one test."""

from collections.abc import Callable, Iterator

import pytest

from cloud.payments.provider import PreparedCall, Shop
from cloud.payments.rate import CircuitBreaker, TokenBucket
from cloud.payments.yookassa.client import YooKassaClient
from tests.cloud.payments.one_shop import COFFEE, SHOP, Connect
from tests.cloud.payments.scripted_provider import ScriptedProvider, scripted_provider


def unhurried() -> TokenBucket:
    return TokenBucket(per_second=1e6, burst=1e6)


@pytest.fixture
def yookassa() -> Iterator[ScriptedProvider]:
    with scripted_provider() as provider:
        yield provider


@pytest.fixture
def connect(yookassa: ScriptedProvider) -> Iterator[Connect]:
    """Makes clients of the scripted provider with short patience; closes them all."""
    clients: list[YooKassaClient] = []

    def make(
        shop: Shop = SHOP,
        url: str = "",
        timeout_s: float = 30.0,
        breaker: CircuitBreaker | None = None,
        bucket: TokenBucket | None = None,
        clock: Callable[[], float] = lambda: 0.0,
    ) -> YooKassaClient:
        client = YooKassaClient(
            shop,
            url or yookassa.url,
            user_agent="CoffeeRelay/test",
            post_read_timeout_s=timeout_s,
            get_read_timeout_s=timeout_s,
            bucket=bucket or unhurried(),
            breaker=breaker,
            clock=clock,
        )
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(connect: Connect) -> YooKassaClient:
    return connect()


@pytest.fixture
def create(client: YooKassaClient) -> PreparedCall:
    return client.prepare_create(COFFEE, "pay-1.1")
