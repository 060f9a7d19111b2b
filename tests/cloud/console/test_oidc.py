"""Logging in by an identity provider over real HTTP, and every way in which a provider's word is not taken."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from flask.testing import FlaskClient

from cloud.access import second_factor, users
from cloud.access.models import Identity, JournalRow, Membership, User
from cloud.database.transaction import Transaction
from simulator.oidc.provider import Lie, OidcProvider
from tests.cloud.access.test_login import live, wait_for_a_lock
from tests.cloud.console.building import OWN, Console, a_console
from tests.cloud.console.test_login import EMAIL, OWNER
from tests.cloud.worlds import World

pytestmark = pytest.mark.any_database
PLACE = "https://coffee.example"


@pytest.fixture
def provider(world: World) -> Iterator[OidcProvider]:
    with OidcProvider(clock=world.clock) as provider:
        provider.who.email = EMAIL
        yield provider


@pytest.fixture
def console(world: World, provider: OidcProvider) -> Iterator[Console]:
    with a_console(world, PLACE, **of(provider)) as made:
        yield made


def of(provider: OidcProvider) -> dict[str, str]:
    return {
        "oidc_issuer": provider.address, "oidc_client_id": provider.client, "oidc_client_secret": provider.secret,
    }  # fmt: skip


def to_provider(client: FlaskClient, wanted: str = "") -> str:
    """Where the browser is sent back to by the provider: path and query."""
    away = client.get("/console/sso", query_string={"next": wanted}).headers["Location"]
    back = requests.get(away, allow_redirects=False, timeout=5).headers["Location"]
    assert back.startswith(f"{PLACE}/console/sso/callback?")
    return back.removeprefix(PLACE)


def come(client: FlaskClient, wanted: str = "") -> str:
    """All the way; where it leads, or the status of a page that says no."""
    answer = client.get(to_provider(client, wanted))
    return answer.headers.get("Location") or str(answer.status_code)


def bindings(console: Console) -> list[Identity]:
    with console.cloud.database.read() as session:
        return session.query(Identity).all()


def test_who_is_known_by_his_verified_address_is_let_in_and_bound(console: Console, provider: OidcProvider) -> None:
    client = console.client()
    assert "/console/sso" in client.get("/console/login").text
    assert come(client, "/console/account") == "/console/account"
    assert client.get("/console/account").status_code == 200
    [bound] = bindings(console)
    assert (bound.issuer, bound.subject, bound.user_id) == (provider.address, "s-1", console.ids[OWNER])
    with console.cloud.database.read() as session:
        acts = [row.act for row in session.query(JournalRow).order_by(JournalRow.id)]
    assert acts[-2:] == ["identity_bound", "login"]


def test_who_is_bound_is_known_by_his_subject_whatever_his_address(console: Console, provider: OidcProvider) -> None:
    come(console.client())
    provider.who.email = f"manager@{OWN}.example.com"
    client = console.client()
    assert come(client) == "/console/"
    assert EMAIL in client.get("/console/account").text


def test_another_subject_with_his_address_does_not_take_him_over(console: Console, provider: OidcProvider) -> None:
    come(console.client())
    provider.who.subject = "s-2"
    assert come(console.client()) == "400"
    assert [one.subject for one in bindings(console)] == ["s-1"]


def test_nobody_is_made_and_nobody_is_given_anything(console: Console, provider: OidcProvider) -> None:
    with console.cloud.database.read() as session:
        before = session.query(User).count(), session.query(Membership).count()
    provider.who.email = "stranger@example.com"
    client = console.client()
    assert come(client) == "400"
    assert client.get("/console/account").status_code == 303
    with console.cloud.database.read() as session:
        assert (session.query(User).count(), session.query(Membership).count()) == before
    assert bindings(console) == []


@pytest.mark.parametrize("lie", [lie for lie in Lie if lie is not Lie.CODE_AGAIN])
def test_a_lie_lets_nobody_in(world: World, provider: OidcProvider, lie: Lie) -> None:
    provider.lies = {lie}
    with a_console(world, PLACE, **of(provider)) as console:
        client = console.client()
        if lie in {Lie.NAME, Lie.HUGE}:
            assert client.get("/console/sso").status_code == 400
            return
        assert come(client) == "400"
        assert provider.tokens_given == 1, "the token itself was looked at"
        assert client.get("/console/account").status_code == 303
        assert bindings(console) == []


def test_a_code_is_good_once_in_the_browser_that_asked(console: Console, provider: OidcProvider) -> None:
    """Even of a provider that gives for a code twice."""
    provider.lies = {Lie.CODE_AGAIN}
    client, thief = console.client(), console.client()
    back = to_provider(client)
    assert thief.get(back).status_code == 400, "no such login was begun there"
    assert client.get(back).status_code == 303
    assert client.get(back).status_code == 400, "once"
    thief.get("/console/sso")
    stolen = parse_qs(urlsplit(to_provider(client)).query)["code"][0]
    own = parse_qs(urlsplit(to_provider(thief)).query)["state"][0]
    assert thief.get(f"/console/sso/callback?code={stolen}&state={own}").status_code == 400, "PKCE"


@pytest.mark.parametrize("query", ["", "?error=access_denied", "?code=x&state=y", "?state=y"])
def test_who_comes_back_with_nothing_is_not_let_in(console: Console, query: str) -> None:
    assert console.client().get(f"/console/sso/callback{query}").status_code == 400


def test_a_login_is_begun_ten_minutes_at_most(console: Console) -> None:
    client = console.client()
    back = to_provider(client)
    console.clock.advance(601)
    assert client.get(back).status_code == 400


@pytest.mark.parametrize("foreign", ["https://evil.example", "//evil.example", "/v1/pay"])
def test_it_leads_nowhere_else(console: Console, foreign: str) -> None:
    assert come(console.client(), foreign) == "/console/"


@pytest.mark.parametrize(
    ("trusts", "methods", "where"),
    [
        ("", ["pwd", "mfa"], "/console/second-step"),
        ("yes", ["pwd"], "/console/second-step"),
        ("yes", ["pwd", "mfa"], "/console/"),
    ],
)
def test_our_second_step_follows_unless_the_setting_trusts_the_providers(
    world: World, provider: OidcProvider, trusts: str, methods: list[str], where: str
) -> None:
    provider.who.methods = methods
    with a_console(world, PLACE, **of(provider), oidc_trusts_mfa=trusts) as console:

        def has_totp(tx: Transaction) -> None:
            second_factor.set_up(tx, console.ids[OWNER], world.vault, second_factor.new_secret(), 0)

        console.cloud.database.transact(has_totp)
        client = console.client()
        assert come(client) == where
        assert (client.get("/console/account").status_code == 200) is (where == "/console/")


def test_a_new_key_of_the_provider_is_asked_for_once_a_minute(console: Console, provider: OidcProvider) -> None:
    assert come(console.client()) == "/console/"
    provider.turn_key()
    assert come(console.client()) == "400"
    console.clock.advance(61)
    assert come(console.client()) == "/console/"


def test_who_is_disabled_is_not_let_in(console: Console) -> None:
    come(console.client())
    console.cloud.database.transact(users.disable, console.ids[OWNER], console.clock.now)
    assert come(console.client()) == "400"


def came_before(world: World, client: FlaskClient, held: str, act: Callable[[Transaction], object]) -> str:
    """Where it leads who comes back while `act` is done to the user who is held."""
    back = to_provider(client)

    def arrive() -> str:
        answer = client.get(back)
        return answer.headers.get("Location") or str(answer.status_code)

    with ThreadPoolExecutor(1) as pool:

        def overtaken(tx: Transaction) -> Future[str]:
            tx.session.get_one(User, held, with_for_update=True)
            coming = pool.submit(arrive)
            wait_for_a_lock(world, coming)
            act(tx)
            return coming

        return world.database.transact(overtaken).result(30)


@pytest.mark.both_databases
@pytest.mark.parametrize("is_bound", [True, False])
def test_who_is_just_disabled_is_not_let_in(world: World, console: Console, is_bound: bool) -> None:
    """Regression: the user was looked at unheld, and a session began that nobody ended."""
    owner = console.ids[OWNER]
    if is_bound:
        come(console.client())
    assert came_before(world, console.client(), owner, lambda tx: users.disable(tx, owner, world.now)) == "400"
    assert live(world, owner) == []


@pytest.mark.both_databases
def test_a_binding_that_is_just_taken_away_lets_nobody_in(
    world: World, console: Console, provider: OidcProvider
) -> None:
    come(console.client())
    provider.who.email, owner = "another@example.com", console.ids[OWNER]

    def reset(tx: Transaction) -> None:
        users.reset(tx, owner, world.now, with_second_factor=True)

    assert came_before(world, console.client(), owner, reset) == "400"
    assert live(world, owner) == []


def test_a_provider_that_is_away_is_told_so(console: Console, provider: OidcProvider) -> None:
    provider.close()
    answer = console.client().get("/console/sso")
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text


def test_without_the_setting_there_is_no_button_and_no_way(world: World) -> None:
    with a_console(world, PLACE) as console:
        client = console.client()
        assert "/console/sso" not in client.get("/console/login").text
        assert client.get("/console/sso").status_code == client.get("/console/sso/callback").status_code == 404
