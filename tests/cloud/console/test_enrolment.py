"""The page to enrol: a code shown once, steps that turn green, and a machine that is let in no more."""

import re
from collections.abc import Iterator

import pytest

from cloud.fleet import broker_identities
from cloud.fleet.enrolment import Codes, Enrolment
from cloud.fleet.vault import Vault
from tests.cloud.console.building import OWN, Console, a_console, form_token
from tests.cloud.worlds import DEVICE, SECRET_KEY, World

PAGE = f"/console/enrolment/{DEVICE}"
STEP_DONE = "item good"


@pytest.fixture
def console(sqlite_world: World) -> Iterator[Console]:
    with a_console(sqlite_world) as made:
        yield made


def test_from_a_code_to_green_and_out_again(console: Console) -> None:
    owner, world = console.client(f"owner@{OWN}"), console.world
    form = {"csrf_token": form_token(owner)}
    shown = owner.post(f"{PAGE}/code", data=form).get_data(as_text=True)
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


def test_a_machine_called_as_the_cloud_is_at_the_broker_gets_no_code(sqlite_world: World) -> None:
    with a_console(sqlite_world, mqtt_user=DEVICE) as console:
        owner = console.client(f"owner@{OWN}")
        shown = owner.post(f"{PAGE}/code", data={"csrf_token": form_token(owner)}, follow_redirects=True)
        assert "имя самого облака" in shown.text
        with sqlite_world.database.read() as session:
            assert session.query(Enrolment).count() == 0
