"""PostgreSQL crashes in the middle of an order and is started again: the order ends as it should."""

import os
import pwd
import shlex
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.mosquitto import a_mosquitto
from tests.postgres import PostgresServer, a_postgres_server
from tests.programs import Program
from tests.real_parts import POSTGRES, missing
from tests.system.conftest import judged
from tests.system.promises import let_leases_run_out, wait_kept
from tests.system.restartable import wait_who_says
from tests.system.world import World
from tests.waiting import wait_until

pytestmark = pytest.mark.long
FORGIVEN = ("psycopg", "OperationalError", "InvalidatePoolError", "DisconnectionError")
"""What everybody says who misses the database."""


class CrashingServer:
    """A PostgreSQL server of the test's own that can be made to crash and come back."""

    def __init__(self, server: PostgresServer, closing: ExitStack) -> None:
        self._server = server
        self._folder = Path(str(server.url.query["host"]))
        self._pid_file = self._folder / "data" / "postmaster.pid"
        self._closing = closing

    def crash(self) -> None:
        """No farewell to anybody; what was committed stays."""
        os.kill(int(self._pid_file.read_text().split()[0]), signal.SIGQUIT)
        wait_until(lambda: not self._pid_file.exists(), what="the database to be gone")

    def start(self) -> None:
        """As it was started before."""
        argv = shlex.split((self._folder / "data" / "postmaster.opts").read_text())
        user = pwd.getpwuid(self._pid_file.parent.stat().st_uid).pw_name if os.geteuid() == 0 else None
        log = self._folder / "again.log"
        again = Program(argv, log=log, cwd=self._folder, user=user, farewell=signal.SIGINT, orphaned=self._folder)
        self._closing.enter_context(again)
        again.wait_until_ready(self._server.answers)


@pytest.fixture(scope="module")
def own(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[World, CrashingServer]]:
    """A world with a server and a broker of its own. (`postgres_server` is asked for so that a missing one skips.)"""
    if POSTGRES.is_address:
        missing("the server named in the environment cannot be restarted by a test")
    folder = tmp_path_factory.mktemp("own")
    with a_postgres_server() as server, ExitStack() as closing, a_mosquitto(folder / "mosquitto") as broker:
        crashing = CrashingServer(server, closing)
        url = server.url.render_as_string(hide_password=False)
        with World(folder, broker, url) as world:
            yield world, crashing


@pytest.mark.parametrize(
    ("who", "says"),
    [
        ("worker", "order pending -> paid"),
        ("worker", "make published"),
        ("worker", "event=machine_accepted"),
        ("agent", " brewing "),
        ("worker", "-> successful"),
        ("worker", "capture owed"),
    ],
)
def test_crashed_when(who: str, says: str, own: tuple[World, CrashingServer]) -> None:
    world, database = own
    with judged(world, FORGIVEN):
        bought = world.buy()
        wait_who_says(world.workers if who == "worker" else [world.agent], says, bought.order_id)
        database.crash()
        database.start()
        world.wait_ready()
        world.database.engine.dispose()  # the test's own connections died too
        let_leases_run_out(world, of_the_living=True)  # whoever missed the database keeps what it had taken
        assert wait_kept(world, bought).status in {"successful", "make_failed"}
        assert all(program.pid for program in world.programs)
