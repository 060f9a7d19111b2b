"""Every secret and certificate is changed by the steps of docs/operations.md, run as they stand, while drinks are sold.

Whoever paid before, in the middle or after has a cup; the new secret works, the old one is refused.
"""

import re
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import paho.mqtt.client as mqtt
import psycopg
import pytest
import requests
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import make_url

from cloud.courier.broker import BrokerLink
from protocol.reasons import Size
from simulator.messengers.server import Messengers
from tests.deploy import test_keys_with_compose
from tests.deploy.broker import CLOUD, SHIPPED, ShippedBroker, a_shipped_broker
from tests.deploy.member import Member
from tests.postgres import PostgresServer
from tests.real_parts import POSTGRES, missing
from tests.shell import blocks, section
from tests.system.fleet import SHOP
from tests.system.kept_in_files import DEVICE, KEYS, METRICS_TOKEN, OPERATIONS, WorldWithFiles
from tests.system.promises import wait_kept
from tests.system.world import Bought
from tests.waiting import wait_until

pytestmark = [pytest.mark.long, pytest.mark.mosquitto, pytest.mark.timeout(900)]
ROLE = "coffee"
GROUP = "-100500"
OWNER, PASSWORD = "owner@example.org", "the first password of an owner"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShippedBroker]:
    with a_shipped_broker(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture(scope="module")
def messengers() -> Iterator[Messengers]:
    with Messengers() as running:
        yield running


@pytest.fixture(scope="module")
def world(
    broker: ShippedBroker,
    messengers: Messengers,
    postgres_server: PostgresServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[WorldWithFiles]:
    with postgres_server.fresh_database() as url, a_role_with_a_password(url) as told_url:
        alerts = {"COFFEE_TELEGRAM_URL": messengers.address, "COFFEE_TELEGRAM_TOKEN": messengers.token}
        folder = tmp_path_factory.mktemp("world")
        with WorldWithFiles(folder, broker, url, told_url=told_url, **alerts) as running:
            running.begin()
            yield running


@contextmanager
def a_role_with_a_password(url: str) -> Iterator[str]:
    """The database is its own; the server asks it for its password, and nobody else."""
    if POSTGRES.is_address:
        missing("the server named in the environment asks for passwords as it is set up")
    place = make_url(url)
    folder, database = Path(str(place.query["host"])), str(place.database)
    asking = folder / "data" / "pg_hba.conf"
    before = asking.read_text()
    asking.write_text(f"local all {ROLE} scram-sha-256\n{before}")
    with psycopg.connect(host=str(folder), user="postgres", dbname=database, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD 'first-password'")
        admin.execute(f'ALTER DATABASE "{database}" OWNER TO {ROLE}')
        admin.execute(f"GRANT postgres TO {ROLE}")  # who makes the tables of a test
        admin.execute("SELECT pg_reload_conf()")
        try:
            yield f"postgresql+psycopg://{ROLE}:first-password@/{database}?host={folder}"
        finally:
            admin.execute(f"REASSIGN OWNED BY {ROLE} TO postgres")
            admin.execute(f"DROP ROLE {ROLE}")
            asking.write_text(before)
            admin.execute("SELECT pg_reload_conf()")


@pytest.fixture
def early(world: WorldWithFiles) -> Iterator[Bought]:
    """A buyer who is on the provider's page when it begins and pays in the middle; another comes at the end."""
    bought = world.order()
    bought_by = world.payment_of(bought)
    yield bought
    world.provider.pay(bought_by)
    assert wait_kept(world, bought).status == "successful"
    assert wait_kept(world, world.buy()).status == "successful"


def test_every_kind_is_tried() -> None:
    told = re.findall(r"^### (.*)$", section(OPERATIONS, KEYS), re.MULTILINE)
    tried = Path(__file__).read_text() + Path(test_keys_with_compose.__file__).read_text()
    assert [heading for heading in told if f'"{heading}"' not in tried] == []


def test_a_merchants_key(world: WorldWithFiles, early: Bought) -> None:
    old, new = world.secret("NORTH_YOOKASSA_KEY"), "a-key-made-anew"
    world.provider.shops.reissue(SHOP, new)
    in_between = world.order()
    assert world.open_payment(in_between).status_code == 503
    world.change("A merchant's key at the provider", NEW=new)
    payment = world.payment_of(in_between)
    world.provider.pay(payment)
    assert wait_kept(world, in_between).status == "successful"
    assert requests.get(f"{world.provider.url}/me", auth=(SHOP, old), timeout=30).status_code == 401


def test_the_secret_key(world: WorldWithFiles, early: Bought) -> None:
    old = world.secret("COFFEE_SECRET_KEY")
    in_between: list[Bought] = []

    def somebody_buys() -> None:
        world.wait_ready()  # its page opens as soon as web is back
        in_between.append(world.buy())

    world.change("The secret key of the installation", somebody_buys)
    assert wait_kept(world, in_between[0]).status == "successful"
    assert old not in world.cloud_env.read_text()
    with pytest.raises(AssertionError, match="fits none of COFFEE_SECRET_KEY"):
        world.shell.run(coffee_cloud(), f"COFFEE_SECRET_KEY='{old}' coffee_cloud check")


def test_the_databases_password(world: WorldWithFiles, early: Bought) -> None:
    place = make_url(world.secret("COFFEE_DATABASE_URL"))
    server = {"PGHOST": str(place.query["host"]), "PGUSER": "postgres", "PGDATABASE": str(place.database)}
    world.change("The database's password", **server)
    changed = make_url(world.secret("COFFEE_DATABASE_URL"))
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(host=server["PGHOST"], user=ROLE, dbname=server["PGDATABASE"], password=place.password)
    psycopg.connect(
        host=server["PGHOST"], user=ROLE, dbname=server["PGDATABASE"], password=changed.password
    ).close()  # fmt: skip


def test_the_clouds_password_at_the_broker(world: WorldWithFiles, early: Bought) -> None:
    old = world.secret("COFFEE_MQTT_PASSWORD")
    world.change("The cloud's password at the broker")
    assert not comes_in(world.broker.url, old)
    assert comes_in(world.broker.url, world.secret("COFFEE_MQTT_PASSWORD"))


def comes_in(url: str, password: str) -> bool:
    link = BrokerLink(url, "coffee-cloud-try", user=CLOUD, password=password, listens_to=[])
    link.start()
    try:
        wait_until(lambda: link.connected or "refuse" in link.trouble or "author" in link.trouble, what=link.trouble)
        return link.connected
    finally:
        link.stop()


def test_a_machines_password(world: WorldWithFiles, early: Bought) -> None:
    old = world.agent_env.read_text()
    world.change("A machine's password at the broker")
    new = world.agent_env.read_text()
    assert new != old
    password = old.rpartition("COFFEE_AGENT_MQTT_PASSWORD=")[2].split()[0]
    with Member(world.shipped, DEVICE, password=password) as stranger:
        assert stranger.verdict == "Not authorized"


def presented(world: WorldWithFiles) -> str:
    return ssl.get_server_certificate(("localhost", world.shipped.machines_port), timeout=30)


def test_the_brokers_certificate(world: WorldWithFiles, early: Bought) -> None:
    old = presented(world)
    world.change("The broker's certificate")
    wait_until(lambda: presented(world) == (world.authority / "server.crt").read_text(), what="the new certificate")
    assert presented(world) != old
    world.systemctl("restart", "coffee-agent")
    world.wait_selling()


def test_the_brokers_authority(world: WorldWithFiles, early: Bought) -> None:
    old = (world.authority / "server.crt").read_text(), (world.authority / "ca.crt").read_text()
    in_between: list[Bought] = []

    def buys() -> None:
        world.wait_selling()
        in_between.append(world.buy())

    world.change("The broker's authority", buys, buys)
    for bought in in_between:
        assert wait_kept(world, bought).status == "successful"
    trusted = ssl.create_default_context(cafile=str(world.etc / "broker-ca.crt"))
    assert len(trusted.get_ca_certs()) == 1
    assert (world.etc / "broker-ca.crt").read_text() != old[1]
    (world.folder / "old.crt").write_text(old[0])
    judged = subprocess.run(
        ["openssl", "verify", "-CAfile", str(world.etc / "broker-ca.crt"), str(world.folder / "old.crt")],
        capture_output=True, check=False, timeout=30,
    )  # fmt: skip
    assert judged.returncode != 0


def test_certificates_of_machines(tmp_path: Path) -> None:
    heading, secrets = "Certificates of machines", tmp_path / "broker" / "secrets"
    secrets.mkdir(parents=True)
    lines = re.findall(r"^#((?:cafile|require_certificate|use_\w+) .*)$", (SHIPPED / "coffee.conf").read_text(), re.M)
    assert len(lines) == 4
    new_authority, certificate, _ = blocks(section(OPERATIONS, heading))
    made = (
        new_authority.partition("\ncat ")[0].replace("new-machines-ca", "machines-ca").replace("$(date +%F)", "of old")
    )
    subprocess.run(["bash", "-ec", made], cwd=secrets, check=True, capture_output=True)
    more = "\n".join(lines).replace("/etc/mosquitto/secrets", str(secrets)) + "\n"
    with (
        a_shipped_broker(tmp_path / "broker", more=more) as broker,
        WorldWithFiles(tmp_path / "world", broker, f"sqlite:///{tmp_path}/coffee.db") as world,
    ):
        for name in ("machines-ca.crt", "machines-ca.key"):
            (world.authority / name).write_bytes((secrets / name).read_bytes())
        world.shell.run(certificate.partition("\nsudo systemctl")[0], cwd=world.authority)
        old = [(world.etc / name).read_bytes() for name in ("machine.crt", "machine.key")]
        named = {"CERT": world.etc / "machine.crt", "KEY": world.etc / "machine.key"}
        world.begin("".join(f"COFFEE_AGENT_MQTT_{name}={file}\n" for name, file in named.items()))
        in_between: list[Bought] = []

        def buys() -> None:
            world.wait_selling()
            in_between.append(world.buy())

        world.change(heading, buys, buys)
        for bought in [*in_between, world.buy()]:
            assert wait_kept(world, bought).status == "successful"
        assert says_to(world, *named.values()) == "DONE"
        for file, text in zip(named.values(), old, strict=True):
            file.write_bytes(text)
        assert says_to(world, *named.values()) == "REFUSED"


def says_to(world: WorldWithFiles, certificate: Path, key: Path) -> str:
    """What the machines' listener says to a certificate."""
    trusted = ssl.create_default_context(cafile=str(world.etc / "broker-ca.crt"))
    trusted.load_cert_chain(certificate, key)
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="a-try", protocol=mqtt.MQTTv5)
    client.tls_set_context(trusted)
    client.connect_timeout = 10
    said: list[str] = []
    client.on_connect = lambda *_: said.append("DONE")
    client.on_disconnect = lambda *_: said.append("REFUSED")
    try:
        client.connect("localhost", world.shipped.machines_port)
        client.loop_start()
        wait_until(lambda: said, what="the broker's answer")
    except OSError:
        return "REFUSED"
    finally:
        client.loop_stop()
    return said[0]


def test_the_token_of_metrics(world: WorldWithFiles, early: Bought) -> None:
    assert metrics(world, METRICS_TOKEN) == 200
    world.change("The token of /metrics")
    assert (metrics(world, METRICS_TOKEN), metrics(world, world.secret("COFFEE_METRICS_TOKEN"))) == (403, 200)


def metrics(world: WorldWithFiles, token: str) -> int:
    return requests.get(f"{world.url}/metrics", headers={"Authorization": f"Bearer {token}"}, timeout=30).status_code


def test_a_messengers_token(world: WorldWithFiles, messengers: Messengers, early: Bought) -> None:
    world.shell.run(coffee_cloud(), f"coffee_cloud alerts add north telegram -- {GROUP}")
    channel = world.shell.run(coffee_cloud(), "coffee_cloud alerts channels").split()[0]
    messengers.reissue("8:anew")
    world.change("Tokens of messengers, the mail's password, Tmetr's token", NEW="8:anew")
    world.shell.run(coffee_cloud(), f"coffee_cloud alerts test {channel}")
    wait_until(lambda: messengers.messages(GROUP), 60.0, what="the message under the new token")


def test_a_machines_key_for_its_codes(world: WorldWithFiles) -> None:
    fleet = world.etc / "fleet.toml"
    unsigned = fleet.read_text()

    def tell(rule: str, version: int) -> None:
        more = f'status = "active"\nqr = "{rule}"\nqr_key_version = {version}'
        fleet.write_text(unsigned.replace('status = "active"', more))

    tell("signed", 1)
    old = key_in(world.change("A machine's key for its codes"))
    world.machine.controls.qr_key = old
    stale = world.machine.controls.offer("americano", Size.MEDIUM).url
    assert wait_kept(world, world.buy()).status == "successful"
    tell("signed", 2)
    new = key_in(world.change("A machine's key for its codes"))
    assert requests.get(stale, timeout=30).status_code == 403
    world.machine.controls.qr_key = new
    assert wait_kept(world, world.buy()).status == "successful"
    world.machine.controls.qr_key = None
    tell("any", 2)
    world.shell.run(coffee_cloud(), f"coffee_cloud apply {fleet}")


def key_in(said: str) -> bytes:
    return bytes.fromhex(said.strip().splitlines()[-1])


def test_a_persons_password(world: WorldWithFiles) -> None:
    add = f"coffee_cloud user add {OWNER} --merchant north --role owner --no-second-factor --password-stdin"
    world.shell.run(coffee_cloud(), f"{add} <<< '{PASSWORD}'")
    at_work = logged_in(world, PASSWORD)
    assert is_in(world, at_work)
    said = world.change("A person's password and second factor")
    assert not is_in(world, at_work)
    assert not is_in(world, logged_in(world, PASSWORD))
    link = re.search(r"/console/welcome/\S+", said)
    assert link
    fresh = "another password of the owner"
    assert submit(world, requests.Session(), link[0], password=fresh).status_code == 200
    assert is_in(world, logged_in(world, fresh))


def logged_in(world: WorldWithFiles, password: str) -> requests.Session:
    browser = requests.Session()
    submit(world, browser, "/console/login", email=OWNER, password=password)
    return browser


def submit(world: WorldWithFiles, browser: requests.Session, path: str, **fields: str) -> requests.Response:
    form = browser.get(f"{world.url}{path}", timeout=30).text
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', form)
    assert token, form[:2000]
    same = {"Sec-Fetch-Site": "same-origin", "Origin": world.url}
    return browser.post(f"{world.url}{path}", data=fields | {"csrf_token": token[1]}, headers=same, timeout=30)


def is_in(world: WorldWithFiles, browser: requests.Session) -> bool:
    return "/console/login" not in browser.get(f"{world.url}/console/account", timeout=30).url


def coffee_cloud() -> str:
    """The shell's definitions."""
    return blocks(section(OPERATIONS, KEYS))[0]
