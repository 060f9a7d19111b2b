"""Whoever asks gets a bundle that is kept; one who asks too often keeps nobody else from it."""

import pytest
from flask.testing import FlaskClient

from cloud.processes.app import create_app
from cloud.releases import rollouts
from cloud.releases.release_route import AT_ONCE, OF_ADDRESS_BURST, OF_ADDRESS_PER_S, url_of
from cloud.settings import Settings
from cloud.wiring import build
from tests.cloud.releases.fleet import ANNA, PUBLIC, a_bundle
from tests.cloud.worlds import SECRET_KEY, World

KEPT = url_of("", "0.2.0")


@pytest.fixture
def client(sqlite_world: World) -> FlaskClient:
    sqlite_world.database.transact(rollouts.add, a_bundle(), [PUBLIC], ANNA, sqlite_world.now)
    settings = Settings(secret_key=SECRET_KEY, database_url=str(sqlite_world.database.url))
    return create_app(build(settings, clock=sqlite_world.clock)).test_client()


def asked(client: FlaskClient, address: str, path: str = KEPT) -> int:
    return client.get(path, environ_base={"REMOTE_ADDR": address}).status_code


def test_what_is_kept_is_given_to_whoever_asks(client: FlaskClient) -> None:
    answer = client.get(KEPT)
    assert (answer.status_code, answer.data) == (200, a_bundle())
    assert client.get(url_of("", "9.9")).status_code == 404
    assert client.get("/v1/agent/..%2Fetc").status_code == 404


def test_one_address_leaves_the_others_their_bundle(client: FlaskClient, sqlite_world: World) -> None:
    """Regression: a single stranger used up the answers of all, and held up every update."""
    burst = [asked(client, "203.0.113.9") for _ in range(2 * round(AT_ONCE))]
    assert burst == [200] * OF_ADDRESS_BURST + [429] * (len(burst) - OF_ADDRESS_BURST)
    answer = client.get(KEPT, environ_base={"REMOTE_ADDR": "203.0.113.9"})
    assert (answer.get_json()["error"]["code"], int(answer.headers["Retry-After"]) > 0) == ("too_often", True)
    assert asked(client, "203.0.113.10") == 200
    sqlite_world.clock.advance(1 / OF_ADDRESS_PER_S)
    assert [asked(client, "203.0.113.9"), asked(client, "203.0.113.9")] == [200, 429]


def test_an_ipv6_network_is_one_address(client: FlaskClient) -> None:
    assert {asked(client, f"2001:db8:1:{home:x}::1") for home in range(OF_ADDRESS_BURST)} == {200}
    assert asked(client, "2001:db8:1:ffff::1") == 429
    assert asked(client, "2001:db8:2::1") == 200


def test_asking_for_what_is_not_there_uses_up_nothing(client: FlaskClient) -> None:
    """Regression: any version that could be one counted."""
    assert {asked(client, "203.0.113.9", url_of("", "9.9")) for _ in range(2 * round(AT_ONCE))} == {404}
    assert asked(client, "203.0.113.9") == 200


def test_all_addresses_together_have_a_limit_too_and_lose_nothing_by_it(
    client: FlaskClient, sqlite_world: World
) -> None:
    for last in range(round(AT_ONCE)):
        assert asked(client, f"203.0.113.{last}") == 200
    assert {asked(client, "203.0.113.200") for _ in range(2 * OF_ADDRESS_BURST)} == {429}
    sqlite_world.clock.advance(1)
    assert asked(client, "203.0.113.200") == 200
