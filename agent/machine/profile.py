"""What is to be known about one kind of machine: a TOML file, checked as a whole when it is read.

Every problem is told with the file and the key, in words for its author.
"""

import json
import re
import tomllib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from agent.machine.dialect import Codec, Dialect
from agent.machine.framing import Framing, Layout
from agent.machine.timers import LAST_WORD_S, Timers
from protocol import machine

SHIPPED = Path(__file__).with_name("profiles")
USUAL_MAKE = 64 + 32 + 8
"""Bytes of an ordinary order's id, drink and price: ids of machines have up to 64 characters, drinks 32."""

Ability = Literal[
    "ack", "progress", "finish", "order", "counters", "dedup", "nv", "cancel", "rinse", "faults", "heartbeat"
]
Code = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_:.-]{1,64}$")]
_CARRIED_BY: Mapping[str, tuple[type[machine.MachineMessage], ...]] = {
    "ack": (machine.MakeReply,),
    "progress": (machine.ProgressEvent,),
    "finish": (machine.DoneEvent,),
    "order": (machine.OrderQuery, machine.OrderReply),
    "counters": (machine.CountersQuery, machine.CountersReply),
    "nv": (machine.OrderQuery, machine.OrderReply),
    "cancel": (machine.CancelDrink, machine.CancelReply),
    "rinse": (machine.Rinse, machine.RinseReply),
    "faults": (machine.StatusReply,),
    "heartbeat": (machine.Heartbeat,),
}
"""Without these commands the ability is of no use, whoever claims it."""


class Serial(Struct, frozen=True, forbid_unknown_fields=True):
    """How the line is set."""

    baud: Annotated[int, Meta(ge=50, le=4_000_000)] = 115200
    bytesize: Literal[5, 6, 7, 8] = 8
    parity: Literal["N", "E", "O"] = "N"
    stopbits: Literal[1, 2] = 1
    flow: Literal["none", "rtscts", "xonxoff"] = "none"
    dtr: bool | None = None
    """How the line DTR is set when the port is opened; not said: raised, as the system does it."""
    rts: bool | None = None

    def problems(self) -> list[tuple[str, str]]:
        """What no frame survives (lengths and checksums are bytes of any value), and keys that exclude each other."""
        found: list[tuple[str, str]] = []
        if self.bytesize != 8:
            found.append(("bytesize", f"frames are bytes of eight bits, and {self.bytesize} would cut each of them"))
        if self.flow == "xonxoff":
            words = "the line would swallow each 11 and 13 in a frame, and a 13 would hold up all we send"
            found.append(("flow", f"{words}; none or rtscts"))
        if self.flow == "rtscts" and self.rts is not None:
            found.append(("rts", "with flow rtscts the system moves this line itself"))
        return found


class Capabilities(Struct, frozen=True, forbid_unknown_fields=True):
    """What the machine can do, where it does not say so itself, or says more than is true."""

    assumed: frozenset[Ability] = frozenset()
    denied: frozenset[Ability] = frozenset()


class Expects(Struct, frozen=True, forbid_unknown_fields=True):
    """Capabilities a machine of this kind must, or should, announce."""

    required: frozenset[Ability] = frozenset()
    wanted: frozenset[Ability] = frozenset()


class Counting(Struct, frozen=True, forbid_unknown_fields=True):
    """What the machine's counters can prove."""

    local_sales: bool | None = None
    """Does it also sell by itself? True: its counter proves nothing. False: a drink nobody ordered stops the selling.

    Not said: a drink counted while none of ours was on its way is its own, and from then on it is one that does.
    """
    start_always_counts: bool = False


class Faults(Struct, frozen=True, forbid_unknown_fields=True):
    """What a fault closes when the machine names it without saying so."""

    block: frozenset[Code] = frozenset()
    """Codes that close the whole machine."""
    closes: Mapping[Code, list[str]] = {}
    """Codes that close some drinks, by the cloud's ids."""


class Profile(Dialect, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """One kind of machine."""

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    serial: Serial = Serial()
    framing: Framing = Framing()
    timers: Timers = Timers()
    capabilities: Capabilities = Capabilities()
    expects: Expects = Expects()
    counting: Counting = Counting()
    faults: Faults = Faults()

    @cached_property
    def layout(self) -> Layout:
        return Layout(self.framing)

    @cached_property
    def codec(self) -> Codec:
        return Codec(self, escape=self.framing.text == "ascii")

    @cached_property
    def make_room(self) -> int:
        """Bytes of a make's frame that are left for the order's id, the drink and the price, written as JSON."""
        flags: tuple[machine.TextFlag, ...] = ("0", "1", "2")
        sizes = [machine.MakeDrink(order_uuid="", drink_no="", text_flag=flag, price=0) for flag in flags]
        frame = max(len(self.codec.to_frame(make).body) for make in sizes)
        longer = (len(json.dumps(drink.drink_no or no)) - len(json.dumps(no)) for no, drink in self.drinks.items())
        return self.framing.max_content - frame - max([0, *longer])  # the command byte is as long as the price's 0

    @property
    def knows_boots(self) -> bool:
        """False: the machine names no boot, so none is ever the same as before."""
        return "bootId" not in self.unsaid

    def abilities(self, announced: frozenset[str]) -> frozenset[str]:
        """What this machine can do, by its own word and the profile's, as far as there are commands for it."""
        able = (announced | self.capabilities.assumed) - self.capabilities.denied
        return frozenset(one for one in able if self.codec.knows(*_CARRIED_BY.get(one, ())))

    def max_brew(self, drink_no: str) -> float:
        """Seconds the longest cup of this drink takes."""
        drink = self.drinks.get(drink_no)
        return self.timers.max_brew if drink is None or drink.max_brew is None else drink.max_brew

    def give_up_after(self, drink_no: str) -> float:
        """Seconds from a make to `unknown`: the deadline, or what a drink that begins late takes, if that is longer."""
        brewed = self.timers.accepted_to_brewing + self.max_brew(drink_no)
        return max(self.timers.unknown_deadline, min(brewed, LAST_WORD_S))

    def problems(self) -> list[tuple[str, str]]:
        """Keys that make no sense together, and why."""
        found = [(f"serial.{key}", why) for key, why in self.serial.problems()]
        found += [(f"framing.{key}", why) for key, why in self.framing.problems()]
        found += self.dialect_problems()
        found += [(f"timers.{key}", why) for key, why in self.timers.problems()]
        if not self.capabilities.assumed.isdisjoint(self.capabilities.denied):
            found.append(("capabilities", "the same ability is both assumed and denied"))
        if not found and self.make_room < USUAL_MAKE:
            missing = USUAL_MAKE - self.make_room
            found.append(("framing.max_content", f"an ordinary make needs {missing} bytes more"))
        return found


class BadProfile(Exception):
    """There is no such profile, or it makes no sense."""


def load(name: str) -> Profile:
    """A shipped profile by its name, or one from a file when `name` ends in `.toml`. Raises `BadProfile`."""
    path = Path(name) if name.endswith(".toml") else SHIPPED / f"{name}.toml"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        known = ", ".join(sorted(shipped.stem for shipped in SHIPPED.glob("*.toml")))
        raise BadProfile(f"no profile {name!r} ({error}); shipped: {known}") from error
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadProfile(f"{path}: this is not TOML: {error}") from error
    return read(data, str(path))


def read(data: Mapping[str, Any], source: str) -> Profile:
    """The profile that `data` describes. Raises `BadProfile`, each problem on a line with `source` and the key."""
    try:
        made = msgspec.convert(data, Profile)
    except msgspec.ValidationError as error:
        raise BadProfile(f"{source}: {_in_words(str(error), data)}") from error
    problems = made.problems()
    if problems:
        raise BadProfile("\n".join(f"{source}: {key}: {why}" for key, why in problems))
    return made


_TYPES = {"str": "text", "int": "a whole number", "float": "a number", "bool": "true or false", "object": "a table"}
_TYPES |= {"array": "a list", "null": "nothing"}


def _in_words(error: str, data: Mapping[str, Any]) -> str:
    """msgspec's message with the key in front, and its types in words."""
    said, _, where = error.partition(" - at ")
    key = _named(re.sub(r"^(`key` in )?`\$\.?|`$", "", where), data)
    if unknown := re.fullmatch(r"Object contains unknown field `(.*)`", said):
        return f"{_joined(key, unknown[1])}: there is no such key"
    if missing := re.fullmatch(r"Object missing required field `(.*)`", said):
        return f"{_joined(key, missing[1])}: is missing"
    if wrong := re.fullmatch(r"Invalid enum value (.*)", said):
        return f"{key}: {wrong[1]} is none of the words it can be"
    if "matching regex" in said:
        return f"{key}: is not written as it must be, see docs/machine-profiles.md"
    said = re.sub(r"`([^`]*)`", lambda quoted: " or ".join(_TYPES.get(t, t) for t in quoted[1].split(" | ")), said)
    return f"{key or 'the file'}: {said[:1].lower()}{said[1:]}"


def _named(key: str, data: Mapping[str, Any]) -> str:
    """msgspec leaves the entry of a table of free names out (`commands[...]`): found by trying each alone."""
    table, gap, rest = key.partition("[...]")
    if not gap or not isinstance(data.get(table), Mapping):
        return key
    for name, entry in data[table].items():
        try:
            msgspec.convert({"name": "x", table: {name: entry}}, Profile)
        except msgspec.ValidationError:
            return f"{table}.{name}{rest.replace('[...]', '')}"
    return table


def _joined(table: str, key: str) -> str:
    return f"{table}.{key}" if table else key
