"""Prices that are Tmetr's to tell."""

import logging
from collections.abc import Iterator

import pytest

from cloud.courier.tmetr.price import TmetrPrices
from simulator.tmetr.faults import Endpoint, FaultKind
from tests.cloud.courier.tmetr_rig import TmetrRig, a_tmetr_rig
from tests.cloud.worlds import DEVICE, PRICE, World
from tests.programs import free_port


@pytest.fixture
def rig(sqlite_world: World) -> Iterator[TmetrRig]:
    with a_tmetr_rig(sqlite_world) as made:
        made.change(price_source="tmetr")
        yield made


def prices(rig: TmetrRig, url: str = "") -> TmetrPrices:
    return TmetrPrices(rig.world.database, rig.client(url))


def test_the_price_of_this_moment_is_told(rig: TmetrRig) -> None:
    assert prices(rig).ask(DEVICE, "latte", 1) == PRICE
    rig.tmetr.hall.set_price(DEVICE, "latte", "MEDIUM", PRICE + 1000)
    assert prices(rig).ask(DEVICE, "latte", 1) == PRICE + 1000


def test_nobody_is_asked_about_a_machine_with_prices_of_our_own(rig: TmetrRig) -> None:
    rig.change(price_source="catalogue")
    assert prices(rig).ask(DEVICE, "latte", 1) is None
    assert prices(rig).ask("nobody", "latte", 1) is None
    assert rig.tmetr.calls(Endpoint.DRINK) == []


@pytest.mark.parametrize("kind", [FaultKind.NO_PRICE, FaultKind.REFUSE, FaultKind.RESET, FaultKind.HTML_502])
def test_a_price_that_is_not_told_is_not_known_and_not_made_up(
    rig: TmetrRig, kind: FaultKind, caplog: pytest.LogCaptureFixture
) -> None:
    rig.tmetr.fault(kind, Endpoint.DRINK)
    with caplog.at_level(logging.ERROR):
        assert prices(rig).ask(DEVICE, "latte", 1) is None
    assert "no price from Tmetr" in caplog.text


@pytest.mark.parametrize("price", [99, 35_000_001, 10**300])
def test_a_price_no_provider_would_take_is_none(rig: TmetrRig, price: int) -> None:
    rig.tmetr.hall.set_price(DEVICE, "latte", "MEDIUM", price)
    assert prices(rig).ask(DEVICE, "latte", 1) is None


def test_without_tmetr_no_such_price_is_known(rig: TmetrRig) -> None:
    assert TmetrPrices(rig.world.database, None).ask(DEVICE, "latte", 1) is None
    assert prices(rig, f"http://127.0.0.1:{free_port()}").ask(DEVICE, "latte", 1) is None
