"""The cloud in containers, set up by deploy/README.md in a real engine: a machine enrols, sells, refuses; a new start.

What the base images were is printed (`pytest -rP`): the official ones, or stand-ins (`base_images.py`).
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from agent.settings import environment
from protocol.reasons import Size
from simulator.machine import MachineSimulator
from simulator.shell.delivery import HttpPost
from simulator.yookassa import Shop, YooKassaSimulator
from tests.deploy.base_images import base_images, make_stand_ins
from tests.deploy.composition import GATEWAY, Composition, look_for_an_engine
from tests.programs import free_port
from tests.system.fleet import KEY_VARIABLE, SHOP, SHOP_KEY, fleet_toml
from tests.system.gate import Gate
from tests.system.restartable import Restartable
from tests.system.world import TIMING
from tests.waiting import wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600), pytest.mark.xdist_group("composition")]
DEVICE = "m-001"
WELL = {
    **dict.fromkeys(["caddy", "mosquitto", "worker"], "running"),
    **dict.fromkeys(["postgres", "web"], "runninghealthy"),
    "migrate": "exited",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("composition")


@pytest.fixture(scope="module")
def port() -> int:
    """Where the containers reach the provider."""
    return free_port()


@pytest.fixture(scope="module")
def composition(folder: Path, port: int) -> Iterator[Composition]:
    look_for_an_engine()
    settings = {
        "COFFEE_SECRET_KEY": "a secret text of more than thirty-two characters",
        "COFFEE_MQTT_PASSWORD": "long-and-made-by-chance",
        "COFFEE_MACHINES_MQTT_URL": "mqtts://localhost:8883",
        "COFFEE_MACHINES_MQTT_CA": "/etc/coffee-relay/broker-ca.crt",
        "COFFEE_YOOKASSA_URL": f"http://{GATEWAY}:{port}/v3",
        "COFFEE_YOOKASSA_WEBHOOK_NETWORKS": f"{GATEWAY}/32",
        KEY_VARIABLE: SHOP_KEY,
    }
    with base_images() as stand_ins:
        print("stand-ins for:", ", ".join(stand_ins) or "none")
        if stand_ins:
            make_stand_ins(stand_ins, folder / "stand-ins")
        with Composition(folder / "tree", settings) as running:
            running.wait_ready()
            yield running


class Trusting(HttpPost):
    """Notifications by HTTPS to who has a certificate of this authority."""

    def __init__(self, ca: Path) -> None:
        super().__init__()
        self._ca = ca

    def _session(self) -> requests.Session:
        session = super()._session()
        session.verify = str(self._ca)
        return session


@pytest.fixture(scope="module")
def shop(composition: Composition, port: int) -> Iterator[YooKassaSimulator]:
    """The provider; its notifications come in by Caddy."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("REQUESTS_CA_BUNDLE", str(composition.ca))
        told = "https://localhost/v1/yook-pay-webhook"
        post = Trusting(composition.ca)
        with (
            YooKassaSimulator(shops=[Shop(id=SHOP, secret=SHOP_KEY)], webhook_url=told, post=post) as provider,
            Gate(int(provider.address.rpartition(":")[2]), GATEWAY, port),
        ):
            yield provider


@pytest.fixture(scope="module")
def machine(composition: Composition, shop: YooKassaSimulator, folder: Path) -> Iterator[MachineSimulator]:
    """Enrolled by its code, as deploy/README.md and docs/operations.md say."""
    (composition.deploy / "secrets/cloud/fleet.toml").write_text(fleet_toml([DEVICE], "immediate"))
    composition.coffee_cloud("apply", "/etc/coffee-relay/fleet.toml")
    code = re.findall(r"\b[A-Z]{4}-[A-Z]{4}\b", composition.coffee_cloud("enroll", DEVICE))[-1]
    with MachineSimulator(
        tty=folder / "tty", http=None, device_uuid=DEVICE, cloud_url="https://localhost", timing=TIMING
    ) as simulated:
        told = ["enroll", "https://localhost", code, "--file", str(folder / ".env"), "--serial", simulated.tty]
        Restartable("agent", [*told, "--ca", str(composition.ca)], folder / "enroll", {}).finish()
        settings = environment({}, folder) | {"COFFEE_AGENT_STATE_DIR": str(folder / "state")}
        agent = Restartable("agent", ["run"], folder / "agent", settings)
        agent.start()
        try:
            yield simulated
        finally:
            agent.stop()


def buy(machine: MachineSimulator, shop: YooKassaSimulator) -> str:
    """Scan and pay at HTTPS; the order's number."""
    link = machine.controls.offer("americano", Size.MEDIUM)
    opened: list[str] = []

    def is_open() -> bool:
        assert requests.get(link.url, timeout=30).ok
        answer = requests.post("https://localhost/v1/initiate-payment", json={"order_id": link.order_uuid}, timeout=60)
        if answer.ok:
            opened.append(str(answer.json()["redirect_url"]).rpartition("=")[2])
        return bool(opened)

    wait_until(is_open, 120, what="the payment page")
    shop.pay(opened[0])
    return link.order_uuid


def ended_as(order: str, status: str) -> None:
    def is_so() -> bool:
        return bool(requests.get(f"https://localhost/v1/order-status/{order}", timeout=30).json()["status"] == status)

    wait_until(is_so, 120, what=f"{order} to be {status}")


def kept(shop: YooKassaSimulator, order: str) -> int:
    """Kopecks, in the provider's books."""
    payments = [one for one, _ in shop.provider.snapshot()[0] if one.request.metadata.get("order_id") == order]
    return sum(payment.captured - payment.refunded for payment in payments)


def sells(machine: MachineSimulator, shop: YooKassaSimulator) -> None:
    order = buy(machine, shop)
    ended_as(order, "successful")
    assert machine.controls.cups(order) == 1
    assert kept(shop, order) > 0


def test_the_first_user_is_invited_and_every_check_is_well(composition: Composition) -> None:
    assert "https://localhost/console/welcome/" in composition.coffee_cloud("user", "add", "a@example.org", "--admin")
    composition.coffee_cloud("check")
    wait_until(lambda: states(composition) == WELL, 120, what="all services to be well")


def states(composition: Composition) -> dict[str, str]:
    told = composition.compose("ps", "-a", "--format", "{{.Service}} {{.State}}{{.Health}}")
    return dict(line.split() for line in told.splitlines())


def test_ours_run_without_rights_and_write_nowhere_but_to_tmp(composition: Composition) -> None:
    for service, user in (("web", "10001"), ("worker", "10001"), ("mosquitto", "1883")):
        said = composition.compose(
            "exec", "-T", service, "sh", "-c", "grep -E '^(Uid|CapBnd|NoNewPrivs)' /proc/1/status"
        )
        assert said.split() == ["Uid:", user, user, user, user, "CapBnd:", "0" * 16, "NoNewPrivs:", "1"]
        assert (
            composition.compose("exec", "-T", service, "sh", "-c", "touch /opt/x 2>&1 || :")
            .strip()
            .endswith("Read-only file system")
        )
    assert composition.compose(
        "exec", "-T", "mosquitto", "sh", "-c", "stat -c '%a %u' /mosquitto/data/*.json"
    ).split() == ["600", "1883"]


def test_it_sells_gives_back_for_a_refusal_and_sells_after_a_new_start(
    composition: Composition, machine: MachineSimulator, shop: YooKassaSimulator
) -> None:
    sells(machine, shop)
    machine.controls.switch_on("reject_no_water")
    refused = buy(machine, shop)
    ended_as(refused, "make_failed")
    wait_until(lambda: kept(shop, refused) == 0, 120, what="the money to be back")
    machine.controls.switch_all_off()
    composition.compose("stop")
    composition.compose("up", "--detach")
    composition.wait_ready()
    sells(machine, shop)
    heard = [told.answer for told in shop.webhooks.log()]
    assert 200 in heard, heard  # by Caddy, from where notifications may come
