"""From devices to the order workflow: stored and judged in one commit, acknowledged and receipted only after it.

What makes no sense is counted, logged and acknowledged: unacknowledged it would stop the connection after twenty.
What one machine says too fast is acknowledged unread, so that the broker keeps its room for all others.
"""

import logging
import queue
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple

from cloud.background.loops import Clock
from cloud.courier import device_jobs
from cloud.courier.broker import BrokerLink, Received
from cloud.courier.message_counts import SENSELESS, WAIT_SECONDS, kind_of
from cloud.courier.senseless import is_senseless
from cloud.courier.too_fast import TooFast
from cloud.courier.welcomes import Welcomes, tell
from cloud.database.database import Database, Held
from cloud.database.postgresql import is_locked
from cloud.database.transaction import Transaction
from cloud.fleet import machine_events, probes
from cloud.metrics.counts import Counts
from cloud.orders import making
from cloud.orders.deadlines import DEVICES_REPEAT_WITHIN
from cloud.orders.locked_order import held_elsewhere, order_key
from cloud.orders.order_limits import OrderLimits
from protocol.errors import WireError
from protocol.messages import (
    MAX_BATCH,
    Accepted,
    Answer,
    Event,
    Hello,
    Message,
    Outcome,
    ProbeReply,
    Progress,
    Receipt,
    Unsupported,
    decode_report,
)
from protocol.topics import parse

log = logging.getLogger("cloud.courier")

BATCH = 64
MOST_READ = 1_000
"""For one batch, with what is passed over: a flood has no end, and others wait for the commit."""
IDLE = timedelta(seconds=60)
HELD_AGAIN = timedelta(seconds=1)
MAX_HELD = 200
"""Messages that wait for somebody's locks; beyond it the first are forgotten, and devices say again what matters."""
MOST_WAITS = 5
"""For somebody's locks, each time what is held is tried again: all that other machines say waits meanwhile."""


class ParsedReport(NamedTuple):
    """A message of a device that makes sense."""

    received: Received
    device_uuid: str
    message: Message


class Listener:
    """Takes what devices say from the link; one per process."""

    def __init__(
        self, database: Database, link: BrokerLink, rules: OrderLimits, welcomes: Welcomes, clock: Clock,
        counts: Counts | None = None,
    ) -> None:  # fmt: skip
        self._database = database
        self._link = link
        self._rules = rules
        self._welcomes = welcomes
        self._clock = clock
        self._counts = counts or Counts()
        self._too_fast = TooFast(self._counts, "reports")
        self._held: list[ParsedReport] = []
        self._try_at = datetime(1970, 1, 1, tzinfo=UTC)
        self._reading: Received | None = None
        """The oldest of those being stored, or that could not be and will come again."""
        self._comes_again_by = 0.0

    def lag_s(self) -> float:
        """How long ago the oldest message arrived that is not stored yet."""
        reading = self._reading
        return time.monotonic() - reading.arrived if reading is not None and reading.arrived else self._link.lag_s()

    def step(self, now: datetime) -> datetime:
        """Handle what has arrived; when to look again."""
        self._try_again(now)
        taken, reports = self._take_in(now.timestamp())
        if not taken:
            if time.monotonic() > self._comes_again_by:
                self._reading = None
            return now + self._idle()
        self._reading = taken[0]
        try:
            held = self._store(reports)
        except Exception:
            self._link.drop()
            self._comes_again_by = time.monotonic() + DEVICES_REPEAT_WITHIN.total_seconds()
            raise
        for received in taken:
            self._link.ack(received)
        self._reading = None
        stored = [one for one in reports if one not in held]
        self._answer(stored)
        self._count(stored)
        self._held = [*self._held, *held][-MAX_HELD:]
        return now if not self._link.inbox.empty() else now + self._idle()  # what comes meanwhile wakes us

    def _idle(self) -> timedelta:
        return HELD_AGAIN if self._held else IDLE

    def _try_again(self, now: datetime) -> None:
        """What somebody's open transaction kept from being stored; the device was told nothing of it yet."""
        if self._try_at - HELD_AGAIN <= now < self._try_at:  # the clock may have been set back
            return
        try:
            self._try_held(self._held_orders())
        finally:
            self._try_at = self._clock() + HELD_AGAIN

    def _held_orders(self) -> set[str]:
        """The orders that are still held, asked in one go; all of them where the whole table is locked."""
        order_ids = {_order_of(one) for one in self._held} - {""}
        if not order_ids:
            return order_ids
        try:
            return self._database.transact(held_elsewhere, order_ids, waits_for_locks=False)
        except Held:
            return order_ids

    def _try_held(self, held: set[str]) -> None:
        """All but these orders', until too much is tried in vain: that is tried last, next time."""
        in_vain: set[object] = set()
        for one in list(self._held):
            if len(in_vain) == MOST_WAITS:
                break
            if _order_of(one) in held or _waits_with(one) in in_vain:
                continue
            try:
                is_whole = self._database.transact(
                    self._handle, one.device_uuid, one.message, self._clock(), waits_for_locks=False
                )
            except Held:
                in_vain.add(_waits_with(one))
                continue
            except Exception as error:
                if not is_senseless(error):
                    raise
                self._not_taken_in(one, error)
            else:
                self._answer([one])
                self._count([one])
                if not is_whole:
                    self._note_senseless()
            self._held.remove(one)
        self._held.sort(key=lambda one: _waits_with(one) in in_vain)  # one order's stay as they came

    def _take_in(self, now: float) -> tuple[list[Received], list[ParsedReport]]:
        """What has arrived, in its order, and what of it is to be stored."""
        taken: list[Received] = []
        reports: list[ParsedReport] = []
        while len(reports) < BATCH and len(taken) < MOST_READ:
            try:
                received = self._link.inbox.get_nowait()
            except queue.Empty:
                break
            taken.append(received)
            if (report := self._understand(received, now)) is not None:
                reports.append(report)
        return taken, reports

    def _understand(self, received: Received, now: float) -> ParsedReport | None:
        try:
            device_uuid, _ = parse(received.topic)
            if self._too_fast.is_over(device_uuid, now):
                return None
            return ParsedReport(received, device_uuid, decode_report(received.payload))
        except WireError as error:
            self._note_senseless()
            log.warning("message makes no sense: %s", error, extra={"topic": received.topic[:200]})
            return None

    def _store(self, reports: Sequence[ParsedReport]) -> list[ParsedReport]:
        """Store them in one go, but at once what a buyer waits for; each by itself only when something makes no sense.

        Returns those that must wait for somebody who holds their rows; behind one that waits, its order's others do.
        """
        now = self._clock()
        stored: deque[tuple[ParsedReport, Callable[[], bool]]] = deque()
        waiting = {_order_of(one) for one in self._held} - {""}
        held = [one for one in reports if _order_of(one) in waiting]
        for one in reports:
            if _order_of(one) in waiting:
                continue
            work, key = (self._handle, one.device_uuid, one.message, now), _locked_by(one.device_uuid, one.message)
            if isinstance(one.message, ProbeReply):
                stored.appendleft((one, partial(self._database.transact, *work, key=key)))
            else:
                stored.append((one, self._database.transact(*work, key=key, deferred=True).result))
        for one, end in stored:
            try:
                if not end():
                    self._note_senseless()
            except Exception as error:
                if is_senseless(error):
                    self._not_taken_in(one, error)
                elif is_locked(error):
                    log.warning("somebody else holds what this message is about, it waits", extra=_facts(one))
                    held.append(one)
                else:
                    raise
        return held

    def _not_taken_in(self, one: ParsedReport, error: Exception) -> None:
        self._note_senseless()
        log.error("message could not be taken in: %s", type(error).__name__, extra=_facts(one))

    def _note_senseless(self) -> None:
        self._counts.count(SENSELESS, "reports")

    def _count(self, stored: Sequence[ParsedReport]) -> None:
        now = time.monotonic()
        for received, _, message in stored:
            if received.arrived:
                self._counts.observe(WAIT_SECONDS, now - received.arrived, kind_of(message))

    def _handle(self, tx: Transaction, device_uuid: str, message: Message, now: datetime) -> bool:
        """Whether it was taken in whole."""
        match message:
            case Accepted() | Progress() | Outcome() if device_jobs.is_test_cup(message):
                device_jobs.cup_reported(tx, device_uuid, message, now)
            case Accepted():
                making.record_acceptance(tx, device_uuid, message, self._rules, now)
            case Progress():
                making.record_progress(tx, device_uuid, message, self._rules, now)
            case Outcome():
                return making.record_outcome(tx, device_uuid, message, self._rules, now)
            case Event():
                machine_events.keep(tx, device_uuid, message, now)
            case ProbeReply():
                why = "" if message.ready else message.code or "fault"
                probes.answered(tx, device_uuid, message.probe_id, why, now)
            case Answer() | Unsupported():
                device_jobs.answered(tx, device_uuid, message, now)
        return True

    def _answer(self, reports: Sequence[ParsedReport]) -> None:
        """After the commit, tell devices what we hold, and the time to those that ask."""
        held: dict[str, list[str]] = defaultdict(list)
        for _, device_uuid, message in reports:
            if isinstance(message, Accepted | Outcome | Event):
                held[device_uuid].append(message.message_id)
        for device_uuid, ids in held.items():
            for start in range(0, len(ids), MAX_BATCH):
                tell(self._link, device_uuid, Receipt(message_ids=ids[start : start + MAX_BATCH]))
        self._welcomes.answer(
            [(one.device_uuid, one.message.hello_id) for one in reports if isinstance(one.message, Hello)],
            {one.device_uuid for one in reports if isinstance(one.message, Hello) and not one.received.retained},
        )


def _order_of(one: ParsedReport) -> str:
    order_id: str = getattr(one.message, "order_id", "")
    return order_id


def _waits_with(one: ParsedReport) -> object:
    """What is the same for all that waits behind one message."""
    return _order_of(one) or id(one)


def _facts(one: ParsedReport) -> dict[str, str]:
    return {"device": one.device_uuid, "order_id": _order_of(one)}


def _locked_by(device_uuid: str, message: Message) -> str:
    """Workers that meet in two orders never wait for each other: everybody locks in this order."""
    order_id = getattr(message, "order_id", "")
    return order_key(order_id) if order_id else f"device {device_uuid}"
