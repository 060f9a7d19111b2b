"""The machine's requests, replies and events of `companion-v1`, each declared once, to and from a `Frame`.

Keys stay in the order of docs/wire-contract.md 2.3, so that our bytes equal the worked frames.
The make frame (22) is fact, the rest our design.
"""

import json
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from protocol import json_text
from protocol.errors import Malformed, UnknownKind
from protocol.frames import Frame
from protocol.reasons import FaultLevel, MachineState, Phase, Spout, Stage

MsgId = Annotated[int, Meta(ge=1, le=65535)]
EventId = Annotated[int, Meta(ge=0, le=2**31)]
Count = Annotated[int, Meta(ge=0, le=2**40)]
Text = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[^\x00]*$")]
"""Kept and relayed as it came; NUL is noise here, and no database could store it."""
DrinkNo = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[^\x00]*$")]
BootId = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[^\x00]*$")]
Code = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_:.-]{1,64}$(?!\n)")]
"""A reject or fault code: ours, or the maker's; kept as text so that new firmware is not noise."""
TextFlag = Literal["0", "1", "2", 0, 1, 2]
"""Cup size; the only public flow sent it as a string, so that is what we send, and both are read
(docs/machine-protocol.md 1.3).
"""

CODES: dict[int, type["MachineMessage"]] = {}


class MachineMessage(Struct, frozen=True, kw_only=True, rename="camel"):
    """Anything said on the serial line."""

    command: ClassVar[int]
    """Its command byte."""


_M = TypeVar("_M", bound=type[MachineMessage])


def _on_the_line(command: int) -> Any:
    def declare(message: _M) -> _M:
        message.command = command
        CODES[command] = message
        return message

    return declare


@_on_the_line(0x20)
class Hello(MachineMessage, frozen=True, kw_only=True):
    """Who are you, and since when?"""

    msg_id: MsgId
    proto: int = 1


@_on_the_line(0xA0)
class HelloReply(MachineMessage, frozen=True, kw_only=True):
    """`caps` decides which rules of safe pouring may be used (docs/machine-protocol.md 3.5)."""

    msg_id: MsgId
    model: Text
    fw: Text
    boot_id: BootId
    caps: Annotated[list[Code], Meta(max_length=64)]


@_on_the_line(0x21)
class Status(MachineMessage, frozen=True, kw_only=True):
    """What are you doing?"""

    msg_id: MsgId


@_on_the_line(0xA1)
class StatusReply(MachineMessage, frozen=True, kw_only=True):
    """The machine as a whole, and the order in it if there is one."""

    msg_id: MsgId
    boot_id: BootId
    state: MachineState
    order_uuid: Text | None
    faults: Annotated[list[Code], Meta(max_length=64)] | UnsetType = UNSET
    """Left out: those told before still stand."""


@_on_the_line(0x22)
class MakeDrink(MachineMessage, frozen=True, kw_only=True):
    """Pour this. Exactly these four keys: nobody knows whether the real machine tolerates more."""

    order_uuid: Text
    drink_no: DrinkNo
    text_flag: TextFlag
    price: Count
    """Kopecks."""


@_on_the_line(0xA2)
class MakeReply(MachineMessage, frozen=True, kw_only=True):
    """`ok`: persisted and will start; never: made."""

    order_uuid: Text
    ok: bool
    dup: bool | UnsetType = UNSET
    code: Code | UnsetType = UNSET
    boot_id: BootId


@_on_the_line(0x23)
class CancelDrink(MachineMessage, frozen=True, kw_only=True):
    """Stop before anything moves."""

    msg_id: MsgId
    order_uuid: Text


@_on_the_line(0xA3)
class CancelReply(MachineMessage, frozen=True, kw_only=True):
    """`too_late` once water or beans have moved."""

    msg_id: MsgId
    order_uuid: Text | UnsetType = UNSET
    """Left out: that of the question."""
    ok: bool
    code: Code | UnsetType = UNSET
    phase: Phase
    boot_id: BootId


@_on_the_line(0x24)
class OrderQuery(MachineMessage, frozen=True, kw_only=True):
    """What became of this order?"""

    msg_id: MsgId
    order_uuid: Text


@_on_the_line(0xA4)
class OrderReply(MachineMessage, frozen=True, kw_only=True):
    """`hist` says what `phase: unknown` proves: `nv` never seen, `ram` nothing after a reboot."""

    msg_id: MsgId
    order_uuid: Text | UnsetType = UNSET
    """Left out: that of the question."""
    phase: Phase
    out: Spout = Spout.UNKNOWN
    boot_id: BootId
    hist: Literal["nv", "ram"]


@_on_the_line(0x25)
class CountersQuery(MachineMessage, frozen=True, kw_only=True):
    """How many drinks have you ever made?"""

    msg_id: MsgId


@_on_the_line(0xA5)
class CountersReply(MachineMessage, frozen=True, kw_only=True):
    """Lifetime counts; free and test drinks apart from paid ones."""

    msg_id: MsgId
    boot_id: BootId
    boots: Count
    total: Count
    paid: Count
    free: Count
    test: Count
    by_drink: Annotated[dict[str, Count], Meta(max_length=512)]


@_on_the_line(0x26)
class Rinse(MachineMessage, frozen=True, kw_only=True):
    """Rinse or clean; the completion is `Done` or `Failed` with `job_uuid`."""

    msg_id: MsgId
    job_uuid: Text
    kind: Literal["rinse", "clean"]


@_on_the_line(0xA6)
class RinseReply(MachineMessage, frozen=True, kw_only=True):
    """Whether the rinse will run."""

    msg_id: MsgId
    job_uuid: Text | UnsetType = UNSET
    """Left out: that of the question."""
    ok: bool
    code: Code | UnsetType = UNSET
    boot_id: BootId


@_on_the_line(0x27)
class EventAck(MachineMessage, frozen=True, kw_only=True):
    """Heard: stop repeating this event."""

    boot_id: BootId
    evt: EventId


@_on_the_line(0x2F)
class LinkNak(MachineMessage, frozen=True, kw_only=True):
    """The last bytes were damaged. Says nothing about any drink; never answered."""

    why: Code
    """`crc`, `len`, `tail`, `json`, `cmd`, `ver`, or the machine's own."""


@_on_the_line(0xC0)
class Booted(MachineMessage, frozen=True, kw_only=True):
    """The machine restarted; what it was doing when it stopped."""

    boot_id: BootId
    evt: EventId
    why: Code
    """`power`, `watchdog`, `reset`, or the machine's own."""
    last_order: Text | None = None
    last_phase: Phase | None = None


@_on_the_line(0xC1)
class ProgressEvent(MachineMessage, frozen=True, kw_only=True):
    """Advisory; may be lost; decides nothing."""

    boot_id: BootId
    evt: EventId
    order_uuid: Text
    stage: Stage | None
    """None: one we have no word for."""
    pct: Annotated[int, Meta(ge=0, le=100)]


@_on_the_line(0xC2)
class DoneEvent(MachineMessage, frozen=True, kw_only=True):
    """Poured (or rinsed). Repeats until acknowledged."""

    boot_id: BootId
    evt: EventId
    order_uuid: Text | UnsetType = UNSET
    job_uuid: Text | UnsetType = UNSET
    total: Count | UnsetType = UNSET


@_on_the_line(0xC3)
class FailedEvent(MachineMessage, frozen=True, kw_only=True):
    """Not poured as it should be; `out` says what came out. Repeats until acknowledged."""

    boot_id: BootId
    evt: EventId
    order_uuid: Text | UnsetType = UNSET
    job_uuid: Text | UnsetType = UNSET
    code: Code
    out: Spout


@_on_the_line(0xC4)
class FaultEvent(MachineMessage, frozen=True, kw_only=True):
    """One fault set or cleared; `drinks` are those it closes. Repeats until acknowledged."""

    boot_id: BootId
    evt: EventId
    code: Code
    on: bool
    level: FaultLevel
    drinks: Annotated[list[DrinkNo], Meta(max_length=512)] = []


@_on_the_line(0xC5)
class Heartbeat(MachineMessage, frozen=True, kw_only=True):
    """Alive; `up` is seconds since boot."""

    boot_id: BootId
    state: MachineState
    up: Count


def to_frame(message: MachineMessage) -> Frame:
    """Compact ASCII JSON, non-ASCII escaped, as the public make frame does (docs/machine-protocol.md 1.1)."""
    text = json.dumps(msgspec.to_builtins(message), separators=(",", ":"), ensure_ascii=True)
    return Frame(message.command, text.encode("ascii"))


def from_frame(frame: Frame) -> MachineMessage:
    """Read tolerantly (unknown keys ignored), judge strictly (types, ranges): CRC-8 alone lets 1 in 256 errors by.

    Raises `UnknownKind` for a command byte we do not know, `Malformed` for a body that breaks its declaration.
    """
    declared = CODES.get(frame.command)
    if declared is None:
        raise UnknownKind(f"{frame.command:02X}")
    try:
        return json_text.decode(frame.body, declared)
    except json_text.NotJson as error:
        raise Malformed(f"{declared.__name__}: {error}") from error
