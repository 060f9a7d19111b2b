"""The journal and the status file in words for people. Reads only."""

import json
import shutil
import sqlite3
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from agent import status_file
from agent.folder_lock import is_running
from agent.journal.records import Command, CommandState
from agent.journal.report_queue import EVENTS_WAITING, REPORTS_WAITING
from agent.journal.rows import read_command, steps
from agent.journal.sales_block import needs_person
from agent.journal.sqlite_file import LEAST_FREE, JournalFailed, open_read_only
from protocol.reasons import AgentCode, RejectCode, Spout

_SAID = {
    CommandState.RECEIVED: "received and waiting its turn; nothing was sent to the machine",
    CommandState.INTENT: "about to be sent; nothing has reached the machine yet",
    CommandState.SENT: "sent; the machine has not answered yet",
    CommandState.ACCEPTED: "the machine has taken it and will start",
    CommandState.BREWING: "being made",
    CommandState.DONE: "poured",
    CommandState.REJECTED: "refused: certainly nothing was poured",
    CommandState.UNKNOWN: "nobody can say whether it was poured; the cloud decides about the money",
}
_WHY: dict[str, str] = {
    AgentCode.EXPIRED: "it came, or its turn came, after its deadline",
    AgentCode.CANCELLED: "the cloud took it back in time",
    AgentCode.NEVER_RECEIVED: "the cloud asked about it and it had never come",
    AgentCode.NEVER_SENT: "the agent stopped before a byte went to the machine",
    AgentCode.NEVER_STARTED: "bytes went out and the machine proves that it never began",
    AgentCode.CONFLICT: "its order has another command that may have poured",
    AgentCode.MACHINE_OFFLINE: "the machine did not answer",
    AgentCode.NOT_SELLING: "selling was stopped until a person has looked",
    AgentCode.STORAGE: "there was no room to write it down",
    RejectCode.BUSY: "the machine was busy with another",
}
"""Codes of the agent and the machine in words; a fault's own name says enough."""


def said(state_dir: Path) -> dict[str, Any]:
    """What the agent that runs last wrote about itself; empty when that cannot be read."""
    try:
        told = json.loads((state_dir / status_file.NAME).read_text())
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def status(state_dir: Path) -> tuple[list[str], bool]:
    """What the agent last wrote about itself, whether it sells, and each thing that stands in the way."""
    try:
        path = state_dir / status_file.NAME
        said: dict[str, Any] = json.loads(path.read_text())
        age = time.time() - path.stat().st_mtime
    except FileNotFoundError:
        since = ", or none since this computer started" if (state_dir / status_file.NAME).is_symlink() else ""
        return [f"no agent has run with {state_dir}{since}"], False
    except (OSError, ValueError, KeyError, TypeError) as error:
        return [f"what the agent wrote about itself cannot be read: {error}"], False
    runs = is_running(state_dir)
    figures, journal = _figures(state_dir)
    wrong = [*_troubles(said, age, state_dir, runs=runs), *journal]
    lines = [f"agent: {'running' if runs else 'not running'} (version {said.get('agent_version')}, {age:.0f} s ago)"]
    told = {name: plain(said.get(name)) for name in _TOLD} | {"selling": "no" if wrong else "yes"}
    lines += [f"{name.replace('_', ' ')}: {words}" for name, words in told.items() if words]
    return [*lines, *figures, *(f"{NOT_SELLING} {words}" for words in wrong)], not wrong


NOT_SELLING = "not selling:"
"""Each reason stands on a line that begins so."""
_TOLD = (
    "device_uuid", "broker", "cloud", "line", "machine", "selling", "busy_order", "faults", "counters", "set_from_afar",
)  # fmt: skip
STALE_S = status_file.LATE * status_file.EVERY_S
"""A running agent that has said nothing of itself for so long is stuck, or cannot write; it may allow itself more."""


def _troubles(said: Mapping[str, Any], age: float, state_dir: Path, *, runs: bool) -> Iterator[str]:
    """Why no drink could be sold just now. What an agent said before it ended, or got stuck, is no news of today."""
    free = shutil.disk_usage(state_dir).free
    if free < LEAST_FREE:
        yield f"the disk is full, {free // 1024} KiB free at {state_dir}"
    if not runs:
        yield "the agent does not run (systemctl start coffee-agent)"
    elif abs(age) > said.get("fresh_for_s", STALE_S):
        yield f"the agent runs and has said nothing of itself for {abs(age):.0f} s; is it stuck, did the clock jump?"
    else:
        if said.get("broker") != "connected":
            yield "the broker is not connected, so no order can come; `coffee-agent doctor` says why"
        elif said.get("cloud") == "does not answer":
            yield "the cloud does not answer, so no order can come; `coffee-agent doctor` says what to look at"
        yield from _refusal(said)


def _refusal(said: Mapping[str, Any]) -> Iterator[str]:
    code = said.get("refuses", "")
    if said.get("reason"):
        yield str(said["reason"])
    elif code == AgentCode.MACHINE_OFFLINE:
        yield f"the machine does not answer, its line is {said.get('line')}; `coffee-agent doctor` says why"
    elif code and code != RejectCode.BUSY:
        yield f"the machine cannot make anything now: {code}"


def plain(value: Any) -> str:
    """A value in words."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case dict():
            return ", ".join(f"{name} {plain(one)}" for name, one in value.items())
        case list():
            return ", ".join(map(str, value))
    return str(value)


def _figures(state_dir: Path) -> tuple[list[str], list[str]]:
    """What the journal holds, and what is wrong with it."""
    try:
        with open_read_only(state_dir) as connection:
            states = connection.execute("SELECT state, count(*) FROM command GROUP BY state ORDER BY state").fetchall()
            waiting = connection.execute(f"SELECT {REPORTS_WAITING}").fetchone()[0]
            events = connection.execute(f"SELECT {EVENTS_WAITING}").fetchone()[0]
    except JournalFailed as failed:
        return [], [f"journal: {failed}"]
    commands = ", ".join(f"{count} {state}" for state, count in states) or "none yet"
    figures = [
        f"commands: {commands}",
        f"reports waiting for the cloud: {waiting}",
        f"events waiting for the cloud: {events}",
    ]
    return figures, []


def why_stopped(connection: sqlite3.Connection) -> str:
    """Why nothing may be sold until a person has decided, or ""."""

    def get(key: str) -> str:
        row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return str(row[0]) if row else ""

    return needs_person(get)


def commands(state_dir: Path, limit: int) -> list[str]:
    """The newest commands, a line each and one that explains it. Raises `JournalFailed`."""
    with open_read_only(state_dir) as connection:
        rows = connection.execute("SELECT * FROM command ORDER BY place DESC LIMIT ?", (limit,)).fetchall()
        stopped = why_stopped(connection)
    found = [read_command(row) for row in rows]
    lines = [line for one in found for line in (_line(one), f"    {explain(one)}")] or ["no commands yet"]
    return [f"nothing is sold: {stopped}", *lines] if stopped else lines


def command(state_dir: Path, wanted: str) -> list[str]:
    """Everything about one command, or about every command of one order. Raises `JournalFailed`."""
    lines: list[str] = []
    with open_read_only(state_dir) as connection:
        sql = "SELECT * FROM command WHERE command_id = ? OR order_id = ? ORDER BY place"
        for row in connection.execute(sql, (wanted, wanted)).fetchall():
            one = read_command(row)
            lines += [f"command {one.command_id} of order {one.order_id}", f"  {explain(one)}"]
            lines += [f"  drink {one.drink_no}, size {one.size}, {one.price / 100:.2f}, start by {one.deadline_at}"]
            lines += [f"  {step}" for step in steps(connection, one.command_id)]
            sql = "SELECT count(*) FROM outgoing WHERE command_id = ?"
            waiting = connection.execute(sql, (one.command_id,)).fetchone()[0]
            lines += [f"  {waiting} reports wait for the cloud" if waiting else "  the cloud has been told"]
    return lines


def explain(one: Command) -> str:
    """One sentence: what is known about this drink, and why."""
    said = _SAID.get(one.state, "")
    verdict = one.verdict
    if verdict is None:
        return said
    if one.state is CommandState.FAILED:
        came_out = {Spout.NONE: "nothing", Spout.PARTIAL: "a part", Spout.FULL: "all of it"}
        said = f"failed; {came_out.get(verdict.out, 'something unknown')} came out"
    why = "; ".join(part for part in (_WHY.get(verdict.code, verdict.code), verdict.evidence.rule) if part)
    again = f"; corrected, this is word number {one.revision}" if one.revision > 1 and not one.unrecorded_code else ""
    return f"{said} ({why}){again}" if why else f"{said}{again}"


def _line(one: Command) -> str:
    when = one.received_at.isoformat(sep=" ", timespec="seconds")
    return f"{when}  {one.state:<8}  order {one.order_id}  command {one.command_id}  drink {one.drink_no or '?'}"
