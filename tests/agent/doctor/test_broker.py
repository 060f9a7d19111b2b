"""The doctor at the broker: what each refusal means, and whether what the agent will do is taken there."""

import errno
import socket
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agent.doctor import broker, certificate
from agent.doctor.examination import examine
from agent.doctor.findings import BAD, GOOD, WARN
from agent.settings import BrokerAddress
from tests.agent.agents import Agents
from tests.agent.cloud_side import DEVICE, a_cloud_side
from tests.agent.doctor.test_examination import env, found
from tests.mosquitto import Mosquitto, a_mosquitto
from tests.waiting import wait_until

__all__ = ["env"]  # fixtures


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "the name is not known"),
        (ConnectionRefusedError(), "nobody listens there"),
        (TimeoutError(), "does a firewall stand between"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "is the network up"),
    ],
)
def test_why_an_address_does_not_answer(error: OSError, words: str) -> None:
    assert words in broker.unreachable(error)


@pytest.mark.parametrize(
    ("why", "password", "mark", "words"),
    [
        ("the broker refused us: Not authorized", "p", BAD, "enrol this device again"),
        ("the broker refused us: Bad user name or password", None, BAD, "no password is set"),
        ("b:1: [SSL: CERTIFICATE_VERIFY_FAILED] certificate has expired", "p", BAD, "is the clock right"),
        ("b:1: [SSL: WRONG_VERSION_NUMBER] wrong version number", "p", BAD, "does this port speak TLS?"),
        ("", "p", BAD, "said nothing"),
        ("the broker refused us: Client identifier not valid", "p", WARN, "still take the agent"),
    ],
)
def test_what_a_refusal_means(why: str, password: str | None, mark: str, words: str) -> None:
    finding = broker.refusal(why, BrokerAddress("b", 1, password=password))
    assert finding.mark == mark
    assert words in finding.words


def test_nobody_at_the_brokers_address(env: dict[str, str]) -> None:
    assert "nobody listens there" in found(env, "broker").words


@pytest.mark.parametrize("first", ["dead", "alive"])
def test_one_address_of_several_that_takes_us_is_enough(env: dict[str, str], mosquitto: Mosquitto, first: str) -> None:
    dead, alive = env["COFFEE_AGENT_MQTT_URL"], mosquitto.url
    env["COFFEE_AGENT_MQTT_URL"] = f"{dead},{alive}" if first == "dead" else f"{alive},{dead}"
    with a_cloud_side(mosquitto.url):
        told = {finding.mark: finding.words for finding in examine(env) if finding.subject == "broker"}
    assert set(told) == {GOOD, WARN}
    assert dead.removeprefix("mqtt://") in told[WARN]


def test_several_addresses_that_all_refuse_us_are_told_apart(env: dict[str, str], tmp_path: Path) -> None:
    with a_mosquitto(tmp_path / "broker", "retain_available false\n") as running:
        urls = [env["COFFEE_AGENT_MQTT_URL"], running.url]
        env["COFFEE_AGENT_MQTT_URL"] = ",".join(urls)
        told = [finding for finding in examine(env) if finding.subject == "broker"]
    assert [finding.mark for finding in told] == [BAD, BAD]
    assert all(finding.words.startswith(url.removeprefix("mqtt://")) for finding, url in zip(told, urls, strict=True))


def test_a_running_agent_says_that_its_authority_cannot_be_used(
    env: dict[str, str], agents: Agents, tmp_path: Path, mosquitto: Mosquitto
) -> None:
    ca = tmp_path / "ca"
    ca.write_text("no certificate")
    env |= {"COFFEE_AGENT_MQTT_URL": f"mqtts://127.0.0.1:{mosquitto.port}", "COFFEE_AGENT_MQTT_CA": str(ca)}
    agents.settings = replace(agents.settings, broker=replace(agents.settings.broker, tls=True, ca_file=str(ca)))
    service = agents.start()
    wait_until(lambda: service._link.trouble, what="a try")
    service._write_status(running=True)
    finding = found(env, "broker")
    assert (finding.mark, "COFFEE_AGENT_MQTT_CA" in finding.words) == (BAD, True)


def test_a_broker_that_is_none(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "CONNECT_TIMEOUT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        env |= {"COFFEE_AGENT_MQTT_URL": f"mqtt://127.0.0.1:{mute.getsockname()[1]}"}
        assert found(env, "broker").mark == BAD


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho leaves the broken socket open
def test_tls_where_there_is_none(env: dict[str, str], mosquitto: Mosquitto) -> None:
    finding = found(env | {"COFFEE_AGENT_MQTT_URL": f"mqtts://127.0.0.1:{mosquitto.port}"}, "broker")
    assert (finding.mark, "TLS" in finding.words) == (BAD, True)


def test_a_certificate_that_is_none(env: dict[str, str], tmp_path: Path, mosquitto: Mosquitto) -> None:
    (tmp_path / "ca").write_text("no certificate")
    env["COFFEE_AGENT_MQTT_URL"] = f"mqtts://127.0.0.1:{mosquitto.port}"
    env["COFFEE_AGENT_MQTT_CA"] = str(tmp_path / "ca")
    assert "read the certificates" in found(env, "broker").words


def test_a_cloud_that_answers_and_one_that_does_not(
    env: dict[str, str], mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "ANSWER_S", 0.3)
    env |= {"COFFEE_AGENT_MQTT_URL": mosquitto.url}
    silent = found(env, "cloud")
    assert (silent.mark, "do the cloud's workers run?" in silent.words) == (WARN, True)
    monkeypatch.setattr(broker, "ANSWER_S", 10.0)
    with a_cloud_side(mosquitto.url):
        assert found(env, "cloud").mark == GOOD
        assert found(env, "broker").mark == GOOD


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("retain_available false", "keeps no retained messages"),
        ("message_size_limit 5000", "does not get through"),
        ("max_packet_size 5000", "does not get through"),
        ("max_packet_size 200", "does not get through"),
    ],
)
def test_a_broker_that_would_never_take_the_agent(
    env: dict[str, str], options: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "ANSWER_S", 2.0)
    with a_mosquitto(tmp_path / "broker", f"{options}\n") as running:
        finding = found(env | {"COFFEE_AGENT_MQTT_URL": running.url}, "broker")
    assert finding.mark == BAD
    assert words in finding.words


@pytest.mark.parametrize(("days", "words"), [((-10, -1), "has expired"), ((1, 10), "is not valid yet"), ((-1, 10), "")])
def test_the_devices_own_certificate(tmp_path: Path, days: tuple[int, int], words: str) -> None:
    cert, key = a_certificate(tmp_path, *days)
    found = list(certificate.examine(BrokerAddress("b", 1, tls=True, cert_file=cert, key_file=key)))
    assert [finding.mark for finding in found] == [BAD] * bool(words)
    assert all(words in finding.words for finding in found)


def test_an_expired_certificate_is_told_before_the_broker_says_anything(
    env: dict[str, str], tmp_path: Path, mosquitto: Mosquitto
) -> None:
    cert, key = a_certificate(tmp_path, -10, -1)
    env |= {"COFFEE_AGENT_MQTT_URL": mosquitto.url, "COFFEE_AGENT_MQTT_CERT": cert, "COFFEE_AGENT_MQTT_KEY": key}
    assert "has expired" in found(env, "certificate").words
    (tmp_path / "other").mkdir()
    env["COFFEE_AGENT_MQTT_KEY"] = a_certificate(tmp_path / "other", -1, 10)[1]
    assert "does not go with COFFEE_AGENT_MQTT_KEY" in found(env, "certificate").words


def a_certificate(folder: Path, begins: int, ends: int) -> tuple[str, str]:
    """A device's, as a broker asks for it; valid between these days from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, DEVICE)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=begins))
        .not_valid_after(now + timedelta(days=ends))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    plain = serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return str(folder / "cert.pem"), str(folder / "key.pem")
