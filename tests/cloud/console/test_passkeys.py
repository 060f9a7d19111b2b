"""Passkeys over HTTP, with an authenticator in software: what it lets in to, and every lie that is refused."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from flask.testing import FlaskClient

from cloud.access import challenges, passwords, second_factor, users
from cloud.access.models import JournalRow, LoginChallenge, Passkey, RecoveryCode, User
from cloud.access.relying_party import relying_party
from cloud.database.transaction import Transaction
from tests.cloud.access.test_login import live, wait_for_a_lock
from tests.cloud.console.building import OWN, PASSWORD, Console, a_console, form_token, post
from tests.cloud.console.software_key import PRESENT, SoftwareKey
from tests.cloud.console.test_login import EMAIL, OWNER, log_in, send
from tests.cloud.worlds import World

pytestmark = pytest.mark.any_database
OTHER = f"manager@{OWN}"
PLACE, HOST = "https://coffee.example", "coffee.example"


@pytest.fixture
def console(world: World) -> Iterator[Console]:
    with a_console(world, PLACE) as made:
        fresh = passwords.hash_of(PASSWORD)
        for who in (OWNER, OTHER):
            made.cloud.database.transact(users.set_password, made.ids[who], fresh, made.clock.now)
        yield made


@pytest.fixture
def key(console: Console) -> SoftwareKey:
    """A key that the owner has registered."""
    made = SoftwareKey(PLACE, HOST)
    register(console.client(OWNER), made)
    return made


def asked(client: FlaskClient, path: str) -> dict[str, Any]:
    answer = client.post(path, data={"csrf_token": login_token(client)})
    assert answer.status_code == 200, answer.status
    told: dict[str, Any] = answer.get_json()
    return told


def login_token(client: FlaskClient) -> str:
    shown = client.get("/console/login", follow_redirects=True).text
    return shown.partition('name="csrf_token" value="')[2].partition('"')[0]


def register(client: FlaskClient, key: SoftwareKey, name: str = "Phone") -> str:
    answer = key.make(asked(client, "/console/account/passkeys/options"))
    return post(client, "/console/account/passkeys", name=name, passkey=answer).text


def enter(client: FlaskClient, key: SoftwareKey) -> str:
    """By the key alone; where that leads."""
    return send(client, "/console/login", passkey=key.show(asked(client, "/console/passkey/enter")))


def keys(console: Console) -> list[Passkey]:
    with console.cloud.database.read() as session:
        return session.query(Passkey).all()


def acts(console: Console) -> list[str]:
    with console.cloud.database.read() as session:
        return [row.act for row in session.query(JournalRow).order_by(JournalRow.id)]


def test_the_first_key_brings_recovery_codes_and_is_a_second_step(console: Console) -> None:
    key = SoftwareKey(PLACE, HOST)
    assert register(console.client(OWNER), key).count('<li class="code">') == 10
    [row] = keys(console)
    assert (row.name, row.transports) == ("Phone", ["internal"])

    browser = console.client()
    assert log_in(browser) == "/console/second-step"
    assert browser.get("/console/account").status_code == 303
    answer = key.show(asked(browser, "/console/passkey/second_step"))
    assert send(browser, "/console/second-step", passkey=answer) == "/console/"
    assert browser.get("/console/account").status_code == 200


def test_a_key_alone_lets_in_and_the_journal_has_it(console: Console, key: SoftwareKey) -> None:
    browser = console.client()
    assert enter(browser, key) == "/console/"
    assert browser.get("/console/account").status_code == 200
    with console.cloud.database.read() as session:
        row = session.query(JournalRow).filter_by(act="login").one()
        assert (row.who, row.after) == (console.ids[OWNER], {"passkey": "Phone"})


def test_an_important_act_is_confirmed_by_the_key(console: Console, key: SoftwareKey) -> None:
    client = console.client(OWNER, confirmed=False)
    assert send(client, "/console/account/recovery-codes").startswith("/console/confirm")
    answer = key.show(asked(client, "/console/passkey/confirm"))
    assert send(client, "/console/confirm", passkey=answer, next="/console/account") == "/console/account"
    assert post(client, "/console/account/recovery-codes").status_code == 200


LIES: dict[str, Callable[[SoftwareKey], None]] = {
    "another site's page": lambda key: setattr(key, "origin", "https://coffee.example.evil"),
    "the same page without TLS": lambda key: setattr(key, "origin", "http://coffee.example"),
    "a page of ours inside another's": lambda key: setattr(key, "crosses_origins", True),
    "a key of another site": lambda key: setattr(key, "rp_id", "evil.example"),
    "nobody verified": lambda key: setattr(key, "flags", PRESENT),
    "nobody there": lambda key: setattr(key, "flags", 0),
    "another name": lambda key: setattr(key, "name", b"key-2"),
    "another signature": lambda key: setattr(key, "private", SoftwareKey("", "").private),
    "another user's handle": lambda key: setattr(key, "handle", b"0123456789abcdef"),
    "a count that does not grow": lambda key: setattr(key, "step", 0),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_lets_nobody_in(console: Console, key: SoftwareKey, lie: str) -> None:
    browser = console.client()
    assert enter(browser, key) == "/console/"
    other = console.client()
    LIES[lie](key)
    assert enter(other, key) == "400"
    assert other.get("/console/account").status_code == 303


@pytest.mark.parametrize("lie", [lie for lie in LIES if lie.startswith(("another site", "a page", "a key", "nobody"))])
def test_a_lie_registers_nothing(console: Console, lie: str) -> None:
    key = SoftwareKey(PLACE, HOST)
    LIES[lie](key)
    client = console.client(OWNER)
    answer = key.make(asked(client, "/console/account/passkeys/options"))
    post(client, "/console/account/passkeys", passkey=answer)
    assert keys(console) == []


def test_a_copied_key_is_refused_and_the_journal_says_so(console: Console, key: SoftwareKey) -> None:
    assert enter(console.client(), key) == "/console/"
    key.count = 0
    assert enter(console.client(), key) == "400"
    assert "passkey_copied" in acts(console)


def test_a_key_that_never_counts_is_taken(console: Console) -> None:
    key = SoftwareKey(PLACE, HOST, step=0)
    register(console.client(OWNER), key)
    assert enter(console.client(), key) == enter(console.client(), key) == "/console/"


def test_a_question_is_answered_once_for_three_minutes_by_whom_it_was_put_to(console: Console) -> None:
    key = SoftwareKey(PLACE, HOST, step=0)  # no count of its own betrays an answer that comes again
    register(console.client(OWNER), key)
    browser = console.client()
    answer = key.show(asked(browser, "/console/passkey/enter"))
    stranger = console.client()
    assert send(stranger, "/console/login", passkey=answer) == "400", "another browser"
    assert send(browser, "/console/login", passkey=answer) == "/console/"
    browser.delete_cookie("coffee_console", path="/console")
    assert send(browser, "/console/login", passkey=answer) == "400", "again"
    again = console.client()
    answer = key.show(asked(again, "/console/passkey/enter"))
    console.clock.advance(challenges.LIVES.total_seconds() + 1)
    assert send(again, "/console/login", passkey=answer) == "400", "too late"
    assert stranger.get("/console/account").status_code == 303


def test_an_answer_that_was_refused_is_not_tried_again(console: Console, key: SoftwareKey) -> None:
    browser = console.client()
    options = asked(browser, "/console/passkey/enter")
    key.flags = PRESENT
    assert send(browser, "/console/login", passkey=key.show(options)) == "400"
    key.flags = PRESENT | 4
    assert send(browser, "/console/login", passkey=key.show(options)) == "400"


def test_an_answer_for_one_step_is_none_for_another(console: Console, key: SoftwareKey) -> None:
    client = console.client(OWNER, confirmed=False)
    answer = key.show(asked(client, "/console/passkey/enter"))
    assert send(client, "/console/confirm", passkey=answer) == "400"


def test_a_key_of_somebody_else_confirms_nothing(console: Console, key: SoftwareKey) -> None:
    client = console.client(OTHER, confirmed=False)
    assert send(client, "/console/confirm", passkey=key.show(asked(client, "/console/passkey/confirm"))) == "400"
    browser = console.client()
    register(console.client(OTHER), SoftwareKey(PLACE, HOST, b"key-2"))
    send(browser, "/console/login", email=EMAIL.replace("owner", "manager"), password=PASSWORD)
    answer = key.show(asked(browser, "/console/passkey/second_step"))
    assert send(browser, "/console/second-step", passkey=answer) == "400"
    assert browser.get("/console/account").status_code == 303


def test_a_removed_key_is_refused_and_other_sessions_end(console: Console, key: SoftwareKey) -> None:
    inside, his = console.client(), console.client(OWNER)
    assert enter(inside, key) == "/console/"
    [row] = keys(console)
    assert post(his, "/console/account/passkeys/remove", id=row.id).status_code == 303
    assert enter(console.client(), key) == "400"
    assert inside.get("/console/account").status_code == 303
    assert his.get("/console/account").status_code == 200
    with console.cloud.database.read() as session:
        assert session.query(RecoveryCode).count() == 0, "codes of a second step that is no more"


def test_naming_is_journalled_and_never_reaches_anothers(console: Console, key: SoftwareKey) -> None:
    [row] = keys(console)
    his = console.client(OWNER)
    assert post(console.client(OTHER), "/console/account/passkeys/name", id=row.id, name="Mine").status_code == 404
    assert post(console.client(OTHER), "/console/account/passkeys/remove", id=row.id).status_code == 404
    post(his, "/console/account/passkeys/name", id=row.id, name="Blue one")
    assert keys(console)[0].name == "Blue one"
    with console.cloud.database.read() as session:
        entry = session.query(JournalRow).order_by(JournalRow.id.desc()).first()
        assert entry is not None
    assert (entry.before, entry.after) == ({"name": "Phone"}, {"name": "Blue one"})


@pytest.mark.parametrize("path", ["", "/options", "/name", "/remove"])
def test_keys_are_touched_only_after_showing_who_one_is(console: Console, key: SoftwareKey, path: str) -> None:
    client, [row] = console.client(OWNER, confirmed=False), keys(console)
    answer = post(client, f"/console/account/passkeys{path}", id=row.id, name="x")
    assert answer.headers["Location"].startswith("/console/confirm")
    assert [(one.id, one.name) for one in keys(console)] == [(row.id, "Phone")]


def test_nobody_has_more_than_ten_keys_or_one_twice(console: Console) -> None:
    client = console.client(OWNER)
    for n in (*range(12), 0):
        register(client, SoftwareKey(PLACE, HOST, f"key-{n}".encode()))
    assert len(keys(console)) == 10


def test_failures_are_throttled_by_account_and_address(console: Console, key: SoftwareKey) -> None:
    browser = console.client()
    log_in(browser)
    for _ in range(5):
        answer = SoftwareKey(PLACE, HOST).show(asked(browser, "/console/passkey/second_step"))
        assert send(browser, "/console/second-step", passkey=answer) == "400"
    token = form_token(browser)
    assert browser.post("/console/passkey/second_step", data={"csrf_token": token}).status_code == 429
    assert send(browser, "/console/second-step", passkey="{}") == "429"
    assert send(browser, "/console/second-step", code="000000") == "429", "a code waits with it"
    console.clock.advance(61)
    answer = key.show(asked(browser, "/console/passkey/second_step"))
    assert send(browser, "/console/second-step", passkey=answer) == "/console/"


def test_who_is_disabled_or_to_choose_a_password_is_not_let_in_by_his_key(console: Console, key: SoftwareKey) -> None:
    console.cloud.database.transact(
        users.reset, console.ids[OWNER], console.clock.now, with_second_factor=False
    )  # fmt: skip
    assert enter(console.client(), key) == "400"
    fresh = passwords.hash_of(PASSWORD)
    console.cloud.database.transact(users.set_password, console.ids[OWNER], fresh, console.clock.now)
    assert enter(console.client(), key) == "/console/"
    console.cloud.database.transact(users.disable, console.ids[OWNER], console.clock.now)
    assert enter(console.client(), key) == "400"


def test_a_reset_of_the_second_step_takes_the_keys_along(console: Console, key: SoftwareKey) -> None:
    console.cloud.database.transact(
        users.reset, console.ids[OWNER], console.clock.now, with_second_factor=True
    )  # fmt: skip
    assert keys(console) == []


@pytest.mark.both_databases
@pytest.mark.parametrize(
    "act",
    [users.disable, partial(users.reset, with_second_factor=False), partial(users.reset, with_second_factor=True)],
    ids=["disabled", "reset", "reset with his keys"],
)
def test_a_login_under_way_does_not_outlive_a_reset(
    console: Console, key: SoftwareKey, act: Callable[..., object]
) -> None:
    """Regression: he was looked at unheld, and on PostgreSQL who took his keys away and the login had a deadlock."""
    world, owner, browser = console.world, console.ids[OWNER], console.client()
    answer = key.show(asked(browser, "/console/passkey/enter"))
    with ThreadPoolExecutor(1) as pool:

        def overtaken(tx: Transaction) -> Future[str]:
            tx.session.get_one(User, owner, with_for_update=True)
            entering = pool.submit(send, browser, "/console/login", passkey=answer)
            wait_for_a_lock(world, entering)
            act(tx, owner, world.now)
            return entering

        assert world.database.transact(overtaken).result(30) == "400"
    assert live(world, owner) == []


def test_a_recovery_code_stands_in_for_a_lost_key(console: Console) -> None:
    shown = register(console.client(OWNER), SoftwareKey(PLACE, HOST))
    code = shown.partition('<li class="code">')[2].partition("<")[0]
    browser = console.client()
    assert log_in(browser) == "/console/second-step"
    assert send(browser, "/console/second-step", code=code) == "/console/"


def test_who_must_have_a_second_step_may_make_it_a_key(console: Console) -> None:
    def asks(tx: Any) -> None:
        tx.session.get_one(User, console.ids[OWNER]).asks_second_factor = True

    console.cloud.database.transact(asks)
    client = console.client(OWNER)
    assert client.get("/console/account").headers["Location"] == "/console/account/second-factor"
    assert client.get("/console/account/passkeys/new").status_code == 200
    register(client, SoftwareKey(PLACE, HOST))
    assert client.get("/console/account").status_code == 200


def test_strangers_cannot_fill_the_table_of_questions(console: Console) -> None:
    browser = console.client()
    token = login_token(browser)
    for _ in range(challenges.OF_ONE_ADDRESS + 5):
        assert browser.post("/console/passkey/enter", data={"csrf_token": token}).status_code == 200
    with console.cloud.database.read() as session:
        assert session.query(LoginChallenge).count() == challenges.OF_ONE_ADDRESS


@pytest.mark.parametrize(
    "bad", ["", "no json", "[]", "{}", "{" * 50, '{"id": 1, "response": {"clientDataJSON": "e30"}}', "x" * 40_000]
)
def test_what_is_no_answer_is_refused_quietly(console: Console, bad: str) -> None:
    assert send(console.client(), "/console/login", passkey=bad) == "400"
    client = console.client(OWNER)
    assert post(client, "/console/account/passkeys", passkey=bad).status_code == 303
    assert keys(console) == []


@pytest.mark.both_databases
@pytest.mark.parametrize("name", ["\0", "\ud800"], ids=["a zero byte", "half a letter"])
def test_a_key_of_a_name_that_no_database_takes_is_refused_quietly(
    console: Console, key: SoftwareKey, name: str
) -> None:
    """Regression: it was looked for as it was sent, and the page failed."""
    browser = console.client()
    told = json.loads(key.show(asked(browser, "/console/passkey/enter")))
    assert send(browser, "/console/login", passkey=json.dumps(told | {"id": name})) == "400"


def test_a_code_for_totp_and_a_key_live_side_by_side(console: Console, key: SoftwareKey) -> None:
    secret = second_factor.new_secret()

    def add(tx: Any) -> None:
        second_factor.set_up(tx, console.ids[OWNER], console.world.vault, secret, 0)

    console.cloud.database.transact(add)
    [row] = keys(console)
    post(console.client(OWNER), "/console/account/passkeys/remove", id=row.id)
    assert log_in(console.client()) == "/console/second-step"
    with console.cloud.database.read() as session:
        assert session.query(RecoveryCode).count() == 10


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://coffee.example", "coffee.example"),
        ("https://coffee.example:8443", "coffee.example"),
        ("http://localhost:8080", "localhost"),
        ("http://coffee.example", None),
        ("http://127.0.0.1:8080", None),
        ("https://192.0.2.7", None),
        ("https://[2001:db8::1]", None),
    ],
)
def test_browsers_make_keys_only_for_a_name_with_tls(url: str, host: str | None) -> None:
    party = relying_party(url)
    assert (party and party.id) == host
    assert party is None or party.origin == url


def test_without_a_name_with_tls_nothing_of_keys_is_shown(world: World) -> None:
    with a_console(world, "http://127.0.0.1:8080") as console:
        assert "passkey" not in console.client().get("/console/login").text
        assert "passkey" not in console.client(OWNER).get("/console/account").text
        assert post(console.client(), "/console/passkey/enter").status_code == 404
