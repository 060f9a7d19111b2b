"""Could this machine make this drink now? Judged from what the machine last said of itself; told before paying."""

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import or_
from sqlalchemy.orm import Session

from cloud.database.plain_rows import table_of
from cloud.fleet.models import Device, DeviceLive, Drink
from protocol.reasons import AgentCode, FaultLevel, MachineState, RejectCode
from protocol.refusing_states import REFUSAL_OF_STATE

CLOSED = "closed"
DRINK_CLOSED = "drink_closed"
OFFLINE = "offline"
UPDATING = "updating"
"""Its agent is being updated (`update_lock.py`)."""
TWO_AGENTS = "two_agents"
"""Two agents take turns under this device's name: nobody knows which machine would pour."""
NOT_SENT = "not_sent"
"""Our own way to the machine is broken: no worker is alive, or none reaches the broker."""
LONGEST_PRICE = 10
"""Digits of the highest price in kopecks."""
PASSES_BY_ITSELF = frozenset({RejectCode.BUSY, RejectCode.HEATING})
"""States that end within moments, and whose end is told up to a heartbeat late."""


def obstacle(
    device: Device, live: DeviceLive | None, drink: Drink | str, order_id: str = "", *, patient: bool = False
) -> str:
    """The code of why not, "" when it could be made or nothing is known. A test device is not checked.

    `drink`: "" for all of the machine, a bare number for one that it has no more. `patient` leaves out what passes by
    itself before a buyer has paid; an order being poured is not left out.
    """
    if (closed := closed_code(device, drink)) != "":
        return closed
    if device.updating_until is not None:
        return UPDATING
    if device.status == "test" or live is None:
        return ""
    if live.two_agents_since is not None:
        return TWO_AGENTS
    if not live.online:
        return OFFLINE
    state = live.state or {}
    return _of_machine(state, order_id) or _of_faults(state, _number(drink)) or _of_state(state, patient)


def standing_obstacle(live: DeviceLive) -> str:
    """The code of why this machine can make nothing at all, though its agent is there; "" for what soon passes."""
    if live.two_agents_since is not None:
        return TWO_AGENTS
    state = {key: value for key, value in (live.state or {}).items() if key != "busy_order"}
    return _of_machine(state, "") or _of_faults(state, "") or _of_state(state, patient=True)


def closed_code(device: Device, drink: Drink | str) -> str:
    """Whether the machine or this drink of it is taken out of sale; "" when neither is. A removed drink is."""
    if device.status == CLOSED or device.closed_since is not None:
        return CLOSED
    if isinstance(drink, str):
        return DRINK_CLOSED if drink else ""
    return DRINK_CLOSED if drink.closed_since is not None else ""


_device, _drink = table_of(Device), table_of(Drink)
IS_CLOSED = or_(_device.c.status == CLOSED, _device.c.closed_since.is_not(None), _drink.c.closed_since.is_not(None))
"""The rule of `closed_code` in SQL, of a machine and its drink, if it has that one (an outer join).

A removed drink is not closed here, on purpose: an order begun while it was sold is poured.
"""


def drink_of(session: Session, device_uuid: str, drink_no: str) -> Drink | str:
    """The drink, or its bare number where the machine has it no more."""
    return session.get(Drink, (device_uuid, drink_no)) or drink_no


def can_be_sold(
    device: Device, live: DeviceLive | None, drink: Drink | str, order_id: str = "", *, can_send: bool
) -> str:
    """The code of why this machine cannot be sold from now, "" when it can: one rule for pages and for programs.

    `can_send`: somebody could carry a command to it.
    """
    if not does_fit(live, _number(drink), order_id):
        return RejectCode.BAD_BODY
    if device.status == "active" and not can_send:
        return NOT_SENT
    return obstacle(device, live, drink, order_id)


def does_fit(live: DeviceLive | None, drink_no: str, order_id: str) -> bool:
    """Whether the frame of this machine holds a make of this order; true where it has not said how much it holds."""
    room = (live.state or {}).get("make_room") if live is not None else None
    return not isinstance(room, int) or _written(order_id) + _written(drink_no) + LONGEST_PRICE <= room


def standing_faults(state: dict[str, Any] | None) -> frozenset[str]:
    """Codes of the faults that close something by the machine's own word, until it says that they are over.

    `state`: its last `state` message; None before the first.
    """
    faults = _faults(state or {})
    return frozenset(str(fault.get("code")) for fault in faults if fault.get("level") == FaultLevel.BLOCK)


def _number(drink: Drink | str) -> str:
    return drink if isinstance(drink, str) else drink.drink_no


def _written(text: str) -> int:
    """Bytes in a frame: JSON in ASCII, without the quotes."""
    return len(json.dumps(text)) - 2


def _of_machine(state: dict[str, Any], order_id: str) -> str:
    if state.get("link", "up") == "down":
        return AgentCode.MACHINE_OFFLINE
    if state.get("selling", True) is False:
        return AgentCode.NOT_SELLING
    return RejectCode.BUSY if state.get("busy_order") not in {None, "", order_id} else ""


def _of_faults(state: dict[str, Any], drink_no: str) -> str:
    for fault in _faults(state):
        closes = fault.get("drinks") or [drink_no]
        if fault.get("level") == FaultLevel.BLOCK and drink_no in closes:
            return str(fault.get("code", RejectCode.FAULT))
    return ""


def _faults(state: dict[str, Any]) -> Iterator[dict[str, Any]]:
    listed = state.get("faults")
    if isinstance(listed, list):
        yield from (fault for fault in listed if isinstance(fault, dict))


def _of_state(state: dict[str, Any], patient: bool) -> str:
    machine = state.get("machine")
    code = REFUSAL_OF_STATE.get(MachineState(machine), "") if machine in set(MachineState) else ""
    return "" if patient and code in PASSES_BY_ITSELF else code
