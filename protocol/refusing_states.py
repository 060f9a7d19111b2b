"""In which states the machine makes no drink, and by which code: what the agent refuses the cloud does not sell.

Source: docs/machine-protocol.md 3.2.
"""

from collections.abc import Mapping

from protocol.reasons import AgentCode, MachineState, RejectCode

REFUSAL_OF_STATE: Mapping[MachineState, RejectCode | AgentCode] = {
    MachineState.BOOT: RejectCode.HEATING,
    MachineState.HEATING: RejectCode.HEATING,
    MachineState.BREWING: RejectCode.BUSY,
    MachineState.RINSING: RejectCode.BUSY,
    MachineState.CLEANING: RejectCode.BUSY,
    MachineState.SERVICE: RejectCode.SERVICE,
    MachineState.FAULT: RejectCode.FAULT,
    MachineState.OFF: AgentCode.MACHINE_OFFLINE,
}
