"""A PostgreSQL database dumped by `pg_dump` and put back by `pg_restore` and `psql`, in one transaction.

The password goes to them by the environment, never on a command line.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from psycopg.conninfo import make_conninfo
from sqlalchemy import URL, Connection, text

from cloud.backup.archive import BackupError

MOST_SAID = 2000
_TABLES = text("SELECT format('%I', tablename) FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1")
_FUNCTIONS = text(
    "SELECT p.oid::regprocedure::text FROM pg_proc p WHERE p.pronamespace = current_schema()::regnamespace"
    " AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e') ORDER BY 1"
)


def tables_in(connection: Connection) -> list[str]:
    """Of the schema that programs use, whosever they are."""
    return list(connection.scalars(_TABLES))


def schema_of(connection: Connection) -> str:
    """Where our tables are."""
    return str(connection.scalar(text("SELECT current_schema()")))


def dump(url: URL, to: Path) -> None:
    """All that is committed, as one moment saw it, in pg_dump's own format. Raises `BackupError`."""
    _run("pg_dump", [*_to(url), "--format=custom", "--no-owner", "--no-privileges", f"--file={to}"], url)


def drops(connection: Connection) -> str:
    """The statements that empty the schema."""
    lines = [f"DROP TABLE {name} CASCADE;" for name in tables_in(connection)]
    return "\n".join([*lines, *(f"DROP FUNCTION {name} CASCADE;" for name in connection.scalars(_FUNCTIONS))])


def unpack(dumped: Path, to: Path) -> None:
    """The dump as statements. Raises `BackupError` when pg_restore cannot read it to its end."""
    _run("pg_restore", ["--no-owner", "--no-privileges", f"--file={to}", str(dumped)], None)


def put_back(script: Path, url: URL, first: str, schema: str, as_of: datetime, now: datetime) -> None:
    """Everything in one transaction: `first`, the script, and the mark that it was restored. Raises `BackupError`."""
    times = f"'{as_of.isoformat()}', '{now.isoformat()}'"
    mark = f'INSERT INTO "{schema}".restores (as_of, restored_at) VALUES ({times});'  # noqa: S608  (our own words)
    how = ["--quiet", "--no-psqlrc", "--single-transaction", "--set=ON_ERROR_STOP=1", "--output=/dev/null"]
    steps = [*([f"--command={first}"] if first else []), f"--file={script}", f"--command={mark}"]
    _run("psql", [*_to(url), *how, *steps], url)


def _run(name: str, arguments: Sequence[str], url: URL | None) -> None:
    done = subprocess.run([_program(name), *arguments], env=_environment(url), capture_output=True, check=False)
    if done.returncode != 0:
        raise BackupError(f"{name}: {done.stderr.decode(errors='replace').strip()[-MOST_SAID:]}")


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise BackupError(f"{name} is not installed here (Debian: postgresql-client)")
    return found


def _to(url: URL) -> list[str]:
    _, named = url.get_dialect()().create_connect_args(url)
    named.pop("password", None)
    return [f"--dbname={make_conninfo(**named)}"]


def _environment(url: URL | None) -> dict[str, str]:
    environ = dict(os.environ)
    if url is not None and url.password:
        environ["PGPASSWORD"] = str(url.password)
    return environ
