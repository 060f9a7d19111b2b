"""What cloud and agent say over MQTT: frozen, versioned, UTF-8 JSON in and out. Meaning only; no topics, no clock.

Read tolerantly (unknown fields ignored, unknown kinds named), write strictly. Times are UTC; money is kopecks.
"""

from typing import Annotated, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from protocol import VERSION, heads
from protocol.errors import Malformed, TooLarge, UnknownVersion
from protocol.fields import (
    Code,
    Count,
    CupSize,
    DrinkNo,
    Fact,
    Id,
    Kopecks,
    Label,
    Moment,
    Ordinal,
    Words,
)
from protocol.jobs import Job as Job  # here too, for users of messages
from protocol.jobs import Restart as Restart
from protocol.jobs import Resume as Resume
from protocol.jobs import Rinse as Rinse
from protocol.jobs import Settings as Settings
from protocol.jobs import Update as Update
from protocol.json_text import NotJson, check_depth
from protocol.message_form import Message as Message
from protocol.reasons import AnswerStatus, MachineState, Phase, Result, Spout, Stage

MAX_MESSAGE = 64 * 1024
"""Bytes. A state with every drink of a large machine is under 20 KiB."""
MAX_BATCH = 50
"""Ids in one query or receipt; longer lists go in several messages."""
MAX_FAULTS = 64
"""Faults in one state message."""
REPEAT_WITHIN_S = 10.0
"""A report without its receipt is said again so long after the first time, then ever more seldom."""

GREETING = "greeting"
"""The `hello_id` of a `Welcome` that nobody asked for: a cloud that has just come finds a device present."""


class Make(Message, frozen=True, kw_only=True, tag="make"):
    """Pour this order's drink, if you can start before `deadline_at`. The same `command_id` again is the same drink."""

    command_id: Id
    order_id: Id
    attempt: Ordinal
    drink_no: DrinkNo
    size: CupSize
    price: Kopecks
    issued_at: Moment
    deadline_at: Moment


class Cancel(Message, frozen=True, kw_only=True, tag="cancel"):
    """Do not pour it if nothing has moved yet. Answered by an `Outcome` (`rejected`/`cancelled`), or by an `Answer`."""

    command_id: Id
    order_id: Id
    issued_at: Moment | UnsetType = UNSET
    deadline_at: Moment | UnsetType = UNSET
    """When the command could come: an agent whose journal is younger asks the machine."""


class Asked(Struct, frozen=True, kw_only=True):
    """One command the cloud asks about."""

    command_id: Id
    order_id: Id
    issued_at: Moment | UnsetType = UNSET
    deadline_at: Moment | UnsetType = UNSET
    """When the command could come: an agent whose journal is younger asks the machine."""


class Query(Message, frozen=True, kw_only=True, tag="query"):
    """What became of these? Each is answered by what the journal holds; one never received is refused for ever."""

    commands: Annotated[list[Asked], Meta(max_length=MAX_BATCH)]


class Probe(Message, frozen=True, kw_only=True, tag="probe"):
    """Could you make this drink right now? Answered at once by `ProbeReply`."""

    probe_id: Id
    drink_no: DrinkNo
    size: CupSize


class Receipt(Message, frozen=True, kw_only=True, tag="receipt"):
    """The cloud holds these messages safely: stop repeating them."""

    message_ids: Annotated[list[Id], Meta(max_length=MAX_BATCH)]


class Welcome(Message, frozen=True, kw_only=True, tag="welcome"):
    """Answer to `Hello`: the cloud's clock, to judge deadlines by. To `GREETING` the agent answers with a `Hello`."""

    hello_id: Id
    cloud_time: Moment
    takes: Annotated[list[Label], Meta(max_length=32)] | UnsetType = UNSET
    """Kinds of reports this cloud stores that older ones did not know: `event`. An agent keeps the others to itself."""
    rival_session: Id | UnsetType = UNSET
    """The session of another agent that speaks under this device's name in turns with this one: sell nothing."""
    spread_s: Annotated[float, Meta(ge=0, le=600)] | UnsetType = UNSET
    """Over how many seconds this fleet is to spread what all of it does at once: coming back, answering a greeting."""
    waited_for: Annotated[list[Id], Meta(max_length=MAX_BATCH)] | UnsetType = UNSET
    """The commands of this device that no machine has taken yet: of those of before its memory no other is begun."""


class Hello(Message, frozen=True, kw_only=True, tag="hello"):
    """Sent at each connect."""

    hello_id: Id
    agent_version: Label
    profile: Label


class Evidence(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an outcome rests on, for the books and for whoever must decide (docs/machine-protocol.md 5.4)."""

    rule: Words = ""
    """Which row of the resolution table, or which event, decided."""
    phase: Phase | None = None
    history: Label | None = None
    boot_before: Label | None = None
    boot_now: Label | None = None
    count_before: Count | None = None
    count_now: Count | None = None
    journal: Annotated[list[Words], Meta(max_length=32)] = []
    """The command's states with their times, oldest first."""


class Accepted(Message, frozen=True, kw_only=True, tag="accepted"):
    """The machine has taken the command and will start. Repeated until the cloud's receipt."""

    message_id: Id
    command_id: Id
    order_id: Id
    at: Moment


class Progress(Message, frozen=True, kw_only=True, tag="progress"):
    """Advisory: what the machine does to the cup. May be lost; decides nothing."""

    command_id: Id
    order_id: Id
    stage: Stage
    pct: Annotated[int, Meta(ge=0, le=100)]


class Outcome(Message, frozen=True, kw_only=True, tag="outcome"):
    """What physically happened. Repeated until the cloud's receipt; a higher `revision` corrects an `unknown`."""

    message_id: Id
    command_id: Id
    order_id: Id
    result: Result
    code: Code = ""
    """Why not; empty for `done`."""
    out: Spout = Spout.UNKNOWN
    revision: Ordinal = 1
    at: Moment
    evidence: Evidence = Evidence()


class Event(Message, frozen=True, kw_only=True, tag="event"):
    """Something happened to the machine or its agent. Repeated until the cloud's receipt; decides nothing."""

    message_id: Id
    at: Moment
    what: Code
    """One of `reasons.EventKind`; text, so that a newer agent's word is stored too."""
    code: Code = ""
    """Which fault, or which reason."""
    words: Words = ""
    evidence: Annotated[dict[Label, Fact], Meta(max_length=16)] = {}  # noqa: RUF012  (a Struct copies it)
    lost: Count = 0
    """Events this journal has had to drop so far: where it grows from one event to the next, some are missing."""


class ProbeReply(Message, frozen=True, kw_only=True, tag="probe_reply"):
    """`code` says why not (a reject, fault or agent code)."""

    probe_id: Id
    ready: bool
    code: Code = ""


class Answer(Message, frozen=True, kw_only=True, tag="answer"):
    """What came of a job, or of a cancel that came too late. May be lost: ask again with the same id."""

    reference: Id
    """The `job_id`, or the `command_id` of the cancel."""
    asked: Label
    """The kind of what is answered."""
    status: AnswerStatus
    code: Code = ""
    words: Words = ""


class Unsupported(Message, frozen=True, kw_only=True, tag="unsupported"):
    """The agent is older than the command."""

    unknown_kind: Words
    reference: Words = ""


class Presence(Message, frozen=True, kw_only=True, tag="presence"):
    """Retained. `online: false` comes from the agent at a clean stop, from the broker as its last will otherwise."""

    online: bool
    session_id: Id
    """New at each start of the agent: a late will of an older session is told from the present one."""
    agent_version: Label = ""
    connection: Count | UnsetType = UNSET
    """Counts the connects of this session: a session that connects again behind another one is a second agent."""


class Fault(Struct, frozen=True, kw_only=True):
    """One standing fault; `drinks` are those it closes, none listed when it closes all or nothing."""

    code: Code
    level: Label
    drinks: Annotated[list[DrinkNo], Meta(max_length=512)] = []


class Counters(Struct, frozen=True, kw_only=True):
    """The machine's lifetime counts."""

    total: Count
    paid: Count
    free: Count
    test: Count


class State(Message, frozen=True, kw_only=True, tag="state"):
    """Retained: the machine as the agent sees it."""

    at: Moment
    link: Label
    """`up`, `quiet` or `down`: the serial line. `open`: all that can be said of a machine that says nothing."""
    machine: MachineState | None = None
    selling: bool
    """False: the agent refuses every command; `reason` says why."""
    reason: Words = ""
    busy_order: Id | None = None
    faults: Annotated[list[Fault], Meta(max_length=MAX_FAULTS)] = []  # noqa: RUF012
    counters: Counters | None = None
    frame_error_ratio: float = 0.0
    agent_version: Label = ""
    model: Words = ""
    profile: Label | UnsetType = UNSET
    capabilities: Annotated[list[Label], Meta(max_length=64)] | UnsetType = UNSET
    """What this machine can tell and do. Without `finish`, `order` and `counters` no outcome can ever be known."""
    make_room: Count | UnsetType = UNSET
    """Bytes that an order's id, drink and price may take together in this machine's frame, as JSON in ASCII."""


CommandMessage = Make | Cancel | Query | Probe | Rinse | Restart | Resume | Settings | Update
ReceiptMessage = Receipt | Welcome
ReportMessage = Hello | Accepted | Progress | Outcome | Event | ProbeReply | Answer | Unsupported
AnyMessage = CommandMessage | ReceiptMessage | ReportMessage | Presence | State

T = TypeVar("T")
_encoder = msgspec.json.Encoder()


def encode(message: Message) -> bytes:
    """The message as it goes on the wire. Raises `Malformed` for one that no reader would take."""
    try:
        payload = _encoder.encode(message)
    except UnicodeEncodeError as error:
        raise Malformed(f"{type(message).__name__}: {error}") from error
    _decode(payload, _ANY)
    return payload


def decode_command(payload: bytes) -> CommandMessage:
    """What came on the `command` channel. Raises `WireError`s."""
    return _decode(payload, _COMMANDS)


def decode_receipt(payload: bytes) -> ReceiptMessage:
    """What came on the `receipt` channel."""
    return _decode(payload, _RECEIPTS)


def decode_report(payload: bytes) -> ReportMessage:
    """What came on the `report` channel."""
    return _decode(payload, _REPORTS)


def decode_presence(payload: bytes) -> Presence:
    """What came on the `presence` channel."""
    return _decode(payload, _PRESENCE)


def decode_state(payload: bytes) -> State:
    """What came on the `state` channel."""
    return _decode(payload, _STATE)


_COMMANDS: msgspec.json.Decoder[CommandMessage] = msgspec.json.Decoder(CommandMessage)
_RECEIPTS: msgspec.json.Decoder[ReceiptMessage] = msgspec.json.Decoder(ReceiptMessage)
_REPORTS: msgspec.json.Decoder[ReportMessage] = msgspec.json.Decoder(ReportMessage)
_PRESENCE: msgspec.json.Decoder[Presence] = msgspec.json.Decoder(Presence)
_STATE: msgspec.json.Decoder[State] = msgspec.json.Decoder(State)
_ANY: msgspec.json.Decoder[AnyMessage] = msgspec.json.Decoder(AnyMessage)


def _decode(payload: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    if len(payload) > MAX_MESSAGE:
        raise TooLarge(f"message of {len(payload)} bytes, at most {MAX_MESSAGE}")
    try:
        check_depth(payload)
        return _checked_version(decoder.decode(payload))
    except NotJson as error:  # too deep even to look what it is
        raise Malformed(f"not a message: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise heads.explain(payload, error, KINDS) from error


def _checked_version(message: T) -> T:
    if getattr(message, "v", VERSION) != VERSION:
        raise UnknownVersion(f"version {getattr(message, 'v', None)}, we speak {VERSION}")
    return message


_ALL: tuple[type[Message], ...] = (
    *(Make, Cancel, Query, Probe),
    *(Rinse, Restart, Resume, Settings, Update),
    *(Receipt, Welcome),
    *(Hello, Accepted, Progress, Outcome, Event, ProbeReply, Answer, Unsupported),
    *(Presence, State),
)
KINDS: dict[str, type[Message]] = {str(kind.__struct_config__.tag): kind for kind in _ALL}
"""Every kind there is, by its name on the wire."""
