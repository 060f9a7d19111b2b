"""How a machine stands, in one word, since when and why. Pure; the worst comes first."""

from dataclasses import dataclass
from datetime import datetime

from cloud.fleet.availability import CLOSED, TWO_AGENTS
from cloud.fleet.closing import BREAKER
from cloud.fleet.models import Device, DeviceLive
from cloud.fleet.presence_history import Presence, Spell
from protocol.reasons import AgentCode

STATES = (
    "two_agents",
    "broken",
    "stopped",
    "faulted",
    "offline",
    "unknown",
    "updating",
    "closed",
    "closed_by_file",
    "test",
    "selling",
)
"""By severity; each has a sentence `machines.is.<state>`."""
_LOOK = {"test": "", "selling": "good", "closed": "warn", "closed_by_file": "", "unknown": "warn", "updating": ""}


@dataclass(frozen=True)
class Standing:
    """The sentence's parts. `why`: a code or an order's reason; `words`: what somebody wrote."""

    state: str
    since: datetime | None = None
    why: str = ""
    by: str = ""
    words: str = ""

    @property
    def severity(self) -> int:
        return STATES.index(self.state)

    @property
    def look(self) -> str:
        """Its colour: good, warn, bad or nothing."""
        return _LOOK.get(self.state, "bad")

    @property
    def is_trouble(self) -> bool:
        return self.look in {"bad", "warn"}


def standing(device: Device, live: DeviceLive | None, spell: Spell | None) -> Standing:
    """How this machine stands now."""
    if device.status == CLOSED:
        return Standing("closed_by_file")
    if device.closed_since is not None:
        state = "broken" if device.closed_by == BREAKER else "closed"
        why = device.closed_why.rpartition(", ")[2] if state == "broken" else ""
        return Standing(state, device.closed_since, why, device.closed_by, device.closed_why)
    if device.updating_until is not None:
        return Standing("updating")
    if live is None or live.seen_at is None:
        return Standing("unknown")
    if live.two_agents_since is not None:
        return Standing(TWO_AGENTS, live.two_agents_since)
    since = spell.since if spell is not None else None
    if (spell is not None and spell.state is Presence.OFFLINE) or not live.online:
        return Standing("offline", since or live.seen_at)
    if spell is not None and spell.state is Presence.FAULTED:
        words = str((live.state or {}).get("reason", ""))
        state = "stopped" if spell.reason == AgentCode.NOT_SELLING else "faulted"
        return Standing(state, since, spell.reason, words=words)
    return Standing("test" if device.status == "test" else "selling", since)


def needs_resume(live: DeviceLive | None) -> bool:
    """Whether only a person's word lets its agent sell: it has stopped by itself, or there are two of them."""
    if live is None:
        return False
    return live.two_agents_since is not None or (live.state or {}).get("selling", True) is False
