"""The doctor's look at this computer: clock, folder and its rights, disk, journal, and whether selling was stopped."""

import grp
import os
import pwd
import shutil
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from agent.doctor.findings import BAD, GOOD, WARN, Finding
from agent.journal.sqlite_file import FILE, LEAST_FREE, JournalFailed, OtherVersion, Unreadable, open_read_only
from agent.show import why_stopped

ENOUGH_BYTES = 50 * 1024 * 1024
EARLIEST = datetime(2025, 1, 1, tzinfo=UTC)
"""A clock before this was never set."""


def examine(state_dir: Path) -> Iterator[Finding]:
    """`state_dir` need not exist yet."""
    yield clock(datetime.now(UTC))
    if not state_dir.is_dir():
        yield _place_to_be(state_dir)
        return
    denied = next(_denied(state_dir), None)
    if denied is not None:
        yield denied
        return
    yield Finding(GOOD, "permissions", f"{_me()} may write {state_dir}")
    yield disk(state_dir, shutil.disk_usage(state_dir).free)
    yield from _journal(state_dir)


def clock(now: datetime) -> Finding:
    """Judged by itself; `broker.py` compares it with the cloud's."""
    if now >= EARLIEST:
        return Finding(GOOD, "clock", f"{now:%Y-%m-%d %H:%M:%S} UTC")
    advice = "set it (timedatectl set-ntp true); until then the agent goes by the cloud's clock"
    return Finding(WARN, "clock", f"it says {now:%Y-%m-%d}, so it was never set; {advice}")


def disk(state_dir: Path, free: int) -> Finding:
    """How much room is left for the journal."""
    left = f"{free // 2**20} MiB free at {state_dir}"
    if free < LEAST_FREE:
        return Finding(BAD, "disk", f"{left}: nothing is sold; make room (journalctl --vacuum-size=50M is a start)")
    if free < ENOUGH_BYTES:
        return Finding(WARN, "disk", f"only {left}; make room before it is full and selling stops")
    return Finding(GOOD, "disk", left)


def _place_to_be(state_dir: Path) -> Finding:
    """The folder is missing: could the agent make it?"""
    parent = next(folder for folder in state_dir.absolute().parents if folder.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        words = f"{state_dir} does not exist and {_me()} may not make it; make it and give it to the agent's user"
        return Finding(BAD, "permissions", words)
    return Finding(WARN, "disk", f"{state_dir} does not exist yet; `coffee-agent run` makes it")


def _denied(state_dir: Path) -> Iterator[Finding]:
    """What of the folder this user may not write."""
    for path in (state_dir, *sorted(state_dir.glob(f"{FILE}*")), state_dir / "agent.lock"):
        needed = os.R_OK | os.W_OK | (os.X_OK if path.is_dir() else 0)
        if path.exists() and not os.access(path, needed):
            owner = _owner(path)
            words = (
                f"{_me()} may not write {path}, which belongs to {owner}; run this as {owner}, or give it to {_me()}"
            )
            yield Finding(BAD, "permissions", words)


def _journal(state_dir: Path) -> Iterator[Finding]:
    if any(state_dir.glob(f"{FILE}.damaged-*")):
        yield Finding(WARN, "journal", f"a damaged one was put aside in {state_dir}; look at it, keep it")
    if not (state_dir / FILE).exists():
        yield Finding(GOOD, "journal", "none yet")
        return
    try:
        with open_read_only(state_dir) as connection:
            verdict = _check(connection)
            stopped = why_stopped(connection) if verdict == "ok" else ""
    except OtherVersion as other:
        yield Finding(BAD, "journal", f"{other}; install that version of the agent again: this one will not start")
        return
    except Unreadable as failed:
        advice = "the disk is full or failing, or a program holds the file; make room, or change the card"
        yield Finding(
            BAD, "journal", f"cannot be read now ({failed}): {advice}; keep the file, a restart does not help"
        )
        return
    except JournalFailed as failed:
        verdict, stopped = str(failed), ""
    if verdict != "ok":
        words = (
            f"damaged ({verdict}); restart the agent: it puts the file aside, starts a new one and asks for a person"
        )
        yield Finding(BAD, "journal", words)
        return
    yield Finding(GOOD, "journal", "sound")
    if stopped:
        yield Finding(BAD, "selling", f"stopped: {stopped}")


def _check(connection: sqlite3.Connection) -> str:
    return str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])


def _owner(path: Path) -> str:
    number = path.stat().st_uid
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


def _me() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"user {os.geteuid()}"


def group_of(path: Path) -> str:
    """The group a device belongs to, by name where it has one."""
    number = path.stat().st_gid
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return f"group {number}"
