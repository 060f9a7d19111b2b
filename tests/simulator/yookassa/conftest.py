"""One running simulator and one shop for each test that asks. Its clock stands still until it is advanced."""

from collections.abc import Iterator

import pytest

from simulator.yookassa import Shop, YooKassaSimulator
from simulator.yookassa.shops import DEFAULT_SHOP
from tests.simulator.yookassa.receiver import Receiver
from tests.simulator.yookassa.shop import START, TestShop

FISCAL_SHOP = Shop(id="100600", secret="fiscal_secret", fiscalization=True)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def simulator() -> Iterator[YooKassaSimulator]:
    with YooKassaSimulator(shops=(DEFAULT_SHOP, FISCAL_SHOP), clock=lambda: START, seed="test") as simulator:
        yield simulator


@pytest.fixture
def shop(simulator: YooKassaSimulator) -> Iterator[TestShop]:
    shop = TestShop(simulator)
    yield shop
    shop.session.close()


@pytest.fixture
def fiscal_shop(simulator: YooKassaSimulator) -> Iterator[TestShop]:
    shop = TestShop(simulator, FISCAL_SHOP.id, FISCAL_SHOP.secret)
    yield shop
    shop.session.close()
