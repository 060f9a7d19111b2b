"""Several servers in one address, and commits that wait for none of them: a failover would lose some."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from sqlalchemy import make_url

from cloud.database import postgresql
from cloud.database.database import Database
from cloud.operators import check
from cloud.settings import Settings
from tests.cloud.worlds import SECRET_KEY
from tests.postgres import PostgresServer
from tests.programs import free_port
from tests.waiting import wait_until


def several(url: str) -> str:
    """The same database, and a server that is down."""
    one = make_url(url)
    host, port = one.host or str(one.query["host"]), str(one.port or one.query.get("port") or 5432)
    hosts = {"host": f"127.0.0.1,{host}", "port": f"{free_port()},{port}"}
    many = one.set(host=None, port=None, query={**hosts, "target_session_attrs": "read-write"})
    return many.render_as_string(hide_password=False)


@pytest.fixture
def synchronous(postgres_server: PostgresServer) -> Iterator[None]:
    """The server waits for a standby at each commit; nothing is committed meanwhile."""
    with postgres_server.connected() as operator:

        def names(words: str) -> None:
            operator.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{words}'")
            operator.execute("SELECT pg_reload_conf()")
            wait_until(lambda: is_set(words), what="the server to take the setting")

        def is_set(words: str) -> bool:
            with postgres_server.connected() as another:
                return another.execute("SHOW synchronous_standby_names").fetchone() == (words,)

        names("*")
        try:
            yield
        finally:
            names("")


@pytest.mark.parametrize(
    ("query", "hosts"),
    [
        ("@one/c", ["one"]),
        ("@/c?host=/run/postgresql", ["/run/postgresql"]),
        ("@/c?host=one&host=two", ["one", "two"]),
        ("@/c?host=one,two", ["one", "two"]),
        ("@one,two/c", ["one", "two"]),
        ("@/c", []),
    ],
)
def test_the_servers_an_address_names(query: str, hosts: list[str]) -> None:
    assert postgresql.hosts_of(make_url(f"postgresql+psycopg://u{query}")) == hosts


@pytest.mark.parametrize("many", [True, False])
def test_check_warns_of_several_servers_where_no_commit_waits(
    migrated_postgres_url: str, monkeypatch: pytest.MonkeyPatch, many: bool
) -> None:
    monkeypatch.setattr(check, "BROKER_WAIT_S", 0.05)
    url = several(migrated_postgres_url) if many else migrated_postgres_url
    findings = check.checkup(Settings(SECRET_KEY, database_url=url, mqtt_url=f"mqtt://127.0.0.1:{free_port()}"))
    assert [one.good for one in findings if "synchronous_standby_names" in one.words] == ([False] if many else [])


def test_a_server_that_waits_for_a_standby_loses_nothing(postgres_url: str, synchronous: None) -> None:
    with closing(Database(several(postgres_url))) as database:
        assert not database.loses_commits_at_failover()
    unwaiting = make_url(several(postgres_url)).update_query_dict({"options": "-c synchronous_commit=local"})
    with closing(Database(unwaiting.render_as_string(hide_password=False))) as database:
        assert database.loses_commits_at_failover()
