"""The live state as the `state` message: whole where it fits, else cut so that it closes no less. Pure."""

import logging
from collections.abc import Iterator
from datetime import datetime

import msgspec
from msgspec import UNSET

from agent import AGENT_VERSION
from agent.live_state import LiveView
from protocol.errors import WireError
from protocol.messages import MAX_FAULTS, Fault, State, encode
from protocol.reasons import FaultLevel

LONGEST_REASON = 500
BRIEF = "the machine's state could not be put into a message; it is in the agent's log"
log = logging.getLogger(__name__)


def encoded(view: LiveView, profile: str, at: datetime) -> bytes:
    """Ready to be published; never raises for what a machine has said."""
    full = _state(view, profile, at)
    why = ""
    for state in (full, *_shorter(full)):
        try:
            payload = encode(state)
        except WireError as error:
            why = why or str(error)
            continue
        if why:
            log.warning("the state is told in brief: %s", why)
        return payload
    log.error("the state cannot be told: %s", why)
    return encode(State(at=at, link=view.link, selling=False, reason=BRIEF))


def _state(view: LiveView, profile: str, at: datetime) -> State:
    return State(
        at=at,
        link=view.link,
        machine=view.machine if view.link != "down" else None,  # nobody has its word just now
        selling=not view.stopped,
        reason=view.stopped[:LONGEST_REASON],
        busy_order=view.busy_order,
        faults=list(view.faults.values())[:MAX_FAULTS],
        counters=view.counters,
        frame_error_ratio=view.frame_error_ratio,
        agent_version=AGENT_VERSION,
        model=view.model,
        profile=profile,
        capabilities=list(view.capabilities)[:MAX_FAULTS],
        make_room=UNSET if view.make_room is None else view.make_room,
    )


def _shorter(state: State) -> Iterator[State]:
    """Each drink under one fault that closes it; then no drinks: whatever closes some is told to close all."""
    yield msgspec.structs.replace(state, faults=_each_drink_once(state.faults))
    blocking = [Fault(code=fault.code, level=fault.level) for fault in state.faults if fault.level == FaultLevel.BLOCK]
    yield msgspec.structs.replace(state, faults=blocking)


def _each_drink_once(faults: list[Fault]) -> list[Fault]:
    told: set[str] = set()
    shorter = []
    for fault in faults:
        fresh = [drink for drink in fault.drinks if drink not in told]
        if fault.level != FaultLevel.BLOCK:
            fresh = []
        told.update(fresh)
        shorter.append(Fault(code=fault.code, level=fault.level, drinks=fresh or fault.drinks[:1]))
    return shorter
