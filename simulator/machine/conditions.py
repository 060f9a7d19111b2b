"""What each of the machine's own faults closes, and the word for it in a refusal (docs/machine-protocol.md 3.4)."""

from dataclasses import dataclass

from protocol.reasons import FaultCode, FaultLevel, RejectCode
from simulator.machine.faults import Faults, fault_code
from simulator.machine.menu import Drink, Ingredient, Menu
from simulator.machine.switches import MACHINE_FAULTS, VENDOR_FAULT

_CLOSES_SOME = {
    FaultCode.NO_BEANS: Ingredient.BEANS,
    FaultCode.GRINDER: Ingredient.BEANS,
    FaultCode.NO_MILK: Ingredient.MILK,
    FaultCode.NO_INGREDIENT: Ingredient.POWDER,
}
_WARNS = {FaultCode.CUP_IN_HOLDER, FaultCode.DESCALE, FaultCode.FILTER, FaultCode.SERVICE_DUE, VENDOR_FAULT}
_STATES = (RejectCode.SERVICE, RejectCode.HEATING, RejectCode.RINSE_NEEDED)


@dataclass(frozen=True, slots=True)
class MachineFault:
    """One fault that is on. `drinks` are those it closes; none named and `block` closes all."""

    code: str
    level: FaultLevel
    drinks: tuple[str, ...]

    @property
    def refusal(self) -> RejectCode:
        return RejectCode(self.code) if self.code in RejectCode.__members__.values() else RejectCode.FAULT

    @property
    def closes_all(self) -> bool:
        return self.level is FaultLevel.BLOCK and not self.drinks

    def closes(self, drink: Drink) -> bool:
        return self.closes_all or drink.drink_no in self.drinks


def machine_faults(faults: Faults, menu: Menu) -> list[MachineFault]:
    """The faults that are on, in the order of the list of switches."""
    return [_fault(name, menu) for name in MACHINE_FAULTS if faults.is_on(name)]


def refusal_of(drink: Drink, faults: Faults, menu: Menu) -> RejectCode | None:
    """Why this drink cannot be made in the machine's present condition, or None."""
    for state in _STATES:
        if faults.is_on(state):
            return state
    return next((fault.refusal for fault in machine_faults(faults, menu) if fault.closes(drink)), None)


def _fault(name: str, menu: Menu) -> MachineFault:
    if name in _WARNS:
        return MachineFault(fault_code(name), FaultLevel.WARN, ())
    ingredient = _CLOSES_SOME.get(FaultCode(name))
    closed = () if ingredient is None else tuple(no for no, drink in menu.items() if ingredient in drink.needs)
    if ingredient is not None and not closed:
        return MachineFault(name, FaultLevel.WARN, ())
    return MachineFault(name, FaultLevel.BLOCK, closed)
