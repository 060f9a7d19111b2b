"""How fast the machine is, and the points at which a switch can cut its power."""

from dataclasses import dataclass

from simulator.machine.faults import Faults


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. `brew_s` is an americano's whole time; other drinks have their pace."""

    brew_s: float = 6.0
    rinse_s: float = 4.0
    boot_s: float = 1.0
    """Dark after a power cut."""
    heating_s: float = 1.0
    heartbeat_s: float = 5.0


class PowerLost(Exception):
    """Unwinds whatever the machine was doing; only the memory stays."""


def power_point(faults: Faults, switch: str) -> None:
    """Here the power may go. Raises `PowerLost` when the switch strikes."""
    if faults.fires(switch):
        raise PowerLost(switch)
