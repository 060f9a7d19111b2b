"""The machine's own words for what `companion-v1` says: command bytes, keys, values, drinks. From the profile.

Translates both ways, and judges what it hears: `wording` reads on where a word is the machine's own.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from agent.machine import wording
from protocol import json_text, machine
from protocol.errors import Malformed, UnknownKind
from protocol.frames import Frame
from protocol.machine import MachineMessage
from protocol.reasons import FaultLevel, MachineState, Phase, Spout, Stage

Byte = Annotated[int, Meta(ge=0, le=255)]
Key = Annotated[str, Meta(min_length=1, max_length=64)]
Value = str | int | bool
Anything = str | int | bool | None | list[str] | dict[str, int]

NAMES: dict[str, type[MachineMessage]] = {
    "hello": machine.Hello,
    "hello_ack": machine.HelloReply,
    "status": machine.Status,
    "status_ack": machine.StatusReply,
    "make": machine.MakeDrink,
    "make_ack": machine.MakeReply,
    "cancel": machine.CancelDrink,
    "cancel_ack": machine.CancelReply,
    "order": machine.OrderQuery,
    "order_ack": machine.OrderReply,
    "counters": machine.CountersQuery,
    "counters_ack": machine.CountersReply,
    "rinse": machine.Rinse,
    "rinse_ack": machine.RinseReply,
    "event_ack": machine.EventAck,
    "link_nak": machine.LinkNak,
    "boot": machine.Booted,
    "progress": machine.ProgressEvent,
    "done": machine.DoneEvent,
    "failed": machine.FailedEvent,
    "fault": machine.FaultEvent,
    "heartbeat": machine.Heartbeat,
}
"""A profile's name for each message."""
COMPANION = {name: kind.command for name, kind in NAMES.items()}
_ABOUT_A_DRINK = (machine.MakeReply, machine.ProgressEvent, machine.DoneEvent, machine.FailedEvent)
_ASKED = ("hello", "status", "cancel", "order", "counters", "rinse")
_ABOUT_A_QUESTION = (machine.OrderReply, machine.CancelReply)
"""Answers whose question names the order: one that is assumed would be another's."""
OUR_KEYS = frozenset(key for kind in NAMES.values() for key in kind.__struct_encode_fields__)
SAFE_TO_ASSUME = frozenset(
    ["bootId", "model", "fw", "caps", "orderUuid", "faults", "out", "hist", "boots", "paid", "free", "test", "byDrink"]
) | frozenset(["why", "level", "drinks", "up", "total"])
"""What a machine may leave unsaid. Never which order is meant, nor whether it was done."""
_CLOSED: dict[str, frozenset[Value]] = {
    "state": frozenset(MachineState),
    "phase": frozenset(Phase),
    "lastPhase": frozenset(Phase),
    "out": frozenset(Spout),
    "stage": frozenset(Stage),
    "level": frozenset(FaultLevel),
    "hist": frozenset(["nv", "ram"]),
    "ok": frozenset([True, False]),
    "on": frozenset([True, False]),
    "dup": frozenset([True, False]),
}


class Sizes(Struct, frozen=True, forbid_unknown_fields=True):
    """What the machine is told for each cup size; the type written here is the type sent."""

    small: str | int = "0"
    medium: str | int = "1"
    large: str | int = "2"

    def of(self, text_flag: object) -> str | int:
        return (self.small, self.medium, self.large)[int(str(text_flag))]


class Drink(Struct, frozen=True, forbid_unknown_fields=True):
    """One drink whose name or pace at the machine differs."""

    drink_no: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    """The machine's own id of it; none: the same as the cloud's."""
    max_brew: Annotated[float, Meta(gt=0, lt=300)] | None = None
    """Seconds; none: the timer of the same name."""


class Dialect(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one kind of machine says things. The defaults are `companion-v1`."""

    commands: Mapping[str, Byte] = msgspec.field(default_factory=lambda: dict(COMPANION))
    """When given, exactly these: what is left out is not supported."""
    keys: Mapping[str, Key] = {}
    """Our key and theirs."""
    values: Mapping[str, Mapping[str, Value]] = {}
    """For one of our keys: their value and ours."""
    sizes: Sizes = Sizes()
    rinses: Mapping[Literal["rinse", "clean"], str | int] = {}
    unsaid: Mapping[str, Anything] = {}
    """What is taken for said when the machine leaves a key out."""
    drinks: Mapping[str, Drink] = {}
    """By the id the cloud knows."""

    def dialect_problems(self) -> list[tuple[str, str]]:
        """Keys that make no sense, and why."""
        found = _unknown("commands", self.commands, NAMES) + _unknown("keys", self.keys, OUR_KEYS)
        found += _unknown("values", self.values, OUR_KEYS) + _unknown("unsaid", self.unsaid, SAFE_TO_ASSUME)
        if "make" not in self.commands:
            found.append(("commands.make", "is missing: without it nothing can be made"))
        found += [
            (f"commands.{name}", f"goes with {other}: a question needs its answer, an answer its question")
            for one in _ASKED
            for name, other in ((one, f"{one}_ack"), (f"{one}_ack", one))
            if name in self.commands and other not in self.commands
        ]
        found += _twice("commands", self.commands)
        found += _twice("keys", {key: self.keys.get(key, key) for key in sorted(OUR_KEYS)})
        found += _twice("drinks", {no: drink.drink_no or no for no, drink in self.drinks.items()})
        for key, words in self.values.items():
            allowed = _CLOSED.get(key)
            for theirs, ours in words.items():
                if allowed is not None and ours not in allowed:
                    known = ", ".join(sorted(str(one) for one in allowed))
                    found.append((f"values.{key}.{theirs}", f"{ours!r} is none of ours: {known}"))
        if self.unsaid.get("hist", "ram") != "ram":
            found.append(("unsaid.hist", "only `ram` may be assumed: `nv` is a proof, and must be said"))
        return found


class Codec:
    """Messages to frames and back, in the machine's words."""

    def __init__(self, dialect: Dialect, *, escape: bool) -> None:
        """`escape`: characters beyond ASCII are sent as `\\uXXXX`."""
        self._dialect = dialect
        self._escape = escape
        self._bytes = {NAMES[name]: byte for name, byte in dialect.commands.items()}
        self._kinds = {byte: kind for kind, byte in self._bytes.items()}
        self._ours = {theirs: ours for ours, theirs in dialect.keys.items()}
        self._displaced = frozenset(dialect.keys) - frozenset(self._ours)
        """Our own keys that mean nothing at this machine."""
        self._our_drinks = {drink.drink_no: no for no, drink in dialect.drinks.items() if drink.drink_no}

    def knows(self, *kinds: type[MachineMessage]) -> bool:
        """Can all of these be said, or heard?"""
        return all(kind in self._bytes for kind in kinds)

    def to_frame(self, message: MachineMessage) -> Frame:
        """Raises `UnknownKind` for what this machine has no command for."""
        byte = self._bytes.get(type(message))
        if byte is None:
            raise UnknownKind(type(message).__name__)
        keys = self._dialect.keys
        said = {keys.get(key, key): self._told(key, value) for key, value in msgspec.to_builtins(message).items()}
        text = json.dumps(said, separators=(",", ":"), ensure_ascii=self._escape)
        return Frame(byte, text.encode())

    def from_frame(self, frame: Frame) -> MachineMessage:
        """Unknown keys are ignored, odd words kept; what decides is judged. Raises `UnknownKind`, `Malformed`."""
        kind = self._kinds.get(frame.command)
        if kind is None:
            raise UnknownKind(f"{frame.command:02X}")
        try:
            raw: dict[str, Any] = json_text.decode(frame.body, dict[str, Any])
            said = {self._ours.get(key, key): value for key, value in raw.items() if key not in self._displaced}
            heard = {**self._assumed(kind), **{key: self._heard(key, value) for key, value in said.items()}}
            return _understood(heard, kind)
        except (msgspec.MsgspecError, json_text.NotJson) as error:
            raise Malformed(f"{kind.__name__}: {error}") from error

    def order_in(self, frame: Frame) -> str | None:
        """The order that a word about a drink names, though the rest of it cannot be read."""
        if self._kinds.get(frame.command) not in _ABOUT_A_DRINK:
            return None
        try:
            named = json_text.decode(frame.body, dict[str, Any]).get(self._dialect.keys.get("orderUuid", "orderUuid"))
        except json_text.NotJson:
            return None
        return named if isinstance(named, str) else None

    def _assumed(self, kind: type[MachineMessage]) -> dict[str, Anything]:
        unsaid = self._dialect.unsaid
        keys = set(kind.__struct_encode_fields__) - ({"orderUuid"} if kind in _ABOUT_A_QUESTION else set())
        return {key: unsaid[key] for key in keys if key in unsaid}

    def _told(self, key: str, value: Any) -> Any:
        match key:
            case "textFlag":
                return self._dialect.sizes.of(value)
            case "drinkNo":
                drink = self._dialect.drinks.get(value)
                return drink.drink_no if drink and drink.drink_no else value
            case "kind":
                return self._dialect.rinses.get(value, value)
        return value

    def _heard(self, key: str, value: Any) -> Any:
        if key == "faults" and isinstance(value, list):
            value = [self._code_of(one) for one in value]
        words = self._dialect.values.get("code" if key == "faults" else key)
        if words and isinstance(value, list):
            value = [words.get(_text(one), one) for one in value]
        elif words:
            value = words.get(_text(value), value)
        if key == "code" and isinstance(value, str) and value:
            return wording.word(value)
        if key == "faults" and isinstance(value, list):
            return [wording.word(one) if isinstance(one, str) and one else one for one in value]
        if key == "drinks" and isinstance(value, list):
            return [self._our_drinks.get(one, one) if isinstance(one, str) else one for one in value]
        if key == "byDrink" and isinstance(value, dict):
            return {self._our_drinks.get(no, no): count for no, count in value.items()}
        return value

    def _code_of(self, fault: Any) -> Any:
        """A status may list its faults as an event tells them, as objects with a code."""
        return (isinstance(fault, dict) and fault.get(self._dialect.keys.get("code", "code"))) or fault


def _understood(heard: dict[str, Any], kind: type[MachineMessage]) -> MachineMessage:
    try:
        return msgspec.convert(heard, kind)
    except msgspec.ValidationError:
        return wording.convert(heard, kind)


def _text(value: object) -> str:
    """A value as a key of a TOML table: `true`, `3`, `IDLE`."""
    return value if isinstance(value, str) else json.dumps(value)


def _unknown(
    table: str, given: Mapping[str, object], known: Mapping[str, object] | frozenset[str]
) -> list[tuple[str, str]]:
    listed = ", ".join(sorted(known))
    return [(f"{table}.{name}", f"there is no such name; known: {listed}") for name in given if name not in known]


def _twice(table: str, given: Mapping[str, object]) -> list[tuple[str, str]]:
    found, seen = [], dict[object, str]()
    for name, value in given.items():
        if value in seen:
            said = f"{value:02X}" if isinstance(value, int) else repr(value)
            found.append((f"{table}.{name}", f"{said} is {table}.{seen[value]} already"))
        seen.setdefault(value, name)
    return found
