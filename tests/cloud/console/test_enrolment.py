"""The page to enrol: a code shown once, steps that turn green, and a machine that is let in no more."""

import re
from collections.abc import Iterator

import pytest
from click.testing import CliRunner
from playwright.sync_api import expect

from cloud.cli import main
from cloud.courier import enrolment_route
from cloud.fleet import broker_identities
from cloud.fleet.enrolment import Codes, Enrolment
from cloud.fleet.vault import Vault
from tests.chromium import Pages
from tests.cloud.console.building import OWN, Console, a_console, form_token
from tests.cloud.console.site import complaints
from tests.cloud.console.test_the_walk import logged_in
from tests.cloud.worlds import DEVICE, SECRET_KEY, World
from tests.deploy.shipped import DEPLOY

OWNER = f"owner@{OWN}"
PAGE = f"/console/enrolment/{DEVICE}"
STEP_DONE = "item good"


def settings_of(world: World, rights: str = "dynamic-security") -> dict[str, str]:
    url = str(world.database.url)
    return {"COFFEE_SECRET_KEY": SECRET_KEY, "COFFEE_DATABASE_URL": url, "COFFEE_BROKER_RIGHTS": rights}


@pytest.fixture
def console(sqlite_world: World) -> Iterator[Console]:
    with a_console(sqlite_world) as made:
        yield made


def test_from_a_code_to_green_and_out_again(console: Console) -> None:
    owner, world = console.client(OWNER), console.world
    form = {"csrf_token": form_token(owner)}
    shown = owner.post(PAGE, data=form).get_data(as_text=True)
    code = re.findall(r"\b[A-Z]{4}-[A-Z]{4}\b", shown)[0]
    assert "<svg" in shown
    assert code not in owner.get(PAGE).get_data(as_text=True), "shown once"

    codes = Codes(SECRET_KEY, Vault(SECRET_KEY))
    assert world.database.transact(codes.redeem, code, world.now) is not None
    assert owner.get(PAGE).get_data(as_text=True).count(STEP_DONE) == 2, "the code was entered; the machine was online"
    world.database.transact(broker_identities.applied, DEVICE, 1)
    assert owner.get(PAGE).get_data(as_text=True).count(STEP_DONE) == 3

    owner.post(f"{PAGE}/revoke", data=form | {"why": "stolen"})
    with world.database.read() as session:
        assert session.get_one(broker_identities.BrokerIdentity, DEVICE).state == broker_identities.REVOKED
    assert owner.get("/console/enrolment").status_code == 200


def test_who_enrols_a_revoked_machine_is_told_that_its_certificates_are_good_again(console: Console) -> None:
    owner, world = console.client(OWNER), console.world
    settings = settings_of(world)

    def told() -> tuple[bool, bool]:
        by_command = CliRunner().invoke(main, ["enroll", DEVICE], env=settings)
        assert by_command.exit_code == 0, by_command.output
        words = "Certificates of machines"
        return words in owner.get(PAGE).get_data(as_text=True), words in by_command.output

    assert told() == (False, False)
    world.database.transact(broker_identities.revoke, DEVICE, world.now)
    assert told() == (True, True)
    world.database.transact(broker_identities.give, DEVICE, Vault(SECRET_KEY), world.now)
    assert told() == (False, False)


def test_a_machine_called_as_the_cloud_is_at_the_broker_gets_no_code(sqlite_world: World) -> None:
    with a_console(sqlite_world, mqtt_user=DEVICE) as console:
        owner = console.client(f"owner@{OWN}")
        shown = owner.post(PAGE, data={"csrf_token": form_token(owner)}, follow_redirects=True)
        assert "имя самого облака" in shown.text
        with sqlite_world.database.read() as session:
            assert session.query(Enrolment).count() == 0


def test_where_a_person_lets_machines_in_nobody_is_told_that_one_came_in_or_is_out(sqlite_world: World) -> None:
    """Regression: revoking said "is out" and told no broker; a code took a working machine its password.

    The one revoked is not let in again, by the password it had, once a worker does tell the broker.
    """
    sqlite_world.database.transact(broker_identities.give, DEVICE, Vault(SECRET_KEY), sqlite_world.now)
    codes = Codes(SECRET_KEY, Vault(SECRET_KEY))
    for command in ("enroll", "revoke"):
        told = CliRunner().invoke(main, [command, DEVICE], env=settings_of(sqlite_world, ""))
        assert (told.exit_code, "COFFEE_BROKER_RIGHTS" in told.stderr, told.stdout) == (1, True, "")
    with a_console(sqlite_world, broker_rights="") as console:
        owner = console.client(OWNER)
        assert PAGE not in re.findall('action="([^"]+)', owner.get(PAGE).text)
        for path in (PAGE, f"{PAGE}/revoke"):
            sent = owner.post(path, data={"csrf_token": form_token(owner)}, follow_redirects=True)
            assert "COFFEE_BROKER_RIGHTS" in sent.text
        code = sqlite_world.database.transact(codes.begin, DEVICE, sqlite_world.now)
        refused = console.app.test_client().post(enrolment_route.PATH, json={"code": code})
        assert (refused.status_code, refused.get_json()["error"]["code"]) == (503, "try_later")
    with sqlite_world.database.read() as session:
        assert session.get(broker_identities.BrokerIdentity, DEVICE) is None
    assert sqlite_world.database.transact(codes.redeem, code, sqlite_world.now) is not None


@pytest.fixture
def installed() -> str:
    """The agent, where the guide puts it."""
    [unit] = (DEPLOY / "systemd").glob("coffee-agent.service")
    started = re.findall(r"^ExecStart=.*?(/\S+/coffee-agent) run$", unit.read_text(), re.MULTILINE)
    return str(started[0])


def test_the_command_names_the_program_where_the_guide_installs_it(console: Console, installed: str) -> None:
    owner = console.client(OWNER)
    shown = owner.post(PAGE, data={"csrf_token": form_token(owner)}).get_data(as_text=True)
    assert f"<code>sudo {installed} enroll http" in shown
    told = CliRunner().invoke(main, ["enroll", DEVICE], env=settings_of(console.world))
    assert told.exit_code == 0, told.output
    assert f"    sudo {installed} enroll http" in told.output


@pytest.mark.browser
@pytest.mark.parametrize("language", ["ru", "en"])
def test_the_whole_command_is_seen_on_a_phone(
    kept_pages: Pages, console: Console, console_site: str, installed: str, language: str
) -> None:
    page = logged_in(kept_pages, console_site, console, OWNER, 360, language)
    page.goto(f"{console_site}{PAGE}")
    page.locator(".buttons button.main").click()
    expect(page.locator("code")).to_contain_text(f"sudo {installed} enroll ")
    assert complaints(page) == []
