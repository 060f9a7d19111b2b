"""A coffee machine that speaks `companion-v1` on a pty: its own memory, its own ground truth, switches for every fault.

`MachineSimulator` runs it whole; `Wire` is the same machine without threads, for simulations with a clock of their own.
"""

from simulator.machine.behaviour import CoffeeMachine
from simulator.machine.faults import Faults, Setting, When, parse_setting, setting_of
from simulator.machine.memory import Cup, Memory, MemoryFile
from simulator.machine.menu import STANDARD_MENU, Drink, Menu, menu_of
from simulator.machine.power import Timing
from simulator.machine.simulator import MachineSimulator
from simulator.machine.wire import Turn, Wire

__all__ = [
    "STANDARD_MENU",
    "CoffeeMachine",
    "Cup",
    "Drink",
    "Faults",
    "MachineSimulator",
    "Memory",
    "MemoryFile",
    "Menu",
    "Setting",
    "Timing",
    "Turn",
    "When",
    "Wire",
    "menu_of",
    "parse_setting",
    "setting_of",
]
