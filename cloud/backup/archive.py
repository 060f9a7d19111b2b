"""The file of a backup: a tar of `manifest.json` and `database`, written whole or not at all, checked before use."""

import hashlib
import io
import os
import shutil
import tarfile
from datetime import datetime
from pathlib import Path

import msgspec

from protocol import json_text

MANIFEST, DATABASE = "manifest.json", "database"
FORMAT = 1
CHUNK = 1 << 20
MANIFEST_AT_MOST = 64 * 1024


class BackupError(Exception):
    """Why there is no backup, or nothing was restored; for a person."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup is of."""

    format: int = FORMAT
    program: str
    kind: str
    """`sqlite` or `postgresql`; one is not restored into the other."""
    revision: str
    as_of: datetime
    """Whatever was committed by then is in it."""
    schema: str = ""
    """Where the tables are, in PostgreSQL."""
    size: int
    sha256: str


def digest_of(file: Path) -> tuple[int, str]:
    """How long a file is, and its SHA-256."""
    with file.open("rb") as read:
        return file.stat().st_size, hashlib.file_digest(read, "sha256").hexdigest()


def write(file: Path, manifest: Manifest, database: Path) -> None:
    """Put them into `file`, which nobody else may read; it appears only when it is whole and on the disk.

    `database` lies on the same disk, in a folder that is thrown away, and with it what is half done.
    """
    part = database.with_name(f"{database.name}.part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
            said = msgspec.json.format(msgspec.json.encode(manifest))
            about = tarfile.TarInfo(MANIFEST)
            about.size = len(said)
            tar.addfile(about, io.BytesIO(said))
            tar.add(database, DATABASE)
        out.flush()
        os.fsync(out.fileno())
    part.rename(file)
    to_disk(file.parent)


def unpack(file: Path, folder: Path) -> tuple[Manifest, Path]:
    """The manifest, and the database's file in `folder`, as it was written. Raises `BackupError`."""
    try:
        with tarfile.open(file, mode="r:") as tar:
            manifest = _manifest_in(tar)
            database = folder / DATABASE
            inside = tar.extractfile(DATABASE)
            if inside is None:
                raise BackupError(f"{file} holds no database")
            with os.fdopen(os.open(database, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
                shutil.copyfileobj(inside, out, CHUNK)
    except (tarfile.TarError, KeyError, json_text.NotJson) as error:
        raise BackupError(f"{file} is no backup of coffee-cloud, or was cut off: {error}") from error
    except OSError as error:
        raise BackupError(f"{file} cannot be read: {error.strerror}") from error
    if digest_of(database) != (manifest.size, manifest.sha256):
        raise BackupError(f"{file} is damaged: its database is not the one that was written")
    return manifest, database


def _manifest_in(tar: tarfile.TarFile) -> Manifest:
    inside = tar.extractfile(MANIFEST)
    manifest = json_text.decode(inside.read(MANIFEST_AT_MOST) if inside is not None else b"", Manifest)
    if manifest.format != FORMAT:
        raise BackupError(f"this backup has format {manifest.format}; this program reads {FORMAT}")
    return manifest


def to_disk(folder: Path) -> None:
    """The names in it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
