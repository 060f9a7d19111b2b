"""A PostgreSQL of the bench's own, as durable as a merchant's: found on this machine, in a folder that is removed."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from bench.programs import Running

_PLACES = ("/usr/lib/postgresql", "/opt/homebrew/opt")
_SETTINGS = ("shared_buffers=128MB", "listen_addresses=", "max_connections=100")


def find() -> Path | None:
    """The newest `postgres` here, or None."""
    on_path = shutil.which("postgres")
    if on_path:
        return Path(on_path).resolve()
    found = [path for place in _PLACES for path in Path(place).glob("*/bin/postgres")]
    return max(found, key=lambda path: (len(path.parts[-3]), path.parts[-3]), default=None)


@contextmanager
def a_postgres(program: Path, folder: Path) -> Iterator[tuple[str, Running]]:
    """The URL of an empty database on a running server, and the server."""
    user = _user_to_become()
    folder.mkdir()
    if user is not None:
        shutil.chown(folder, user)
    become = {} if user is None else {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}
    data = folder / "data"
    initdb = [program.with_name("initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"]
    subprocess.run(initdb, cwd=folder, check=True, capture_output=True, **become)  # type: ignore[call-overload]  # a mixed dict
    options = [word for setting in (*_SETTINGS, f"unix_socket_directories={folder}") for word in ("-c", setting)]
    server = Running("postgresql", [str(program), "-D", str(data), *options], folder, os.environ, user=user)
    server.start()
    try:
        server.wait_for(lambda: _answers(folder), 30)
        yield f"postgresql+psycopg://postgres@/postgres?host={folder}", server
    finally:
        server.stop()


def _answers(folder: Path) -> bool:
    try:
        psycopg.connect(host=str(folder), user="postgres", dbname="postgres").close()
    except psycopg.OperationalError:
        return False
    return True


def _user_to_become() -> str | None:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
