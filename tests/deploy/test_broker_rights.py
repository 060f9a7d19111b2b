"""The shipped broker configuration on a real Mosquitto: a machine speaks for itself alone, the cloud does its work."""

import re
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from agent.cloud.mqtt import Connection
from agent.settings import Settings
from cloud.courier.broker import BrokerLink
from cloud.courier.broker_address import Tls
from protocol.topics import FROM_CLOUD, FROM_DEVICE, Channel, every, topic
from tests.certificates import Authority
from tests.deploy.broker import CLOUD, PASSWORDS, SHIPPED, ShippedBroker, a_shipped_broker
from tests.deploy.member import Member, refused
from tests.deploy.shipped import DEPLOY, settings_in
from tests.shell import blocks, section
from tests.waiting import wait_until

pytestmark = pytest.mark.mosquitto

FIRST, SECOND = "m-001", "m-002"
OPERATIONS = DEPLOY.parent / "docs" / "operations.md"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[ShippedBroker]:
    with a_shipped_broker(tmp_path / "broker") as running:
        yield running


@pytest.fixture
def cloud(broker: ShippedBroker) -> Iterator[BrokerLink]:
    """The cloud's own connection, as its worker makes it."""
    url = f"mqtt://127.0.0.1:{broker.cloud_port}"
    link = BrokerLink(url, "coffee-cloud-test", user=CLOUD, password=PASSWORDS[CLOUD])
    link.start()
    assert link.wait_connected(30)
    yield link
    link.stop()


def heard_by(cloud: BrokerLink, count: int) -> list[tuple[str, bytes]]:
    """The next `count` messages the cloud receives."""
    received = [cloud.inbox.get(timeout=30) for _ in range(count)]
    return [(message.topic, message.payload) for message in received]


def accepted(cloud: BrokerLink, to: str, payload: bytes) -> bool:
    """Publish and wait for the broker's word."""
    cloud.publish(to, payload, expiry_s=60)
    return cloud.acknowledged.get(timeout=30).code < 128


def test_a_machine_reports_to_the_cloud_on_its_own_branch(broker: ShippedBroker, cloud: BrokerLink) -> None:
    with Member(broker, FIRST) as machine:
        for channel in FROM_DEVICE:
            assert machine.publish(topic(FIRST, channel), channel.encode()) < 128

    assert heard_by(cloud, 3) == [(topic(FIRST, channel), channel.encode()) for channel in FROM_DEVICE]


def test_a_machine_hears_its_own_commands_and_receipts_and_no_others(broker: ShippedBroker, cloud: BrokerLink) -> None:
    with Member(broker, FIRST) as machine:
        machine.subscribe(*(topic(FIRST, channel) for channel in FROM_CLOUD))
        assert accepted(cloud, topic(SECOND, Channel.COMMAND), b"for another")
        assert accepted(cloud, topic(FIRST, Channel.COMMAND), b"pour")
        assert accepted(cloud, topic(FIRST, Channel.RECEIPT), b"thanks")

        machine.hears((topic(FIRST, Channel.COMMAND), b"pour"), (topic(FIRST, Channel.RECEIPT), b"thanks"))


def test_a_machine_commands_nobody_not_even_itself(broker: ShippedBroker, cloud: BrokerLink) -> None:
    with Member(broker, FIRST) as thief, Member(broker, SECOND) as victim:
        for member, name in ((thief, FIRST), (victim, SECOND)):
            member.subscribe(*(topic(name, channel) for channel in FROM_CLOUD))

        assert refused(thief.publish(topic(name, channel), b"!") for name in (FIRST, SECOND) for channel in FROM_CLOUD)

        for member, name in ((thief, FIRST), (victim, SECOND)):
            assert accepted(cloud, topic(name, Channel.COMMAND), b"pour")
            member.hears((topic(name, Channel.COMMAND), b"pour"))


def test_a_machine_never_speaks_for_another(broker: ShippedBroker, cloud: BrokerLink) -> None:
    with Member(broker, FIRST) as thief:
        assert refused(thief.publish(topic(SECOND, channel), b"lie") for channel in FROM_DEVICE)
        assert refused([thief.publish("anywhere/else", b"lie")])
        assert thief.publish(topic(FIRST, Channel.REPORT), b"truth") < 128

    assert heard_by(cloud, 1) == [(topic(FIRST, Channel.REPORT), b"truth")]


@pytest.mark.parametrize("wish", ["#", "coffee/#", "coffee/v1/+/+", "coffee/v1/m-002/#", "$share/x/#"])
def test_a_machine_never_overhears_another(broker: ShippedBroker, cloud: BrokerLink, wish: str) -> None:
    with Member(broker, SECOND) as victim:
        for channel in FROM_DEVICE:
            victim.publish(topic(SECOND, channel), b"private", retain=channel is not Channel.REPORT)

        with Member(broker, FIRST) as thief:
            refusal, granted = thief.subscribe(wish, topic(FIRST, Channel.COMMAND))
            assert refused([refusal])
            assert granted < 128
            for channel in FROM_DEVICE:
                victim.publish(topic(SECOND, channel), b"private")
            for channel in FROM_CLOUD:
                assert accepted(cloud, topic(SECOND, channel), b"private")
            assert accepted(cloud, topic(FIRST, Channel.COMMAND), b"for the thief itself")

            wait_until(lambda: thief.heard, what="the thief's own command")
            assert set(thief.heard) == {(topic(FIRST, Channel.COMMAND), b"for the thief itself")}


def test_a_stolen_password_opens_no_other_client_id_so_nobody_is_thrown_out(
    broker: ShippedBroker, cloud: BrokerLink
) -> None:
    with Member(broker, SECOND) as victim:
        victim.subscribe(topic(SECOND, Channel.COMMAND))
        with Member(broker, FIRST, client_id=SECOND) as thief:
            assert thief.verdict == "Not authorized"
        assert accepted(cloud, topic(SECOND, Channel.COMMAND), b"for the victim")

        victim.hears((topic(SECOND, Channel.COMMAND), b"for the victim"))
        assert not victim.is_thrown_out


def test_a_machine_is_given_no_share_of_the_workers_reports(broker: ShippedBroker, cloud: BrokerLink) -> None:
    with Member(broker, FIRST) as thief, Member(broker, SECOND) as victim:
        assert refused(thief.subscribe(f"$share/workers/{every(Channel.REPORT)}"))
        for _ in range(4):
            victim.publish(topic(SECOND, Channel.REPORT), b"done")

        assert heard_by(cloud, 4) == [(topic(SECOND, Channel.REPORT), b"done")] * 4


@pytest.mark.parametrize(
    ("user", "password"),
    [(None, None), (FIRST, "a guess"), (FIRST, PASSWORDS[SECOND]), (FIRST, ""), ("m-999", "unknown")],
)
def test_nobody_enters_without_their_own_name_and_password(
    broker: ShippedBroker, user: str | None, password: str | None
) -> None:
    with Member(broker, user, password=password) as stranger:
        assert stranger.verdict == "Not authorized"


def test_a_machine_whose_password_is_taken_away_is_out_and_the_others_stay(
    broker: ShippedBroker, cloud: BrokerLink
) -> None:
    with Member(broker, FIRST) as lost, Member(broker, SECOND) as other:
        broker.take_away_the_password_of(FIRST)
        wait_until(lambda: lost.is_thrown_out, what="the broker to throw it out")
        assert other.publish(topic(SECOND, Channel.REPORT), b"still here") < 128
        assert not other.is_thrown_out
    with Member(broker, FIRST) as again:
        assert again.verdict == "Not authorized"

    (where, _), report = heard_by(cloud, 2)
    assert where == topic(FIRST, Channel.PRESENCE)
    assert report == (topic(SECOND, Channel.REPORT), b"still here")


def test_reports_are_shared_among_workers_and_presence_is_told_to_each(
    broker: ShippedBroker, cloud: BrokerLink
) -> None:
    url = f"mqtt://127.0.0.1:{broker.cloud_port}"
    second = BrokerLink(url, "coffee-cloud-second", user=CLOUD, password=PASSWORDS[CLOUD])
    second.start()
    try:
        assert second.wait_connected(30)
        with Member(broker, FIRST) as machine:
            machine.publish(topic(FIRST, Channel.PRESENCE), b"online", retain=True)
            wait_until(lambda: cloud.inbox.qsize() == second.inbox.qsize() == 1, what="both workers to hear of it")
            for _ in range(4):
                machine.publish(topic(FIRST, Channel.REPORT), b"done")
            wait_until(lambda: cloud.inbox.qsize() + second.inbox.qsize() == 6, what="four reports")
            machine.publish(topic(FIRST, Channel.STATE), b"well")
            wait_until(lambda: cloud.inbox.qsize() + second.inbox.qsize() == 8, what="the state, at both workers")
    finally:
        second.stop()


def test_the_agent_comes_in_with_the_settings_of_its_example(broker: ShippedBroker, cloud: BrokerLink) -> None:
    example = settings_in("agent.env.example", offered=True)
    example |= {
        "COFFEE_AGENT_MQTT_URL": f"mqtts://127.0.0.1:{broker.machines_port}",
        "COFFEE_AGENT_MQTT_PASSWORD": PASSWORDS[FIRST],
        "COFFEE_AGENT_MQTT_CA": str(broker.certificate),
        "COFFEE_AGENT_CLOUD_CA": "",
        "COFFEE_AGENT_MQTT_CERT": "",
        "COFFEE_AGENT_MQTT_KEY": "",
    }
    connection = Connection(
        Settings.from_env(example).broker,
        FIRST,
        mqtt5=True,
        subscriptions=[topic(FIRST, channel) for channel in FROM_CLOUD],
        will=(topic(FIRST, Channel.PRESENCE), b"gone"),
        on_message=lambda *_: True,
        on_change=lambda: None,
    )
    connection.open()
    wait_until(lambda: connection.is_ready, what="the agent to be let in")
    connection.drop("a cut line")
    connection.close()

    assert heard_by(cloud, 1) == [(topic(FIRST, Channel.PRESENCE), b"gone")]


def test_a_command_and_the_session_it_waits_in_outlive_a_broker_that_is_stopped(
    broker: ShippedBroker, cloud: BrokerLink
) -> None:
    """One that is killed may forget both: the cloud sends the command again."""
    with Member(broker, FIRST) as machine:
        machine.subscribe(topic(FIRST, Channel.COMMAND))
    assert accepted(cloud, topic(FIRST, Channel.COMMAND), b"pour this")
    broker.stop()

    broker.start()

    with Member(broker, FIRST) as machine:
        machine.hears((topic(FIRST, Channel.COMMAND), b"pour this"))


def test_a_message_longer_than_the_contract_allows_costs_its_sender_the_connection(
    broker: ShippedBroker, cloud: BrokerLink
) -> None:
    longest = b"x" * 65_536
    with Member(broker, FIRST) as machine:
        assert machine.publish(topic(FIRST, Channel.STATE), longest) < 128
        machine.send(topic(FIRST, Channel.STATE), b"x" * 66_560)
        wait_until(lambda: machine.is_thrown_out, what="the broker to hang up")
    with Member(broker, FIRST) as machine:
        machine.publish(topic(FIRST, Channel.STATE), b"short")

    assert heard_by(cloud, 2) == [(topic(FIRST, Channel.STATE), longest), (topic(FIRST, Channel.STATE), b"short")]


def test_the_same_rules_hold_under_the_main_file_of_a_hosts_package(tmp_path: Path) -> None:
    with a_shipped_broker(tmp_path / "broker", in_container=False) as broker, Member(broker, FIRST) as machine:
        assert machine.publish(topic(FIRST, Channel.REPORT), b"done") < 128
        assert refused([machine.publish(topic(FIRST, Channel.COMMAND), b"pour")])


def test_a_stolen_certificate_is_good_again_when_its_name_is_enrolled_again_until_the_authority_is_another(
    tmp_path: Path,
) -> None:
    """The broker goes by the name in it alone: what docs/operations.md, `enroll` and the console warn of."""
    old, new = (Authority(_folder(tmp_path / name), name) for name in ("old", "new"))
    stolen, fresh, trusted = old.sign(FIRST), new.sign(FIRST), tmp_path / "machines-ca.crt"
    trusted.write_bytes(old.ca.read_bytes())
    more = of_certificates().replace("/etc/mosquitto/secrets", str(tmp_path))

    with a_shipped_broker(tmp_path / "broker", more=more) as broker:
        assert not refused(answer_to(broker, stolen))
        broker.take_away_the_password_of(FIRST)
        assert refused(answer_to(broker, stolen))
        broker.let_in(FIRST)
        assert not refused(answer_to(broker, stolen))
        broker.stop()
        trusted.write_bytes(new.ca.read_bytes())
        broker.start()
        assert not refused(answer_to(broker, fresh))
        context = broker.trust()
        context.load_cert_chain(*stolen)
        with (
            socket.create_connection(("localhost", broker.machines_port), timeout=30) as line,
            pytest.raises(ssl.SSLError, match="unknown ca"),
            context.wrap_socket(line, server_hostname="localhost") as told,
        ):
            told.recv(1)


def test_links_of_a_cloud_elsewhere_stand_together_at_a_listener_where_no_machine_comes_in(tmp_path: Path) -> None:
    """Regression: at the machines' listener, where the guide led them, they had one client id and took turns."""
    machines, secrets = Authority(tmp_path, "machines-ca"), tmp_path / "broker" / "secrets"
    secrets.mkdir(parents=True)
    (secrets / "machines-ca.crt").write_bytes(machines.ca.read_bytes())
    own = next(block for block in blocks(section(OPERATIONS, "The cloud on another host")) if "openssl" in block)
    subprocess.run(["sh", "-ec", own.partition("\nsudo")[0]], cwd=secrets, check=True, capture_output=True)
    more = of_certificates() + (SHIPPED / "cloud-elsewhere.conf").read_text()
    with a_shipped_broker(tmp_path / "broker", more=more) as broker, ExitStack() as stopping:
        url, ca = f"mqtts://127.0.0.1:{broker.elsewhere_port}", str(broker.trusted)
        tls = Tls(ca, str(secrets / "cloud.crt"), str(secrets / "cloud.key"))
        links = [BrokerLink(url, f"cloud-{n}", user=CLOUD, password=PASSWORDS[CLOUD], tls=tls) for n in range(3)]
        for link in links:
            link.start()
            stopping.callback(link.stop)
            assert link.wait_connected(30)
        assert all(accepted(link, topic(FIRST, Channel.COMMAND), b"pour") for link in links)
        assert [link.connections for link in links] == [1, 1, 1]

        certificate, key = machines.sign(CLOUD)
        stranger = BrokerLink(url, "cloud-0", tls=Tls(ca, str(certificate), str(key)))
        stopping.callback(stranger.stop)
        stranger.start()
        wait_until(lambda: "accept our certificate" in stranger.trouble, what="the broker's refusal")
        assert not stranger.connections


def of_certificates() -> str:
    """The lines of the machines' listener for certificates."""
    lines = re.findall(r"^#((?:cafile|require_certificate|use_\w+) .*)$", (SHIPPED / "coffee.conf").read_text(), re.M)
    assert len(lines) == 4
    return "\n".join(lines) + "\n"


def answer_to(broker: ShippedBroker, certificate: tuple[Path, Path]) -> list[int]:
    """To a subscription of who comes by this certificate."""
    with Member(broker, None, client_id=FIRST, certificate=certificate) as thief:
        return thief.subscribe(topic(FIRST, Channel.COMMAND))


def _folder(made: Path) -> Path:
    made.mkdir()
    return made
