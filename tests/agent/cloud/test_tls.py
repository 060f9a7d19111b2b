"""The agent's TLS to a real Mosquitto: an authority of one's own, its own certificate, and failures by their names."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cloud.mqtt import Connection, Refused
from agent.doctor.broker import refusal
from agent.settings import BrokerAddress
from tests.certificates import Authority, be_as_strict_as_newer_pythons
from tests.mosquitto import a_mosquitto
from tests.programs import free_port
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.mosquitto,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # paho leaves a failed one to Python
]


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def port(tmp_path: Path, ours: Authority) -> Iterator[int]:
    """Of a broker that wants a certificate signed by `ours`."""
    certificate, key = ours.sign("broker")
    made = free_port()
    options = f"listener {made} 127.0.0.1\ncafile {ours.ca}\ncertfile {certificate}\nkeyfile {key}\n"
    with a_mosquitto(tmp_path / "broker", options + "require_certificate true\n"):
        yield made


def why_not(port: int, ca: Path, cert: tuple[Path, Path] | None = None) -> str:
    """Empty when it gets in."""
    files = {"cert_file": str(cert[0]), "key_file": str(cert[1])} if cert else {}
    where = BrokerAddress("127.0.0.1", port, tls=True, ca_file=str(ca), **files)
    connection = Connection(
        where, "m-001", mqtt5=True, subscriptions=["a"], will=None, on_message=lambda *_: True, on_change=lambda: None
    )
    try:
        connection.open()
        wait_until(lambda: connection.is_ready or connection.is_lost)
        return "" if connection.is_ready else refusal(connection.why_lost, where).words
    except Refused as refused:
        return refusal(str(refused), where).words
    finally:
        connection.close()
        gc.collect()


def test_each_failure_has_its_name_and_advice(port: int, ours: Authority, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    strangers = Authority(tmp_path / "other", "stranger")
    assert why_not(port, ours.ca, ours.sign("m-001")) == ""
    assert "COFFEE_AGENT_MQTT_CA" in why_not(port, strangers.ca, ours.sign("m-001"))
    assert "COFFEE_AGENT_MQTT_CERT" in why_not(port, ours.ca)
    # A broker that hangs up at once may take its own word with it; the agent tries again, and so do we.
    foreign = strangers.sign("m-001")
    wait_until(
        lambda: "UNKNOWN_CA" in why_not(port, ours.ca, foreign), what="the broker's word on a foreign certificate"
    )
    wait_until(lambda: "CERTIFICATE_REQUIRED" in why_not(port, ours.ca), what="its word on none")


def test_an_authority_without_a_key_usage_is_believed_by_newer_pythons(
    port: int, ours: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    be_as_strict_as_newer_pythons(monkeypatch)
    assert why_not(port, ours.ca, ours.sign("m-001")) == ""
