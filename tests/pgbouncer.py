"""A real PgBouncer before a test's PostgreSQL: sessions that are lent for a session, or for a transaction only."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.engine import URL, make_url

from tests.postgres import user_to_become
from tests.programs import Program, answers, free_port
from tests.real_parts import PGBOUNCER

_CONFIGURATION = """\
[databases]
* = host={host} port={port} user={user}{password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen_port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = {sessions}
"""


@contextmanager
def a_pgbouncer(server_url: str, mode: str, port: int = 0, sessions: int = 8) -> Iterator[str]:
    """The same database through a pooler (on this port), for the length of the block: its URL."""
    server = make_url(server_url)
    folder = Path(tempfile.mkdtemp(prefix="coffee-pgb-"))
    user, port = user_to_become(), port or free_port()
    try:
        if user is not None:
            shutil.chown(folder, user)
        configuration = folder / "pgbouncer.ini"
        configuration.write_text(_configuration(server, port, mode, sessions))
        command = [PGBOUNCER.program, "-q", configuration]
        with Program(command, log=folder / "log", cwd=folder, user=user, orphaned=folder) as program:
            program.wait_until_ready(lambda: answers(port))
            yield through(server_url, port)
    finally:
        shutil.rmtree(folder)


def through(server_url: str, port: int) -> str:
    """The URL of the same database at a pooler on this port."""
    pooler = make_url(server_url).set(host="127.0.0.1", port=port, password=None, query={})
    return pooler.render_as_string(hide_password=False)


def _configuration(server: URL, listen_port: int, mode: str, sessions: int) -> str:
    return _CONFIGURATION.format(
        host=server.host or server.query["host"],
        port=server.port or 5432,
        user=server.username,
        password=f" password={server.password}" if server.password else "",
        listen_port=listen_port,
        mode=mode,
        sessions=sessions,
    )
