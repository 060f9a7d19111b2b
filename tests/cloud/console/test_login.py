"""Logging in and out in a browser's steps: password, second factor, recovery, confirming, revoking, throttle."""

import re
from contextlib import ExitStack
from datetime import timedelta

import pyotp
import pytest
from flask.testing import FlaskClient

from cloud.access import passwords, sessions, users
from cloud.access.models import JournalRow, LoginSession, Membership, User
from cloud.database.transaction import Transaction
from tests.cloud.console.building import OWN, PASSWORD, Console, form_token, post
from tests.cloud.worlds import DEVICE

OWNER = f"owner@{OWN}"
EMAIL = f"{OWNER}.example.com"


@pytest.fixture
def owner(console: Console) -> FlaskClient:
    """A browser whose user has a password, and is not logged in."""
    fresh = passwords.hash_of(PASSWORD)
    console.cloud.database.transact(users.set_password, console.ids[OWNER], fresh, console.clock.now)
    return console.client()


def log_in(client: FlaskClient, password: str = PASSWORD, **more: str) -> str:
    return send(client, "/console/login", email=EMAIL, password=password, **more)


def send(client: FlaskClient, path: str, **form: str) -> str:
    """Where the answer leads; for a page shown again its status."""
    answer = post(client, path, **form)
    return answer.headers.get("Location") or str(answer.status_code)


def set_up(console: Console, client: FlaskClient) -> tuple[pyotp.TOTP, list[str]]:
    """Turn the second factor on; the authenticator, and the recovery codes."""
    secret = re.findall(r'name="secret" value="(\w+)"', client.get("/console/account/second-factor").text)[0]
    totp = pyotp.TOTP(secret)
    shown = post(client, "/console/account/second-factor", secret=secret, code=totp.at(console.clock.now)).text
    return totp, [a + b for a, b in re.findall(r'<li class="code">(\w+) (\w+)</li>', shown)]


def test_who_has_the_password_is_let_in_and_comes_to_where_he_wanted(owner: FlaskClient) -> None:
    assert owner.get("/console/account").headers["Location"] == "/console/login?next=/console/account"
    assert log_in(owner, next="/console/account") == "/console/account"
    assert owner.get("/console/account").status_code == 200


@pytest.mark.parametrize(
    "foreign", ["https://evil.example", "//evil.example", "/console/\\evil", "/v1/pay", "/consolex"]
)
def test_the_login_leads_nowhere_else(owner: FlaskClient, foreign: str) -> None:
    assert log_in(owner, next=foreign) == "/console/"


def test_a_wrong_password_and_nobody_are_told_alike(owner: FlaskClient) -> None:
    wrong = post(owner, "/console/login", email=EMAIL, password="another password")
    nobody = post(owner, "/console/login", email="nobody@example.com", password="another password")

    assert wrong.status_code == nobody.status_code == 400
    assert (
        wrong.text.replace(EMAIL, "") == nobody.text.replace("nobody@example.com", "") or 'role="alert"' in nobody.text
    )


def test_an_account_waits_after_failures_and_its_owner_gets_in_a_minute_later(
    console: Console, owner: FlaskClient
) -> None:
    for _ in range(5):
        assert log_in(owner, "another password") == "400"
    assert log_in(owner) == "429"

    console.clock.advance(61)

    assert log_in(owner) == "/console/"


def test_strangers_do_not_keep_an_owner_out_of_the_browser_he_has(console: Console, owner: FlaskClient) -> None:
    """Regression: whoever knew his address made his account wait for ever, also for the right password."""
    log_in(owner)
    send(owner, "/console/logout")
    stranger = console.client()
    while log_in(stranger, "another password") != "429":
        pass
    assert log_in(owner) == "/console/"
    assert log_in(stranger) == "429", "nor does he free the stranger"
    send(owner, "/console/logout")
    for _ in range(5):
        assert log_in(owner, "another password") == "400"
    assert log_in(owner) == "429", "his browser guesses no more than others"


def test_strangers_do_not_keep_anybody_from_showing_again_who_he_is(console: Console, owner: FlaskClient) -> None:
    log_in(owner)
    console.clock.advance(601)
    stranger = console.client()
    while log_in(stranger, "another password") != "429":
        pass
    assert send(owner, "/console/confirm", password="another password") == "400"
    assert send(owner, "/console/confirm", password=PASSWORD, next="/console/account") == "/console/account"
    for _ in range(5):
        assert send(owner, "/console/confirm", password="another password") == "400"
    assert send(owner, "/console/confirm", password=PASSWORD) == "429"


def test_the_first_step_alone_makes_no_browser_known(console: Console, owner: FlaskClient) -> None:
    log_in(owner)
    set_up(console, owner)
    thief = console.client()
    assert log_in(thief) == "/console/second-step"
    thief.get("/console/second-step")
    assert thief.get_cookie("coffee_browser", path="/console") is None
    assert owner.get_cookie("coffee_browser", path="/console") is not None


def test_who_comes_while_too_many_log_in_is_told_to_wait_and_nothing_is_counted(
    owner: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "PATIENCE_S", 0.0)
    with ExitStack() as turns:
        for _ in range(passwords.AT_ONCE):
            turns.enter_context(passwords._turn())
        assert [log_in(owner) for _ in range(6)] == ["429"] * 6
    assert log_in(owner) == "/console/"


def test_the_second_factor_is_asked_for_and_no_code_counts_twice(console: Console, owner: FlaskClient) -> None:
    log_in(owner)
    totp, _ = set_up(console, owner)
    browser = console.client()
    console.clock.advance(60)

    assert log_in(browser) == "/console/second-step"
    assert browser.get("/console/account").headers["Location"].startswith("/console/second-step")
    assert send(browser, "/console/second-step", code="000000") == "400"
    code = totp.at(console.clock.now)
    assert send(browser, "/console/second-step", code=code) == "/console/"
    assert browser.get("/console/account").status_code == 200
    another = console.client()
    log_in(another)
    assert send(another, "/console/second-step", code=code) == "400"


def test_a_recovery_code_stands_in_once_and_is_journalled(console: Console, owner: FlaskClient) -> None:
    log_in(owner)
    _, codes = set_up(console, owner)
    assert len(codes) == 10
    for expected in ("/console/", "400"):
        browser = console.client()
        log_in(browser)
        assert send(browser, "/console/second-step", code=codes[0].lower()) == expected
    with console.cloud.database.read() as session:
        acts = [row.act for row in session.query(JournalRow)]
    assert acts.count("recovery_code") == 1


def test_whose_role_needs_a_second_factor_sets_it_up_before_anything_else(console: Console) -> None:
    def asks(tx: Transaction) -> None:
        tx.session.get_one(User, console.ids[OWNER]).asks_second_factor = True

    console.cloud.database.transact(asks)
    client = console.client(OWNER)

    assert client.get("/console/account").headers["Location"] == "/console/account/second-factor"
    assert client.get("/console/account/second-factor").status_code == 200


def test_a_second_factor_is_set_up_only_by_who_just_showed_who_he_is(console: Console, owner: FlaskClient) -> None:
    """Regression: who had none was asked nothing: whoever held his session made himself one, and confirmed by it."""
    stolen = console.client(OWNER, confirmed=False)
    secret = pyotp.random_base32()
    code = pyotp.TOTP(secret).at(console.clock.now)
    asked = stolen.get("/console/account/second-factor").headers["Location"]
    assert asked == "/console/confirm?next=/console/account/second-factor"
    for given in (code, "000000"):
        answer = send(stolen, "/console/account/second-factor", secret=secret, code=given)
        assert answer.startswith("/console/confirm")
    assert not console.person(OWNER).has_second_factor

    assert send(stolen, "/console/confirm", password=PASSWORD, next="/console/account") == "/console/account"
    set_up(console, stolen)
    assert console.person(OWNER).has_second_factor


def test_who_must_set_up_a_second_factor_does_so_right_after_his_first_login(console: Console) -> None:
    def invite(tx: Transaction) -> str:
        tx.session.get_one(User, console.ids[OWNER]).asks_second_factor = True
        return users.invite(tx, console.ids[OWNER], console.clock.now)

    token = console.cloud.database.transact(invite)
    browser = console.client()
    assert send(browser, f"/console/welcome/{token}", password=PASSWORD) == "/console/login"
    log_in(browser)
    assert browser.get("/console/account/second-factor").status_code == 200
    console.clock.advance(601)
    assert send(browser, "/console/account/second-factor").startswith("/console/confirm")
    assert send(browser, "/console/confirm", password=PASSWORD) == "/console/"
    assert browser.get("/console/account").headers["Location"] == "/console/account/second-factor"
    set_up(console, browser)
    assert browser.get("/console/account").status_code == 200


def test_an_ended_session_and_a_disabled_user_are_refused_at_once(console: Console) -> None:
    client, other = console.client(OWNER), console.client(OWNER)
    assert post(other, "/console/account/sessions/end").status_code == 303
    assert client.get("/console/account").status_code == 303
    assert other.get("/console/account").status_code == 200

    console.cloud.database.transact(users.disable, console.ids[OWNER], console.clock.now)

    assert other.get("/console/account").status_code == 303


def test_a_session_ends_unused_after_a_day_and_used_after_a_fortnight(console: Console) -> None:
    client = console.client(OWNER)
    console.clock.advance(timedelta(hours=25).total_seconds())
    assert client.get("/console/account").status_code == 303
    client = console.client(OWNER)
    for _ in range(14):
        assert client.get("/console/account").status_code == 200
        console.clock.advance(timedelta(hours=24).total_seconds())
    assert client.get("/console/account").status_code == 303


def test_an_invitation_works_once_and_logs_everybody_else_out(console: Console) -> None:
    token = console.cloud.database.transact(users.invite, console.ids[OWNER], console.clock.now)
    before, browser = console.client(OWNER), console.client()

    assert send(browser, f"/console/welcome/{token}", password="short") == "200"
    assert send(browser, f"/console/welcome/{token}", password=PASSWORD) == "/console/login"
    assert browser.get(f"/console/welcome/{token}").status_code == 410
    assert before.get("/console/account").status_code == 303
    assert log_in(browser) == "/console/"


def test_new_recovery_codes_ask_first_who_one_is(console: Console, owner: FlaskClient) -> None:
    log_in(owner)
    console.clock.advance(601)
    assert send(owner, "/console/account/recovery-codes").startswith("/console/confirm")
    assert send(owner, "/console/confirm", password="another password") == "400"
    assert send(owner, "/console/confirm", password=PASSWORD, next="/console/account") == "/console/account"
    assert post(owner, "/console/account/recovery-codes").status_code == 200


def test_tokens_lie_in_the_database_as_hashes_and_cookies_are_kept_from_scripts(
    console: Console, owner: FlaskClient
) -> None:
    log_in(owner)
    cookie = owner.get_cookie("coffee_console", path="/console")
    assert cookie is not None
    assert cookie.http_only
    with console.cloud.database.read() as session:
        assert cookie.decoded_value not in {row.token for row in session.query(LoginSession)}
        assert sessions.find(session, cookie.decoded_value, console.clock.now) is not None


def test_after_confirming_one_comes_back_to_the_page_of_the_form_and_nowhere_else(console: Console) -> None:
    client = console.client(OWNER, confirmed=False)
    for page, back in (
        ("https://localhost/console/account?lang=en", "/console/account?lang%3Den"),
        ("https://evil.example/console/account", None),
    ):
        token = client.get("/console/account").text.partition('name="csrf_token" value="')[2].partition('"')[0]
        answer = client.post("/console/account/recovery-codes", data={"csrf_token": token}, headers={"Referer": page})
        where = answer.headers["Location"]
        assert where == f"/console/confirm?{'' if back is None else f'next={back}&'}undone=yes"


def test_who_has_shown_who_he_is_hears_that_his_form_is_still_to_be_sent(console: Console, owner: FlaskClient) -> None:
    """Regression: he was led back without a word, and took for done what was dropped."""
    log_in(owner)
    console.clock.advance(601)
    page, undone = f"/console/enrolment/{DEVICE}", "Само действие ещё не выполнено: повторите его."
    form = {"csrf_token": form_token(owner)}
    asked = owner.post(page, data=form, headers={"Referer": f"https://localhost{page}"}).headers["Location"]
    assert send(owner, asked, password="another password", next=page) == "400"
    assert send(owner, asked, password=PASSWORD, next=page) == page
    assert undone in owner.get(page).text
    assert undone not in owner.get(page).text, "told once"
    assert re.search("[A-Z]{4}-[A-Z]{4}", post(owner, page).text)


def test_a_page_of_important_acts_asks_before_and_nothing_is_left_undone(console: Console, owner: FlaskClient) -> None:
    log_in(owner)
    console.clock.advance(601)
    with console.cloud.database.read() as session:
        colleague = session.query(Membership).filter_by(user_id=console.ids[f"viewer@{OWN}"]).one()
    page = f"/console/people/{colleague.id}"
    asked = owner.get(page).headers["Location"]
    assert asked == f"/console/confirm?next={page}"
    assert send(owner, asked, password=PASSWORD, next=page) == page
    assert "Само действие ещё не выполнено" not in owner.get(page).text
    assert send(owner, f"{page}/disable") == page
    with console.cloud.database.read() as session:
        assert session.get_one(User, colleague.user_id).disabled_at is not None


def test_what_is_shown_without_a_context_is_in_the_language_of_the_account(console: Console) -> None:
    """Regression: a Russian account in an English browser was asked in English, and refused in it."""
    client = console.client(OWNER)
    post(client, "/console/account/taste", language="ru", theme="")
    english = {"Accept-Language": "en"}
    assert "Подтвердите" in client.get("/console/confirm", headers=english).text
    for nothing in ("/console/none", "/console/orders/none"):
        assert '<html lang="ru"' in client.get(nothing, headers=english).text
    assert '<html lang="en"' in console.client().get("/console/login", headers=english).text


def test_a_zero_byte_is_malformed_wherever_it_stands(console_on_each: Console) -> None:
    """Regression: PostgreSQL takes none, and any stranger's login was a page that failed, with a traceback."""
    stranger, owner = console_on_each.client(), console_on_each.client(OWNER)
    assert send(stranger, "/console/login", email="a\0@example.com", password=PASSWORD) == "400"
    assert send(owner, f"/console/machines/{DEVICE}/note", note="a\0b") == "400"
    for asked in ("journal?who=a%00", "orders/a%00", "people?a%00=b"):
        assert owner.get(f"/console/{asked}").status_code == 400, asked
