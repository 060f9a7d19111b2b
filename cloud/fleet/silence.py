"""Machines that never tell what became of a drink, and what the merchant's choice for their silence costs."""

from typing import Any

from cloud.fleet.models import Control, DeviceLive

TELLING = frozenset({"finish", "order", "counters"})
"""A machine that can do any of these lets an outcome be known (docs/wire-contract.md 1.3)."""
HEARD = frozenset({"up", "quiet", "open"})
"""While the line is down nobody knows yet what the machine can tell."""
NOT_CHOSEN, RETURN, TRUST = "", "return", "trust"
CHOOSE = 'write unobserved = "return" or unobserved = "trust" for it in the fleet file'
COSTS = {
    NOT_CHOSEN: f"nothing is chosen for that: until then the money of every drink goes back, poured or not; {CHOOSE}",
    RETURN: 'by unobserved = "return" the money of every drink goes back: each cup is given away',
    TRUST: 'by unobserved = "trust" every drink sent is paid for, also one that never came out: its buyer has to ask',
}


def never_tells(control: str, live: DeviceLive | None) -> bool:
    """No outcome of this machine can ever be known; false where that is not known yet."""
    state: dict[str, Any] = (live.state if live is not None else None) or {}
    if control == Control.TMETR_API:
        return True
    can = state.get("capabilities")
    return state.get("link") in HEARD and isinstance(can, list) and TELLING.isdisjoint(can)


def cost(chosen: str) -> str:
    """Say what silence means at such a machine, and at whose cost."""
    return f"this machine never tells what became of a drink; {COSTS[chosen]}"
