"""The till never sells blind: without a broker or a living worker "pay" is refused with the reason, for so long."""

import pytest
import requests

from tests.mosquitto import Mosquitto
from tests.system.world import START_WITHIN_S, Bought, World
from tests.waiting import wait_until

TOLD_WITHIN_S = 30.0
pytestmark = pytest.mark.timeout(300)


def refused(world: World, bought: Bought) -> str:
    """Why "pay" is refused; empty when it is not."""
    answer = world.open_payment(bought)
    assert answer.status_code in {200, 503}, answer.text
    return str(answer.json()["error"]["code"]) if answer.status_code == 503 else ""


def is_told(world: World) -> bool:
    try:
        return requests.get(f"{world.url}/ready", timeout=10).status_code == 503
    except requests.RequestException:
        return False


def test_without_a_broker_nothing_is_sold(world: World, mosquitto: Mosquitto) -> None:
    bought = world.order()
    mosquitto.kill()
    wait_until(lambda: is_told(world), TOLD_WITHIN_S, what="to be told")
    assert refused(world, bought) == "not_sent"
    mosquitto.start()
    wait_until(lambda: not refused(world, bought), START_WITHIN_S, what="it to sell again by itself")


def test_without_a_worker_nothing_is_sold(world: World) -> None:
    bought = world.order()
    for worker in world.workers:
        worker.kill()
    wait_until(lambda: is_told(world), TOLD_WITHIN_S, what="to be told")
    assert refused(world, bought) == "not_sent"
    for worker in world.workers:
        worker.start()
    wait_until(lambda: not refused(world, bought), START_WITHIN_S, what="it to sell again by itself")
