"""A merchant with its own payment page through the real parts: fleet file, worker, web, callback, self-check."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner

from cloud.cli import main
from cloud.fleet.apply import apply
from cloud.fleet.vault import Vault
from cloud.processes.app import create_app
from cloud.processes.worker import Worker
from cloud.settings import Settings
from cloud.wiring import Cloud, build
from protocol.reasons import Result
from simulator.broker.server import Broker
from simulator.custom import CustomSimulator
from simulator.custom.books import Status
from tests.cloud import migrated
from tests.cloud.courier.rig import Machine
from tests.cloud.payments.two_merchants import LiveWorld
from tests.cloud.worlds import SECRET_KEY
from tests.waiting import wait_until

ACCOUNT, SECRET = "north-coffee", "an-agreed-secret-of-forty-two-characters!!"
FLEET = """
[[merchant]]
id = "north"
name = "Север"
[merchant.payment.Custom]
account_id = "{account}"
secret_key = "env:KEY"
page_url = "{merchant}/page"
status_url = "{merchant}/status"
action_url = "{merchant}/action"
status_check = "webhook"

[[device]]
device_uuid = "m-001"
merchant = "north"
payment_scenario = "Custom"
status = "test"
[[device.drink]]
drink_no = "latte"
name = "Латте"
prices = {{ medium = 17900 }}
"""


@pytest.fixture
def merchant() -> Iterator[CustomSimulator]:
    with CustomSimulator(ACCOUNT, SECRET, "/v1/custom-callback", sends=False) as running:
        yield running


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    with Broker() as broker:
        url = f"sqlite:///{tmp_path}/cloud.db"
        yield Settings(SECRET_KEY, database_url=url, mqtt_url=broker.url, payment_poll_slow_s=3600)


@pytest.fixture
def cloud(settings: Settings, merchant: CustomSimulator) -> Iterator[Cloud]:
    made = build(settings)
    migrated.bring(made.database)
    fleet = FLEET.format(account=ACCOUNT, merchant=merchant.address)
    apply(made.database, Vault(SECRET_KEY), fleet, {"KEY": SECRET})
    yield made
    made.close()


def test_a_coffee_is_bought_at_the_merchants_own_page(
    cloud: Cloud, settings: Settings, merchant: CustomSimulator
) -> None:
    client, world = create_app(cloud).test_client(), LiveWorld(cloud.database, rules=cloud.rules)

    def call_back(body: dict[str, str]) -> int:
        return client.post(merchant.callbacks.url, json=body).status_code

    merchant.callbacks.post = call_back  # type: ignore[method-assign]  # the wire, without its port
    machine = Machine(int(settings.mqtt_url.rpartition(":")[2]), "m-001").listen()
    worker = Worker(cloud)
    worker.start()
    try:
        scan = {"deviceUuid": "m-001", "drinkNo": "latte", "size": "1", "uuid": "o-1"}
        assert client.get("/v1/pay", query_string=scan).status_code == 302
        link = client.post("/v1/initiate-payment", json={"order_id": "o-1"}).get_json()["redirect_url"]
        assert link.startswith(f"{merchant.address}/page?account={ACCOUNT}&payment=")
        name = world.payment("o-1").provider_payment_id or ""
        assert requests.get(link, timeout=10).status_code == 200
        merchant.books.pay(name)
        assert merchant.callbacks.send_waiting()
        wait_until(lambda: world.status("o-1") == "make_pending", what="the command to be out")
        world.report("o-1", Result.DONE, device="m-001")
        wait_until(lambda: merchant.books.find(name).status is Status.SUCCEEDED, what="the money to be taken")
        wait_until(lambda: world.payment("o-1").state == "captured", what="us to know it")
    finally:
        worker.stop()
        machine.client.disconnect()


def test_the_self_check_says_whether_the_two_sides_understand_each_other(
    cloud: Cloud, settings: Settings, merchant: CustomSimulator
) -> None:
    environ = {
        "COFFEE_SECRET_KEY": SECRET_KEY, "COFFEE_DATABASE_URL": settings.database_url,
        "COFFEE_MQTT_URL": settings.mqtt_url,
    }  # fmt: skip
    good = CliRunner().invoke(main, ["check"], env=environ)
    assert f"ok   north/Custom (shop {ACCOUNT})" in good.output, good.output
    merchant.change_secret("another-agreed-secret-of-many-characters")
    bad = CliRunner().invoke(main, ["check"], env=environ)
    assert bad.exit_code == 1
    assert f"BAD  north/Custom (shop {ACCOUNT})" in bad.output, bad.output
