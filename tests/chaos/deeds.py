"""What is done to whom and when, drawn from a seed: the same seed draws the same deeds. Touches nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

LONG_OUTAGES_FROM_S = 120.0
"""A campaign this long also has outages that outlast every lease and every deadline of an order."""
LONG_OUTAGE = (20.0, 45.0)
LONG_SHARE = 0.1
FORGETS_SHARE = 0.4
"""Of the broker's restarts: without the sessions and messages it had kept."""


class Kind(StrEnum):
    """The things that happen. Those that last are undone after their time."""

    KILL = "killed"
    """SIGKILL; started again afterwards."""
    PAUSE = "paused"
    """SIGSTOP; SIGCONT afterwards."""
    POWER_CUT = "power cut"
    """A machine goes dark and boots."""
    PLACE_DARK = "place dark"
    """The machine and its agent lose power together."""
    UNPLUGGED = "unplugged"
    SILENT = "silent"
    NO_WATER = "no water"
    TEST_DRINK = "test drink"
    """Somebody at the machine makes a drink that is nobody's order."""
    BROKER_KILLED = "broker killed"
    BROKER_FORGETS = "broker killed, its memory lost"
    CLOUD_KILLED = "whole cloud killed"
    PROVIDER_FAULT = "provider fault"
    PROVIDER_GONE = "provider gone"
    NEWS_SPOILED = "notifications spoiled"
    FORGERY = "forged notification"
    TECHNICIAN = "technician"
    """A person has looked at the machines: those that stopped selling sell again."""


@dataclass(frozen=True)
class Fleet:
    """Who there is to suffer, by name."""

    webs: tuple[str, ...]
    workers: tuple[str, ...]
    machines: tuple[str, ...]


@dataclass(frozen=True)
class Deed:
    """`at` and `lasts` in seconds; `whom` names what it befalls.

    `draw` (0 to 1) chooses among what will only then exist.
    """

    at: float
    kind: Kind
    whom: tuple[str, ...]
    lasts: float = 0.0
    draw: float = 0.0


WEIGHTS = {
    Kind.KILL: 12,
    Kind.PAUSE: 8,
    Kind.POWER_CUT: 6,
    Kind.PLACE_DARK: 2,
    Kind.UNPLUGGED: 3,
    Kind.SILENT: 2,
    Kind.NO_WATER: 1,
    Kind.TEST_DRINK: 2,
    Kind.BROKER_KILLED: 3,
    Kind.CLOUD_KILLED: 1,
    Kind.PROVIDER_FAULT: 7,
    Kind.PROVIDER_GONE: 2,
    Kind.NEWS_SPOILED: 3,
    Kind.FORGERY: 3,
    Kind.TECHNICIAN: 3,
}
BROKER, PROVIDER, NOTIFICATIONS = "broker", "provider", "notifications"
_SUDDEN = frozenset({Kind.POWER_CUT, Kind.TEST_DRINK, Kind.FORGERY, Kind.TECHNICIAN})
"""They last no time."""


def agent_of(machine: str) -> str:
    """The name of a machine's agent."""
    return f"agent {machine}"


def draw(seed: int, seconds: float, fleet: Fleet, every_s: float) -> list[Deed]:
    """All deeds of a campaign, one in `every_s` on average, in order. None befalls who suffers from one already."""
    random = Random(seed)
    busy_until: dict[str, float] = {}
    deeds: list[Deed] = []
    at = random.expovariate(1 / every_s)
    while at < seconds:
        kind = random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        deed = _deed(random, at, kind, fleet, seconds)
        if all(busy_until.get(name, 0.0) <= at for name in deed.whom):
            deeds.append(deed)
            busy_until |= dict.fromkeys(deed.whom, at + deed.lasts)
        at += random.expovariate(1 / every_s)
    return deeds


def _deed(random: Random, at: float, kind: Kind, fleet: Fleet, seconds: float) -> Deed:
    whom = _whom(random, kind, fleet)
    lasts = 0.0 if kind in _SUDDEN else _lasts(random, kind, seconds)
    if kind is Kind.BROKER_KILLED and random.random() < FORGETS_SHARE:
        kind = Kind.BROKER_FORGETS
    return Deed(at, kind, whom, min(lasts, seconds - at), random.random())


def _whom(random: Random, kind: Kind, fleet: Fleet) -> tuple[str, ...]:
    machine = random.choice(fleet.machines)
    match kind:
        case Kind.KILL | Kind.PAUSE:
            kinds: Sequence[Sequence[str]] = (fleet.webs, fleet.workers, [agent_of(machine)])
            return (random.choice(random.choices(kinds, (2, 3, 4))[0]),)
        case Kind.PLACE_DARK:
            return machine, agent_of(machine)
        case Kind.CLOUD_KILLED:
            return *fleet.webs, *fleet.workers
        case Kind.BROKER_KILLED:
            return (BROKER,)
        case Kind.PROVIDER_FAULT | Kind.PROVIDER_GONE:
            return (PROVIDER,)
        case Kind.NEWS_SPOILED | Kind.FORGERY:
            return (NOTIFICATIONS,)
        case Kind.TECHNICIAN:
            return fleet.machines
        case _:
            return (machine,)


def _lasts(random: Random, kind: Kind, seconds: float) -> float:
    """Of programs and lines mostly a moment; some are away for longer than anybody waits."""
    may_be_long = seconds >= LONG_OUTAGES_FROM_S and kind in {Kind.KILL, Kind.PAUSE, Kind.PLACE_DARK, Kind.UNPLUGGED}
    if may_be_long and random.random() < LONG_SHARE:
        return random.uniform(*LONG_OUTAGE)
    return random.uniform(0.0, 3.0) if kind is Kind.KILL else random.uniform(0.5, 6.0)
