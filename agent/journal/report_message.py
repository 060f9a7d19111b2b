"""A command's state as the message that tells the cloud of it. One that cannot be said in full is said in brief.

So an odd word of a machine can never keep an outcome from being committed.
"""

import logging
from collections.abc import Sequence
from datetime import datetime

import msgspec

from agent.journal.records import Command, PendingEvent, Step, Verdict
from agent.log import about
from protocol import json_text
from protocol.errors import WireError
from protocol.fields import Fact
from protocol.messages import Accepted, Event, Evidence, Outcome, encode

MAX_STEPS = 32
"""Lines of history in one outcome; a normal life has six."""
LONGEST_LINE = 500
"""What a line of evidence may hold."""
LONGEST_FACT = 128
MOST_FACTS = 16
BRIEF = "its evidence could not be put into a message; it is in the agent's journal"
log = logging.getLogger(__name__)


class _Kind(msgspec.Struct):
    """What every message of every version has at its top."""

    kind: str


def accepted(message_id: str, command: Command, at: datetime) -> bytes:
    """The machine has taken it."""
    return encode(Accepted(message_id=message_id, command_id=command.command_id, order_id=command.order_id, at=at))


def outcome(message_id: str, command: Command, verdict: Verdict, history: Sequence[Step], at: datetime) -> bytes:
    """What became of it, with the journal's lines as evidence."""
    lines = [str(step)[:LONGEST_LINE] for step in history[-MAX_STEPS:]]
    evidence = msgspec.structs.replace(verdict.evidence, journal=lines)
    full = Outcome(
        message_id=message_id,
        command_id=command.command_id,
        order_id=command.order_id,
        result=verdict.result,
        code=verdict.code,
        out=verdict.out,
        revision=command.revision,
        at=at,
        evidence=evidence,
    )
    try:
        return encode(full)
    except WireError as error:
        log.error("an outcome is told in brief: %s", error, extra=about(command))
        return encode(msgspec.structs.replace(full, code="", evidence=Evidence(rule=BRIEF)))


def is_outcome(payload: bytes) -> bool:
    """Of a message as it waits here, written by whatever version of the agent."""
    tag: object = Outcome.__struct_config__.tag
    return json_text.decode(payload, _Kind).kind == tag


def event(message_id: str, happened: PendingEvent, at: datetime, lost: int) -> bytes:
    """Something that happened; `lost` before it."""
    facts = {name: _short(fact) for name, fact in list(happened.evidence.items())[:MOST_FACTS]}
    full = Event(
        message_id=message_id,
        at=at,
        what=happened.what,
        code=happened.code,
        words=happened.words[:LONGEST_LINE],
        evidence=facts,
        lost=lost,
    )
    try:
        return encode(full)
    except WireError as error:
        log.error("an event is told in brief: %s", error)
        return encode(msgspec.structs.replace(full, code="", words=BRIEF, evidence={}))


def _short(fact: Fact) -> Fact:
    return fact[:LONGEST_FACT] if isinstance(fact, str) else fact
