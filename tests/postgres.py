"""A real PostgreSQL for the tests of one process: one server in a folder of its own, a fresh database for each test."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy.engine import URL, make_url

from tests.programs import Program
from tests.real_parts import POSTGRES

# Durability against a power cut is not what tests ask of it; surviving kill -9 needs none of this.
_FAST = ("fsync=off", "full_page_writes=off", "autovacuum=off", "shared_buffers=32MB", "max_connections=200")


class PostgresServer:
    """A server; `url` is its maintenance database."""

    def __init__(self, url: URL) -> None:
        self.url = url

    @contextmanager
    def fresh_database(self, like: str = "template1") -> Iterator[str]:
        """A database for the length of the block, empty or a copy of the named one: its `postgresql+psycopg://` URL."""
        name = f"coffee_test_{uuid.uuid4().hex}"
        self._create(name, like)
        try:
            yield self.url.set(database=name).render_as_string(hide_password=False)
        finally:
            self._run(sql.SQL("DROP DATABASE {} WITH (FORCE)"), name)

    def connected(self, database: str = "") -> psycopg.Connection:
        """To this database, or the one of maintenance; each statement is its own transaction."""
        plain = self.url.set(drivername="postgresql", database=database or self.url.database)
        return psycopg.connect(plain.render_as_string(hide_password=False), autocommit=True)

    def answers(self) -> bool:
        try:
            self._run(sql.SQL("SELECT 1"))
        except psycopg.OperationalError:
            return False
        return True

    def _create(self, name: str, like: str) -> None:
        """As a copy of files where that has to be said: through the log, as since 15, it costs four times as much."""
        with self.connected() as connection:
            how = sql.SQL(" STRATEGY FILE_COPY" if connection.info.server_version >= 150_000 else "")
            copied = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(like))
            connection.execute(copied + how)

    def _run(self, statement: sql.SQL, *names: str) -> None:
        with self.connected() as connection:
            connection.execute(statement.format(*map(sql.Identifier, names)))


@contextmanager
def a_postgres_server() -> Iterator[PostgresServer]:
    """A server for the length of the block: the one named in the environment, or one of its own."""
    if POSTGRES.is_address:
        yield PostgresServer(make_url(POSTGRES.program).set(drivername="postgresql+psycopg"))
        return
    folder = Path(tempfile.mkdtemp(prefix="coffee-pg-"))  # a short path: a socket's name has 107 characters at most
    try:
        yield from _serve(folder)
    finally:
        shutil.rmtree(folder)


def _serve(folder: Path) -> Iterator[PostgresServer]:
    user = user_to_become()
    if user is not None:
        shutil.chown(folder, user)
    data = folder / "data"
    initdb = Path(POSTGRES.program).resolve().with_name("initdb")
    subprocess.run(
        [initdb, "-N", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"],
        cwd=folder,
        user=user,
        group=None if user is None else pwd.getpwnam(user).pw_gid,
        extra_groups=None if user is None else [],
        check=True,
        capture_output=True,
    )
    settings = [*_FAST, "listen_addresses=", f"unix_socket_directories={folder}"]
    command = [POSTGRES.program, "-D", data, *(word for setting in settings for word in ("-c", setting))]
    server = PostgresServer(
        URL.create("postgresql+psycopg", username="postgres", database="postgres", query={"host": str(folder)})
    )
    log = folder / "server.log"
    with Program(command, log=log, cwd=folder, user=user, farewell=signal.SIGINT, orphaned=folder) as program:
        program.wait_until_ready(server.answers)
        yield server


def user_to_become() -> str | None:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
