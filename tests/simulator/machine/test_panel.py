"""The front panel's JSON, its QR, and its page as sent."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from protocol.reasons import Size
from simulator.machine import STANDARD_MENU, MachineSimulator, Timing
from simulator.machine.qr import SIGNED_FOR_S, checksum, pay_link, signature
from simulator.machine.switches import SWITCHES
from tests.waiting import wait_until

FAST = Timing(brew_s=0.05, boot_s=0.01, heating_s=0.0)
SAMPLE_MOMENT = datetime(2025, 3, 17, 11, 1, 22, 659_000, tzinfo=timezone(timedelta(hours=3)))


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[MachineSimulator]:
    with MachineSimulator(
        tty=tmp_path / "tty", timing=FAST, device_uuid="m-7", cloud_url="https://pay.example/", home_url="http://demo/"
    ) as running:
        wait_until(lambda: running.controls.state()["state"] == "ready", what="the machine to be ready")
        yield running


def post(simulator: MachineSimulator, path: str, body: Any = None) -> requests.Response:
    return requests.post(simulator.url + path, json=body, timeout=10)


def test_the_checksum_equals_the_public_sample() -> None:
    assert (
        checksum("9b900a2e63042d350f45b6675ef26ced", "waxoqk", "1742198482", "1", "20250317110122659ba6d7-9ace-cndn")
        == "b6c2cca0340a82d0dc843243299800d7"
    )


def test_a_link_is_built_like_the_public_sample() -> None:
    link = pay_link("https://pay.example", "m-7", STANDARD_MENU["tea"], Size.LARGE, lambda: SAMPLE_MOMENT, Random(1))
    assert re.fullmatch(r"20250317110122659[0-9a-f]{5}-9ace-cndn", link.order_uuid)
    query = {key: value for key, (value,) in parse_qs(urlsplit(link.url).query).items()}
    assert list(query) == ["deviceUuid", "drinkNo", "size", "random", "ts", "salt", "drinkName", "uuid"]
    assert query["ts"] == "1742198482"
    assert (query["drinkName"], query["size"], query["deviceUuid"]) == ("Чай с лимоном", "2", "m-7")
    assert re.fullmatch("[a-z]{6}", query["random"])
    assert query["salt"] == checksum("tea", query["random"], query["ts"], "2", link.order_uuid)


def test_a_caller_that_mends_more_than_the_machine_is_told_of_a_repair_and_keeps_its_button(tmp_path: Path) -> None:
    """Regression: what the faults had closed at the cloud stayed closed, with no switch on and no button left."""
    repaired: list[str] = []
    with MachineSimulator(tty=tmp_path / "tty", timing=FAST, on_repair=lambda: repaired.append("now")) as running:
        assert '"repairs_more": true' in requests.get(running.url, timeout=10).text
        assert requests.delete(f"{running.url}/api/faults", timeout=10).json() == {}
    assert repaired == ["now"]


def test_a_qr_is_a_new_order_each_time(simulator: MachineSimulator) -> None:
    first, second = (post(simulator, "/api/qr", {"drink_no": "latte", "size": 0}).json() for _ in range(2))
    assert first["order_uuid"] != second["order_uuid"]
    assert first["url"].startswith("https://pay.example/v1/pay?deviceUuid=m-7&drinkNo=latte&size=0&")
    assert first["svg"].startswith("<svg")
    stamp = datetime.strptime(first["order_uuid"][:14], "%Y%m%d%H%M%S").astimezone()
    assert abs(stamp - datetime.now(UTC)) < timedelta(minutes=5)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api/qr", {"drink_no": "beer"}, 404),
        ("/api/qr", {"drink_no": "tea", "size": 3}, 400),
        ("/api/qr", {"drink_no": "tea", "size": True}, 400),
        ("/api/qr", {"size": 1}, 400),
        ("/api/qr", [], 400),
        ("/api/faults", {"name": "coffee_everywhere"}, 404),
        ("/api/faults", {"name": "drop_done", "mode": "sometimes"}, 400),
        ("/api/faults", {"name": "drop_done", "chance": 2}, 400),
        ("/api/faults", {"name": "drop_done", "much": 2}, 400),
        ("/api/local-drink", {"drink_no": "beer"}, 404),
        ("/api/local-drink", {"drink_no": "tea", "kind": "stolen"}, 400),
        ("/api/nothing", {}, 404),
    ],
)
def test_a_call_that_makes_no_sense_is_told_so(
    simulator: MachineSimulator, path: str, body: object, status: int
) -> None:
    answer = post(simulator, path, body)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


def test_all_switches_are_listed_with_their_setting(simulator: MachineSimulator) -> None:
    post(simulator, "/api/faults", {"name": "drop_done", "mode": "every", "n": 3})
    listed = {switch["name"]: switch for switch in requests.get(simulator.url + "/api/faults", timeout=10).json()}
    assert listed.keys() == SWITCHES.keys()
    assert listed["drop_done"]["setting"]["n"] == 3
    assert listed["no_water"]["setting"] is None


def test_a_switch_goes_on_and_off_and_closes_the_machine(simulator: MachineSimulator) -> None:
    assert "no_water" in post(simulator, "/api/faults", {"name": "no_water"}).json()
    state = requests.get(simulator.url + "/api/state", timeout=10).json()
    assert (state["state"], state["faults"], state["closed"]["tea"]) == ("fault", ["no_water"], "no_water")
    assert post(simulator, "/api/local-drink", {"drink_no": "tea"}).status_code == 409
    requests.delete(simulator.url + "/api/faults/no_water", timeout=10)
    state = requests.get(simulator.url + "/api/state", timeout=10).json()
    assert (state["state"], state["faults"], state["closed"]["tea"]) == ("ready", [], None)
    post(simulator, "/api/faults", {"name": "slow"})
    assert requests.delete(simulator.url + "/api/faults", timeout=10).json() == {}
    assert requests.delete(simulator.url + "/api/faults/nothing", timeout=10).status_code == 404


def test_a_local_drink_shows_in_the_state_and_in_the_truth(simulator: MachineSimulator) -> None:
    assert post(simulator, "/api/local-drink", {"drink_no": "tea", "kind": "test"}).status_code == 200

    def state() -> dict[str, object]:
        answer: dict[str, object] = requests.get(simulator.url + "/api/state", timeout=10).json()
        return answer

    wait_until(lambda: state()["order"] is None, what="the drink to end")
    assert state()["cups"] == [{"order_uuid": None, "drink_no": "tea", "filled": 1.0}]
    assert state()["counters"] == {"total": 1, "paid": 0, "free": 0, "test": 1, "by_drink": {}}


def test_the_plug_is_pulled(simulator: MachineSimulator) -> None:
    boots = simulator.controls.state()["boots"]
    assert post(simulator, "/api/power").status_code == 200
    wait_until(lambda: simulator.controls.state()["boots"] == boots + 1, what="the machine to come back")


@pytest.mark.parametrize(
    ("cloud_url", "lang", "invites"),
    [
        ("https://pay.example", "ru", "Наведите камеру телефона"),
        ("https://pay.example", "en", "Point your phone&#39;s camera"),
        ("http://127.0.0.1:8080", "ru", "Нажмите на код: с телефона этот адрес не открыть"),
        ("http://127.0.0.1:8080", "en", "Click the code: a phone cannot reach this address"),
    ],
)
def test_only_a_code_that_a_phone_can_follow_invites_one(
    cloud_url: str, lang: str, invites: str, tmp_path: Path
) -> None:
    with MachineSimulator(tty=tmp_path / "tty", timing=FAST, cloud_url=cloud_url) as running:
        assert f">{invites}</p>" in requests.get(f"{running.url}/?lang={lang}", timeout=10).text


@pytest.mark.parametrize(("lang", "title"), [("ru", "Кофемашина"), ("en", "Coffee machine")])
def test_the_page_speaks_the_language_asked_for_and_loads_nothing_from_elsewhere(
    simulator: MachineSimulator, lang: str, title: str
) -> None:
    answer = requests.get(f"{simulator.url}/?lang={lang}", timeout=10)
    assert answer.status_code == 200
    assert f"<title>{title} m-7</title>" in answer.text
    assert 'href="http://demo/"' in answer.text
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    for path in re.findall(r'(?:src|href)="(/static/[^"]+)"', answer.text):
        asset = requests.get(simulator.url + path, timeout=10)
        assert asset.status_code == 200
        assert "http" not in asset.text.replace("http://www.w3.org/2000/svg", "")


def test_with_a_key_the_codes_on_the_screen_are_signed(tmp_path: Path) -> None:
    """The worked example of docs/qr-codes.md, signed by the other side."""
    key = "db1d76671c72fa6c963e70dc25cd68cce2b1f64449e3e8c8dfbb1346d38cd2c6"
    expected = "f1fbe7dea8f85a5b3d2ca979dba9752f187ec1f5133aa3b68c83ed37a5bc7fe3"
    order_uuid = "20260302120000123a1b2c-9ace-cndn"
    assert signature(bytes.fromhex(key), "m-001", "americano", "1", order_uuid, "1772443800") == expected

    with MachineSimulator(tty=tmp_path / "tty", timing=FAST, device_uuid="m-7", qr_key=bytes.fromhex(key)) as running:
        wait_until(lambda: running.controls.state()["state"] == "ready", what="the machine to be ready")
        url = post(running, "/api/qr", {"drink_no": "latte"}).json()["url"]
    query = {name: value for name, (value,) in parse_qs(urlsplit(url).query).items()}
    assert int(query["exp"]) == int(query["ts"]) + SIGNED_FOR_S
    assert query["sig"] == signature(bytes.fromhex(key), "m-7", "latte", "1", query["uuid"], query["exp"])
