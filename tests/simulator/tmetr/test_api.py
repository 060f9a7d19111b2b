"""The simulated Tmetr API, asked over real HTTP."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from simulator.tmetr import Machine, TmetrSimulator
from simulator.tmetr.faults import Endpoint, FaultKind

START = datetime(2026, 3, 2, 9, 0, 30, tzinfo=UTC)
MAKE, DRINK = "/api/commander/v1/command/make", "/api/ui/v1/static/drink"
HEARTBEAT = "/api/ui/v1/stat/heartbeat/recent"
LATTE: dict[str, Any] = {"deviceId": "m-1", "orderUuid": "o-1", "drinkUuid": "latte", "size": "medium", "price": 17900}


@pytest.fixture
def tmetr() -> Iterator[TmetrSimulator]:
    machines = [Machine("m-1", {"latte": (None, 17900, 19900)}), Machine("m-2", ever_seen=False)]
    with TmetrSimulator(machines, clock=lambda: START) as simulator:
        yield simulator


def ask(tmetr: TmetrSimulator, path: str, body: Any, **headers: str) -> requests.Response:
    mine = {"Authorization": f"Bearer {tmetr.token}"} | {name.replace("_", "-"): text for name, text in headers.items()}
    return requests.post(tmetr.url + path, json=body, headers=mine, timeout=20)


def test_a_make_is_accepted_and_poured(tmetr: TmetrSimulator) -> None:
    assert ask(tmetr, MAKE, [LATTE]).status_code == 200
    [cup] = tmetr.cups("o-1")
    assert (cup.device_id, cup.drink, cup.size, cup.price, cup.at) == ("m-1", "latte", "MEDIUM", 17900, START)


def test_the_same_order_again_is_a_second_cup(tmetr: TmetrSimulator) -> None:
    for _ in range(2):
        ask(tmetr, MAKE, [LATTE])
    assert len(tmetr.cups("o-1")) == 2


@pytest.mark.parametrize("switches", [{"online": False}, {"deaf": True}])
def test_a_make_that_reaches_no_machine_is_accepted_all_the_same(tmetr: TmetrSimulator, switches: Any) -> None:
    requests.put(f"{tmetr.url}/sim/machines/m-1", json=switches, timeout=20).raise_for_status()
    assert ask(tmetr, MAKE, [LATTE]).status_code == 200
    assert tmetr.cups() == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (LATTE, 400),
        ([], 400),
        ([LATTE | {"size": "MEDIUM"}], 400),
        ([LATTE | {"size": "large"}], 400),
        ([LATTE | {"price": "17900"}], 400),
        ([LATTE | {"price": 0}], 400),
        ([LATTE | {"surprise": 1}], 400),
        ([{name: value for name, value in LATTE.items() if name != "orderUuid"}], 400),
        ([LATTE | {"drinkUuid": "tea"}], 404),
        ([LATTE | {"deviceId": "m-9"}], 404),
        ([LATTE, LATTE | {"deviceId": "m-9"}], 404),
    ],
)
def test_a_make_it_does_not_understand_is_refused_and_pours_nothing(
    tmetr: TmetrSimulator, body: object, status: int
) -> None:
    answer = ask(tmetr, MAKE, body)
    assert answer.status_code == status
    assert answer.json().keys() == {"errorCode", "errorId", "errorMessage"}
    assert tmetr.cups() == []


@pytest.mark.parametrize("path", [MAKE, DRINK, HEARTBEAT])
def test_a_stranger_is_told_nothing(tmetr: TmetrSimulator, path: str) -> None:
    answer = requests.post(tmetr.url + path, json=[LATTE], headers={"Authorization": "Bearer other"}, timeout=20)
    assert answer.status_code == 401
    assert answer.json()["errorCode"] == "UNAUTHORIZED"
    assert tmetr.cups() == []


def test_a_price_is_told_by_size(tmetr: TmetrSimulator) -> None:
    asked = {"deviceId": "m-1", "drinkIdAtDevice": "latte", "drinkSize": "BIG"}
    assert ask(tmetr, DRINK, asked).json()["price"] == 19900
    assert ask(tmetr, DRINK, asked | {"drinkSize": "SMALL"}).status_code == 404
    assert ask(tmetr, DRINK, asked | {"drinkSize": "big"}).status_code == 404


def test_a_price_can_be_changed_and_taken_away(tmetr: TmetrSimulator) -> None:
    asked = {"deviceId": "m-1", "drinkIdAtDevice": "latte", "drinkSize": "BIG"}
    for price, status in ((21000, 200), (None, 404)):
        tag = {"drink": "latte", "size": "BIG", "price": price}
        requests.put(f"{tmetr.url}/sim/machines/m-1/price", json=tag, timeout=20).raise_for_status()
        answer = ask(tmetr, DRINK, asked)
        assert (answer.status_code, answer.json().get("price")) == (status, price)


@pytest.mark.parametrize(("zone", "shift"), [("0", 0), ("3", 10800), ("-5", -18000)])
def test_heartbeats_come_shifted_by_the_zone_the_caller_names(tmetr: TmetrSimulator, zone: str, shift: int) -> None:
    body = {"deviceIds": ["m-1", "m-2"], "offset": 0, "limit": 5}
    told = ask(tmetr, HEARTBEAT, body, X_TimeZoneOffset=zone).json()
    [beat] = told["content"]
    assert beat["heartbeatCreatedAt"] == START.replace(second=0).timestamp() + shift
    assert ask(tmetr, HEARTBEAT, body).status_code == 400, "the zone is not optional"


def test_a_machine_switched_off_was_last_heard_of_then(tmetr: TmetrSimulator) -> None:
    tmetr.hall.switch("m-1", False, None)
    tmetr.advance(1000)
    assert tmetr.hall.last_beat("m-1") == START.replace(second=0)
    tmetr.hall.switch("m-1", True, None)
    beat = tmetr.hall.last_beat("m-1")
    assert beat is not None
    assert beat > START


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (FaultKind.REFUSE, 400),
        (FaultKind.UNAUTHORIZED, 401),
        (FaultKind.TOO_MANY_REQUESTS, 429),
        (FaultKind.ERROR_500, 500),
        (FaultKind.HTML_502, 502),
    ],
)
def test_a_fault_strikes_once_and_before_the_act(tmetr: TmetrSimulator, kind: FaultKind, status: int) -> None:
    tmetr.fault(kind, Endpoint.MAKE)
    assert ask(tmetr, MAKE, [LATTE]).status_code == status
    assert tmetr.cups() == []
    assert ask(tmetr, MAKE, [LATTE]).status_code == 200


def test_a_fault_may_strike_the_answer_alone(tmetr: TmetrSimulator) -> None:
    fault: Any = {"kind": "reset", "endpoint": "make", "after_act": True}
    requests.post(f"{tmetr.url}/sim/faults", json=fault, timeout=20).raise_for_status()
    with pytest.raises(requests.ConnectionError):
        ask(tmetr, MAKE, [LATTE])
    assert len(tmetr.cups("o-1")) == 1


def test_a_hang_answers_late(tmetr: TmetrSimulator) -> None:
    tmetr.fault(FaultKind.HANG, Endpoint.MAKE, seconds=0.05)
    assert ask(tmetr, MAKE, [LATTE]).status_code == 200
    assert len(tmetr.cups()) == 1


def test_the_control_api_shows_cups_calls_and_standing_faults(tmetr: TmetrSimulator) -> None:
    ask(tmetr, MAKE, [LATTE])
    sim = f"{tmetr.url}/sim"
    assert [cup["order_uuid"] for cup in requests.get(f"{sim}/cups?order=o-1", timeout=20).json()["cups"]] == ["o-1"]
    assert requests.get(f"{sim}/cups?order=o-2", timeout=20).json()["cups"] == []
    assert [call["status"] for call in requests.get(f"{sim}/calls", timeout=20).json()["calls"]] == [200]
    requests.post(f"{sim}/faults", json={"kind": "hang", "times": None}, timeout=20).raise_for_status()
    assert len(requests.get(f"{sim}/faults", timeout=20).json()["faults"]) == 1
    assert requests.delete(f"{sim}/faults", timeout=20).json() == {"faults": []}
    assert requests.post(f"{sim}/faults", json={"kind": "magic"}, timeout=20).status_code == 400
    assert requests.put(f"{sim}/machines/m-9", json={}, timeout=20).status_code == 404
