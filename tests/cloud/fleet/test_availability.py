"""Could the machine make this drink now, by what it last said of itself?"""

from datetime import UTC, datetime
from typing import Any

import pytest

from cloud.fleet.availability import obstacle
from cloud.fleet.models import Device, DeviceLive, Drink
from protocol.reasons import MachineState


def judged(device_status: str = "active", online: bool = True, drink_no: str = "latte", **state: Any) -> str:
    device, live = Device(device_uuid="m", status=device_status), DeviceLive(device_uuid="m", online=online)
    live.state = state or None
    return obstacle(device, live, Drink(device_uuid="m", drink_no=drink_no), "mine")


def test_a_ready_machine_has_nothing_in_the_way() -> None:
    assert judged(link="up", selling=True, machine="ready", faults=[], busy_order=None) == ""


def test_a_machine_that_never_spoke_is_not_judged() -> None:
    assert obstacle(Device(device_uuid="m", status="active"), None, "") == ""


def test_a_machine_without_a_state_is_judged_by_its_presence() -> None:
    assert judged() == ""
    assert judged(online=False) == "offline"


def test_of_two_agents_under_one_name_nobody_knows_which_would_pour() -> None:
    live = DeviceLive(device_uuid="m", online=True, two_agents_since=datetime(2026, 5, 1, tzinfo=UTC))
    assert obstacle(Device(device_uuid="m", status="active"), live, "") == "two_agents"


def test_a_drink_the_machine_has_no_more_is_closed() -> None:
    assert obstacle(Device(device_uuid="m", status="active"), None, "latte") == "drink_closed"


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ({"link": "down"}, "machine_offline"),
        ({"selling": False}, "not_selling"),
        ({"busy_order": "another"}, "busy"),
        ({"busy_order": "mine"}, ""),
        ({"machine": "off"}, "machine_offline"),
        ({"machine": "heating"}, "heating"),
        ({"machine": "cleaning"}, "busy"),
        ({"machine": "service"}, "service"),
        ({"machine": None}, ""),
        ({"machine": "dreaming"}, ""),
    ],
)
def test_what_the_machine_does_decides(state: dict[str, Any], code: str) -> None:
    assert judged(**state) == code


@pytest.mark.parametrize("state", MachineState)
def test_only_a_ready_machine_is_ready(state: MachineState) -> None:
    assert (judged(machine=state.value) == "") == (state is MachineState.READY)


def test_a_fault_closes_the_drinks_it_names_and_all_when_it_names_none() -> None:
    milk = {"code": "no_milk", "level": "block", "drinks": ["latte"]}
    water = {"code": "no_water", "level": "block"}
    scale = {"code": "descale", "level": "warn", "drinks": []}

    assert judged(faults=[milk]) == "no_milk"
    assert judged(drink_no="espresso", faults=[milk]) == ""
    assert judged(drink_no="espresso", faults=[milk, water]) == "no_water"
    assert judged(faults=[scale]) == ""


def test_a_closed_machine_is_closed_and_a_test_machine_is_not_checked() -> None:
    assert judged("closed") == "closed"
    assert judged("test", online=False) == ""


@pytest.mark.parametrize("state", [{"faults": "all"}, {"faults": [None, 7, {}]}, {"faults": None, "machine": 3}])
def test_nonsense_stands_in_nobodys_way(state: dict[str, Any]) -> None:
    assert judged(**state) == ""
