"""What is to be known about one kind of machine: a TOML file, checked when it is read."""

import tomllib
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

SHIPPED = Path(__file__).with_name("profiles")
CLOUD_MAKE_TIMEOUT_S = 300.0
"""The cloud's default patience with an accepted command; we must have spoken before."""

Seconds = Annotated[float, Meta(gt=0, le=3600)]


class Serial(Struct, frozen=True, forbid_unknown_fields=True):
    """How the line is set."""

    baud: Annotated[int, Meta(gt=0)] = 115200
    bytesize: Annotated[int, Meta(ge=5, le=8)] = 8
    parity: Annotated[str, Meta(pattern="^[NEO]$")] = "N"
    stopbits: Annotated[float, Meta(ge=1, le=2)] = 1


class Timers(Struct, frozen=True, forbid_unknown_fields=True):
    """machine-protocol.md 2.4 and 5; seconds."""

    inter_byte_gap: Seconds = 0.1
    query_reply: Seconds = 1.0
    query_tries: Annotated[int, Meta(ge=1, le=10)] = 3
    make_verdict: Seconds = 3.0
    accepted_to_brewing: Seconds = 15.0
    max_brew: Seconds = 180.0
    quiet: Seconds = 15.0
    down: Seconds = 30.0
    status_poll: Seconds = 10.0
    make_freshness: Seconds = 120.0
    gate_patience: Seconds = 5.0
    unknown_deadline: Annotated[float, Meta(gt=0, lt=CLOUD_MAKE_TIMEOUT_S)] = 240.0
    recheck: Seconds = 300.0


class Expects(Struct, frozen=True, forbid_unknown_fields=True):
    """Capabilities a machine of this kind must, or should, announce."""

    required: frozenset[str] = frozenset()
    wanted: frozenset[str] = frozenset()


class Counting(Struct, frozen=True, forbid_unknown_fields=True):
    """What the machine's counters can prove."""

    local_sales: bool = False
    start_always_counts: bool = False


class Faults(Struct, frozen=True, forbid_unknown_fields=True):
    """Fault codes that close the whole machine."""

    block: frozenset[str] = frozenset()


class Profile(Struct, frozen=True, forbid_unknown_fields=True):
    """One kind of machine."""

    name: str
    serial: Serial = Serial()
    timers: Timers = Timers()
    expects: Expects = Expects()
    counting: Counting = Counting()
    faults: Faults = Faults()


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
        return msgspec.convert(tomllib.loads(text), Profile)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise BadProfile(f"profile {name!r}: {error}") from error
