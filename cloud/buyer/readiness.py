"""Could this machine make this drink right now, for this buyer? Asked of the machine itself, not of an old heartbeat.

The heartbeat's word stands where nobody can ask: no worker carries the question, or this agent never answers any.
"""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from cloud.buyer import slots
from cloud.buyer.usual_times import UsualTimes
from cloud.db import Database
from cloud.fleet import probes
from cloud.fleet.availability import CLOSED, OFFLINE, TWO_AGENTS, does_fit, obstacle
from cloud.fleet.models import Device, DeviceLive
from cloud.orders.models import Order
from protocol.reasons import MachineState, RejectCode

RESERVED = "reserved"
"""Another buyer is paying at this machine."""
CHECKING = "checking"
"""The machine has been asked and has not answered yet."""
AT_FIRST_SIGHT = timedelta(seconds=0.3)
"""A page's first picture waits this long for the machine; it looks again at once."""
LOOK_S = 0.2
"""A lost wake-up costs this much."""
_BUSY_WITH = {MachineState.RINSING: "rinsing", MachineState.CLEANING: "cleaning"}


@dataclass(frozen=True)
class Readiness:
    """`code` says why not, empty when it could. `until` is when that is over, where somebody can honestly say."""

    code: str = ""
    until: datetime | None = None


READY = Readiness()


class Asking:
    """Puts the question to machines. `is_live` false: only heartbeats are known."""

    def __init__(
        self, database: Database, clock: Callable[[], datetime], usual: UsualTimes, *, is_live: bool = True
    ) -> None:
        self._database = database
        self._clock = clock
        self._usual = usual
        self._is_live = is_live

    def of_order(self, order_id: str, patience: timedelta = probes.PATIENCE) -> Readiness:
        """Whether the order could be paid and poured now. A test device is always ready."""
        with self._database.read() as session:
            order = session.get_one(Order, order_id)
            device = session.get_one(Device, order.device_uuid)
        if device.status == "test":
            return READY
        code = self.of_drink(device, order.drink_no, order.size, order.id, patience)
        with self._database.read() as session:
            return self._with_others(session, order, code)

    def of_drink(
        self, device: Device, drink_no: str, size: int, order_id: str = "", patience: timedelta = probes.PATIENCE
    ) -> str:
        """The code of why this drink could not be made, "" when it could."""
        with self._database.read() as session:
            live = session.get(DeviceLive, device.device_uuid)
        if not does_fit(live, drink_no, order_id):
            return RejectCode.BAD_BODY
        told = obstacle(device, live, drink_no, order_id)
        can_answer = self._is_live and live is not None and device.control == "agent" and device.status == "active"
        if can_answer and told not in {CLOSED, OFFLINE, TWO_AGENTS}:
            answer = self._ask(device.device_uuid, drink_no, size, patience)
            told = told if answer is None else answer
        return _in_detail(told, live)

    def _ask(self, device_uuid: str, drink_no: str, size: int, patience: timedelta) -> str | None:
        """The machine's own word; None when nobody could carry the question, or it is not one to answer."""
        asked = self._database.write(probes.ask, device_uuid, drink_no, size, uuid.uuid4().hex, self._clock())
        ends = time.monotonic() + patience.total_seconds()
        with self._database.bell.listen(probes.topic_of(asked.probe_id)) as ear:
            while True:
                with self._database.read() as session:
                    probe = session.get_one(probes.Probe, (device_uuid, drink_no))
                    knows_how = probe.settled_at is not None or probes.has_ever_answered(session, device_uuid)
                if probe.settled_at is not None:
                    return probe.code
                left = ends - time.monotonic()
                if left <= 0:
                    break
                ear.wait(min(left, LOOK_S))
        if patience < probes.PATIENCE and knows_how:
            return CHECKING
        return OFFLINE if probe.sent_at is not None and knows_how else None

    def _with_others(self, session: Session, order: Order, code: str) -> Readiness:
        """Other buyers of this machine: the one it pours for, and the one who is paying."""
        now = self._clock()
        if code in {"", RejectCode.BUSY}:
            queue = slots.queue_before(session, order, self._usual, now)
            if queue.ahead:
                return Readiness(RejectCode.BUSY, queue.over_by)
        if not code:
            until = slots.reserved_until(session, order.device_uuid, order.id, now)
            return Readiness(RESERVED, until) if until is not None else READY
        return Readiness(code)


def _in_detail(code: str, live: DeviceLive | None) -> str:
    """Busy with what? Who waits wants to know."""
    if code != RejectCode.BUSY or live is None or (live.state or {}).get("busy_order"):
        return code
    return _BUSY_WITH.get((live.state or {}).get("machine", ""), code)
