"""What `coffee-cloud backup`, `restore` and `restored` do: one moment of the database, and a return to it."""

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from sqlalchemy import URL
from sqlalchemy.exc import SQLAlchemyError

from cloud import __version__
from cloud.background import heartbeat
from cloud.backup import archive, postgres_dump, sqlite_copy
from cloud.backup.archive import BackupError, Manifest
from cloud.metrics.totals import begin_anew
from cloud.migrations import migrate
from cloud.orders.after_restore import begin_restores, note_restore
from cloud.wiring import Cloud

SQLITE, POSTGRESQL = "sqlite", "postgresql"


def back_up(cloud: Cloud, file: Path) -> Manifest:
    """Write the database, as it is now, into `file`. Raises `BackupError`."""
    revision = migrate.current(cloud.database)
    if revision is None:
        raise BackupError("this database has no tables of ours")
    cloud.database.set_clock()
    as_of, schema = cloud.clock(), ""
    with _temporary_folder(file.absolute().parent, ".coffee-backup-") as folder:
        if file.exists():
            raise BackupError(f"{file} is there already")
        copied = folder / archive.DATABASE
        if cloud.database.is_sqlite:
            sqlite_copy.copy(_file_of(cloud), copied)
        else:
            with cloud.database.engine.connect() as connection:
                schema = postgres_dump.schema_of(connection)
            postgres_dump.dump(_direct(cloud), schema, copied)
        size, sha256 = archive.digest_of(copied)
        manifest = Manifest(
            program=__version__, kind=_kind(cloud), revision=revision, as_of=as_of, schema=schema, size=size,
            sha256=sha256,
        )  # fmt: skip
        archive.write(file, manifest, copied)
    return manifest


def look_into(cloud: Cloud, file: Path) -> Manifest:
    """Whether `file` is whole, and of a kind and revision that are restored here. Raises `BackupError`."""
    with _temporary_folder(file.absolute().parent, ".coffee-restore-") as folder:
        return _unpacked(cloud, file, folder)[0]


def restore(cloud: Cloud, file: Path, *, replaces: bool) -> Manifest:
    """Put the database back to what `file` holds, and note that it was. Raises `BackupError`; then nothing changed."""
    beside = _file_of(cloud).absolute().parent if cloud.database.is_sqlite else file.absolute().parent
    with _temporary_folder(beside, ".coffee-restore-") as folder:
        manifest, database = _unpacked(cloud, file, folder)
        if cloud.database.is_sqlite:
            _into_sqlite(cloud, database, manifest, replaces)
        else:
            _into_postgresql(cloud, database, manifest, replaces)
    cloud.database.engine.dispose()
    migrate.upgrade(cloud.database)
    cloud.database.transact(begin_anew)
    begin_what_was_restored(cloud)
    return manifest


def note_snapshot(cloud: Cloud, as_of: datetime) -> None:
    """The database was put back by other means (a volume's snapshot, a server's own backup) to a state of `as_of`.

    Raises `BackupError`.
    """
    if as_of > cloud.clock():
        raise BackupError("this time has not come yet")
    _nobody_works(cloud)
    cloud.database.transact(note_restore, as_of, cloud.clock())
    cloud.database.transact(begin_anew)
    begin_what_was_restored(cloud)


def begin_what_was_restored(cloud: Cloud) -> None:
    """Before any program works on a restored database: mark what may have gone on since. Again does nothing."""
    while not cloud.database.transact(begin_restores, cloud.rules, cloud.clock()):
        pass


@contextmanager
def _temporary_folder(place: Path, prefix: str) -> Iterator[Path]:
    """A folder there until the end of the block. What the system refuses meanwhile is a `BackupError`."""
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place, prefix=prefix) as folder:
            yield Path(folder)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise BackupError(f"the disk of {place} is full") from error
        raise BackupError(f"this user must be able to write in {place} ({error.strerror or error})") from error


def _unpacked(cloud: Cloud, file: Path, folder: Path) -> tuple[Manifest, Path]:
    """The database's file; of PostgreSQL the statements that make it."""
    manifest, database = archive.unpack(file, folder)
    if manifest.kind != _kind(cloud):
        raise BackupError(f"this is a backup of {manifest.kind}, and COFFEE_DATABASE_URL names {_kind(cloud)}")
    if not migrate.is_known(manifest.revision):
        raise BackupError(f"it is at revision {manifest.revision}, which this program does not know: take a newer one")
    if manifest.kind == SQLITE:
        sqlite_copy.check(database)
    else:
        script = folder / "script.sql"
        postgres_dump.unpack(database, manifest.schema, script)
        return manifest, script
    return manifest, database


def _into_sqlite(cloud: Cloud, database: Path, manifest: Manifest, replaces: bool) -> None:
    target = _file_of(cloud)
    if sqlite_copy.holds_something(target):
        _may_replace(replaces, str(target))
        _nobody_works(cloud)
    cloud.database.engine.dispose()
    sqlite_copy.mark(database, manifest.as_of, cloud.clock())
    sqlite_copy.put_in_place(database, target)


def _into_postgresql(cloud: Cloud, script: Path, manifest: Manifest, replaces: bool) -> None:
    cloud.database.set_clock()
    with cloud.database.engine.connect() as connection:
        first = postgres_dump.makes(connection, manifest.schema)
        if postgres_dump.tables_in(connection):
            _may_replace(replaces, "the database")
            _nobody_works(cloud)
            first += postgres_dump.drops(connection)
        if (connection.dialect.server_version_info or (0,)) < (17,):
            postgres_dump.spare_an_older_server(script)
    postgres_dump.put_back(script, _direct(cloud), first, manifest.schema, manifest.as_of, cloud.clock())


def _may_replace(replaces: bool, what: str) -> None:
    if not replaces:
        raise BackupError(f"{what} is not empty: --replace puts the backup in its place, and what it holds is gone")


def _nobody_works(cloud: Cloud) -> None:
    """Raises `BackupError` while a worker gives signs of life; a database without that table has none."""
    try:
        with cloud.database.read() as session:
            alive = [worker.id for worker in heartbeat.alive(session, cloud.clock())]
    except SQLAlchemyError:
        return
    if alive:
        raise BackupError(f"{alive[0]} works on it: stop web and worker first (a killed one is missed after a minute)")


def _kind(cloud: Cloud) -> str:
    return SQLITE if cloud.database.is_sqlite else POSTGRESQL


def _file_of(cloud: Cloud) -> Path:
    return Path(cloud.database.url.database or "")


def _direct(cloud: Cloud) -> URL:
    """Past a pooler, where there is one."""
    return cloud.database.listen_url
