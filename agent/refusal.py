"""Could this drink be made, by what is known this moment? Pure: one answer for the readiness probe and for the make."""

from agent.live_state import LiveView
from protocol.reasons import AgentCode, FaultLevel, RejectCode
from protocol.refusing_states import REFUSAL_OF_STATE


def refusal_code(view: LiveView, drink_no: str) -> str:
    """The code of why not; "" when it could be made."""
    if view.stopped:
        return AgentCode.NOT_SELLING
    never_speaks = view.link == "open"
    if not never_speaks and (view.link != "up" or view.machine is None):
        return AgentCode.MACHINE_OFFLINE
    if view.busy_order is not None:
        return RejectCode.BUSY
    state = "" if view.machine is None else REFUSAL_OF_STATE.get(view.machine, "")
    return blocking_fault(view, drink_no) or state


def blocking_fault(view: LiveView, drink_no: str) -> str:
    """The code of a fault that closes this drink, or ""."""
    for code, fault in view.faults.items():
        if fault.level == FaultLevel.BLOCK and (not fault.drinks or drink_no in fault.drinks):
            return code
    return ""
