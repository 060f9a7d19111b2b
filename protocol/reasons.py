"""The closed lists of the product: sizes, states, phases, what left the spout, and every code a refusal can carry.

Only names live here: sentences for people are in `cloud/buyer`, tables of behaviour in their packages.
Sources: docs/orders.md, docs/machine-protocol.md 3.2 and 3.4.
"""

from enum import IntEnum, StrEnum


class Size(IntEnum):
    """Cup size as the machine counts it (`textFlag`)."""

    SMALL = 0
    MEDIUM = 1
    LARGE = 2


class Result(StrEnum):
    """What physically happened to a make command."""

    DONE = "done"
    REJECTED = "rejected"
    """Certainly nothing was poured, and nothing will be."""
    FAILED = "failed"
    """The machine started and stopped; `Spout` says what came out."""
    UNKNOWN = "unknown"


class Spout(StrEnum):
    """What left the spout."""

    NONE = "none"
    PARTIAL = "partial"
    FULL = "full"
    UNKNOWN = "unknown"


class MachineState(StrEnum):
    """What the machine as a whole is doing."""

    BOOT = "boot"
    HEATING = "heating"
    READY = "ready"
    BREWING = "brewing"
    RINSING = "rinsing"
    CLEANING = "cleaning"
    SERVICE = "service"
    FAULT = "fault"
    OFF = "off"


class Phase(StrEnum):
    """How far the machine remembers having come with one order."""

    UNKNOWN = "unknown"
    ACCEPTED = "accepted"
    BREWING = "brewing"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


class Stage(StrEnum):
    """What the machine is doing to the cup just now; advisory."""

    CUP = "cup"
    GRIND = "grind"
    BREW = "brew"
    MILK = "milk"
    MIX = "mix"
    SERVE = "serve"


class FaultLevel(StrEnum):
    """How much of the machine a fault closes."""

    WARN = "warn"
    BLOCK = "block"


class RejectCode(StrEnum):
    """Why the machine refuses a request (docs/machine-protocol.md 3.2)."""

    BUSY = "busy"
    BAD_DRINK = "bad_drink"
    BAD_SIZE = "bad_size"
    BAD_BODY = "bad_body"
    NO_WATER = "no_water"
    NO_BEANS = "no_beans"
    NO_MILK = "no_milk"
    NO_CUPS = "no_cups"
    NO_INGREDIENT = "no_ingredient"
    WASTE_FULL = "waste_full"
    TRAY_FULL = "tray_full"
    TRAY_MISSING = "tray_missing"
    DOOR_OPEN = "door_open"
    RINSE_NEEDED = "rinse_needed"
    HEATING = "heating"
    SERVICE = "service"
    FAULT = "fault"
    TOO_LATE = "too_late"
    UNSUPPORTED = "unsupported"


class AgentCode(StrEnum):
    """Why nothing was poured, by the agent's own reckoning. Only `cancelled` may be the machine's word: told with its
    phase.
    """

    EXPIRED = "expired"
    """The deadline had passed before the first byte."""
    CANCELLED = "cancelled"
    """The cloud took the command back in time."""
    NEVER_RECEIVED = "never_received"
    """The cloud asked about a command this agent never had; it refuses it from now on."""
    NEVER_SENT = "never_sent"
    """Received, but the agent stopped before a byte went to the machine."""
    NEVER_STARTED = "never_started"
    """Bytes went out; the machine's own memory proves that it never began."""
    CONFLICT = "conflict"
    """Another command for an order that may have poured already; the first one counts."""
    MACHINE_OFFLINE = "machine_offline"
    """The serial link is down or the machine does not answer."""
    NOT_SELLING = "not_selling"
    """The agent has stopped selling until a person has looked (circuit breaker, broken journal)."""
    STORAGE = "storage"
    """The journal could not be written."""


class DoubtCode(StrEnum):
    """Why an outcome is unknown, where that has a name of its own."""

    UNOBSERVABLE = "unobservable"
    """Sent; this kind of machine never says what becomes of a drink."""


class JobCode(StrEnum):
    """Why a job was refused, where no other list has the word."""

    BAD_SETTING = "bad_setting"
    """It names what cannot be set, or gives it an impossible value."""


class UpdateCode(StrEnum):
    """Why an update came to nothing; the version before goes on."""

    NO_RELEASE_KEY = "no_release_key"
    """This agent's settings name no key that may sign."""
    NOT_FETCHED = "not_fetched"
    """It could not be fetched whole, or is not what was meant."""
    BAD_SIGNATURE = "bad_signature"
    """None of the keys in the settings has signed it."""
    BAD_BUNDLE = "bad_bundle"
    """Signed, and no bundle this agent can use."""
    OTHER_MACHINE = "other_machine"
    """It is made for other machines."""
    OLDER_VERSION = "older_version"
    """Older than what runs, and nobody said that it may be."""
    SELF_TEST = "self_test"
    """It does not stand its own self-test here."""
    INTERRUPTED = "interrupted"
    """The agent ended before it was tried."""
    ROLLED_BACK = "rolled_back"
    """Tried, and it did not come up well."""


class EventKind(StrEnum):
    """What an event tells of. New ones may be added: a reader keeps one it does not know as it came."""

    AGENT_STARTED = "agent_started"
    MACHINE_BOOTED = "machine_booted"
    LINE_DOWN = "line_down"
    """The machine does not answer, or its port is gone."""
    LINE_UP = "line_up"
    LINE_NOISY = "line_noisy"
    """So many damaged frames that it is the cable."""
    LINE_CLEAN = "line_clean"
    FAULT_SET = "fault_set"
    """The door, water, beans, ...: `code` says which."""
    FAULT_CLEARED = "fault_cleared"
    COUNTER_MOVED = "counter_moved"
    """The machine counted drinks that nobody ordered here."""
    STRAY_OUTCOME = "stray_outcome"
    """The machine tells of the end of an order this agent did not send."""
    SELLING_STOPPED = "selling_stopped"
    SELLING_RESUMED = "selling_resumed"
    JOURNAL_LOST = "journal_lost"
    """It was damaged and put aside."""
    TWO_AGENTS = "two_agents"
    """Another agent speaks under this device's name in turns with this one: a copied card."""
    CLOCK_WRONG = "clock_wrong"
    CLOCK_RIGHT = "clock_right"


class RinseProgram(StrEnum):
    """What a machine can be asked to run without a cup."""

    RINSE = "rinse"
    CLEAN = "clean"


class AnswerStatus(StrEnum):
    """What came of a job."""

    STARTED = "started"
    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"
    """Nothing was done; the code says why."""
    UNKNOWN = "unknown"
    """It may have begun; nobody answers."""


class FaultCode(StrEnum):
    """Canonical faults (docs/machine-protocol.md 3.4). Others pass through (docs/wire-contract.md 1.7)."""

    NO_WATER = "no_water"
    NO_BEANS = "no_beans"
    NO_INGREDIENT = "no_ingredient"
    NO_CUPS = "no_cups"
    CUP_JAM = "cup_jam"
    CUP_IN_HOLDER = "cup_in_holder"
    WASTE_FULL = "waste_full"
    TRAY_MISSING = "tray_missing"
    TRAY_FULL = "tray_full"
    NO_MILK = "no_milk"
    DOOR_OPEN = "door_open"
    GRINDER = "grinder"
    BREWER = "brewer"
    BOILER = "boiler"
    FLOW = "flow"
    DESCALE = "descale"
    FILTER = "filter"
    SERVICE_DUE = "service_due"
    CONTROLLER_SILENT = "controller_silent"
    POWER_LOST = "power_lost"
    DELIVERY_FAILED = "delivery_failed"
