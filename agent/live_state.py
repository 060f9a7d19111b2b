"""What the agent knows this very moment: the machine, its faults, what it is doing. In memory, shared by all threads.

Worker and link meet here and in the journal. Decides nothing.
"""

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from agent.clock import Bell
from protocol.messages import MAX_FAULTS, Answer, Counters, Fault, Job, Probe, ProbeReply, Progress
from protocol.reasons import MachineState

MAX_PROGRESS = 16
"""Progress nobody took is worthless when newer is there."""
MAX_JOBS = 8
"""Jobs an operator may have waiting; more than one is a mistake or a flood."""
MAX_ANSWERS = 32
MAX_PROBES = 32
"""Buyers who ask at once whether this machine is ready."""
MAX_LIMITS = 256


@dataclass(frozen=True, slots=True)
class LiveView:
    """All of it at one instant."""

    link: str = "down"
    """`up`, `quiet` or `down`: the serial line; `open` when the machine never speaks."""
    machine: MachineState | None = None
    at_rest_since: float | None = None
    """Steady seconds; None while it may be making a drink, by its own word."""
    stopped: str = "starting"
    """Why nothing is sold, whatever the machine's state; "" when selling."""
    rival: str = ""
    """The session of another agent that speaks under this device's name; then nothing is sold."""
    waited_for: frozenset[str] | None = None
    """Commands that can still be begun, by the cloud's last welcome; None where none says it."""
    busy_order: str | None = None
    faults: Mapping[str, Fault] = field(default_factory=dict)
    counters: Counters | None = None
    frame_error_ratio: float = 0.0
    model: str = ""
    capabilities: tuple[str, ...] = ()
    make_room: int | None = None
    """Bytes of a make's frame for what is ordered (`Profile.make_room`)."""

    def is_waited_for(self, command_id: str) -> bool:
        """By the cloud's last welcome, or its silence. What came since then is not named there either."""
        return self.waited_for is None or command_id in self.waited_for


class LiveState:
    """Changed by the worker, read by everybody; each change rings the bell of the link."""

    def __init__(self, bell: Bell) -> None:
        self._lock = threading.Lock()
        self._bell = bell
        self._view = LiveView()
        self._progress: deque[Progress] = deque(maxlen=MAX_PROGRESS)
        self._answers: deque[Answer] = deque(maxlen=MAX_ANSWERS)
        self._probes: deque[Probe] = deque()
        self._replies: deque[ProbeReply] = deque(maxlen=MAX_PROBES)
        self._jobs: deque[Job] = deque()
        self._limits: dict[str, float] = {}
        self._stopped = self._view.stopped
        self._troubles: dict[str, str] = {}

    @property
    def view(self) -> LiveView:
        return self._view

    def update(self, **changes: Any) -> None:
        """Set fields of the view; says nothing when nothing is new."""
        with self._lock:
            self._stopped = changes.get("stopped", self._stopped)
            changes["stopped"] = next(iter(self._troubles.values()), self._stopped)
            changed = replace(self._view, **changes)
            if changed == self._view:
                return
            self._view = changed
        self._bell.ring()

    def set_trouble(self, where: str, why: str) -> None:
        """A part of the agent fails, and nothing is sold while it does; "": it works again."""
        with self._lock:
            if why:
                self._troubles[where] = why
            else:
                self._troubles.pop(where, None)
        self.update()

    def trouble_besides(self, where: str) -> str:
        """What else fails, or ""."""
        with self._lock:
            return next((why for other, why in self._troubles.items() if other != where), "")

    def view_besides(self, where: str) -> LiveView:
        """As it would be without this trouble."""
        with self._lock:
            others = (why for other, why in self._troubles.items() if other != where)
            return replace(self._view, stopped=next(others, self._stopped))

    def set_fault(self, fault: Fault) -> None:
        faults = dict(self._view.faults)
        if fault.code in faults or len(faults) < MAX_FAULTS:
            self.update(faults={**faults, fault.code: fault})

    def clear_fault(self, code: str) -> None:
        self.update(faults={kept: fault for kept, fault in self._view.faults.items() if kept != code})

    def add_progress(self, progress: Progress) -> None:
        with self._lock:
            self._progress.append(progress)
        self._bell.ring()

    def take_progress(self) -> list[Progress]:
        """Progress not yet taken, oldest first."""
        with self._lock:
            taken = list(self._progress)
            self._progress.clear()
        return taken

    def add_answer(self, answer: Answer) -> None:
        """For the cloud; forgotten when the agent ends."""
        with self._lock:
            self._answers.append(answer)
        self._bell.ring()

    def take_answers(self) -> list[Answer]:
        """Answers not yet taken, oldest first."""
        with self._lock:
            taken = list(self._answers)
            self._answers.clear()
        return taken

    def add_job(self, job: Job) -> bool:
        """A job for the worker; False when too many wait already."""
        with self._lock:
            if len(self._jobs) >= MAX_JOBS:
                return False
            self._jobs.append(job)
        return True

    @property
    def has_job(self) -> bool:
        """A job waits, perhaps the one that repairs what keeps us from the machine."""
        return bool(self._jobs)

    def pop_job(self) -> Job | None:
        """The oldest job; taken with this call."""
        with self._lock:
            return self._jobs.popleft() if self._jobs else None

    def add_probe(self, probe: Probe) -> bool:
        """A question for the worker; False when too many wait already."""
        with self._lock:
            if len(self._probes) >= MAX_PROBES:
                return False
            self._probes.append(probe)
        return True

    def take_probes(self) -> list[Probe]:
        """Questions not yet taken, oldest first."""
        with self._lock:
            taken = list(self._probes)
            self._probes.clear()
        return taken

    def add_probe_reply(self, reply: ProbeReply) -> None:
        """For the cloud; a buyer waits for it."""
        with self._lock:
            self._replies.append(reply)
        self._bell.ring()

    def take_probe_replies(self) -> list[ProbeReply]:
        """Replies not yet taken, oldest first."""
        with self._lock:
            taken = list(self._replies)
            self._replies.clear()
        return taken

    def set_expiry(self, message_id: str, until: float) -> None:
        """What the broker left of a message's life when it handed it over: steady seconds."""
        with self._lock:
            self._limits.setdefault(message_id, until)
            while len(self._limits) > MAX_LIMITS:
                del self._limits[next(iter(self._limits))]

    def expiry_of(self, message_id: str) -> float | None:
        """None when the broker said nothing."""
        return self._limits.get(message_id)
