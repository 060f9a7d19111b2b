"""`coffee-cloud broker-file`: hashes alone; who cannot be taken over is named. It works: `test_broker_rights.py`."""

import json

import pytest
from click.testing import CliRunner

from cloud.cli import main

HASHED = "m-001:$7$101$c2FsdHNhbHRzYWx0$aGFzaA=="


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "COFFEE_SECRET_KEY": "a secret text of more than thirty-two characters",
        "COFFEE_MQTT_URL": "mqtt://127.0.0.1:1883",
        "COFFEE_MQTT_USER": "coffee-cloud",
        "COFFEE_MQTT_PASSWORD": "long-and-made-by-chance",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("told")
def test_the_cloud_and_the_machines_of_a_password_file_are_known_by_their_hashes() -> None:
    lines = f"coffee-cloud:$7$101$b3RoZXI=$aGFzaA==\n\n{HASHED}\n"
    done = CliRunner().invoke(main, ["broker-file", "--passwords", "-"], input=lines)
    assert done.exit_code == 0, done.output
    assert "long-and-made-by-chance" not in done.output
    cloud, machine = json.loads(done.output)["clients"]
    assert cloud["username"] == "coffee-cloud"
    assert (machine["username"], machine["clientid"]) == ("m-001", "m-001")
    assert (machine["iterations"], machine["salt"], machine["password"]) == (101, "c2FsdHNhbHRzYWx0", "aGFzaA==")


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize("hashed", ["$6$c2FsdA==$aGFzaA==", "plain", "", "$7$many$c2FsdA==$aGFzaA=="])
def test_a_password_that_cannot_be_taken_over_is_named_and_nothing_is_made(hashed: str) -> None:
    done = CliRunner().invoke(main, ["broker-file", "--passwords", "-"], input=f"{HASHED}\nm-002:{hashed}\n")
    assert done.exit_code == 1
    assert "m-002: " in done.output
    assert not hashed or hashed not in done.output
    assert "clients" not in done.output


@pytest.mark.usefixtures("told")
def test_the_cloud_must_be_somebody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COFFEE_MQTT_PASSWORD")
    assert CliRunner().invoke(main, ["broker-file"]).exit_code == 2
