"""A database that is away, or says nothing in the middle of everything: that is told within seconds, and goes by."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from cloud.database import postgresql
from cloud.processes.app import create_app
from cloud.settings import Settings
from cloud.wiring import Cloud, build
from simulator.broker import Broker
from tests.cloud.worlds import SECRET_KEY
from tests.pgbouncer import a_pgbouncer, through
from tests.postgres import a_postgres_server
from tests.programs import free_port
from tests.real_parts import POSTGRES, missing
from tests.system.restartable import Restartable


@pytest.mark.parametrize("word", ["worker", "web"])
@pytest.mark.usefixtures("pgbouncer")
def test_a_program_started_before_its_database_waits_for_it_and_says_so(
    word: str, migrated_postgres_url: str, tmp_path: Path
) -> None:
    port = free_port()
    with Broker() as broker, ExitStack() as closing:
        settings = {
            "COFFEE_SECRET_KEY": SECRET_KEY,
            "COFFEE_DATABASE_URL": through(migrated_postgres_url, port),
            "COFFEE_MQTT_URL": broker.url,
            "COFFEE_BIND": "127.0.0.1:0",
        }
        program = Restartable("cloud", [word], tmp_path, settings)
        closing.callback(program.stop)
        program.start()
        program.wait_says("the database does not answer, waiting for it", "COFFEE_DATABASE_URL")
        closing.enter_context(a_pgbouncer(migrated_postgres_url, "session", port))
        program.wait_says("worker started" if word == "worker" else "the database answers")


class Frozen:
    """A server of the test's own whose every process can be stopped: it takes connections and says nothing."""

    def __init__(self, folder: Path) -> None:
        self._postmaster = int((folder / "data" / "postmaster.pid").read_text().split()[0])

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """With limits shrunk: only while nobody answers, for a busy machine may answer late."""
        children = Path(f"/proc/{self._postmaster}/task/{self._postmaster}/children").read_text().split()
        everybody = [self._postmaster, *map(int, children)]
        for pid in everybody:
            os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.MonkeyPatch.context() as limits:
                limits.setattr(postgresql.Limited, "answer_s", 0.5)
                limits.setattr(postgresql, "ANSWER_S", 0.5)
                limits.setattr(postgresql, "PING_S", 0.3)
                yield
        finally:
            for pid in everybody:
                os.kill(pid, signal.SIGCONT)


@pytest.fixture
def own(postgres_server: object) -> Iterator[tuple[Cloud, Frozen]]:
    """A database on a server of the test's own."""
    if POSTGRES.is_address or not Path("/proc/self/task").exists():
        missing("a server of the test's own, on Linux")
    with a_postgres_server() as server:
        settings = Settings(SECRET_KEY, database_url=server.url.render_as_string(hide_password=False))
        cloud = build(settings)
        yield cloud, Frozen(Path(str(server.url.query["host"])))
        cloud.close()


@pytest.mark.parametrize("trusted_s", [0.0, 3600.0], ids=["after a rest", "in the middle of work"])
def test_a_server_that_says_nothing_is_given_up_and_found_again(
    trusted_s: float, own: tuple[Cloud, Frozen], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a limit of our own these would wait until it goes on, and the test would never end."""
    monkeypatch.setattr(postgresql, "TRUSTED_S", trusted_s)
    cloud, server = own
    database = cloud.database
    app = create_app(cloud)

    def look() -> object:
        with database.read() as session:
            return session.scalar(text("SELECT 1"))

    assert look() == 1
    database.transact(lambda tx: tx.session.scalar(text("SELECT 1")), key="order")
    with server.frozen():
        for ask in (look, lambda: database.transact(lambda tx: tx.session.scalar(text("SELECT 1")), key="order")):
            with pytest.raises(OperationalError):
                ask()
        assert (app.test_client().get("/ready").json or {})["missing"] == ["the database does not answer"]
    assert look() == 1
