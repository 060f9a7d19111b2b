"""A PostgreSQL schema dumped by `pg_dump` and put back by `pg_restore` and `psql`, in one transaction.

What else is in the database (extensions, other schemas) is its administrator's and is left alone. The password goes to
them by the environment, never on a command line.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from psycopg.conninfo import make_conninfo
from sqlalchemy import URL, Connection, text

from cloud.backup.archive import BackupError

MOST_SAID = 2000
HEAD = 4096
"""Bytes at the beginning of a script in which its settings stand."""
_TIMEOUT = re.compile(rb"^SET (?=transaction_timeout = )", re.MULTILINE)
_HAS_SCHEMA = text("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = :name)")
_TABLES = text(
    "SELECT format('%I', c.relname) FROM pg_class c"
    " WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT EXISTS"
    " (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')"
    " ORDER BY 1"
)
_FUNCTIONS = text(
    "SELECT p.oid::regprocedure::text FROM pg_proc p"
    " WHERE p.pronamespace = current_schema()::regnamespace AND NOT EXISTS"
    " (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')"
    " ORDER BY 1"
)


def tables_in(connection: Connection) -> list[str]:
    """Of the schema that programs use, whosever they are but an extension's."""
    return list(connection.scalars(_TABLES))


def schema_of(connection: Connection) -> str:
    """Where our tables are."""
    return str(connection.scalar(text("SELECT current_schema()")))


def dump(url: URL, schema: str, to: Path) -> None:
    """All that is committed in it, as one moment saw it, in pg_dump's own format. Raises `BackupError`."""
    what = ["--format=custom", "--no-owner", "--no-privileges", f'--schema="{schema}"']
    _run("pg_dump", [*_to(url), *what, f"--file={to}"], url)


def makes(connection: Connection, schema: str) -> str:
    """The statement that makes the schema where it is missing. Raises `BackupError` where programs look elsewhere."""
    making = "" if connection.scalar(_HAS_SCHEMA, {"name": schema}) else f'CREATE SCHEMA "{schema}";'
    if making:
        connection.execute(text(making))  # tried, never committed: by it the search path may lead there
    if schema_of(connection) != schema:
        raise BackupError(f"its tables are in the schema {schema}: let this user's search_path begin with it")
    return making


def drops(connection: Connection) -> str:
    """The statements that empty the schema."""
    lines = [f"DROP TABLE {name} CASCADE;" for name in tables_in(connection)]
    return "\n".join([*lines, *(f"DROP FUNCTION {name} CASCADE;" for name in connection.scalars(_FUNCTIONS))])


def unpack(dumped: Path, schema: str, to: Path) -> None:
    """What of the dump is in the schema, as statements. Raises `BackupError` when it cannot be read to its end."""
    what = ["--no-owner", "--no-privileges", f"--schema={schema}"]
    _run("pg_restore", [*what, f"--file={to}", str(dumped)], None)


def spare_an_older_server(script: Path) -> None:
    """Have the script not set what came with PostgreSQL 17, as pg_restore of 17 and newer does."""
    with script.open("r+b") as file:
        head = _TIMEOUT.sub(b"--  ", file.read(HEAD))
        file.seek(0)
        file.write(head)


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
