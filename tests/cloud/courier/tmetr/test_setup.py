"""Machines without an agent in the fleet file, the settings, `coffee-cloud check` and the worker."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from cloud.database.transaction import Transaction
from cloud.fleet.apply import FleetFileError, apply
from cloud.fleet.models import Device, DeviceLive
from cloud.operators import check
from cloud.processes.worker import Worker
from cloud.settings import Settings, SettingsError
from cloud.wiring import build
from simulator.broker import Broker
from simulator.tmetr import Machine, TmetrSimulator
from tests.cloud.worlds import DEVICE, PRICE, SECRET_KEY, World
from tests.programs import free_port
from tests.waiting import wait_until

FILE = """
[[device]]
device_uuid = "m-001"
merchant = "north"
payment_scenario = "Yookassa"
control = "tmetr-api"
price_source = "catalogue"
unobserved = "return"
"""


@pytest.fixture
def tmetr() -> Iterator[TmetrSimulator]:
    with TmetrSimulator([Machine(DEVICE, {"latte": (None, PRICE, None)})]) as simulator:
        yield simulator


def drive_over_tmetr(world: World) -> None:
    world.database.transact(
        Transaction.execute, update(Device).where(Device.device_uuid == DEVICE).values(control="tmetr-api")
    )


def settings_of(world: World, **more: Any) -> Settings:
    url = world.database.url.render_as_string(hide_password=False)
    return Settings(SECRET_KEY, database_url=url, yookassa_url="http://127.0.0.1:9/v3", **more)


def found(world: World, monkeypatch: pytest.MonkeyPatch, **more: Any) -> list[tuple[bool, str]]:
    """What `coffee-cloud check` says of Tmetr."""
    monkeypatch.setattr(check, "BROKER_WAIT_S", 0.05)
    findings = check.checkup(settings_of(world, mqtt_url=f"mqtt://127.0.0.1:{free_port()}", **more))
    return [(finding.good, finding.words) for finding in findings if "Tmetr" in finding.words]


def test_a_fleet_file_may_name_a_machine_without_an_agent(sqlite_world: World) -> None:
    report = apply(sqlite_world.database, sqlite_world.vault, FILE, {})
    assert "control" in report.entries[0].keys
    assert "the money of every drink goes back" in report.warnings[0]
    with sqlite_world.database.read() as session:
        device = session.get_one(Device, DEVICE)
    assert (device.control, device.price_source, device.unobserved) == ("tmetr-api", "catalogue", "return")


@pytest.mark.parametrize(("key", "word"), [("price_source", "mine"), ("unobserved", "keep"), ("control", "http")])
def test_other_words_are_refused(sqlite_world: World, key: str, word: str) -> None:
    lines = [line for line in FILE.splitlines() if not line.startswith(key)]
    with pytest.raises(FleetFileError) as refused:
        apply(sqlite_world.database, sqlite_world.vault, "\n".join([*lines, f'{key} = "{word}"']), {})
    assert f"device.{key}: must be" in str(refused.value)


def test_settings_take_the_address_and_the_token_and_show_no_token() -> None:
    environ = {
        "COFFEE_SECRET_KEY": SECRET_KEY,
        "COFFEE_TMETR_URL": "https://tmetr.example.org/x/",
        "COFFEE_TMETR_TOKEN": "s3cret-token",
    }
    settings = Settings.from_env(environ)
    assert (settings.tmetr_url, settings.tmetr_token) == ("https://tmetr.example.org/x", "s3cret-token")
    assert "s3cret-token" not in repr(settings)
    assert Settings.from_env({"COFFEE_SECRET_KEY": SECRET_KEY}).tmetr_url == ""
    with pytest.raises(SettingsError) as wrong:
        Settings.from_env(environ | {"COFFEE_TMETR_URL": "tmetr.example.org", "COFFEE_TMETR_TOKEN": "two words"})
    assert "COFFEE_TMETR_URL" in str(wrong.value)
    assert "COFFEE_TMETR_TOKEN" in str(wrong.value)
    assert "two words" not in str(wrong.value)


def test_check_says_nothing_where_nobody_needs_tmetr(sqlite_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(sqlite_world, monkeypatch) == []


def test_check_misses_the_address_a_machine_needs(sqlite_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    drive_over_tmetr(sqlite_world)
    [(good, words)] = found(sqlite_world, monkeypatch)
    assert not good
    assert "COFFEE_TMETR_URL is not set" in words


def test_check_tries_the_api(sqlite_world: World, monkeypatch: pytest.MonkeyPatch, tmetr: TmetrSimulator) -> None:
    drive_over_tmetr(sqlite_world)
    [good] = found(sqlite_world, monkeypatch, tmetr_url=tmetr.url, tmetr_token=tmetr.token)
    assert good == (True, "Tmetr API answers, 1 machine(s) without an agent")
    [(stranger, words)] = found(sqlite_world, monkeypatch, tmetr_url=tmetr.url, tmetr_token="wrong")
    assert not stranger
    assert "COFFEE_TMETR_TOKEN" in words
    nowhere = f"http://127.0.0.1:{free_port()}"
    [(reached, words)] = found(sqlite_world, monkeypatch, tmetr_url=nowhere)
    assert not reached
    assert "COFFEE_TMETR_URL" in words


def test_a_worker_looks_at_the_machine_and_has_the_coffee_forwarded(tmp_path: Path) -> None:
    settings = Settings(SECRET_KEY, database_url=f"sqlite:///{tmp_path}/cloud.db")
    world = World(build(settings).database).found()
    drive_over_tmetr(world)
    machines = [Machine(DEVICE, {"latte": (None, PRICE, None)})]
    with Broker() as broker, TmetrSimulator(machines, clock=world.clock) as tmetr:
        cloud = build(
            settings_of(world, mqtt_url=broker.url, tmetr_url=tmetr.url, tmetr_token=tmetr.token), clock=world.clock
        )
        worker = Worker(cloud)
        worker.start()
        try:
            wait_until(lambda: is_online(world), what="the machine to be seen")
            order_id = world.pay()
            wait_until(lambda: world.status(order_id) == "make_pending", what="the command to be forwarded")
        finally:
            worker.stop()
            cloud.close()
            world.database.close()
        assert len(tmetr.cups(order_id)) == 1


def test_without_an_address_machines_that_need_it_are_not_on_sale(tmp_path: Path) -> None:
    world = World(build(Settings(SECRET_KEY, database_url=f"sqlite:///{tmp_path}/cloud.db")).database).found()
    drive_over_tmetr(world)
    assert is_online(world)
    with Broker() as broker:
        cloud = build(settings_of(world, mqtt_url=broker.url), clock=world.clock)
        worker = Worker(cloud)
        worker.start()
        worker.stop()
        cloud.close()
    assert not is_online(world)
    world.database.close()


def is_online(world: World) -> bool:
    with world.database.read() as session:
        return session.get_one(DeviceLive, DEVICE).online
