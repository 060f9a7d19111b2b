"""A scan at a machine whose prices are Tmetr's, through the real pages."""

from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from flask.testing import FlaskClient

from cloud.fleet.apply import apply
from cloud.processes.app import create_app
from simulator.tmetr.faults import Endpoint, FaultKind
from tests.cloud.courier.tmetr_rig import TmetrRig, a_tmetr_rig
from tests.cloud.tills import Till
from tests.cloud.worlds import DEVICE, PRICE

pytestmark = pytest.mark.any_database

DEVICE_FILE = f"""
[[device]]
device_uuid = "{DEVICE}"
merchant = "north"
payment_scenario = "Yookassa"
control = "tmetr-api"
price_source = "tmetr"
unobserved = "trust"
[[device.drink]]
drink_no = "latte"
name = "Латте"
prices = {{ medium = 100 }}
"""


@pytest.fixture
def rig(till: Till) -> Iterator[TmetrRig]:
    with a_tmetr_rig(till.world) as made:
        apply(till.world.database, till.world.vault, DEVICE_FILE, {})
        made.heartbeats.step(till.world.now)
        yield made


@pytest.fixture
def web(till: Till, rig: TmetrRig) -> FlaskClient:
    cloud = till.a_cloud("web", tmetr_url=rig.tmetr.url, tmetr_token=rig.tmetr.token)
    return create_app(cloud).test_client()


def scan(web: FlaskClient, order_id: str = "ord-1", size: int = 1) -> int:
    asked = {"deviceUuid": DEVICE, "drinkNo": "latte", "drinkName": "Латте", "size": size, "uuid": order_id}
    return web.get(f"/v1/pay?{urlencode(asked)}").status_code


def test_the_machines_price_of_this_moment_is_frozen_on_the_order_and_taken(
    till: Till, rig: TmetrRig, web: FlaskClient
) -> None:
    assert scan(web) == 302
    rig.tmetr.hall.set_price(DEVICE, "latte", "MEDIUM", PRICE + 5000)
    assert scan(web) == 302, "the same code again is the same order"
    assert till.world.order("ord-1").price == PRICE
    assert len(rig.tmetr.calls(Endpoint.DRINK)) == 1, "a known order's price is not asked again"
    assert web.post("/v1/initiate-payment", json={"order_id": "ord-1"}).status_code == 200
    till.buyer_pays("ord-1")
    till.look_at("ord-1")
    rig.send()
    till.work()
    assert till.booked("ord-1")["captured"] == PRICE
    assert [cup.price for cup in rig.tmetr.cups("ord-1")] == [PRICE]


@pytest.mark.both_databases
@pytest.mark.parametrize("kind", [FaultKind.NO_PRICE, FaultKind.REFUSE, FaultKind.RESET, FaultKind.ERROR_500])
def test_an_unknown_price_refuses_the_scan_and_the_next_try_may_do(
    till: Till, rig: TmetrRig, web: FlaskClient, kind: FaultKind
) -> None:
    rig.tmetr.fault(kind, Endpoint.DRINK)
    assert scan(web) == 503
    assert web.get("/v1/order-status/ord-1").status_code == 404, "nothing was begun"
    assert scan(web) == 302
    assert till.world.order("ord-1").price == PRICE


def test_a_size_the_catalogue_does_not_list_is_not_sold(rig: TmetrRig, web: FlaskClient) -> None:
    rig.tmetr.hall.set_price(DEVICE, "latte", "BIG", 25000)
    assert scan(web, size=2) == 404


def test_without_a_tmetr_the_scan_is_refused(till: Till, rig: TmetrRig) -> None:
    assert scan(till.client()) == 503
