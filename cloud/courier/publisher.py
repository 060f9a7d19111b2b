"""From the outbox to the broker: commands and questions with the expiry of their deadline.

"Published" is never "delivered", and a broker may lose what it has acknowledged: a drink is sent again, under the same
id, until its machine has spoken or its deadline has passed (docs/orders.md).
"""

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

from cloud.background.loops import Clock
from cloud.courier.broker import Acknowledged, BrokerLink, NotConnected
from cloud.courier.outgoing import AGAIN_S, LEASE_S, OutgoingCommand, OutgoingCommands, command_of
from cloud.database.database import Database
from cloud.database.deferred_writes import on_failure
from cloud.database.due import is_due
from cloud.database.transaction import Transaction
from cloud.orders import making, order_tasks, outbox
from cloud.orders.locked_order import LockedOrder, lock_order, order_key
from cloud.orders.models import MakeCommand
from cloud.orders.order_limits import OrderLimits
from cloud.orders.order_tasks import LaneWorker
from cloud.orders.outbox import Lease, OutboxRow
from cloud.orders.tasks import ASKED_FOR, DONE, REFUSED, STOPPED, VOID, Lane, Task, may_be_done
from protocol.messages import Cancel, Make, Message, Query, encode
from protocol.topics import Channel, topic

log = logging.getLogger("cloud.courier")

MAX_UNANSWERED = 200
"""So many the broker link sends before it waits for answers; beyond it new ones wait in the outbox, for any process."""
CANCEL_EXPIRY_S = 30
"""Or as long as the command it takes back, which the broker may hold as well."""
LONGEST_QUERY_WAIT_S = 300.0
"""A question about the past is no hurry: an agent that stays away is asked ever more rarely, for a day."""
RESEND_S = 3.0
"""A drink the machine has not spoken of is sent again after so long, then after twice that, and so on."""
TOO_LATE = "not handed to the broker before its deadline"
FAILED = 128
"""MQTT reason codes from here on are refusals."""
NOBODY_SUBSCRIBED = 16
PASSING = frozenset({0x89, 0x97})
"""Server busy, quota exceeded."""


@dataclass(frozen=True)
class Publication(OutgoingCommand):
    """A command as a message; the broker drops it after `expiry_s`."""

    message: Message
    expiry_s: int


class _Sent(NamedTuple):
    """A publication, and the link's connection it was sent over."""

    publication: Publication
    connection: int


class Publisher:
    """One per process; `owner` names its leases. A command is sent by the thread that has committed it."""

    def __init__(self, database: Database, link: BrokerLink, rules: OrderLimits, owner: str, clock: Clock) -> None:
        self._database = database
        self._link = link
        self._rules = rules
        self._owner = owner
        self._clock = clock
        self._sending = threading.Lock()
        """Its answer may come before `publish` has returned: nobody looks for it until it is in `_awaiting`."""
        self._awaiting: dict[int, _Sent] = {}
        """Sent and not answered, by the broker link's number."""
        self._rows = OutgoingCommands(Lane.MQTT, owner)
        self._mail = database.wakeups.waiter(outbox.topic(Lane.MQTT))
        self._look_at: datetime | None = None

    def step(self, now: datetime) -> datetime:
        """Settle what the broker has answered, send what nobody has sent; when to look again."""
        self._settle_answers()
        self._recover_lost(now)
        if not self._link.connected:
            return now + self._idle()  # the link wakes us when it is back
        if self._mail.wait(0) or self._look_at is None or is_due(self._look_at, now, self._idle()):
            claimed, next_due = self._database.transact(self._take, now)
            for command in claimed:
                self._send(command)
            idle = now + self._idle()
            self._look_at = min(next_due or idle, idle)
        self._settle_answers()
        return self._look_at

    def _idle(self) -> timedelta:
        return timedelta(seconds=self._database.wakeups.longest_sleep_s)

    def lane_worker(self) -> LaneWorker:
        """Given a task by `order_tasks.add_task`: rows written in this process need not be looked for."""
        return LaneWorker(Lease(self._owner, LEASE_S), self._prepare)

    def _prepare(self, locked: LockedOrder, row: OutboxRow) -> Callable[[], None] | None:
        if not self._link.connected or len(self._awaiting) >= MAX_UNANSWERED:
            return None
        return partial(self._send, OutgoingCommand(row, locked.command(row.subject), locked.order))

    def _take(self, tx: Transaction, now: datetime) -> tuple[list[OutgoingCommand], datetime | None]:
        """What is due and held by nobody, and when more is due."""
        return [command_of(tx.session, row) for row in self._rows.claim(tx, now)], self._rows.next_due(tx.session)

    def _send(self, command: OutgoingCommand) -> None:
        """Send what was claimed for us, once that is committed. Waits for nobody; what it must write is deferred."""
        now = self._clock()
        try:
            publication = _message_of(command, now)
            if publication is not None:
                self._publish(publication)
            elif command.is_wanted_drink:
                self._write(command, self._never, command.row, TOO_LATE)
            else:
                self._write(command, self._rows.settle, command.row, VOID, now)
        except (NotConnected, OSError) as error:
            log.error("make command not sent, will try until its deadline: %s", error, extra=command.log_fields())
            self._write(command, self._again, command.row, str(error))
        except Exception as error:  # a bug of ours must not leave a paid order waiting for its deadline
            log.exception("make command could not be sent", extra=command.log_fields())
            self._write(command, self._never, command.row, f"{type(error).__name__}: {error}"[:200])

    def _publish(self, publication: Publication) -> None:
        to, payload = topic(publication.command.device_uuid, Channel.COMMAND), encode(publication.message)
        with self._sending:
            connection = self._link.connections
            self._awaiting[self._link.publish(to, payload, publication.expiry_s)] = _Sent(publication, connection)

    def _write(self, command: OutgoingCommand, work: Callable[..., object], *facts: object) -> None:
        written = self._database.transact(work, *facts, key=order_key(command.order.id), deferred=True)
        on_failure(written, partial(_not_stored, command))

    def _settle_answers(self) -> None:
        answers: list[Acknowledged] = []
        while True:
            try:
                answers.append(self._link.acknowledged.get_nowait())
            except queue.Empty:
                break
        if answers and self._look_at is not None:  # for what may have to be sent again
            self._look_at = min(self._look_at, self._clock() + timedelta(seconds=RESEND_S))
        for answer in answers:
            with self._sending:
                sent = self._awaiting.pop(answer.mid, None)
            if sent is not None:
                self._write(sent.publication, self._answered, sent.publication, answer.code)

    def _answered(self, tx: Transaction, publication: Publication, code: int) -> None:
        if code == NOBODY_SUBSCRIBED or code in PASSING:
            tx.log_after_commit(
                log.warning, "no machine took the command (code %d)", code, extra=publication.log_fields()
            )
            self._again(tx, publication.row, f"broker code {code}")
            return
        if code >= FAILED:
            tx.log_after_commit(
                log.error, "the broker refused the command (code %d)", code, extra=publication.log_fields()
            )
            self._never(tx, publication.row, f"broker code {code}")
            return
        locked = lock_order(tx, publication.order.id)
        issued = locked.command(publication.command.id)
        if self._was_sent(locked, issued, publication) or _was_ended(locked, publication):
            tx.log_after_commit(log.info, "%s published", publication.row.task, extra=publication.log_fields())
            if publication.row.task == Task.MAKE:
                making.record_published(locked, issued, self._rules, self._clock())

    def _was_sent(self, locked: LockedOrder, issued: MakeCommand, publication: Publication) -> bool:
        """The broker has it, and may forget it: what the machine has not spoken of is sent again in good time."""
        row, now = order_tasks.task_of(locked, publication.row.key), self._clock()
        if row.task not in making.SENDINGS or not making.is_undelivered(issued, now):
            return self._rows.settle(locked.tx, publication.row, DONE, now)
        pause = timedelta(seconds=RESEND_S * 2 ** min(max(row.attempts - row.undone - 1, 0), 10))
        return order_tasks.reschedule(locked, row.key, self._owner, min(now + pause, issued.deadline_at), "")

    def _again(self, tx: Transaction, row: OutboxRow, why: str) -> None:
        """Certainly nothing was delivered: again while the deadline lasts."""
        wait = AGAIN_S if row.task != Task.QUERY else min(AGAIN_S * 2 ** min(row.attempts, 10), LONGEST_QUERY_WAIT_S)
        self._rows.reschedule_undelivered(tx, row, why, self._clock(), wait)

    def _never(self, tx: Transaction, row: OutboxRow, why: str) -> None:
        """It will not be sent (again). An earlier sending whose answer was lost may have been heard all the same."""
        now = self._clock()
        locked = lock_order(tx, row.order_id)
        if row.task in making.SENDINGS and locked.command(row.subject).published_at is not None:
            self._rows.settle(tx, row, DONE, now)  # it was sent, and now it is too late to send it once more
        elif self._rows.settle(tx, row, REFUSED, now) and row.task == Task.MAKE:
            order_tasks.mark_no_effect(locked, row.key)
            is_certain = not may_be_done(order_tasks.task_of(locked, row.key))
            making.record_not_sent(tx, row.order_id, row.subject, why, self._rules, now, certain=is_certain)

    def _lost(self, tx: Transaction, row: OutboxRow, now: datetime) -> None:
        """The broker may have it, and may not."""
        order_tasks.reschedule(lock_order(tx, row.order_id), row.key, self._owner, now, "connection lost")

    def _recover_lost(self, now: datetime) -> None:
        """Send again what will never be answered, because its connection or its lease is gone."""
        with self._sending:
            sent = list(self._awaiting.items())
        for mid, (publication, connection) in sent:
            is_lost = connection != self._link.connections
            if is_lost:
                self._look_at = None
                self._database.transact(self._lost, publication.row, now)
            if is_lost or is_due(publication.row.claimed_until or now, now, timedelta(seconds=LEASE_S)):
                self._awaiting.pop(mid, None)


def _not_stored(command: OutgoingCommand, error: Exception) -> None:
    """What could not be settled is sent again when its lease ends; the device knows the command by then."""
    log.error("what became of the command could not be stored", exc_info=error, extra=command.log_fields())


def _was_ended(locked: LockedOrder, publication: Publication) -> bool:
    """Tell whether it was stopped while this sending was on its way, or its machine was quicker than the broker."""
    return order_tasks.task_of(locked, publication.row.key).verdict in {STOPPED, DONE}


def _message_of(sent: OutgoingCommand, now: datetime) -> Publication | None:
    """The message of this row; None when it has become pointless, or when it is too late.

    The broker keeps it for what is left of its deadline: a clock set back must not make hours of a minute.
    """
    row, command, order = sent.row, sent.command, sent.order
    if row.task == Task.QUERY:
        if now - row.created_at >= ASKED_FOR:
            return None
        asked = Query(commands=[making.asked_about(command)])
        return Publication(row, command, order, asked, int(ASKED_FOR.total_seconds()))
    left_s = making.seconds_left(command, now)
    if row.task == Task.CANCEL_MAKE and command.live:
        back = Cancel(
            command_id=command.id, order_id=order.id, issued_at=command.issued_at, deadline_at=command.deadline_at
        )
        return Publication(row, command, order, back, max(CANCEL_EXPIRY_S, int(left_s) + 1))
    if not sent.is_wanted_drink or left_s <= 0:
        return None
    make = Make(
        command_id=command.id, order_id=order.id, attempt=command.attempt, drink_no=order.drink_no, size=order.size,
        price=order.price, issued_at=command.issued_at, deadline_at=command.deadline_at,
    )  # fmt: skip
    return Publication(row, command, order, make, max(1, int(left_s)))
