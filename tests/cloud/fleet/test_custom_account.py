"""`[merchant.payment.Custom]`: which addresses go together, and that an account id names one merchant."""

import pytest

from cloud.database.database import Database
from cloud.fleet.apply import Did, FleetFileError, Report, apply
from cloud.fleet.models import Credential
from cloud.fleet.vault import Vault
from tests.cloud.fleet.fleet_texts import line_of, with_line

VAULT = Vault("a secret key of the tests, long enough")
ENVIRON = {"KEY": "an-agreed-secret-of-forty-two-characters!!", "SHORT": "only-thirty-one-characters-long"}
FULL = """\
[[merchant]]
id = "north"
name = "Север"
[merchant.payment.Custom]
account_id = "north-coffee"
secret_key = "env:KEY"
page_url = "https://pay.north.example/coffee?lang=ru"
status_url = "https://pay.north.example/coffee/status"
action_url = "https://pay.north.example/coffee/action"
capture = "on_dispense"
"""
STATUS = 'status_url = "https://pay.north.example/coffee/status"\n'
ACTION = 'action_url = "https://pay.north.example/coffee/action"\n'
SOUTH = FULL.replace('"north"', '"south"').replace("Север", "Юг")


@pytest.fixture
def database(migrated_sqlite: Database) -> Database:
    return migrated_sqlite


def put(database: Database, text: str) -> Report:
    return apply(database, VAULT, text, ENVIRON)


def problems(database: Database, text: str) -> list[str]:
    with pytest.raises(FleetFileError) as refused:
        put(database, text)
    return refused.value.problems


def stored(database: Database, merchant: str = "north") -> Credential:
    with database.read() as session:
        return session.get_one(Credential, (merchant, "Custom"))


def test_all_three_addresses_are_stored(database: Database) -> None:
    put(database, FULL)
    account = stored(database)
    assert account.page_url.endswith("/coffee?lang=ru")
    assert (account.status_url[-7:], account.action_url[-7:]) == ("/status", "/action")
    assert {entry.did for entry in put(database, FULL).entries} == {Did.SAME}


def test_an_address_is_stored_as_browsers_write_it(database: Database) -> None:
    put(database, with_line(FULL, "https://pay.north.example/coffee?", "https://Кофе.example:443/coffee?"))
    assert stored(database).page_url == "https://xn--e1ajmy.example/coffee?lang=ru"


def test_an_address_taken_out_of_the_file_is_not_offered_any_more(database: Database) -> None:
    put(database, FULL)
    bare = with_line(with_line(with_line(FULL, STATUS, ""), ACTION, ""), "on_dispense", "immediate")
    report = put(database, bare)
    assert (stored(database).status_url, stored(database).action_url) == ("", "")
    assert [entry.keys for entry in report.entries if entry.did is Did.CHANGED] == [
        ("capture", "status_url", "action_url")
    ]
    assert stored(database).version == 2


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        (STATUS, "", "action_url"),
        (ACTION, "", "capture"),
        ("env:KEY", "env:SHORT", "secret_key"),
        ("north-coffee", "north coffee", "account_id"),
        ("https://pay.north.example/coffee?lang=ru", "http://pay.north.example/coffee", "page_url"),
        ("https://pay.north.example/coffee?lang=ru", "", "page_url"),
        ("coffee?lang=ru", "coffee?signature=1", "page_url"),
        ("coffee?lang=ru", "coffee#top", "page_url"),
        ("https://pay.north.example/coffee?", "https://user:pw@pay.north.example/coffee?", "page_url"),
        ("coffee?lang=ru", "coffee?lang=ру", "page_url"),
        ("coffee/status", "coffee/status?x=1", "status_url"),
        ("https://pay.north.example/coffee/action", "http://192.0.2.7/action", "action_url"),
    ],
)
def test_what_does_not_go_together_is_told_with_its_line(database: Database, old: str, new: str, key: str) -> None:
    text = with_line(FULL, old, new)
    [problem] = problems(database, text)
    assert f"merchant.payment.Custom.{key}: " in problem
    if new:
        assert problem.startswith(f"line {line_of(text, key)}, ")


def test_the_machine_itself_may_be_spoken_to_in_plain_http(database: Database) -> None:
    for host in ("127.0.0.1:8092", "localhost", "[::1]:8092"):
        put(database, FULL.replace("https://pay.north.example", f"http://{host}"))


def test_addresses_belong_to_this_scenario_only(database: Database) -> None:
    [*found] = problems(database, FULL.replace("payment.Custom", "payment.Yookassa"))
    assert len(found) == 3
    assert all("is no key of ours" in problem for problem in found)


def test_an_account_id_names_one_merchant(database: Database) -> None:
    [problem] = problems(database, FULL + SOUTH)
    assert '"north-coffee" is that of merchant "north"' in problem
    put(database, FULL)
    [problem] = problems(database, SOUTH)
    assert '"north-coffee" is that of merchant "north"' in problem
    put(database, SOUTH.replace("north-coffee", "south-coffee"))
    assert stored(database, "south").account_id == "south-coffee"
