"""A machine's message in words of its own: what decides is read, an odd word is kept as `vendor:...`, a doubt blocks.

Used only for a body that breaks its declaration. Pure. Which order is meant and whether it was done are never guessed.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any
from zlib import crc32

import msgspec

from protocol import machine
from protocol.machine import MachineMessage
from protocol.reasons import AgentCode, DoubtCode, FaultCode, FaultLevel, MachineState, Phase, RejectCode, Spout, Stage

VENDOR = "vendor:"
UNNAMED = f"{VENDOR}unnamed"
"""A fault or refusal without a word of its own."""
LONGEST_WORD = 64
_KNOWN = frozenset([*FaultCode, *RejectCode])
_AGENTS = frozenset([*AgentCode, *DoubtCode])
"""What the agent says by its own reckoning: the same word from a machine is no such thing."""
_WELL_FORMED = re.compile(r"[A-Za-z0-9_:.-]{1,64}")
_TRUTH: Mapping[str, bool] = {
    **dict.fromkeys(("true", "yes", "on", "1", "1.0"), True),
    **dict.fromkeys(("false", "no", "off", "0", "0.0"), False),
}
_ABSENT = object()


def convert(said: Mapping[str, Any], kind: type[MachineMessage]) -> MachineMessage:
    """The message as far as it can be understood. Raises `msgspec.ValidationError`."""
    mended = {**_UNSAID.get(kind, {})}
    readers = {**_READERS, **_READERS_OF.get(kind, {})}
    for key, value in said.items():
        read = readers[key](value) if key in readers else value
        if read is not _ABSENT:
            mended[key] = read
    if kind is machine.CancelReply:  # its phase is only told on, and `ok` says what it must be
        mended["phase"] = Phase.CANCELLED if mended.get("ok") is True else Phase.UNKNOWN
    return msgspec.convert(mended, kind, strict=False)


def word(value: object) -> str:
    """A code that fits a message: ours where it means one, else the machine's as `vendor:...`, told from any other."""
    text = value if isinstance(value, str) else str(value)
    is_plain = text not in _AGENTS and _WELL_FORMED.fullmatch(text)
    if text in _KNOWN or (is_plain and _folded(text) not in _KNOWN):
        return text
    if (ours := _folded(text)) in _KNOWN:
        return ours
    own = re.sub(r"^vendor:", "", text.strip(), flags=re.IGNORECASE)
    safe = re.sub(r"[^A-Za-z0-9_:.-]+", "_", own).strip("_")
    if safe != re.sub(r"\s+", "_", own.strip()) or len(VENDOR + safe) > LONGEST_WORD:
        safe = f"{safe[:40]}.{crc32(text.encode('utf-8', 'replace')):08x}".lstrip(".")
    return VENDOR + safe


def _folded(text: str) -> str:
    """As our own codes are written."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def _one_of(known: type[Any], otherwise: object) -> Callable[[Any], Any]:
    words = {str(one): one for one in known}

    def read(value: Any) -> Any:
        return words.get(_folded(value), otherwise) if isinstance(value, str) else otherwise

    return read


def _code(value: Any) -> Any:
    return _ABSENT if value is None or value == "" else word(value)


def _truth(value: Any) -> Any:
    return _TRUTH.get(str(value).strip().lower(), value)


def _maybe(value: Any) -> Any:
    read = _truth(value)
    return read if isinstance(read, bool) else _ABSENT


def _name(value: Any) -> Any:
    """An id: a number is taken for its digits."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _meant(value: Any) -> Any:
    return _ABSENT if value is None or value == "" else _name(value)


def _remembered(value: Any) -> Any:
    return value if isinstance(value, str) and 1 <= len(value) <= 255 and "\0" not in value else None


def _label(value: Any) -> str:
    return str(value).replace("\0", "")[:255] or "?"


def _faults(value: Any) -> Any:
    """What is no list of codes names nothing: then what stood before still stands."""
    if isinstance(value, str):
        value = [value] if value else []
    if not isinstance(value, list) or any(isinstance(one, dict | list | bool) for one in value):
        return _ABSENT
    return [word(one) for one in value if one is not None][:64]


def _abilities(value: Any) -> list[str]:
    listed = value if isinstance(value, list) else []
    return [one for one in listed if isinstance(one, str) and _WELL_FORMED.fullmatch(one)][:64]


def _drinks(value: Any) -> list[str]:
    """The drinks a fault closes; a list that cannot be read whole closes all of them."""
    listed = [_name(one) for one in value] if isinstance(value, list) and len(value) <= 512 else []
    is_whole = all(isinstance(one, str) and 1 <= len(one) <= 128 and "\0" not in one for one in listed)
    return listed if is_whole else []


def _counts(value: Any) -> dict[str, int]:
    """By drink; a table that cannot be read whole counts none."""
    try:
        return msgspec.convert(value, dict[str, machine.Count], strict=False)
    except msgspec.ValidationError:
        return {}


def _count(otherwise: object) -> Callable[[Any], Any]:
    """A figure that decides nothing."""

    def read(value: Any) -> Any:
        try:
            return msgspec.convert(value, machine.Count, strict=False)
        except msgspec.ValidationError:
            return otherwise

    return read


def _percent(value: Any) -> int:
    return int(min(100, max(0, value))) if isinstance(value, int | float) else 0


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "code": _code,
    "why": lambda value: word(value or UNNAMED),
    "faults": _faults,
    "caps": _abilities,
    "drinks": _drinks,
    "level": _one_of(FaultLevel, FaultLevel.BLOCK),
    "state": _one_of(MachineState, MachineState.FAULT),
    "out": _one_of(Spout, Spout.UNKNOWN),
    "stage": _one_of(Stage, None),
    "lastPhase": _one_of(Phase, None),
    "lastOrder": _remembered,
    "hist": lambda value: "nv" if isinstance(value, str) and _folded(value) == "nv" else "ram",
    "ok": _truth,
    "on": lambda value: read if isinstance(read := _truth(value), bool) else True,
    "dup": _maybe,
    "orderUuid": _meant,
    "jobUuid": _meant,
    "bootId": _name,
    "model": _label,
    "fw": _label,
    "pct": _percent,
    "up": _count(0),
    "boots": _count(0),
    "byDrink": _counts,
}
"""How the value of a key is read when it is not what it should be. What is not here must be right as it is."""
_READERS_OF: Mapping[type[MachineMessage], Mapping[str, Callable[[Any], Any]]] = {
    machine.DoneEvent: {"total": _count(_ABSENT)},
}
"""The same of one kind alone: where counters are asked for, a `total` that is no count proves nothing."""
_UNSAID: Mapping[type[MachineMessage], Mapping[str, Any]] = {
    machine.HelloReply: {"model": "?", "fw": "?", "caps": []},
    machine.StatusReply: {"orderUuid": None},
    machine.OrderReply: {"hist": "ram"},
    machine.CountersReply: {"boots": 0, "byDrink": {}},
    machine.Booted: {"why": UNNAMED},
    machine.ProgressEvent: {"stage": None, "pct": 0},
    machine.FailedEvent: {"code": UNNAMED, "out": Spout.UNKNOWN},
    machine.FaultEvent: {"code": UNNAMED, "on": True, "level": FaultLevel.BLOCK},
    machine.Heartbeat: {"up": 0},
}
"""What a message of a kind says with a key left out, where that decides nothing or the worse may be assumed."""
