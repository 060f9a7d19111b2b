"""Settings, profiles, the log and the watchdog: everything around the work."""

import json
import logging
import socket
from datetime import timedelta
from pathlib import Path

import pytest

from agent import AGENT_VERSION, health, log
from agent.cli import main
from agent.health import STALE_S, Pulse
from agent.machine.profile import BadProfile, load
from agent.settings import BadSettings, Settings, environment, state_dir
from tests.agent.world import VirtualClock

GOOD = {
    "COFFEE_AGENT_DEVICE_UUID": "m-001",
    "COFFEE_AGENT_MQTT_URL": "mqtts://m-001:s%40cret@broker.example:8884",
    "COFFEE_AGENT_SERIAL": "/dev/serial/by-id/x",
}


def test_settings_are_read_from_the_environment() -> None:
    settings = Settings.from_env(GOOD)
    assert (settings.device_uuid, settings.serial, settings.profile) == ("m-001", "/dev/serial/by-id/x", "companion-v1")
    broker = settings.broker
    assert (broker.host, broker.port, broker.tls, broker.user, broker.password) == (
        "broker.example",
        8884,
        True,
        "m-001",
        "s@cret",
    )
    assert state_dir(GOOD) == Path("/var/lib/coffee-agent")
    assert "s@cret" not in repr(settings)


def test_a_password_of_its_own_goes_before_the_url() -> None:
    settings = Settings.from_env({**GOOD, "COFFEE_AGENT_MQTT_PASSWORD": "other"})
    assert settings.broker.password == "other"


@pytest.mark.parametrize(("url", "port"), [("mqtt://broker", 1883), ("mqtts://broker", 8883)])
def test_the_port_has_a_default(url: str, port: int) -> None:
    broker = Settings.from_env({**GOOD, "COFFEE_AGENT_MQTT_URL": url}).broker
    assert (broker.port, broker.user) == (port, None)


def test_several_addresses_are_tried_in_turn_and_know_the_same_password() -> None:
    url = "mqtts://one.example, mqtts://two.example:8884"
    settings = Settings.from_env({**GOOD, "COFFEE_AGENT_MQTT_URL": url, "COFFEE_AGENT_MQTT_PASSWORD": "p"})
    addresses = [settings.broker, *settings.other_brokers]
    assert [(one.host, one.port, one.password) for one in addresses] == [
        ("one.example", 8883, "p"), ("two.example", 8884, "p"),
    ]  # fmt: skip


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(BadSettings) as bad:
        Settings.from_env({"COFFEE_AGENT_DEVICE_UUID": "a/b", "COFFEE_AGENT_MQTT_URL": "http://x"})
    assert len(bad.value.problems) == 3
    for name in ("DEVICE_UUID", "MQTT_URL", "SERIAL"):
        assert f"COFFEE_AGENT_{name}" in str(bad.value)


@pytest.mark.parametrize("url", ["broker:1883", "mqtt://", "mqtt://host:port", "mqtt://host/path", "mqtt://host:99999"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(BadSettings):
        Settings.from_env({**GOOD, "COFFEE_AGENT_MQTT_URL": url})


def test_a_dotenv_is_read_and_the_real_environment_wins(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("# mine\nexport A=1\nB = 'two words' \nC=\"3\"\nnonsense\n\nD=x=y\n")
    assert environment({"A": "real"}, tmp_path) == {"A": "real", "B": "two words", "C": "3", "D": "x=y"}
    assert environment({"A": "real"}, tmp_path / "nowhere") == {"A": "real"}


def test_a_dotenv_that_windows_saved_is_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes("COFFEE_AGENT_DEVICE_UUID=м-1\r\n".encode("utf-8-sig"))
    assert environment({}, tmp_path) == {"COFFEE_AGENT_DEVICE_UUID": "м-1"}


@pytest.mark.parametrize("command", ["run", "doctor", "status", "journal"])
def test_a_dotenv_that_is_not_utf8_is_named(
    tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".env").write_bytes("COFFEE_AGENT_DEVICE_UUID=м-1\r\n".encode("cp1251"))
    monkeypatch.chdir(tmp_path)
    assert main([command]) == 2
    assert f"{tmp_path}/.env is not UTF-8 (line 1): save it as UTF-8" in capsys.readouterr().err


def test_the_shipped_profile_is_the_default_of_the_code_but_for_what_it_expects() -> None:
    profile = load("companion-v1")
    assert profile.timers == type(profile.timers)()
    assert profile.serial == type(profile.serial)()
    assert "order" in profile.expects.wanted
    assert "no_water" in profile.faults.block


def test_a_profile_of_ones_own_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\n[timers]\nmax_brew = 0.5\n')
    assert load(str(path)).timers.max_brew == 0.5


@pytest.mark.parametrize(
    "text", ["", "name = 1", 'name = "x"\n[timers]\nmax_bew = 1', 'name = "x"\n[timers]\nunknown_deadline = 300', "["]
)
def test_a_profile_that_makes_no_sense_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(BadProfile):
        load(str(path))


def test_an_unknown_profile_names_the_shipped_ones() -> None:
    with pytest.raises(BadProfile, match="companion-v1"):
        load("no-such-machine")


def test_the_version_is_the_packages() -> None:
    pyproject = Path(__file__).parents[2] / "pyproject.toml"
    assert f'version = "{AGENT_VERSION}"' in pyproject.read_text()


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_log_line_carries_the_ids(form: str) -> None:
    record = logging.LogRecord("agent.x", logging.INFO, "", 1, "sent %s", ("it",), None)
    record.order_id, record.command_id = "o1", "c1"
    line = log.formatter(form).format(record)
    if form == "json":
        fact = json.loads(line)
        assert (fact["message"], fact["order_id"], fact["command_id"]) == ("sent it", "o1", "c1")
    else:
        assert "sent it order_id=o1 command_id=c1" in line


def test_the_watchdog_is_fed_only_while_every_loop_comes_round() -> None:
    clock = VirtualClock()
    pulse = Pulse(clock)
    for name in ("serial", "worker", "link"):
        pulse.expect(name, STALE_S)
    clock.seconds += STALE_S
    for name in ("serial", "link"):
        pulse.beat(name)
    clock.seconds += 1
    assert pulse.stale() == ["worker"]
    pulse.beat("worker")
    assert pulse.stale() == []


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_told(tmp_path: Path, abstract: bool) -> None:
    address = f"@coffee-{tmp_path.name}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind("\0" + address[1:] if abstract else address)
        assert health.notify({"NOTIFY_SOCKET": address}, "READY=1")
        assert systemd.recv(100) == b"READY=1"
    assert not health.notify({}, "READY=1")
    assert not health.notify({"NOTIFY_SOCKET": str(tmp_path / "gone")}, "READY=1")


def test_the_watchdog_is_fed_twice_as_often_as_asked() -> None:
    assert health.watchdog_interval({"WATCHDOG_USEC": "30000000"}) == timedelta(seconds=15).total_seconds()
    assert health.watchdog_interval({}) is None
    assert health.watchdog_interval({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}) is None
