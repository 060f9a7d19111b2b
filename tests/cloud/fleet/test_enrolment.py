"""A code to enrol: good once, for a day, for five tries; nobody who has no good one learns anything."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from agent.enrolment import MOST_BYTES
from cloud.courier.broker_address import own_names
from cloud.courier.enrolment_route import PATH, WRONG_BURST, WRONG_PER_S
from cloud.fleet import enrolment
from cloud.fleet.broker_identities import BrokerIdentity
from cloud.fleet.enrolment import CannotEnrol, Codes, Enrolled, Enrolment
from cloud.fleet.vault import Vault
from cloud.processes.app import create_app
from cloud.settings import Settings
from cloud.wiring import build
from tests.certificates import Authority
from tests.cloud.worlds import DEVICE, OTHER_DEVICE, SECRET_KEY, World

CODES = Codes(SECRET_KEY, Vault(SECRET_KEY))


def begin(world: World, device: str = DEVICE) -> str:
    return world.database.transact(CODES.begin, device, world.now)


def redeem(world: World, code: str) -> Enrolled | None:
    return world.database.transact(CODES.redeem, code, world.now)


def wrong(code: str) -> str:
    """With the same beginning."""
    return code[:-1] + ("A" if code[-1] != "A" else "B")


@pytest.mark.parametrize("written", [str, str.lower, enrolment.spaced, lambda code: f" {code[:4]} {code[4:]} "])
def test_it_is_good_once_however_it_is_written(world: World, written: object) -> None:
    code = begin(world)
    enrolled = redeem(world, written(code))  # type: ignore[operator]  # a function
    assert enrolled is not None
    assert (enrolled.device_uuid, len(enrolled.password) >= 32) == (DEVICE, True)
    assert redeem(world, code) is None


def test_neither_code_nor_password_lies_open_in_the_database(sqlite_world: World) -> None:
    world = sqlite_world
    code = begin(world)
    with world.database.read() as session:
        assert code[2:] not in str(vars(session.query(Enrolment).one()))
    enrolled = redeem(world, code)
    with world.database.read() as session:
        identity = session.get_one(BrokerIdentity, DEVICE)
    assert enrolled is not None
    assert enrolled.password not in identity.password
    assert Vault(SECRET_KEY).open(identity.password) == enrolled.password
    assert (identity.state, identity.version, identity.applied) == ("active", 1, 0)


def test_five_wrong_tries_end_it(sqlite_world: World) -> None:
    code = begin(sqlite_world)
    for _ in range(enrolment.TRIES - 1):
        assert redeem(sqlite_world, wrong(code)) is None
    other = begin(sqlite_world, OTHER_DEVICE)
    assert redeem(sqlite_world, other) is not None, "another's tries are its own"
    assert redeem(sqlite_world, wrong(code)) is None
    assert redeem(sqlite_world, code) is None


def test_what_no_code_looks_like_costs_no_try(sqlite_world: World) -> None:
    code = begin(sqlite_world)
    for _ in range(enrolment.TRIES):
        assert redeem(sqlite_world, code[:-1]) is None
        assert redeem(sqlite_world, code + "A") is None
        assert redeem(sqlite_world, code[:-1] + "0") is None
    assert redeem(sqlite_world, code) is not None


@pytest.mark.parametrize("nonsense", ["\0\0AAAAAA", "\ud800\ud800AAAAAA", "AA\ud800AAAAA"])
def test_what_no_database_can_hold_is_a_wrong_code(world: World, nonsense: str) -> None:
    """Regression: it failed in the driver."""
    assert redeem(world, nonsense) is None


def test_it_ends_with_the_day_and_with_the_next_one(sqlite_world: World) -> None:
    first = begin(sqlite_world)
    second = begin(sqlite_world)
    assert redeem(sqlite_world, first) is None
    sqlite_world.clock.advance(enrolment.GOOD_FOR.total_seconds() + 1)
    assert redeem(sqlite_world, second) is None
    third = begin(sqlite_world)
    sqlite_world.clock.advance((enrolment.GOOD_FOR - timedelta(seconds=1)).total_seconds())
    assert redeem(sqlite_world, third) is not None


def test_a_revoked_machine_comes_in_by_no_code_that_was_made_before(sqlite_world: World) -> None:
    code, other = begin(sqlite_world), begin(sqlite_world, OTHER_DEVICE)
    sqlite_world.database.transact(CODES.revoke, DEVICE, sqlite_world.now)
    assert redeem(sqlite_world, code) is None
    assert redeem(sqlite_world, other) is not None
    assert redeem(sqlite_world, begin(sqlite_world)) is not None


@pytest.mark.parametrize("device", ["m-404", "x" * 64])
def test_there_is_none_for_a_machine_that_is_not_ours(sqlite_world: World, device: str) -> None:
    with pytest.raises(CannotEnrol):
        begin(sqlite_world, device)


def test_there_is_none_for_a_machine_called_as_the_cloud_is(sqlite_world: World) -> None:
    codes = Codes(SECRET_KEY, Vault(SECRET_KEY), own_names("mqtt://broker", DEVICE))
    with pytest.raises(CannotEnrol, match="the cloud's own name"):
        sqlite_world.database.transact(codes.begin, DEVICE, sqlite_world.now)
    sqlite_world.database.transact(codes.begin, OTHER_DEVICE, sqlite_world.now)


@pytest.fixture
def client(sqlite_world: World) -> FlaskClient:
    settings = Settings(
        secret_key=SECRET_KEY, database_url=str(sqlite_world.database.url), mqtt_url="mqtt://cloud:secret@broker:1883",
        broker_rights="dynamic-security",
    )  # fmt: skip
    return create_app(build(settings, clock=sqlite_world.clock)).test_client()


def test_over_http_it_gives_the_machine_what_it_needs_and_no_more(client: FlaskClient, sqlite_world: World) -> None:
    answer = client.post(PATH, json={"code": begin(sqlite_world)})
    told = answer.get_json()
    assert answer.headers["Cache-Control"] == "no-store"
    assert told.pop("mqtt_password")
    told_of_broker = {"mqtt_url": "mqtt://broker:1883", "mqtt_user": DEVICE, "mqtt_ca": ""}
    assert told == {"device_uuid": DEVICE, "release_key": ""} | told_of_broker


def test_over_http_a_code_outlives_the_secret_key_while_that_is_listed(sqlite_world: World) -> None:
    code, url = begin(sqlite_world), str(sqlite_world.database.url)
    statuses = []
    for old in ((), (SECRET_KEY,)):
        settings = Settings("new" * 11, old, url, broker_rights="dynamic-security")
        client = create_app(build(settings, clock=sqlite_world.clock)).test_client()
        statuses.append(client.post(PATH, json={"code": code}).status_code)
    assert statuses == [403, 200]


def a_client_that_sends(authority: Path, world: World) -> FlaskClient:
    settings = Settings(
        secret_key=SECRET_KEY, database_url=str(world.database.url), mqtt_url="mqtts://broker",
        machines_mqtt_ca=str(authority), broker_rights="dynamic-security",
    )  # fmt: skip
    return create_app(build(settings, clock=world.clock)).test_client()


def test_over_http_the_certificates_are_sent_whatever_is_written_between_them(
    sqlite_world: World, tmp_path: Path
) -> None:
    """Regression: one letter that is not ASCII was answered 500, and the code was used up."""
    first, second = (Authority(tmp_path, name).ca.read_text() for name in ("first", "second"))
    file = tmp_path / "both.crt"
    file.write_text(f"# Центр\n{first}# Neu für 2027\n{second}", encoding="utf-8")
    told = a_client_that_sends(file, sqlite_world).post(PATH, json={"code": begin(sqlite_world)}).get_json()
    assert told["mqtt_ca"] == first + second


def swell(file: Path) -> None:
    """To more than an agent reads, as the system's own list of authorities is."""
    file.write_text(file.read_text() * (MOST_BYTES // file.stat().st_size + 1))


@pytest.mark.parametrize("spoil", [Path.unlink, lambda file: file.write_text("no certificate"), swell])
def test_over_http_a_code_is_not_spent_on_what_cannot_be_answered(
    sqlite_world: World, tmp_path: Path, spoil: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    """Regression: the file was read when the machine had a new password already, which nobody was told."""
    file = Authority(tmp_path).ca
    client, code, certificate = a_client_that_sends(file, sqlite_world), begin(sqlite_world), file.read_text()
    spoil(file)
    caplog.clear()
    refused = client.post(PATH, json={"code": code})
    assert (refused.status_code, refused.get_json()["error"]["code"]) == (503, "try_later")
    assert [line.levelname for line in caplog.records if line.name == "cloud.courier"] == ["ERROR"]
    with sqlite_world.database.read() as session:
        assert session.get(BrokerIdentity, DEVICE) is None
    file.write_text(certificate)
    assert client.post(PATH, json={"code": code}).get_json()["mqtt_ca"] == certificate


@pytest.mark.parametrize("body", [{}, {"code": 5}, {"code": ""}, {"code": "A" * 33}, {"code": "ÄÖÜ-§$%&"}, ["code"]])
def test_over_http_everything_else_is_refused_alike(client: FlaskClient, body: object) -> None:
    answer = client.post(PATH, json=body)
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (403, "no_enrolment")


@pytest.mark.parametrize("code", ["\ud800\ud800AAAAAA", "\0\0AAAAAA"])
def test_over_http_half_a_letter_is_refused_as_any_other(client: FlaskClient, code: str) -> None:
    """Regression: it was answered 500."""
    assert client.post(PATH, json={"code": code}).status_code == 403


def tried(client: FlaskClient, address: str, code: str = "AAAAAAAA") -> int:
    return client.post(PATH, json={"code": code}, environ_base={"REMOTE_ADDR": address}).status_code


def test_one_address_has_few_wrong_codes(client: FlaskClient, sqlite_world: World) -> None:
    """Regression: a stranger used up the tries of all codes within seconds."""
    code = begin(sqlite_world)
    assert [tried(client, "203.0.113.9") for _ in range(WRONG_BURST)] == [403] * WRONG_BURST
    refused = client.post(PATH, json={"code": code}, environ_base={"REMOTE_ADDR": "203.0.113.9"})
    assert (refused.status_code, refused.get_json()["error"]["code"]) == (429, "too_many")
    assert "Retry-After" in refused.headers
    sqlite_world.clock.advance(1 / WRONG_PER_S + 1)
    assert [tried(client, "203.0.113.9"), tried(client, "203.0.113.9")] == [403, 429]
    assert tried(client, "203.0.113.10", code) == 200, "another's are its own"


def test_where_nobody_can_enrol_an_address_asks_no_oftener(sqlite_world: World) -> None:
    settings = Settings(SECRET_KEY, database_url=str(sqlite_world.database.url))
    client = create_app(build(settings, clock=sqlite_world.clock)).test_client()
    answers = [tried(client, "203.0.113.9") for _ in range(WRONG_BURST + 1)]
    assert answers == [503] * WRONG_BURST + [429]


def test_an_ipv6_network_is_one_address(client: FlaskClient) -> None:
    """Regression: each of its 65 536 homes would have tries of its own."""
    assert {tried(client, f"2001:db8:1:{home:x}::1") for home in range(WRONG_BURST)} == {403}
    assert tried(client, "2001:db8:1:ffff::1") == 429
    assert tried(client, "2001:db8:2::1") == 403


def test_one_address_enrols_as_many_machines_as_it_has_codes_for(client: FlaskClient, sqlite_world: World) -> None:
    for _ in range(WRONG_BURST + 2):
        assert tried(client, "203.0.113.9", begin(sqlite_world)) == 200


def test_a_days_wrong_codes_of_one_address_use_up_few_codes() -> None:
    in_a_day = WRONG_BURST + enrolment.GOOD_FOR.total_seconds() * WRONG_PER_S
    used_up = in_a_day / enrolment.TRIES
    assert used_up <= 0.11 * len(enrolment.LETTERS) ** enrolment.NAMING
