"""The journal's file: one SQLite connection, one lock, every commit on the disk. Knows no commands.

A damaged file is kept aside under another name, never repaired and never deleted.
"""

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

FILE = "journal.db"
LOG_FILE = f"{FILE}-wal"
SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE command (
    command_id TEXT PRIMARY KEY,
    order_id TEXT NOT NULL,
    drink_no TEXT NOT NULL,
    size INTEGER NOT NULL,
    price INTEGER NOT NULL,
    issued_at TEXT,
    deadline_at TEXT,
    state TEXT NOT NULL,
    session TEXT NOT NULL,
    received_at TEXT NOT NULL,
    received_mono REAL NOT NULL,
    sent_at TEXT,
    resent INTEGER NOT NULL DEFAULT 0,
    snapshot TEXT,
    result TEXT,
    code TEXT NOT NULL DEFAULT '',
    out TEXT NOT NULL DEFAULT 'unknown',
    evidence TEXT NOT NULL DEFAULT '{}',
    revision INTEGER NOT NULL DEFAULT 0,
    finished_at TEXT,
    place INTEGER NOT NULL
) STRICT;
CREATE INDEX command_by_order ON command (order_id);
CREATE INDEX command_by_state ON command (state, place);
CREATE INDEX command_by_place ON command (place);
CREATE TABLE history (
    command_id TEXT NOT NULL REFERENCES command ON DELETE CASCADE,
    state TEXT NOT NULL,
    at TEXT NOT NULL,
    mono REAL NOT NULL,
    note TEXT NOT NULL
) STRICT;
CREATE INDEX history_by_command ON history (command_id);
CREATE TABLE outgoing (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    message_id TEXT UNIQUE,
    command_id TEXT NOT NULL,
    payload BLOB NOT NULL
) STRICT;
CREATE INDEX outgoing_by_command ON outgoing (command_id);
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
"""
ADDED = """
CREATE TABLE IF NOT EXISTS run (
    session TEXT PRIMARY KEY,
    began REAL NOT NULL,
    seen REAL NOT NULL,
    zero TEXT NOT NULL
) STRICT;
"""
ADDED_TO_COMMAND = {
    "doubted": "TEXT NOT NULL DEFAULT ''",
    "sent_session": "TEXT",
    "sent_second": "REAL",
    "finished_session": "TEXT",
    "finished_second": "REAL",
    "word": "INTEGER NOT NULL DEFAULT 0",
}
"""What older agents did not write. They read the file all the same, so its version stays.

The column `doubted` is `Command.unrecorded_code`.
"""
MARK = "journal.damaged"
"""Beside the file from the moment damage is seen until the new journal is whole: a crash in between forgets nothing."""
LEAST_FREE = 2 * 1024 * 1024
"""Bytes on the disk below which nothing new is begun: what is under way needs room for its states and its report."""
RESERVE = 512 * 1024
"""Bytes kept inside the file and its log, so that what is under way can be written to its end on a full disk."""
_PAGE_SIZE = 1024
"""Of a new file. A commit writes every page it touches: an order costs a card 74 KiB, with SQLite's 4096 185."""
_LOG_SIZE = 256 * 1024
"""The log is folded into the file when it is so long (by default 1000 pages), so that it fits into the reserve."""
_BUSY_S = 5.0
"""Only a reader of ours can hold the file, and never for long."""
_PARTS = ("", "-wal", "-shm")
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class JournalFailed(Exception):
    """The journal could not be read or written; whatever was to follow must not happen."""


class OtherVersion(JournalFailed):
    """The journal is sound and another version of the agent wrote it."""


class Unreadable(JournalFailed):
    """The disk or its lock does not let it be read just now: nothing is known against the journal itself."""


class SqliteFile:
    """The one connection of this process. Transactions nest: the outermost commits."""

    def __init__(self, connection: sqlite3.Connection, folder: Path, damaged: str) -> None:
        self._connection = connection
        self._folder = folder
        self._lock = threading.RLock()
        self._depth = 0
        self._words: dict[str, str] | None = None
        """The table `meta` as this process, its only writer, left it; None: to be read again."""
        self._lines: list[Callable[[], None]] = []
        """What the transaction under way will have done."""
        self.damaged = damaged
        """Where the damaged file was put aside just now; "" when all is well."""
        self.failure = ""
        """Why the file last failed us; "" again after the next good commit."""
        self.is_damaged = False
        """Found damaged while in use: only a new start, which puts it aside, helps."""

    @classmethod
    def open(cls, folder: Path, now: datetime) -> Self:
        """Open or create the journal; a damaged one is put aside first. Raises `JournalFailed`."""
        path = folder / FILE
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if (folder / MARK).exists():
                return cls._afresh(folder, now)
            try:
                return cls(_connect(path), folder, "")
            except sqlite3.OperationalError:
                raise  # a full or read-only disk: the file itself is not at fault
            except sqlite3.DatabaseError:
                (folder / MARK).touch()
                return cls._afresh(folder, now)
        except (sqlite3.Error, OSError) as error:
            raise JournalFailed(f"{path}: {error}") from error

    @classmethod
    def _afresh(cls, folder: Path, now: datetime) -> Self:
        """The caller has to remember the loss and then call `forget_damage`."""
        aside = _put_aside(folder / FILE, now)
        return cls(_connect(folder / FILE), folder, aside)

    def forget_damage(self) -> None:
        """The new journal knows that the old one was lost; from now on it is an ordinary one. Raises `OSError`."""
        (self._folder / MARK).unlink(missing_ok=True)

    def shortage(self) -> str:
        """Why nothing can be begun on this disk: there is too little room, or it cannot be written; else ""."""
        try:
            self._open_for_writing()
            told = os.statvfs(self._folder)
        except OSError as error:
            return f"{self._folder}: {error.strerror}"
        free = told.f_bavail * told.f_frsize
        return "" if free >= LEAST_FREE else f"only {free // 1024} KiB free at {self._folder}"

    def _open_for_writing(self) -> None:
        """Refused by a disk that the system has made read-only, also where it does not say so (ext4's `emergency_ro`).

        Writes nothing. The log, for closing the file itself would take SQLite's locks off it. Raises `OSError`.
        """
        with suppress(FileNotFoundError):
            os.close(os.open(self._folder / LOG_FILE, os.O_WRONLY | os.O_CLOEXEC))

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A transaction: on the disk when the block ends, gone when it raises. Raises `JournalFailed`."""
        lines: list[Callable[[], None]] = []
        with self._lock:
            outermost = self._depth == 0
            self._depth += 1
            try:
                if outermost:
                    self._refuse_damaged()
                    self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                if outermost:
                    self._connection.execute("COMMIT")
                    self.failure = ""
                    lines = self._lines
            except BaseException as error:
                if outermost:
                    self._words = None
                    with suppress(sqlite3.ProgrammingError):  # closed, which undoes it as well
                        if self._connection.in_transaction:
                            self._connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error):
                    raise self._failed(error) from error
                raise
            finally:
                self._depth -= 1
                if outermost:
                    self._lines = []
        for say in lines:
            say()

    def log_after_commit(
        self, say: Callable[..., None], words: str, *parts: object, extra: Mapping[str, object]
    ) -> None:
        """Log what the transaction under way does, once it is on the disk; at once where none is."""
        line = partial(say, words, *parts, extra=extra)
        with self._lock:
            if self._depth:
                self._lines.append(line)
                return
        line()

    @contextmanager
    def relaxed(self) -> Iterator[sqlite3.Connection]:
        """A transaction that a power cut may undo until the next ordinary one is on the disk; a crash of ours undoes
        nothing of it. Raises `JournalFailed`.
        """
        with self._lock:
            if self._depth == 0:
                with self.reading() as connection:
                    connection.execute("PRAGMA synchronous = NORMAL")
            try:
                with self.transaction() as connection:
                    yield connection
            finally:
                if self._depth == 0:
                    self._connection.execute("PRAGMA synchronous = FULL")

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, for a look. Raises `JournalFailed`."""
        with self._lock:
            try:
                yield self._connection
            except sqlite3.Error as error:
                raise self._failed(error) from error

    def _refuse_damaged(self) -> None:
        if self.is_damaged:
            raise JournalFailed(self.failure)

    def _failed(self, error: sqlite3.Error) -> JournalFailed:
        self.failure = str(error)
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE and not self.is_damaged:
            self.is_damaged = True
            self._mark_damaged()
        return JournalFailed(self.failure)

    def _mark_damaged(self) -> None:
        """As much as can be done: without the mark the check at the next start finds the damage itself."""
        with suppress(OSError):
            (self._folder / MARK).touch()

    def get(self, key: str) -> str:
        """A remembered word; "" when there is none."""
        with self.reading() as connection:
            if self._words is None:
                self._words = {row["key"]: row["value"] for row in connection.execute("SELECT key, value FROM meta")}
            return self._words.get(key, "")

    def put(self, key: str, value: str) -> None:
        with self.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))
            if self._words is not None:
                self._words[key] = value

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def open_read_only(folder: Path) -> Iterator[sqlite3.Connection]:
    """A read-only connection, for programs that only look at the journal. Raises `JournalFailed`."""
    path = folder / FILE
    if not path.exists():
        raise JournalFailed(f"no agent has run with {folder}")
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_S)
    except sqlite3.Error as error:
        raise JournalFailed(f"{path}: {error}") from error
    try:
        connection.row_factory = sqlite3.Row
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise OtherVersion(
                f"written by a newer agent (version {version} of the file, this one knows {SCHEMA_VERSION})"
            )
        yield connection
    except sqlite3.OperationalError as error:  # as in `SqliteFile.open`: the file itself is not at fault
        raise Unreadable(f"{path}: {error}") from error
    except sqlite3.Error as error:
        raise JournalFailed(f"{path}: {error}") from error
    finally:
        connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    if not any(path.with_name(path.name + suffix).exists() for suffix in _PARTS):
        _create(path)
    connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        _prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _create(path: Path) -> None:
    """Whole, or not at all: an empty file under the journal's name is one that lost its memory."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    connection = sqlite3.connect(fresh, isolation_level=None)
    try:
        connection.execute(f"PRAGMA page_size = {_PAGE_SIZE}")
        connection.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
    finally:
        connection.close()
    fresh.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _prepare(connection: sqlite3.Connection) -> None:
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    page_size = int(connection.execute("PRAGMA page_size").fetchone()[0])
    connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_SIZE // page_size}")
    verdict = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]  # indexes too: a lost entry denies a drink
    if verdict != "ok":
        raise sqlite3.DatabaseError(f"integrity_check: {verdict}")
    _check_version(connection)
    _add_what_is_new(connection)
    _keep_reserve(connection)


def _check_version(connection: sqlite3.Connection) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        raise sqlite3.DatabaseError("the file is there but empty: its memory is gone")
    if version != SCHEMA_VERSION:
        raise sqlite3.OperationalError(f"written by another version of the agent ({version})")


def _add_what_is_new(connection: sqlite3.Connection) -> None:
    known = {row["name"] for row in connection.execute("PRAGMA table_info(command)")}
    missing = [
        f"ALTER TABLE command ADD COLUMN {name} {kind};" for name, kind in ADDED_TO_COMMAND.items() if name not in known
    ]
    if missing:
        connection.executescript(f"BEGIN; {ADDED} {' '.join(missing)} COMMIT;")


def _keep_reserve(connection: sqlite3.Connection) -> None:
    """Grow the log, then the file, by the reserve; both keep the room when what filled it is deleted."""
    with suppress(sqlite3.OperationalError):  # a disk that is full already: selling waits for room anyway
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('reserve', ?)", ("x" * RESERVE,))
        connection.execute("DELETE FROM meta WHERE key = 'reserve'")
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")


def _put_aside(path: Path, now: datetime) -> str:
    name = f"{path.name}.damaged-{now.strftime('%Y%m%dT%H%M%S%f')}"
    taken = sum(1 for _ in path.parent.glob(f"{name}*"))  # a clock that begins anew at each boot says the same again
    kept = path.with_name(f"{name}-{taken}" if taken else name)
    for suffix in _PARTS:
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(kept.with_name(kept.name + suffix))
    return str(kept)
