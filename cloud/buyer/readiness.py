"""Could this machine make this drink right now, for this buyer? Asked of the machine itself, not of an old heartbeat.

The heartbeat's word stands where nobody can ask: no worker carries the question, or this agent never answers any.
"""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from cloud.buyer import reservation
from cloud.buyer.brew_time_estimate import BrewTimeEstimates
from cloud.buyer.order_view import CHECKING, RESERVED
from cloud.buyer.reservation import Presser
from cloud.database.database import Database
from cloud.fleet import probes
from cloud.fleet.availability import (
    CLOSED,
    DRINK_CLOSED,
    NOT_SENT,
    OFFLINE,
    PASSES_BY_ITSELF,
    TWO_AGENTS,
    can_be_sold,
    drink_of,
)
from cloud.fleet.models import Control, Device, DeviceLive, Drink
from cloud.orders.models import Order
from protocol.reasons import MachineState, RejectCode

AT_FIRST_SIGHT = timedelta(seconds=0.3)
"""A page's first picture waits this long for the machine; it looks again at once."""
SURE_FOR = timedelta(seconds=7)
"""A carrier of commands seen so lately counts as there still; later a question that nobody carries proves it gone."""
LOOK_S = 0.2
"""A lost wake-up costs this much."""
_VAIN_TO_ASK = frozenset({CLOSED, DRINK_CLOSED, OFFLINE, TWO_AGENTS, NOT_SENT, RejectCode.BAD_BODY})
_BUSY_WITH = {MachineState.RINSING: "rinsing", MachineState.CLEANING: "cleaning"}


@dataclass(frozen=True)
class Readiness:
    """`code` says why not, empty when it could. `until` is when that is over, where somebody can honestly say."""

    code: str = ""
    until: datetime | None = None


READY = Readiness()


class Asking:
    """Puts the question to machines. `is_live` false: only heartbeats are known.

    `carrier_seen` tells when a carrier of commands to a device was last seen; None for no carrier.
    """

    def __init__(
        self, database: Database, clock: Callable[[], datetime], brew_times: BrewTimeEstimates, *, is_live: bool = True,
        carrier_seen: Callable[[Device], datetime | None] | None = None,
    ) -> None:  # fmt: skip
        self._database = database
        self._clock = clock
        self._brew_times = brew_times
        self._is_live = is_live
        self._carrier_seen = carrier_seen

    def of_order(
        self, order_id: str, patience: timedelta = probes.PATIENCE, presser: Presser = reservation.ANYBODY
    ) -> Readiness:
        """Tell whether the order could be paid and poured now, by this buyer. A test device is always ready."""
        order, device = self._order(order_id)
        if device.status == "test":
            return READY
        code = self.of_drink(device, order.drink_no, order.size, order.id, patience, is_sold=order.paid_at is not None)
        with self._database.read() as session:
            return self._with_others(session, order, code, presser)

    def told_of(self, order_id: str) -> Readiness:
        """Whether it can be sold by what is known, for a program: it waits for no machine and for no other buyer."""
        order, device = self._order(order_id)
        code = self._told(device, order.drink_no, order.id)[0]
        if not code and self._is_carrier_doubtful(device):
            code = self._ask(device, order.drink_no, order.size, probes.PATIENCE, only_carried=True) or ""
        return READY if code in PASSES_BY_ITSELF else Readiness(code)

    def of_drink(
        self, device: Device, drink_no: str, size: int, order_id: str = "", patience: timedelta = probes.PATIENCE, *,
        is_sold: bool = False,
    ) -> str:  # fmt: skip
        """The code of why this drink could not be made, "" when it could. What is sold needs no place on the menu."""
        told, live = self._told(device, drink_no, order_id, is_sold=is_sold)
        if self._is_live and live is not None and _is_asked(device) and told not in _VAIN_TO_ASK:
            answer = self._ask(device, drink_no, size, patience)
            told = told if answer is None else answer
        return _in_detail(told, live)

    def _order(self, order_id: str) -> tuple[Order, Device]:
        with self._database.read() as session:
            order = session.get_one(Order, order_id)
            return order, session.get_one(Device, order.device_uuid)

    def _told(
        self, device: Device, drink_no: str, order_id: str, *, is_sold: bool = False
    ) -> tuple[str, DeviceLive | None]:
        with self._database.read() as session:
            live = session.get(DeviceLive, device.device_uuid)
            drink = drink_of(session, device.device_uuid, drink_no)
        if is_sold and not isinstance(drink, Drink):
            drink = ""
        can_send = self._carrier_seen is None or self._carrier_seen(device) is not None
        return can_be_sold(device, live, drink, order_id, can_send=can_send), live

    def _is_carrier_doubtful(self, device: Device) -> bool:
        """It may have died since it was seen; whether it still carries a question tells."""
        if self._carrier_seen is None or not self._is_live or not _is_asked(device):
            return False
        seen = self._carrier_seen(device)
        return seen is None or abs(self._clock() - seen) > SURE_FOR

    def _ask(
        self, device: Device, drink_no: str, size: int, patience: timedelta, *, only_carried: bool = False
    ) -> str | None:
        """The machine's own word; None when its silence says nothing. `only_carried`: that it is sent is enough."""
        device_uuid = device.device_uuid
        asked = self._database.transact(probes.ask, device_uuid, drink_no, size, uuid.uuid4().hex, self._clock())
        ends = time.monotonic() + patience.total_seconds()
        with self._database.wakeups.waiter(probes.topic_of(asked.probe_id)) as waiter:
            while True:
                with self._database.read() as session:
                    probe = session.get_one(probes.Probe, (device_uuid, drink_no))
                    knows_how = probe.settled_at is not None or probes.has_ever_answered(session, device_uuid)
                if probe.settled_at is not None:
                    return probe.code
                if only_carried and probe.sent_at is not None:
                    return None
                left = ends - time.monotonic()
                if left <= 0:
                    break
                waiter.wait(min(left, LOOK_S))
        if patience < probes.PATIENCE and knows_how:
            return CHECKING
        if probe.sent_at is None:
            return NOT_SENT if self._is_carrier_doubtful(device) else None
        return OFFLINE if knows_how else None

    def _with_others(self, session: Session, order: Order, code: str, presser: Presser) -> Readiness:
        """Return it with other buyers counted in: the one it pours for, and the one who is paying."""
        now = self._clock()
        if code in {"", RejectCode.BUSY}:
            queue = reservation.queue_before(session, order.id, order.device_uuid, self._brew_times, now)
            if queue.ahead:
                return Readiness(RejectCode.BUSY, queue.over_by)
        if not code:
            until = reservation.reserved_until(session, order.device_uuid, order.id, now, presser)
            return Readiness(RESERVED, until) if until is not None else READY
        return Readiness(code)


def _is_asked(device: Device) -> bool:
    """Whether it is sold from and has an agent to ask."""
    return device.control == Control.AGENT and device.status == "active"


def _in_detail(code: str, live: DeviceLive | None) -> str:
    """Tell what it is busy with: a waiting buyer wants to know."""
    if code != RejectCode.BUSY or live is None or (live.state or {}).get("busy_order"):
        return code
    return _BUSY_WITH.get((live.state or {}).get("machine", ""), code)
