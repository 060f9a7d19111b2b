"""A cloud with its console for tests: two merchants with machines, and somebody in every role at the first."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

import flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from cloud.access import sessions, users
from cloud.access.acts import Role
from cloud.access.models import User
from cloud.access.person import Person
from cloud.database.transaction import Transaction
from cloud.fleet.models import Device, Merchant
from cloud.processes.app import create_app
from cloud.settings import Settings
from cloud.wiring import Cloud, build
from tests.cloud.worlds import DEVICE, SECRET_KEY, HandClock, World

OWN, FOREIGN = "north", "south"
FOREIGN_DEVICE = "m-900"
PASSWORD = "a good password"


@dataclass(eq=False)
class Console:
    """One application, and people who are logged in to it."""

    cloud: Cloud
    app: flask.Flask
    clock: HandClock
    world: World
    ids: dict[str, str] = field(default_factory=dict)
    """User ids by who they are: `owner@north`, `admin`."""

    def client(self, who: str = "", *, confirmed: bool = True) -> FlaskClient:
        """A browser of somebody; of nobody without a name."""
        client = self.app.test_client()
        if who:
            token = self.cloud.database.transact(self._log_in, self.ids[who], confirmed)
            client.set_cookie("coffee_console", token, path="/console")
        return client

    def _log_in(self, tx: Transaction, user_id: str, confirmed: bool) -> str:
        user = tx.session.get_one(User, user_id)
        began = self.clock.now if confirmed else datetime.min.replace(tzinfo=self.clock.now.tzinfo, year=2000)
        token = sessions.begin(tx, user, "192.0.2.1", "test", self.clock.now, complete=True)
        if not confirmed:
            for row in sessions.live_of(tx.session, user_id, self.clock.now):
                row.confirmed_at = began
        return token

    def person(self, who: str) -> Person:
        """The person, as a request finds that person."""
        token = self.cloud.database.transact(self._log_in, self.ids[who], True)
        with self.cloud.database.read() as session:
            seen = sessions.find(session, token, self.clock.now)
        assert seen is not None
        return seen.person

    def add_user(self, who: str, merchant: str | None, role: Role | None, machines: list[str] | None = None) -> str:
        return self.cloud.database.transact(self._add, who, merchant, role, machines)

    def add_everybody(self, tx: Transaction) -> None:
        """A second merchant, somebody in every role at each, and an admin."""
        tx.session.add(Merchant(id=FOREIGN, name="ООО Юг"))
        tx.session.flush()
        tx.session.add(Device(device_uuid=FOREIGN_DEVICE, merchant_id=FOREIGN, payment_scenario="Yookassa"))
        for role in Role:
            for merchant, machine in ((OWN, DEVICE), (FOREIGN, FOREIGN_DEVICE)):
                self._add(tx, f"{role}@{merchant}", merchant, role, [machine] if role is Role.TECHNICIAN else None)
        self._add(tx, "admin", None, None, None)

    def _add(
        self, tx: Transaction, who: str, merchant: str | None, role: Role | None, machines: list[str] | None
    ) -> str:
        user = users.add(tx, email_of(who), who.title(), self.clock.now, is_admin=who == "admin",
                         asks_second_factor=False)  # fmt: skip
        if merchant and role:
            users.give_role(tx, user.id, merchant, role, machines)
        self.ids[who] = user.id
        return user.id


def form_token(client: FlaskClient) -> str:
    """What a page of ours puts into its forms."""
    shown = client.get("/console/account", follow_redirects=True).get_data(as_text=True)
    return shown.partition('name="csrf_token" value="')[2].partition('"')[0]


def post(client: FlaskClient, path: str, /, **form: str) -> TestResponse:
    """As a page of ours does: with the token it was given."""
    return client.post(path, data={"csrf_token": form_token(client), **form})


def email_of(who: str) -> str:
    return f"{who}.example.com" if "@" in who else f"{who}@example.com"


@contextmanager
def a_console(world: World, public_url: str = Settings.public_url, **more: str) -> Iterator[Console]:
    """The application over a world's database, with its clock; its worker sets the broker's rights."""
    url = str(world.database.url.render_as_string(hide_password=False))
    more = {"broker_rights": "dynamic-security"} | more
    settings = Settings(secret_key=SECRET_KEY, database_url=url, public_url=public_url, **more)  # type: ignore[arg-type]  # texts
    cloud = build(settings, world.clock)
    app = create_app(cloud, streams=2)
    console = Console(cloud, app, world.clock, world)
    cloud.database.transact(console.add_everybody)
    try:
        yield console
    finally:
        cloud.close()
