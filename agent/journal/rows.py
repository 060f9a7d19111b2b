"""Rows of the journal as records: for the journal itself and for programs that only look at it."""

import sqlite3
from datetime import UTC, datetime
from typing import Any

import msgspec

from agent.clock import Stamp
from agent.journal.records import Command, CommandState, Snapshot, Step, Verdict, Word
from protocol.messages import Evidence
from protocol.reasons import Result, Spout

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
UNREADABLE = "its evidence is not of a kind that can be read"


def steps(connection: sqlite3.Connection, command_id: str) -> list[Step]:
    """A command's history, oldest first."""
    rows = connection.execute("SELECT * FROM history WHERE command_id = ? ORDER BY rowid", (command_id,))
    return [Step(row["state"], datetime.fromisoformat(row["at"]), row["mono"], row["note"]) for row in rows]


def read_command(row: sqlite3.Row) -> Command:
    """A row of the table `command`."""
    verdict = None
    if row["result"] is not None:
        verdict = Verdict(Result(row["result"]), row["code"], Spout(row["out"]), _evidence(row["evidence"]))
    return Command(
        command_id=row["command_id"],
        order_id=row["order_id"],
        drink_no=row["drink_no"],
        size=row["size"],
        price=row["price"],
        issued_at=_moment(row["issued_at"]),
        deadline_at=_moment(row["deadline_at"]),
        state=CommandState(row["state"]),
        session=row["session"],
        received_at=_moment(row["received_at"]) or _NEVER,
        received_mono=row["received_mono"],
        sent_at=_moment(row["sent_at"]) or (_NEVER if row["sent_at"] else None),
        resent=bool(row["resent"]),
        word=_word(row),
        snapshot=_snapshot(row["snapshot"]),
        verdict=verdict,
        revision=row["revision"],
        **_added(row),
    )


def _added(row: sqlite3.Row) -> dict[str, Any]:
    """What a file that an older agent wrote last does not have."""
    if "doubted" not in row.keys():  # noqa: SIM118  (a row iterates over its values)
        return {}
    sent = None if row["sent_session"] is None else Stamp(row["sent_session"], row["sent_second"])
    return {"unrecorded_code": row["doubted"], "sent": sent}


def _word(row: sqlite3.Row) -> Word:
    """Of a row that an older agent wrote: what its state says, as long as it has one."""
    kept = Word(row["word"]) if "word" in row.keys() else Word.NOTHING  # noqa: SIM118  (as above)
    is_taken = row["state"] in (CommandState.ACCEPTED, CommandState.BREWING)
    return max(kept, Word.TAKEN) if is_taken else kept


def _evidence(text: str) -> Evidence:
    """One odd word in it must not make the whole command unreadable."""
    try:
        return msgspec.json.decode(text, type=Evidence)
    except msgspec.DecodeError:
        return Evidence(rule=UNREADABLE)


def _snapshot(text: str | None) -> Snapshot | None:
    try:
        return msgspec.json.decode(text, type=Snapshot) if text else None
    except msgspec.DecodeError:
        return None


def _moment(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
