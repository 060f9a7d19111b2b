"""Which switches are on and when each strikes: once, every n-th time, by a seeded chance, or while it lasts.

Knows no frame and no machine; those ask `fires(name)` at the moment it would matter, and tell when a make comes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Any

from simulator.machine.switches import SWITCHES, VENDOR_FAULT

PASSING_S = 5.0
"""How long a lasting switch that strikes at a make stays on, unless it is said."""


class UnknownSwitch(ValueError):
    """No switch has this name."""


class BadSetting(ValueError):
    """The switch exists and cannot be set like that."""


class When(StrEnum):
    """How often a switch strikes."""

    ON = "on"
    ONCE = "once"
    EVERY = "every"
    CHANCE = "chance"


@dataclass(frozen=True, slots=True)
class Setting:
    """How one switch is set. A lasting switch that is not simply `on` strikes at makes: each make is an opportunity.

    `n`: with `once` the n-th opportunity and no other, with `every` each n-th.
    `seconds`: how long a lasting switch stays on, or how long a passing one lasts (a delay, an unplugging).
    `command`: for frames, only those with this command byte count as an opportunity.
    """

    when: When
    n: int = 1
    chance: float = 0.5
    seconds: float | None = None
    command: int | None = None

    def __post_init__(self) -> None:
        if self.n < 1:
            raise BadSetting("n counts from 1")
        if not 0 <= self.chance <= 1:
            raise BadSetting("chance lies between 0 and 1")
        if self.seconds is not None and not 0 < self.seconds < 86_400:
            raise BadSetting("seconds must be above 0 and within a day")


@dataclass(slots=True)
class _Armed:
    setting: Setting
    lasting: bool
    until: float | None = None
    """When what is on now ends by itself."""
    opportunities: int = 0

    @property
    def waits_for_makes(self) -> bool:
        return self.lasting and self.setting.when is not When.ON

    @property
    def is_over(self) -> bool:
        """Nothing more will come of it once the present time is up."""
        return self.setting.when in (When.ON, When.ONCE)


def setting_of(name: str, when: str | None = None, **options: object) -> Setting:
    """A checked setting for a switch; the usual is `on` for a lasting one and `once` for the others."""
    switch = SWITCHES.get(name)
    if switch is None:
        raise UnknownSwitch(f"no switch is called {name!r}")
    try:
        chosen = When(when) if when else When.ON if switch.lasting else When.ONCE
        read = {key: _READERS[key](str(value)) for key, value in options.items() if value is not None}
    except (KeyError, ValueError) as error:
        raise BadSetting(f"{name}: {error}") from error
    return Setting(chosen, **read)


def parse_setting(text: str) -> tuple[str, Setting]:
    """`drop_done`, `drop_done:every=3`, `garbage:chance=0.1`, `delay_frame:once,seconds=1,command=0xA2`."""
    name, _, rest = text.partition(":")
    when: str | None = None
    options: dict[str, object] = {}
    for word in filter(None, rest.split(",")):
        key, _, value = word.partition("=")
        if key in When.__members__.values():
            when = key
            if value:
                options["chance" if key == When.CHANCE else "n"] = value
        else:
            options[key] = value
    return name, setting_of(name, when, **options)


def _number(text: str) -> int:
    return int(text, 0)


_READERS: dict[str, Callable[[str], Any]] = {"n": _number, "chance": float, "seconds": float, "command": _number}


class Faults:
    """The switches that are on. Given the same seed and the same opportunities, the same ones strike."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._armed: dict[str, _Armed] = {}

    def turn_on(self, name: str, setting: Setting | None = None, *, now: float = 0.0) -> None:
        """Switch on, or set anew. `now` matters only for a lasting switch with `seconds`."""
        setting = setting or setting_of(name)
        lasting = SWITCHES[name].lasting
        ends = lasting and setting.when is When.ON and setting.seconds is not None
        self._armed[name] = _Armed(setting, lasting, now + (setting.seconds or 0) if ends else None)

    def clear(self, name: str) -> None:
        """Switch off; harmless when it is off."""
        if name not in SWITCHES:
            raise UnknownSwitch(f"no switch is called {name!r}")
        self._armed.pop(name, None)

    def clear_all(self) -> None:
        self._armed.clear()

    @property
    def active(self) -> dict[str, Setting]:
        """Those that are on or wait for their moment."""
        return {name: armed.setting for name, armed in self._armed.items()}

    @property
    def in_force(self) -> list[str]:
        """The lasting ones that are on at this moment."""
        return [name for name, armed in self._armed.items() if armed.lasting and self.is_on(name)]

    def is_on(self, name: str) -> bool:
        """For a lasting switch."""
        armed = self._armed.get(name)
        return armed is not None and (armed.until is not None or not armed.waits_for_makes)

    def make_comes(self, now: float) -> None:
        """A make reaches the machine: do the lasting switches that wait for one strike? Before it is heard."""
        for armed in self._armed.values():
            if not armed.waits_for_makes:
                continue
            armed.opportunities += 1
            if self._strikes(armed):
                armed.until = now + (armed.setting.seconds or PASSING_S)

    def fires(self, name: str, command: int | None = None) -> Setting | None:
        """An opportunity has come: does the switch strike? A `once` is then spent."""
        armed = self._armed.get(name)
        if armed is None or armed.setting.command not in (None, command):
            return None
        armed.opportunities += 1
        if not self._strikes(armed):
            return None
        if armed.setting.when is When.ONCE:
            del self._armed[name]
        return armed.setting

    def _strikes(self, armed: _Armed) -> bool:
        setting = armed.setting
        match setting.when:
            case When.ON:
                return True
            case When.ONCE:
                return armed.opportunities == setting.n
            case When.EVERY:
                return armed.opportunities % setting.n == 0
            case When.CHANCE:
                return self._random.random() < setting.chance

    def expire(self, now: float) -> None:
        """Switch off what has lasted its time; what may strike again goes on waiting."""
        for name, armed in list(self._armed.items()):
            if armed.until is None or armed.until > now:
                continue
            if armed.is_over:
                del self._armed[name]
            else:
                armed.until = None

    @property
    def wake_at(self) -> float | None:
        return min((armed.until for armed in self._armed.values() if armed.until is not None), default=None)


def fault_code(switch_name: str) -> str:
    """What the machine calls the fault behind a switch."""
    return "vendor:e17" if switch_name == VENDOR_FAULT else switch_name
