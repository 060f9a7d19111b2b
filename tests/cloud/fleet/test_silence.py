"""What the silence of a machine that never tells an outcome means is its merchant's choice; what it costs is said."""

from datetime import timedelta
from typing import Any

import pytest

from cloud.database.transaction import Transaction
from cloud.fleet import silence
from cloud.fleet.apply import apply
from cloud.fleet.models import Device, DeviceLive
from cloud.operators import check
from cloud.settings import Settings
from protocol.reasons import DoubtCode, Result
from tests.cloud.worlds import DEVICE, PRICE, SECRET_KEY, World
from tests.programs import free_port

CHOICES = {
    "": ("nothing is chosen for that", False),
    "return": ("each cup is given away", True),
    "trust": ("also one that never came out", True),
}


@pytest.mark.parametrize(
    ("control", "state", "is_silent"),
    [
        ("tmetr-api", None, True),
        ("agent", None, False),
        ("agent", {"link": "open", "capabilities": []}, True),
        ("agent", {"link": "up", "capabilities": ["ack", "heartbeat"]}, True),
        ("agent", {"link": "up", "capabilities": ["ack", "counters"]}, False),
        ("agent", {"link": "down", "capabilities": []}, False),
        ("agent", {"link": "up"}, False),
    ],
)
def test_who_never_tells(control: str, state: dict[str, Any] | None, is_silent: bool) -> None:
    assert silence.never_tells(control, DeviceLive(state=state)) is is_silent


def is_silent(world: World) -> None:
    """Its agent has said of its machine what `tmetr-legacy` can."""

    def say(tx: Transaction) -> None:
        tx.session.get_one(DeviceLive, DEVICE).state = {"link": "open", "selling": True, "capabilities": []}

    world.database.transact(say)


def choose(world: World, word: str) -> tuple[str, ...]:
    """The warnings of `apply`."""
    line = f'unobserved = "{word}"' if word else ""
    text = f"""
[[device]]
device_uuid = "{DEVICE}"
merchant = "north"
payment_scenario = "Yookassa"
{line}
[[device.drink]]
drink_no = "latte"
name = "Латте"
prices = {{ medium = {PRICE} }}
"""
    return apply(world.database, world.vault, text, {}).warnings


@pytest.mark.parametrize("word", CHOICES)
def test_apply_says_each_time_what_it_costs(sqlite_world: World, word: str) -> None:
    assert choose(sqlite_world, word) == (), "of a machine that tells there is nothing to say"
    is_silent(sqlite_world)
    [warning] = choose(sqlite_world, word)
    assert "device.unobserved: this machine never tells" in warning
    assert CHOICES[word][0] in warning


def test_who_has_not_chosen_keeps_nothing_that_another_file_chose(sqlite_world: World) -> None:
    is_silent(sqlite_world)
    choose(sqlite_world, "trust")
    [warning] = choose(sqlite_world, "")
    assert CHOICES["trust"][0] in warning, "a key that is not written keeps what is stored"
    with sqlite_world.database.read() as session:
        assert session.get_one(Device, DEVICE).unobserved == "trust"


@pytest.mark.parametrize("word", CHOICES)
def test_check_is_bad_until_it_is_chosen_and_says_what_it_came_to(
    sqlite_world: World, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = sqlite_world
    is_silent(world)
    choose(world, word)
    order_id = world.pay()
    world.publish(order_id)
    world.report(order_id, Result.UNKNOWN, DoubtCode.UNOBSERVABLE)
    expected = ("successful", "") if word == "trust" else ("make_failed", "unknown:unobservable")
    assert (world.order(order_id).status, world.order(order_id).reason) == expected
    words, is_good = CHOICES[word]
    [finding] = [one for one in findings(world, monkeypatch) if "never tells" in one.words]
    assert (finding.good, words in finding.words) == (is_good, True)
    assert f"in 9000 days 1 drinks, {PRICE / 100:.2f} roubles" in finding.words


def findings(world: World, monkeypatch: pytest.MonkeyPatch) -> list[check.Finding]:
    monkeypatch.setattr(check, "BROKER_WAIT_S", 0.05)
    monkeypatch.setattr(check, "SILENT_DAYS", timedelta(days=9000))  # the world's clock is not today's
    url = world.database.url.render_as_string(hide_password=False)
    nowhere = f"mqtt://127.0.0.1:{free_port()}"
    settings = Settings(SECRET_KEY, database_url=url, mqtt_url=nowhere, yookassa_url="http://127.0.0.1:9/v3")
    return check.checkup(settings)
