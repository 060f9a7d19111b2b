"""The database says who may come in; Mosquitto's dynamic-security plugin, and our own broker, obey: one suite."""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import pytest

from cloud.courier import dynamic_security
from cloud.courier.broker import BrokerLink, NotConnected
from cloud.courier.broker_rights import EVERYTHING_EVERY, BrokerRights
from cloud.courier.dynamic_security import RESPONSE, Answer, BrokerRefuses, Command, DynamicSecurity
from cloud.database.transaction import Transaction
from cloud.fleet import broker_identities
from cloud.fleet.broker_identities import BrokerIdentity
from cloud.fleet.models import Device
from cloud.fleet.vault import Vault
from protocol.topics import FROM_CLOUD, FROM_DEVICE, Channel, topic
from tests.cloud.worlds import DEVICE, OTHER_DEVICE, SECRET_KEY, World
from tests.dynamic_security import CLOUD, GuardedDevelopment, GuardedMosquitto, a_guarded_mosquitto
from tests.simulator.broker.clients import Client
from tests.waiting import wait_until

OTHER = OTHER_DEVICE
ADMIN = "admin"
NOT_AUTHORIZED = 135


class Guarded:
    """The cloud's side of a guarded broker: the loop stepped by hand, and the worker's own link."""

    def __init__(self, world: World, broker: GuardedMosquitto | GuardedDevelopment, closing: ExitStack) -> None:
        self.world, self.broker, self.closing = world, broker, closing
        self.vault = Vault(SECRET_KEY)
        admin = self.dial("rights", [RESPONSE])
        self.rights = BrokerRights(world.database, admin, self.vault, "w1", CLOUD, world.clock)
        self.cloud = self.dial("cloud")
        self.admin = admin

    def dial(self, name: str, listens_to: list[str] | None = None) -> BrokerLink:
        more = {} if listens_to is None else {"listens_to": listens_to}
        link = BrokerLink(self.broker.url, name, **more)  # type: ignore[arg-type]
        link.start()
        self.closing.callback(link.stop)
        return link

    def settle(self) -> None:
        """Until the broker agrees with the database."""

        def agrees() -> bool:
            self.rights.step(self.world.clock.advance(0.1))
            with self.world.database.read() as session:
                return self.admin.connected and not broker_identities.changed(session, 9) and self.cloud.connected

        wait_until(agrees, what="the broker to agree")

    def enrol(self, device_uuid: str) -> str:
        """Its password."""
        password = self.world.database.transact(broker_identities.give, device_uuid, self.vault, self.world.now)
        self.settle()
        return password

    def machine(self, device_uuid: str, password: str, client_id: str = "") -> Client:
        client = Client(self.broker.port, client_id or device_uuid, user=(device_uuid, password))
        client.connect()
        if client.refusal is not None:
            client.paho.loop_stop()
            if (line := client.paho.socket()) is not None:
                line.close()
        return client


@pytest.fixture(params=["development", pytest.param("mosquitto", marks=pytest.mark.mosquitto)])
def guarded(request: pytest.FixtureRequest, sqlite_world: World, tmp_path: Path) -> Iterator[Guarded]:
    with ExitStack() as closing:
        broker: GuardedMosquitto | GuardedDevelopment
        if request.param == "mosquitto":
            broker = closing.enter_context(a_guarded_mosquitto(tmp_path / "broker"))
        else:
            broker = GuardedDevelopment()
            broker.start()
            closing.callback(broker.stop)
        yield Guarded(sqlite_world, broker, closing)


def test_a_machine_speaks_and_hears_on_its_own_branch(guarded: Guarded) -> None:
    machine = guarded.machine(DEVICE, guarded.enrol(DEVICE))
    for channel in FROM_CLOUD:
        assert machine.subscribe(topic(DEVICE, channel)).value < 128
    for channel in FROM_DEVICE:
        assert machine.publish(topic(DEVICE, channel), channel.encode()).value < 128
    assert {guarded.cloud.inbox.get(timeout=30).payload for _ in FROM_DEVICE} == {c.encode() for c in FROM_DEVICE}
    guarded.cloud.publish(topic(DEVICE, Channel.COMMAND), b"make", 60)
    wait_until(lambda: machine.payloads() == ["make"])
    machine.disconnect()


def test_a_machine_hears_no_other_and_takes_no_workers_share(guarded: Guarded) -> None:
    machine = guarded.machine(DEVICE, guarded.enrol(DEVICE))
    for wish in (
        *("#", "+/#", "coffee/#", "coffee/v1/+/command", f"coffee/v1/{OTHER}/command", f"coffee/v1/{OTHER}/report"),
        *("$share/workers/coffee/v1/+/report", "$share/x/#", "$SYS/#", "$CONTROL/#"),
    ):
        assert machine.subscribe(wish).value == NOT_AUTHORIZED, wish
    machine.disconnect()


def test_a_machine_speaks_for_no_other_and_cannot_throw_it_out(guarded: Guarded) -> None:
    first = guarded.machine(DEVICE, guarded.enrol(DEVICE))
    password = guarded.enrol(OTHER)
    second = guarded.machine(OTHER, password)
    for channel in Channel:
        assert second.publish(topic(DEVICE, channel), b"x").value == NOT_AUTHORIZED
    assert second.publish("$CONTROL/dynamic-security/v1", b"{}").value == NOT_AUTHORIZED
    disguised = guarded.machine(OTHER, password, client_id=DEVICE)
    assert disguised.refusal is not None
    assert first.publish(topic(DEVICE, Channel.REPORT), b"still here").value < 128
    assert guarded.cloud.inbox.get(timeout=30).payload == b"still here"
    for one in (first, second, disguised):
        one.disconnect()


def test_a_revoked_machine_is_out_at_once_and_the_others_stay(guarded: Guarded) -> None:
    password = guarded.enrol(DEVICE)
    first, second = guarded.machine(DEVICE, password), guarded.machine(OTHER, guarded.enrol(OTHER))
    assert guarded.world.database.transact(broker_identities.revoke, DEVICE, guarded.world.now)
    guarded.rights.step(guarded.world.now)
    first.wait_until_dropped()
    assert guarded.machine(DEVICE, password).refusal is not None
    assert second.publish(topic(OTHER, Channel.REPORT), b"x").value < 128
    again = guarded.enrol(DEVICE)
    assert guarded.machine(DEVICE, password).refusal is not None
    machine = guarded.machine(DEVICE, again)
    assert machine.refusal is None
    for one in (machine, second):
        one.disconnect()


def test_a_machine_whose_name_was_made_by_hand_is_revoked_like_any_other(guarded: Guarded) -> None:
    guarded.settle()

    def lets_in() -> bool:
        try:
            DynamicSecurity(guarded.admin).let_in(DEVICE, "made by hand")
        except (BrokerRefuses, NotConnected):  # our own name has only now got its rights, and loses its connections
            return False
        return True

    wait_until(lets_in, what="the broker to know its name")
    machine = guarded.machine(DEVICE, "made by hand")
    guarded.settle()
    assert machine.publish(topic(DEVICE, Channel.REPORT), b"left alone").value < 128
    assert guarded.world.database.transact(broker_identities.revoke, DEVICE, guarded.world.now)
    assert not guarded.world.database.transact(broker_identities.revoke, "nobody", guarded.world.now)
    guarded.rights.step(guarded.world.now)
    machine.wait_until_dropped()
    assert guarded.machine(DEVICE, "made by hand").refusal is not None
    machine.disconnect()


@pytest.mark.parametrize("name", [CLOUD, ADMIN])
@pytest.mark.parametrize("is_revoked", [False, True])
def test_no_row_touches_a_name_at_the_broker_that_is_no_machines(
    guarded: Guarded, name: str, is_revoked: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Regression: a fleet file named a machine as the cloud is named there; revoking it locked every worker out."""
    world = guarded.world
    guarded.enrol(OTHER)
    if name == ADMIN:
        admin = {"username": name, "password": "secret", "roles": [{"rolename": "admin"}]}
        assert not DynamicSecurity(guarded.admin).ask({"command": "createClient", **admin})[0].error
    before = rights_of(guarded, name)
    world.database.transact(a_machine_called, name)
    if is_revoked:
        world.database.transact(broker_identities.revoke, name, world.now)
    else:
        world.database.transact(broker_identities.give, name, guarded.vault, world.now)
    world.database.transact(broker_identities.revoke, OTHER, world.clock.advance(1))
    for _ in range(3):
        guarded.rights.step(world.clock.advance(EVERYTHING_EVERY.total_seconds()))
    assert guarded.rights.step(world.now) > world.now, "it does not come again at once"
    assert rights_of(guarded, name) == before
    assert guarded.dial("again").wait_connected(30)
    with world.database.read() as session:
        assert [one.device_uuid for one in broker_identities.changed(session, 9)] == [name], "the others go on"
    assert [one.levelname for one in caplog.records if getattr(one, "device", "") == name] == ["ERROR"], "once"


def rights_of(guarded: Guarded, name: str) -> object:
    return DynamicSecurity(guarded.admin).ask({"command": "getClient", "username": name})[0].data


def a_machine_called(tx: Transaction, name: str) -> None:
    tx.session.add(Device(device_uuid=name, merchant_id="north", payment_scenario="Yookassa"))
    tx.session.flush()


def test_a_name_that_comes_between_two_pages_does_not_keep_the_rest_waiting(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: sorted before the next page, it was never told, and the broker was asked for it without end."""
    monkeypatch.setattr(dynamic_security, "PAGE", 2)
    assert guarded.admin.wait_connected(30)
    plugin = DynamicSecurity(guarded.admin)
    for name in (DEVICE, OTHER):
        plugin.let_in(name, "secret")
    ask, pages = plugin.ask, []

    def ask_while_one_comes(*commands: Command) -> list[Answer]:
        pages.append(commands)
        assert len(pages) <= 9, "it asks without end"
        told = ask(*commands)
        if len(pages) == 1:
            assert not ask({"command": "createClient", "username": "a-first", "password": "secret"})[0].error
        return told

    monkeypatch.setattr(plugin, "ask", ask_while_one_comes)
    assert plugin.names() >= {CLOUD, DEVICE, OTHER}


def test_a_new_password_ends_the_connection_made_with_the_old(guarded: Guarded) -> None:
    first = guarded.machine(DEVICE, guarded.enrol(DEVICE))
    again = guarded.enrol(DEVICE)
    first.wait_until_dropped()
    machine = guarded.machine(DEVICE, again)
    assert machine.refusal is None
    machine.disconnect()


def test_a_broker_that_lost_everything_has_it_back_from_the_database(guarded: Guarded) -> None:
    password, gone = guarded.enrol(DEVICE), guarded.enrol(OTHER)
    guarded.world.database.transact(broker_identities.revoke, OTHER, guarded.world.now)
    guarded.settle()
    guarded.broker.stop()
    guarded.broker.forget()
    guarded.broker.start()
    wait_until(lambda: guarded.admin.connected, what="our own name to work again")

    def is_in() -> bool:
        guarded.rights.step(guarded.world.clock.advance(1))
        client = guarded.machine(DEVICE, password)
        client.disconnect()
        return client.refusal is None

    wait_until(is_in, what="the machine to come in again")
    assert guarded.machine(OTHER, gone).refusal is not None
    wait_until(lambda: guarded.cloud.connected, what="the workers to hear again")


def test_many_are_brought_back_a_few_at_a_time_with_the_lease_renewed_between(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: all in one step, far beyond the lease, and a second worker began to bring them too."""
    guarded.enrol(DEVICE)
    brought: list[str] = []
    monkeypatch.setattr(DynamicSecurity, "let_in", lambda _, name, __: brought.append(name))
    names = [f"m-{number}" for number in range(100, 150)]
    for name in names:
        guarded.world.database.transact(a_machine_called, name)
        guarded.world.database.transact(given_and_applied, name, guarded.vault, guarded.world.now)
    now = guarded.world.clock.advance(EVERYTHING_EVERY.total_seconds())
    sizes: list[int] = []
    while guarded.rights.step(now) == now:
        sizes.append(len(brought) - sum(sizes))
    assert (brought, sizes) == (names, [20, 20, 10])


def test_a_password_that_is_new_since_the_look_is_the_one_the_broker_has(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: the one of the look went over the newer one that another worker had brought, and stayed."""
    guarded.enrol(DEVICE)
    guarded.enrol(OTHER)
    guarded.broker.stop()
    guarded.broker.forget()
    guarded.broker.start()
    let_in, newest = DynamicSecurity.let_in, dict[str, str]()

    def let_in_meanwhile(plugin: DynamicSecurity, name: str, password: str) -> None:
        for one in {DEVICE, OTHER} - newest.keys():  # by another worker, to the end
            newest[one] = guarded.world.database.transact(given_and_applied, one, guarded.vault, guarded.world.now)
            let_in(plugin, one, newest[one])
        let_in(plugin, name, password)

    monkeypatch.setattr(DynamicSecurity, "let_in", let_in_meanwhile)

    def is_brought() -> bool:
        guarded.rights.step(guarded.world.clock.advance(1))
        return bool(newest)

    wait_until(is_brought, what="the machines back")
    guarded.settle()
    for name, password in newest.items():
        machine = guarded.machine(name, password)
        assert machine.refusal is None, name
        machine.disconnect()


def given_and_applied(tx: Transaction, name: str, vault: Vault, now: datetime) -> str:
    password = broker_identities.give(tx, name, vault, now)
    tx.session.flush()
    identity = tx.session.get_one(BrokerIdentity, name)
    broker_identities.applied(tx, name, identity.version)
    return password
